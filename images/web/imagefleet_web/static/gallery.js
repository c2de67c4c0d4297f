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
 * @property {(picture: Picture) => boolean} isShown  whether its card is to be seen
 * @property {() => void} onFocusLost  the card that had it is not to be seen any more
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

  /** @returns {boolean} */
  get isEmpty() {
    return this.#cards.size === 0;
  }

  /** @returns {Picture[]} */
  get pictures() {
    return [...this.#cards.keys()];
  }

  /** @returns {Picture[]} those whose cards are to be seen, in their order */
  get shown() {
    const order = new Map([...this.#list.children].map((element, index) => [element, index]));
    /** @param {Card} card */
    const place = ({ element }) => order.get(element) ?? 0;
    const shown = [...this.#cards].filter(([, card]) => !card.hidden);
    shown.sort(([, one], [, other]) => place(one) - place(other));
    return shown.map(([picture]) => picture);
  }

  /** Decide again which cards are to be seen. */
  refilter() {
    for (const picture of this.#cards.keys()) this.#keepingFocus(picture, () => {});
    this.#actions.onChange();
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
    this.#keepingFocus(picture, (card) => card.show(picture));
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
   * Change a card, and whether it is to be seen. The focus stays in it, if it was there.
   * @param {Picture} picture
   * @param {(card: Card) => void} change
   */
  #keepingFocus(picture, change) {
    const card = this.#cards.get(picture);
    if (!card) return;
    const focused = card.hasFocus;
    change(card);
    card.hidden = !this.#actions.isShown(picture);
    if (!focused || card.hasFocus) return;
    if (card.hidden) this.#actions.onFocusLost();
    else card.focus();
  }

  /**
   * @param {Picture[]} pictures
   * @returns {HTMLElement[]} a new card for each
   */
  #cardsOf(pictures) {
    const cards = pictures.map((picture) => new Card(picture, this.#template, this.#actions));
    for (const [index, picture] of pictures.entries()) {
      this.#cards.set(picture, cards[index]);
      cards[index].hidden = !this.#actions.isShown(picture);
    }
    this.#actions.onChange();
    return cards.map((card) => card.element);
  }
}
