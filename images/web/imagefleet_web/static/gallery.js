// The pictures of this page and their cards.

import { Card } from "./cards.js";
import { newPicture } from "./pictures.js";

/**
 * @typedef {import("./pictures.js").Change} Change
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
   * @returns {Picture[]}
   */
  add(files) {
    const pictures = files.map(newPicture);
    const cards = pictures.map((picture) => new Card(picture, this.#template, this.#actions));
    for (const [index, picture] of pictures.entries()) this.#cards.set(picture, cards[index]);
    this.#list.prepend(...cards.map((card) => card.element));
    this.#actions.onChange();
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
}
