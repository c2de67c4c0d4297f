// Lists that are brought up to date in place, so that whoever reads them is not thrown out.

/**
 * @template T
 */
export class Rows {
  #list;
  #template;
  #keyOf;
  #fill;
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} list
   * @param {HTMLTemplateElement} template  of a row
   * @param {(item: T) => string} keyOf  what tells one item from all others
   * @param {(part: (name: string) => HTMLElement, item: T) => void} fill  a row's parts
   */
  constructor(list, template, keyOf, fill) {
    this.#list = list;
    this.#template = template;
    this.#keyOf = keyOf;
    this.#fill = fill;
  }

  /** @param {T[]} items  all there are from now on, in their order */
  show(items) {
    const keys = new Set(items.map(this.#keyOf));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    for (const [index, item] of items.entries()) {
      const row = this.#rowOf(this.#keyOf(item));
      this.#fill((name) => partOf(row, name), item);
      const there = this.#list.children[index];
      if (there !== row) this.#list.insertBefore(row, there ?? null);
    }
  }

  /**
   * @param {string} key
   * @returns {HTMLElement}
   */
  #rowOf(key) {
    const known = this.#rows.get(key);
    if (known) return known;
    const copy = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const row = /** @type {HTMLElement} */ (copy.firstElementChild);
    this.#rows.set(key, row);
    return row;
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

/**
 * Write a text where it is another than before: what does not change costs nothing.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
