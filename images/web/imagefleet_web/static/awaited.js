// The pictures whose results are to come.

import { batchUrl } from "./batches.js";
import { Watcher } from "./events.js";
import { fromJob, jobIds } from "./pictures.js";

/**
 * @typedef {import("./pictures.js").Change} Change
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Picture} Picture
 */

export class Awaited {
  #watcher;
  #onChange;
  /** By their jobs' ids. @type {Map<string, Picture>} */
  #pictures = new Map();

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {(picture: Picture, change: Change) => void} onChange  called with each result
   */
  constructor(connection, onChange) {
    this.#watcher = new Watcher(connection, (job) => this.#settle(job));
    this.#onChange = onChange;
  }

  /**
   * Wait for what is still to come of a batch.
   * @param {string} batch  its id
   * @param {Picture[]} pictures  some of it, those that are finished too
   * @returns {Promise<boolean>} whether there was anything to wait for
   */
  async follow(batch, pictures) {
    const waiting = pictures.filter(({ state }) => state === "waiting");
    for (const picture of waiting) this.#pictures.set(/** @type {string} */ (picture.job), picture);
    if (waiting.length === 0) return false;
    await this.#watcher.follow(batchUrl(batch), jobIds(waiting));
    return true;
  }

  /** @param {Job} job  finished */
  #settle(job) {
    const picture = job.id === null ? undefined : this.#pictures.get(job.id);
    if (!picture) return;
    this.#pictures.delete(/** @type {string} */ (job.id));
    this.#onChange(picture, fromJob(job));
  }
}
