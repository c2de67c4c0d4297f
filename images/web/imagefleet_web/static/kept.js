// The pictures on this page that the server has, kept in this browser for when it is loaded again.

/** @typedef {{id: string, jobs: string[]}} KeptBatch  the ids of a batch and of its jobs shown */

const KEY = "imagefleet.batches";
/** Older ones are left to the list of earlier uploads. */
const MOST = 10;

/** Batches, the one added last first; another tab may change them at any time. */
export class Kept {
  #storage;

  /** @param {Storage | null} storage  null where the browser allows none */
  constructor(storage) {
    this.#storage = storage;
  }

  /** @returns {KeptBatch[]} */
  get batches() {
    try {
      const found = JSON.parse(this.#storage?.getItem(KEY) ?? "[]");
      return Array.isArray(found) ? found.filter(isBatch) : [];
    } catch {
      return [];
    }
  }

  /**
   * @param {string} id  of a batch
   * @param {string[]} jobs  the ids of those that are shown
   */
  add(id, jobs) {
    this.#write([{ id, jobs }, ...this.batches.filter((batch) => batch.id !== id)]);
  }

  /** @param {Iterable<string>} jobs  the ids of some that are shown no more */
  remove(jobs) {
    const gone = new Set(jobs);
    const left = this.batches.map((batch) => ({
      id: batch.id,
      jobs: batch.jobs.filter((job) => !gone.has(job)),
    }));
    this.#write(left);
  }

  /** @param {string} id  of a batch that is gone */
  forget(id) {
    this.#write(this.batches.filter((batch) => batch.id !== id));
  }

  /** @param {KeptBatch[]} batches */
  #write(batches) {
    const shown = batches.filter(({ jobs }) => jobs.length > 0).slice(0, MOST);
    try {
      this.#storage?.setItem(KEY, JSON.stringify(shown));
    } catch {
      // The storage is full: then the pictures are there until the page is closed.
    }
  }
}

/** @returns {Storage | null} that of this browser, where it may be used */
export function browserStorage() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @returns {value is KeptBatch}
 */
function isBatch(value) {
  const batch = /** @type {Partial<KeptBatch> | null} */ (value);
  return typeof batch?.id === "string" && Array.isArray(batch.jobs);
}
