// Results as they arrive: from each batch's event stream, or by asking where none flows.

import { backoff, pause, request } from "./connection.js";
import { openStream } from "./stream.js";

/**
 * @typedef {import("./pictures.js").Job} Job
 *
 * @typedef {object} Batch
 * @property {string} url
 * @property {Set<string>} outstanding  ids of the jobs without a result
 * @property {string} lastEvent  the id of the last one that its stream told, empty before the first
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
    const batch = { url, outstanding: new Set(jobs), lastEvent: "" };
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
  async #stream(batch) {
    if (this.#streams >= STREAMS_AT_ONCE) return false;
    this.#streams += 1;
    let flowed = false;
    const closing = new AbortController();
    const fallSilent = () => {
      flowed = true;
      closing.abort();
    };
    let silence = setTimeout(fallSilent, SILENCE_MS);
    try {
      for await (const { type, data, id } of this.#eventsOf(batch, closing.signal)) {
        if (type === "end") break;
        if (type !== "result") continue;
        clearTimeout(silence);
        silence = setTimeout(fallSilent, SILENCE_MS);
        this.#settle(batch, JSON.parse(data));
        batch.lastEvent = id;
        flowed = batch.outstanding.size === 0;
        if (flowed) break;
      }
    } catch {
      // It broke off, or was closed for its silence.
    }
    clearTimeout(silence);
    closing.abort();
    this.#streams -= 1;
    return flowed;
  }

  /**
   * The events that the batch has not had yet.
   * @param {Batch} batch
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<import("./stream.js").StreamEvent>}
   */
  async *#eventsOf(batch, signal) {
    const stream = await openStream(`${batch.url}/events`, signal, batch.lastEvent);
    if (stream === null) return;
    this.#connection.report(batch.url, true);
    for await (const event of stream.events) if (event) yield event;
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
   * Results come from the stream and from asking; only the first of each counts.
   * @param {Batch} batch
   * @param {Job} job
   */
  #settle({ outstanding }, job) {
    if (job.status !== "pending" && job.id && outstanding.delete(job.id)) this.#onResult(job);
  }
}
