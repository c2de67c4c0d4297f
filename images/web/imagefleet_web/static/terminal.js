// The same thing for the terminal: a command with this page's own address, to copy.

const THANKS_MS = 2000;

/**
 * @param {HTMLElement} button
 * @param {HTMLElement} command  whose text is copied
 * @param {HTMLElement} origin  the address in it; behind a proxy only the browser knows it
 */
export function offerCopy(button, command, origin) {
  origin.textContent = location.origin;
  button.hidden = !navigator.clipboard; // only pages from https or localhost may copy
  const text = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent ?? "");
    } catch {
      getSelection()?.selectAllChildren(command); // not allowed: then one key press is left
      return;
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = text), THANKS_MS);
  });
}
