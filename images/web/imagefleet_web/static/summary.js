// The counts above the cards, and the sentence that a screen reader hears now and then.

import { formatCount } from "./format.js";
import { canRetry, count, isFinished } from "./pictures.js";

/**
 * @typedef {import("./pictures.js").Counts} Counts
 * @typedef {import("./pictures.js").Picture} Picture
 */

/** Between two sentences; results may come by the dozen a second. */
const QUIET_MS = 3000;

export class Summary {
  #part;
  #spoken = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pending;

  /** @param {ParentNode} page */
  constructor(page) {
    /** @param {string} id */
    const part = (id) => /** @type {HTMLElement} */ (page.querySelector(`#${id}`));
    this.#part = {
      results: part("results"),
      waiting: part("count-waiting"),
      done: part("count-done"),
      failed: part("count-failed"),
      progress: /** @type {HTMLProgressElement} */ (part("progress")),
      retry: part("retry-failed"),
      clear: part("clear"),
      live: part("summary"),
    };
  }

  /** @param {Picture[]} pictures */
  show(pictures) {
    const { results, waiting, done, failed, progress, retry, clear } = this.#part;
    const counts = count(pictures);
    results.hidden = counts.total === 0;
    waiting.textContent = String(counts.waiting);
    done.textContent = String(counts.done);
    failed.textContent = String(counts.failed);
    progress.max = Math.max(1, counts.total);
    progress.value = counts.done + counts.failed;
    retry.hidden = !pictures.some(canRetry);
    clear.hidden = !pictures.some(isFinished);
    this.#speakSoon(sentence(counts));
  }

  /** @param {string} text */
  #speakSoon(text) {
    clearTimeout(this.#pending);
    if (text === this.#spoken) return;
    this.#pending = setTimeout(() => {
      this.#spoken = this.#part.live.textContent = text;
    }, QUIET_MS);
  }
}

/**
 * @param {Counts} counts
 * @returns {string} `3 pictures done.`, `5 of 8 pictures done, 1 failed, 2 waiting.`
 */
export function sentence({ total, waiting, done, failed }) {
  if (total === 0) return "";
  if (done === total) return `${formatCount(total, "picture")} done.`;
  const parts = [`${done} of ${formatCount(total, "picture")} done`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (waiting > 0) parts.push(`${waiting} waiting`);
  return `${parts.join(", ")}.`;
}
