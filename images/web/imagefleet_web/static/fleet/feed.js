// What the server tells of its fleet: asked for only while somebody looks.

import { backoff, pause, request } from "../connection.js";
import { openStream } from "../stream.js";

/** @typedef {import("./report.js").Report} Report */

const FLEET_URL = "/api/v1/fleet";
/** Streams often begin at once; one that doesn't may be held up by a proxy: ask beside it. */
const FIRST_MS = 5000;
/** A comment comes every few seconds: a stream silent for so long is dead. */
const SILENCE_MS = 15_000;

export class Feed {
  #connection;
  #onReport;
  /** @type {AbortController | null} */
  #open = null;
  /** The newest event's. */
  #lastId = "";

  /**
   * @param {import("../connection.js").Connection} connection
   * @param {(report: Report, serverTime: number) => void} onReport  its history holds what is new;
   *   the server's time in milliseconds since 1970, a second more or less
   */
  constructor(connection, onReport) {
    this.#connection = connection;
    this.#onReport = onReport;
  }

  /** Be told, from the last event on, until `close`. */
  open() {
    if (this.#open) return;
    this.#open = new AbortController();
    void this.#run(this.#open.signal);
  }

  /** Be told nothing any more. */
  close() {
    this.#open?.abort();
    this.#open = null;
    this.#connection.report(this, true); // nobody is without what nobody asks for
  }

  /** @param {AbortSignal} closed */
  async #run(closed) {
    for (let failures = 0; ; ) {
      const flowed = await this.#listen(closed);
      if (closed.aborted) return;
      const reached = flowed || (await this.#ask(closed));
      if (closed.aborted) return;
      failures = reached ? 1 : failures + 1;
      await pause(backoff(failures));
      if (closed.aborted) return;
    }
  }

  /**
   * @param {AbortSignal} closed
   * @returns {Promise<boolean>} whether the stream told anything before it ended
   */
  async #listen(closed) {
    const ending = new AbortController();
    const end = () => ending.abort();
    closed.addEventListener("abort", end);
    let silence = setTimeout(end, FIRST_MS);
    let flowed = false;
    try {
      const stream = await openStream(`${FLEET_URL}/events`, ending.signal, this.#lastId);
      const ahead = (stream?.serverTime ?? 0) - Date.now();
      for await (const event of stream?.events ?? []) {
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS);
        if (event?.type !== "fleet") continue;
        flowed = true;
        this.#lastId = event.id || this.#lastId;
        this.#connection.report(this, true);
        this.#onReport(JSON.parse(event.data), Date.now() + ahead);
      }
    } catch {
      // It broke off, or was closed.
    }
    clearTimeout(silence);
    closed.removeEventListener("abort", end);
    end();
    return flowed;
  }

  /**
   * Ask once, which also asks for a key where one is wanted.
   * @param {AbortSignal} closed
   * @returns {Promise<boolean>} whether the server answered
   */
  async #ask(closed) {
    const answer = await request(FLEET_URL);
    if (closed.aborted) return false;
    this.#connection.report(this, answer !== null);
    if (!answer?.ok) return false;
    const serverTime = Date.parse(answer.headers.get("Date") ?? "") || Date.now();
    this.#onReport(await answer.json(), serverTime);
    return true;
  }
}
