// Which pictures are shown: by their state, and by words in their names and answers.

import { formatOutput } from "./format.js";
import { isFinished } from "./pictures.js";

/**
 * @typedef {import("./pictures.js").Picture} Picture
 * @typedef {"all" | "waiting" | "done" | "failed"} Group  `failed`: refused ones, too
 */

/** What to say where a group is empty. @type {Record<Group, string>} */
const EMPTY = {
  all: "No picture is here.",
  waiting: "No picture is waiting.",
  done: "No picture is done.",
  failed: "No picture has failed.",
};

export class Filter {
  #buttons;
  #find;
  #onChange;
  /** @type {Group} */
  #group = "all";

  /**
   * @param {HTMLElement} buttons  one for each group, which it names as its `data-show`
   * @param {HTMLInputElement} find
   * @param {() => void} onChange  other pictures match from now on
   */
  constructor(buttons, find, onChange) {
    this.#buttons = /** @type {HTMLElement[]} */ ([...buttons.querySelectorAll("[data-show]")]);
    this.#find = find;
    this.#onChange = onChange;
    for (const button of this.#buttons) {
      const group = /** @type {Group} */ (button.dataset.show);
      button.addEventListener("click", () => this.#choose(group));
    }
    find.addEventListener("input", onChange);
  }

  /** @returns {boolean} whether it may leave pictures out */
  get active() {
    return this.#group !== "all" || this.#words.length > 0;
  }

  /** @returns {string} what to say where no picture matches */
  get emptiness() {
    if (this.#words.length === 0) return EMPTY[this.#group];
    return `${EMPTY[this.#group].slice(0, -1)} with “${this.#find.value.trim()}” in it.`;
  }

  /** Show all pictures. */
  reset() {
    this.#find.value = "";
    this.#choose("all");
  }

  /**
   * @param {Picture} picture
   * @returns {boolean}
   */
  matches(picture) {
    return (
      (this.#group === "all" || this.#group === groupOf(picture)) &&
      containsAll(textOf(picture), this.#words)
    );
  }

  get #words() {
    return plain(this.#find.value).split(/\s+/).filter(Boolean);
  }

  /** @param {Group} group */
  #choose(group) {
    this.#group = group;
    for (const button of this.#buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.show === group));
    }
    this.#onChange();
  }
}

/**
 * @param {Picture} picture
 * @returns {Group}
 */
function groupOf(picture) {
  if (!isFinished(picture)) return "waiting";
  return picture.state === "done" ? "done" : "failed";
}

/**
 * @param {Picture} picture
 * @returns {string} its name and its answer
 */
function textOf({ name, top, output }) {
  const labels = top.map(({ label }) => label);
  return [name, ...labels, output === null ? "" : formatOutput(output)].join("\n");
}

/**
 * @param {string} text
 * @param {string[]} words  plain
 * @returns {boolean}
 */
function containsAll(text, words) {
  if (words.length === 0) return true;
  const searched = plain(text);
  return words.every((word) => searched.includes(word));
}

/**
 * @param {string} text
 * @returns {string} the same without capitals and accents
 */
function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
