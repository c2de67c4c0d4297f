// Earlier uploads, newest first: to show again, to take away, to delete.

import { batchUrl, pastBatches } from "./batches.js";
import { copyOf } from "./copies.js";
import { formatCount, formatTime } from "./format.js";
import { currentKey } from "./key.js";
import { save } from "./takeaway.js";

/**
 * @typedef {import("./batches.js").Past} Past
 *
 * @typedef {object} Actions
 * @property {(id: string) => Promise<void>} onShow
 * @property {(id: string) => Promise<boolean>} onDelete  resolves to whether the batch is gone
 */

/** The forms in which a batch's results may be taken away. */
const FORMS = ["csv", "jsonl"];
/** Who pressed a button waits some seconds for the file, not for ever. */
const DOWNLOAD_TRIES = 3;

export class History {
  #part;
  #template;
  #actions;
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {string | null} */
  #cursor = null;

  /**
   * @param {ParentNode} page
   * @param {HTMLTemplateElement} template  of a batch
   * @param {Actions} actions
   */
  constructor(page, template, actions) {
    /** @param {string} id */
    const part = (id) => /** @type {HTMLElement} */ (page.querySelector(`#${id}`));
    this.#part = { section: part("history"), list: part("batches"), more: part("more") };
    this.#template = template;
    this.#actions = actions;
    this.#part.more.addEventListener("click", () => this.#showMore());
  }

  /** Bring the newest batches up to date; those that were shown before stay. */
  async refresh() {
    const page = await pastBatches(null);
    if (!page) return; // the next change asks again
    if (this.#rows.size === 0) this.#cursor = page.cursor;
    for (const past of page.batches.toReversed()) {
      if (!this.#rows.has(past.batch)) this.#part.list.prepend(this.#rowOf(past));
      this.#update(past);
    }
    this.#settle();
  }

  async #showMore() {
    const page = await pastBatches(this.#cursor);
    if (!page) return;
    this.#cursor = page.cursor;
    const added = page.batches.filter(({ batch }) => !this.#rows.has(batch));
    this.#part.list.append(...added.map((past) => this.#rowOf(past)));
    page.batches.forEach((past) => this.#update(past));
    this.#settle();
    if (added.length > 0) this.#rows.get(added[0].batch)?.querySelector("button")?.focus();
  }

  /**
   * @param {Past} past
   * @returns {HTMLElement}
   */
  #rowOf({ batch, submitted_at: submitted }) {
    const copy = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const row = /** @type {HTMLElement} */ (copy.firstElementChild);
    const time = partOf(row, "time");
    time.textContent = formatTime(submitted);
    time.setAttribute("datetime", submitted);
    time.id = `batch-${batch}`;
    for (const form of FORMS) {
      const [link, url] = [partOf(row, form), `${batchUrl(batch)}/results.${form}`];
      link.setAttribute("href", url);
      link.addEventListener("click", async (event) => {
        if (!currentKey()) return; // without one the browser can follow the link by itself
        event.preventDefault();
        const copy = await copyOf(url, { tries: DOWNLOAD_TRIES });
        save(copy ?? url, `imagefleet-${batch}.${form}`);
      });
    }
    for (const control of row.querySelectorAll(".button")) {
      control.setAttribute("aria-describedby", time.id);
    }
    partOf(row, "show").addEventListener("click", () => this.#actions.onShow(batch));
    partOf(row, "delete").addEventListener("click", () => this.#delete(batch, row));
    this.#rows.set(batch, row);
    return row;
  }

  /** @param {Past} past */
  #update({ batch, total, pending }) {
    const row = this.#rows.get(batch);
    const count = formatCount(total, "picture");
    if (row) partOf(row, "count").textContent = pending ? `${count}, ${pending} waiting` : count;
  }

  /**
   * @param {string} batch
   * @param {HTMLElement} row
   */
  async #delete(batch, row) {
    const about = partOf(row, "count").textContent;
    if (!confirm(`Delete this upload for good? (${about})`)) return;
    if (!(await this.#actions.onDelete(batch))) return;
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    this.#rows.delete(batch);
    row.remove();
    this.#settle();
    /** @type {HTMLElement | null | undefined} */ (neighbour?.querySelector("button"))?.focus();
  }

  #settle() {
    this.#part.section.hidden = this.#rows.size === 0 && this.#cursor === null;
    this.#part.more.hidden = this.#cursor === null;
  }
}

/**
 * @param {HTMLElement} row
 * @param {string} name
 * @returns {HTMLElement}
 */
function partOf(row, name) {
  return /** @type {HTMLElement} */ (row.querySelector(`[data-part="${name}"]`));
}
