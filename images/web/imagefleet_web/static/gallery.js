// The pictures of this page and their cards.

import { Card } from "./cards.js";
import { newPicture, uploadedPicture } from "./pictures.js";

/**
 * @typedef {import("./pictures.js").Change} Change
 * @typedef {import("./pictures.js").Chosen} Chosen
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Picture} Picture
 *
 * @typedef {object} Actions
 * @property {(picture: Picture) => void} onRetry
 * @property {(picture: Picture) => void} onRemove
 * @property {() => void} onChange  called after any change
 */

export class Gallery {
  #list;
  #template;
  #actions;
  /** @type {Map<Picture, Card>} */
  #cards = new Map();

  /**
   * @param {HTMLElement} list
   * @param {HTMLTemplateElement} template  of a card
   * @param {Actions} actions
   */
  constructor(list, template, actions) {
    this.#list = list;
    this.#template = template;
    this.#actions = actions;
  }

  /** @returns {Picture[]} */
  get pictures() {
    return [...this.#cards.keys()];
  }

  /**
   * Show files before those that are there, in their own order.
   * @param {File[]} files
   * @returns {Chosen[]}
   */
  add(files) {
    const pictures = files.map(newPicture);
    this.#list.prepend(...this.#cardsOf(pictures));
    return pictures;
  }

  /**
   * Show pictures that the server has, before or after those that are there.
   * @param {Job[]} jobs
   * @param {"prepend" | "append"} where
   * @returns {Picture[]}
   */
  addUploaded(jobs, where) {
    const pictures = jobs.map(uploadedPicture);
    this.#list[where](...this.#cardsOf(pictures));
    return pictures;
  }

  /**
   * @param {Picture} picture
   * @param {Change} change
   */
  change(picture, change) {
    Object.assign(picture, change);
    this.#cards.get(picture)?.show(picture);
    this.#actions.onChange();
  }

  /** @param {Iterable<Picture>} pictures */
  remove(pictures) {
    for (const picture of pictures) {
      this.#cards.get(picture)?.remove();
      this.#cards.delete(picture);
    }
    this.#actions.onChange();
  }

  /** @param {Picture} picture */
  focus(picture) {
    this.#cards.get(picture)?.focus();
  }

  /**
   * @param {Picture[]} pictures
   * @returns {HTMLElement[]} a new card for each
   */
  #cardsOf(pictures) {
    const cards = pictures.map((picture) => new Card(picture, this.#template, this.#actions));
    for (const [index, picture] of pictures.entries()) this.#cards.set(picture, cards[index]);
    this.#actions.onChange();
    return cards.map((card) => card.element);
  }
}
