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
  #filter;
  #part;
  #spoken = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pending;

  /**
   * @param {ParentNode} page
   * @param {import("./filter.js").Filter} filter
   */
  constructor(page, filter) {
    /** @param {string} id */
    const part = (id) => /** @type {HTMLElement} */ (page.querySelector(`#${id}`));
    this.#filter = filter;
    this.#part = {
      all: part("count-all"),
      waiting: part("count-waiting"),
      done: part("count-done"),
      failed: part("count-failed"),
      progress: /** @type {HTMLProgressElement} */ (part("progress")),
      shown: part("shown"),
      noMatch: part("no-match"),
      noMatchText: part("no-match-text"),
      retry: part("retry-failed"),
      clear: part("clear"),
      live: part("summary"),
    };
  }

  /**
   * @param {Picture[]} pictures  all of them
   * @param {Picture[]} shown  those that the filter lets through
   */
  show(pictures, shown) {
    const part = this.#part;
    const counts = count(pictures);
    part.all.textContent = String(counts.total);
    part.waiting.textContent = String(counts.waiting);
    part.done.textContent = String(counts.done);
    part.failed.textContent = String(counts.failed);
    part.progress.max = Math.max(1, counts.total);
    part.progress.value = counts.done + counts.failed;
    part.retry.hidden = !shown.some(canRetry);
    part.clear.hidden = !shown.some(isFinished);
    this.#tellMatches(counts.total, shown.length);
    this.#speakSoon(`${sentence(counts)} ${part.shown.textContent}`.trim());
  }

  /**
   * @param {number} total
   * @param {number} shown  how many of them
   */
  #tellMatches(total, shown) {
    const { shown: text, noMatch, noMatchText } = this.#part;
    const { active, emptiness } = this.#filter;
    const of = formatCount(total, "picture");
    text.textContent = active && total > 0 ? `${shown} of ${of} shown.` : "";
    noMatch.hidden = total === 0 || shown > 0;
    noMatchText.textContent = noMatch.hidden ? "" : emptiness;
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
