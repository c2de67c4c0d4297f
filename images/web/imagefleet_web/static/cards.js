// How one picture looks: a card cloned from the page's template.

import { copyOf } from "./copies.js";
import { formatBytes, formatOutput, formatSeconds, formatShare } from "./format.js";
import { canRetry } from "./pictures.js";
import { comesIntoView } from "./seen.js";

/**
 * @typedef {import("./pictures.js").Guess} Guess
 * @typedef {import("./pictures.js").Picture} Picture
 */

export class Card {
  /** The list item. @type {HTMLElement} */
  element;
  #part;
  #thumbnailUrl = "";
  #removed = new AbortController();

  /**
   * @param {Picture} picture
   * @param {HTMLTemplateElement} template
   * @param {{onRetry: (picture: Picture) => void, onRemove: (picture: Picture) => void}} actions
   */
  constructor(picture, template, { onRetry, onRemove }) {
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.element = /** @type {HTMLElement} */ (copy.firstElementChild);
    this.#part = partsOf(this.element);
    const { article, name, retry, remove } = this.#part;
    name.id = `picture-${picture.id}`;
    name.textContent = name.title = picture.name;
    article.setAttribute("aria-labelledby", name.id);
    retry.addEventListener("click", () => onRetry(picture));
    remove.addEventListener("click", () => onRemove(picture));
    void this.#showThumbnail(picture);
    this.show(picture);
  }

  /** @param {Picture} picture  the card's own, as it is now */
  show(picture) {
    const { article, state, progress, guesses, output, fact, failure, reason, retry } = this.#part;
    article.dataset.state = picture.state;
    state.textContent = stateText(picture);
    progress.hidden = picture.state !== "sending";
    progress.value = picture.sent;
    guesses.replaceChildren(...picture.top.map(guessRow));
    guesses.hidden = picture.top.length === 0;
    output.textContent = picture.output === null ? "" : formatOutput(picture.output);
    output.hidden = picture.output === null;
    failure.hidden = picture.error === null;
    reason.textContent = picture.error?.message ?? "";
    if (picture.error) article.dataset.code = picture.error.code;
    else delete article.dataset.code;
    fact.textContent = factText(picture);
    retry.hidden = !canRetry(picture);
  }

  /** @returns {boolean} whether it is left out, though it is on the page */
  get hidden() {
    return this.element.hidden === true;
  }

  set hidden(hidden) {
    this.element.hidden = hidden;
  }

  /** @returns {boolean} whether the keyboard's focus is here */
  get hasFocus() {
    return this.element.contains(document.activeElement);
  }

  /** Move the keyboard's focus here. */
  focus() {
    this.#part.article.focus();
  }

  /** Take the card off the page and give its thumbnail's memory back. */
  remove() {
    this.element.remove();
    this.#removed.abort();
    URL.revokeObjectURL(this.#thumbnailUrl);
  }

  /** @param {Picture} picture */
  async #showThumbnail({ name, file, job }) {
    const { thumbnail, extension } = this.#part;
    const done = () => URL.revokeObjectURL(this.#thumbnailUrl); // an image keeps what it loaded
    const giveUp = () => {
      done();
      thumbnail.hidden = true; // such as a TIFF, which few browsers show
      extension.textContent = /\.(\w{1,5})$/.exec(name)?.[1].toUpperCase() ?? "?";
    };
    thumbnail.addEventListener("load", done);
    thumbnail.addEventListener("error", giveUp);
    await comesIntoView(this.element);
    const { signal } = this.#removed;
    const url = file
      ? URL.createObjectURL(file)
      : await copyOf(`/api/v1/jobs/${job}/image`, { signal });
    this.#thumbnailUrl = url ?? "";
    if (signal.aborted) done();
    else if (url) thumbnail.src = url;
    else giveUp();
  }
}

/**
 * @param {Picture} picture
 * @returns {string}
 */
function stateText({ state, sent }) {
  if (state === "sending") {
    return sent < 1 ? `Sending, ${Math.floor(sent * 100)}%` : "Sent, being checked";
  }
  return {
    queued: "Waiting to be sent",
    waiting: "Waiting for a worker",
    done: "Done",
    failed: "Failed",
    refused: "Refused",
  }[state];
}

/**
 * @param {Picture} picture
 * @returns {string} the time it took once it is known, until then the file's size if that is
 */
function factText({ seconds, state, file }) {
  if (seconds !== null) return `${state === "done" ? "in" : "after"} ${formatSeconds(seconds)}`;
  return file ? formatBytes(file.size) : "";
}

/**
 * @param {Guess} guess
 * @returns {HTMLLIElement}
 */
function guessRow({ label, score }) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  const share = document.createElement("span");
  name.className = "label";
  name.textContent = name.title = label;
  share.className = "share";
  share.textContent = formatShare(score);
  row.style.setProperty("--share", String(score));
  row.append(name, " ", share);
  return row;
}

/** @param {HTMLElement} element */
function partsOf(element) {
  /**
   * @template {HTMLElement} T
   * @param {string} name
   * @returns {T}
   */
  const part = (name) => /** @type {T} */ (element.querySelector(`[data-part="${name}"]`));
  return {
    article: part("article"),
    thumbnail: /** @type {HTMLImageElement} */ (part("thumbnail")),
    extension: part("extension"),
    state: part("state"),
    progress: /** @type {HTMLProgressElement} */ (part("progress")),
    guesses: part("guesses"),
    output: part("output"),
    failure: part("failure"),
    reason: part("reason"),
    retry: /** @type {HTMLButtonElement} */ (part("retry")),
    remove: /** @type {HTMLButtonElement} */ (part("remove")),
    name: part("name"),
    fact: part("fact"),
  };
}
