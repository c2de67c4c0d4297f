// Starts the page. Where its parts did not all arrive, it is loaded once more, and then says so; where
// this part did not, the page says so by itself after a while, as page.css has it.

import("./page.js").catch((error) => {
  const [{ type }] = /** @type {PerformanceNavigationTiming[]} */ (
    performance.getEntriesByType("navigation")
  );
  if (type !== "reload") location.reload(); // such as amid a change of network
  else {
    /** @type {HTMLElement} */ (document.getElementById("not-started")).hidden = false;
    throw error;
  }
});
