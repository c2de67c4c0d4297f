// Results as they arrive: from each batch's event stream, or by asking where none flows.

import { backoff, pause, request } from "./connection.js";

/**
 * @typedef {import("./pictures.js").Job} Job
 *
 * @typedef {object} Batch
 * @property {string} url
 * @property {Set<string>} outstanding  ids of the jobs without a result
 */

/** A browser has six connections to a host; uploads and other tabs need some of them. */
const STREAMS_AT_ONCE = 2;
/** Batches beyond those are asked so often. */
const POLL_MS = 2000;
/** A stream silent for so long may be held up by a proxy, or dead: ask beside it. */
const SILENCE_MS = 15_000;
/** Answers about a batch that is not there, or not any more. */
export const GONE = new Set([404, 410]);

export class Watcher {
  #connection;
  #onResult;
  #streams = 0;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {(job: Job) => void} onResult  called once for each finished job
   */
  constructor(connection, onResult) {
    this.#connection = connection;
    this.#onResult = onResult;
  }

  /**
   * Follow a batch until each of its jobs has a result.
   * @param {string} url  of the batch
   * @param {string[]} jobs  their ids
   */
  async follow(url, jobs) {
    const batch = { url, outstanding: new Set(jobs) };
    let failures = 0;
    for (;;) {
      const flowed = await this.#stream(batch);
      if (batch.outstanding.size === 0) return;
      const reached = await this.#ask(batch);
      if (batch.outstanding.size === 0) return;
      failures = reached ? 0 : failures + 1;
      if (failures > 0) await pause(backoff(failures));
      else if (!flowed) await pause(POLL_MS);
    }
  }

  /**
   * Listen to a batch's events until it is finished, the stream breaks or falls silent.
   * @param {Batch} batch
   * @returns {Promise<boolean>} whether it is worth opening again at once
   */
  #stream(batch) {
    if (this.#streams >= STREAMS_AT_ONCE) return Promise.resolve(false);
    this.#streams += 1;
    return new Promise((resolve) => {
      const source = new EventSource(`${batch.url}/events`);
      /** @param {boolean} flowed */
      const close = (flowed) => {
        clearTimeout(silence);
        source.close();
        this.#streams -= 1;
        resolve(flowed);
      };
      let silence = setTimeout(close, SILENCE_MS, true);
      source.onopen = () => this.#connection.report(batch.url, true);
      source.onerror = () => close(false);
      source.addEventListener("end", () => close(false));
      source.addEventListener("result", ({ data }) => {
        clearTimeout(silence);
        silence = setTimeout(close, SILENCE_MS, true);
        this.#settle(batch, JSON.parse(data));
        if (batch.outstanding.size === 0) close(true);
      });
    });
  }

  /**
   * Ask for a batch's state.
   * @param {Batch} batch
   * @returns {Promise<boolean>} whether the server gave it
   */
  async #ask(batch) {
    const answer = await request(batch.url);
    this.#connection.report(batch.url, answer !== null);
    if (answer === null) return false;
    if (GONE.has(answer.status)) {
      const error = { code: "batch_gone", message: "The server no longer knows this picture." };
      for (const id of batch.outstanding) {
        this.#settle(batch, { id, name: "", status: "failed", error });
      }
      return true;
    }
    if (!answer.ok) return false;
    for (const job of (await answer.json()).jobs) this.#settle(batch, job);
    return true;
  }

  /**
   * Results come again after a reconnect; only the first of each counts.
   * @param {Batch} batch
   * @param {Job} job
   */
  #settle({ outstanding }, job) {
    if (job.status !== "pending" && job.id && outstanding.delete(job.id)) this.#onResult(job);
  }
}
