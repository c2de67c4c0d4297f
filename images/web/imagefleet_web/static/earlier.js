// Uploads of before on this page: brought back after a reload, shown again, deleted.

import { deleteBatch, jobsOf } from "./batches.js";
import { jobIds } from "./pictures.js";

/** @typedef {import("./pictures.js").Picture} Picture */

export class Earlier {
  #gallery;
  #kept;
  #connection;
  #onBack;

  /**
   * @param {import("./gallery.js").Gallery} gallery
   * @param {import("./kept.js").Kept} kept
   * @param {import("./connection.js").Connection} connection
   * @param {(batch: string, pictures: Picture[]) => void} onBack
   *   pictures of the batch of that id are on the page again, finished or not
   */
  constructor(gallery, kept, connection, onBack) {
    this.#gallery = gallery;
    this.#kept = kept;
    this.#connection = connection;
    this.#onBack = onBack;
  }

  /** Bring back what this browser showed before the page was loaded. */
  async restore() {
    for (const { id, jobs } of this.#kept.batches) {
      await this.#bringBack(id, "append", (job) => jobs.includes(job));
    }
  }

  /**
   * Show all pictures of an upload, from now on.
   * @param {string} id  of its batch
   */
  async show(id) {
    await this.#bringBack(id, "prepend", () => true);
    const pictures = this.#shown(id);
    if (pictures.length === 0) return;
    this.#kept.add(id, jobIds(pictures));
    this.#gallery.focus(pictures[0]);
  }

  /**
   * Delete an upload, here and on the server.
   * @param {string} id  of its batch
   * @returns {Promise<boolean>} whether it is gone
   */
  async delete(id) {
    if (!(await deleteBatch(id))) return false;
    this.#kept.forget(id);
    this.#gallery.remove(this.#shown(id));
    return true;
  }

  /**
   * @param {string} id  of a batch
   * @param {"prepend" | "append"} where  before or after the pictures that are there
   * @param {(job: string) => boolean} isWanted
   */
  async #bringBack(id, where, isWanted) {
    const jobs = await jobsOf(id, this.#connection);
    if (jobs === null) {
      this.#kept.forget(id);
      return;
    }
    const shown = new Set(jobIds(this.#shown(id)));
    const missing = jobs.filter((job) => job.id && isWanted(job.id) && !shown.has(job.id));
    this.#onBack(id, this.#gallery.addUploaded(missing, where));
  }

  /**
   * @param {string} id  of a batch
   * @returns {Picture[]} those of it that are on the page
   */
  #shown(id) {
    return this.#gallery.pictures.filter(({ job }) => job?.startsWith(`${id}-`));
  }
}
