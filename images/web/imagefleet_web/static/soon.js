// Doing once what many changes ask for.

/** In a page that can't be seen there are no frames to wait for. */
const UNSEEN_MS = 250;

/**
 * @param {() => void} action
 * @returns {() => void} asks for the action; it runs once before the next frame is drawn
 */
export function onceSoon(action) {
  let asked = false;
  const run = () => {
    asked = false;
    action();
  };
  return () => {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(run, UNSEEN_MS);
    else requestAnimationFrame(run);
  };
}
