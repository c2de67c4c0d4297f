// The API key, where the server wants one: asked for when it answers 401, kept for this tab alone.

const STORED = "imagefleet.key";

let key = stored();
/** The question that is open. @type {Promise<void> | null} */
let asking = null;

/** @returns {string} empty until one is given */
export function currentKey() {
  return key;
}

/** @returns {Record<string, string>} the headers that show the key */
export function keyHeaders() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Ask for a key until one is given; whoever asks meanwhile waits for the same answer.
 * @param {string} refused  the key that the server refused, empty for none
 * @returns {Promise<void>}
 */
export function askForKey(refused) {
  if (refused !== key) return Promise.resolve(); // another was given since
  asking ??= ask(refused).finally(() => (asking = null));
  return asking;
}

/**
 * @param {string} refused
 * @returns {Promise<void>}
 */
function ask(refused) {
  const form = /** @type {HTMLFormElement} */ (document.getElementById("key-form"));
  const input = /** @type {HTMLInputElement} */ (document.getElementById("key"));
  const error = /** @type {HTMLElement} */ (document.getElementById("key-error"));
  form.hidden = false;
  error.textContent = refused ? "The service does not know this key." : "";
  input.value = "";
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      key = input.value.trim();
      keep(key);
      form.hidden = true;
      resolve();
    };
  });
}

/** @returns {string} */
function stored() {
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return ""; // the browser allows no storage
  }
}

/** @param {string} given */
function keep(given) {
  try {
    sessionStorage.setItem(STORED, given);
  } catch {
    // Then it is asked for again when the page is loaded again.
  }
}
