// The views of this page, one of which is shown: the one that the address names after its `#`.

export class Views {
  /** By their names, the first one shown where none is named. @type {Map<string, HTMLElement>} */
  #views = new Map();
  #links;
  #onShow;
  #title = document.title;

  /**
   * @param {HTMLElement} menu  its links name a view each as their `data-view`
   * @param {(name: string) => void} onShow  called at once, too
   */
  constructor(menu, onShow) {
    this.#links = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("[data-view]")]);
    for (const { dataset } of this.#links) {
      const view = /** @type {HTMLElement} */ (document.getElementById(`${dataset.view}-view`));
      this.#views.set(/** @type {string} */ (dataset.view), view);
    }
    this.#onShow = onShow;
    menu.hidden = false;
    this.#show();
    window.addEventListener("hashchange", () => {
      this.#show();
      this.#views.get(this.current)?.querySelector("h1")?.focus();
    });
  }

  /** @returns {string} the name of the view that is shown */
  get current() {
    const [first] = this.#views.keys();
    const named = location.hash.slice(1);
    return this.#views.has(named) ? named : first;
  }

  /** @param {string} name  of the view to show from now on */
  open(name) {
    if (name !== this.current) location.hash = name;
  }

  #show() {
    for (const [name, view] of this.#views) view.hidden = name !== this.current;
    for (const [index, link] of this.#links.entries()) {
      if (link.dataset.view !== this.current) link.removeAttribute("aria-current");
      else {
        link.setAttribute("aria-current", "page");
        document.title = index === 0 ? this.#title : `${link.textContent} – ${this.#title}`;
      }
    }
    this.#onShow(this.current);
  }
}
