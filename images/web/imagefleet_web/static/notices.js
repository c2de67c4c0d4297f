// Short messages about the service, in a live region; each has a subject and replaces its last one.

const FAREWELL_MS = 4000;

export class Notices {
  #region;
  /** @type {Map<unknown, HTMLElement>} */
  #shown = new Map();

  /** @param {HTMLElement} region  a `role=status` */
  constructor(region) {
    this.#region = region;
  }

  /**
   * @param {unknown} subject
   * @param {string} text
   * @param {"trouble" | "wait" | "good"} tone
   */
  show(subject, text, tone) {
    const notice = this.#shown.get(subject) ?? document.createElement("p");
    notice.className = "notice";
    notice.dataset.tone = tone;
    notice.textContent = text;
    this.#shown.set(subject, notice);
    this.#region.append(notice);
  }

  /** @param {unknown} subject */
  clear(subject) {
    this.#shown.get(subject)?.remove();
    this.#shown.delete(subject);
  }

  /**
   * Say something for a moment, such as that all is well again.
   * @param {unknown} subject
   * @param {string} text
   * @param {"trouble" | "good"} tone
   */
  farewell(subject, text, tone = "good") {
    this.show(subject, text, tone);
    const notice = this.#shown.get(subject);
    setTimeout(() => {
      if (notice?.textContent === text) this.clear(subject);
    }, FAREWELL_MS);
  }
}
