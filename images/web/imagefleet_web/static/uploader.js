// The line of pictures that wait to be sent: a few requests at once, tried until they are answered.

import { pause } from "./connection.js";
import { askForKey, currentKey } from "./key.js";
import { refusalOf, unreadable } from "./limits.js";
import { UNTOLD, refusal } from "./pictures.js";
import { newIdempotencyKey, nextRequest, post, shareProgress } from "./upload.js";

/**
 * @typedef {import("./limits.js").Limits} Limits
 * @typedef {import("./pictures.js").Change} Change
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Chosen} Chosen
 *
 * @typedef {object} Listener  what the uploader tells
 * @property {(picture: Chosen, change: Change) => void} onChange
 * @property {(pictures: Chosen[], jobs: Job[], batch: string | null) => void} onJudged
 *   one job for each picture, in the same order; the batch's id is null if all were refused
 * @property {(request: unknown, pictures: number, seconds: number) => void} onBusy
 *   the server asked to come again later
 * @property {(request: unknown) => void} onSettled  a request is answered or given up
 */

/** A browser has six connections to a host; results and pages need some of them. */
const REQUESTS_AT_ONCE = 2;
/** So many files are looked at before the page may draw and answer again. */
const JUDGED_AT_ONCE = 25;
/** So often an upload may break off while the server can be reached. */
const MAX_BREAKS = 3;

export class Uploader {
  #limits;
  #connection;
  #listener;
  #requests = 0;
  /** @type {Chosen[]} */
  #queue = [];

  /**
   * @param {Limits} limits
   * @param {import("./connection.js").Connection} connection
   * @param {Listener} listener
   */
  constructor(limits, connection, listener) {
    this.#limits = limits;
    this.#connection = connection;
    this.#listener = listener;
  }

  /** @returns {boolean} whether pictures would be lost if the page closed now */
  get busy() {
    return this.#requests > 0 || this.#queue.length > 0;
  }

  /**
   * Queue pictures; those that the server would surely refuse are refused here.
   * @param {Chosen[]} pictures
   */
  async add(pictures) {
    /** @type {(import("./pictures.js").Failure | null)[]} */
    const refusals = [];
    for (let start = 0; start < pictures.length; start += JUDGED_AT_ONCE) {
      const some = pictures.slice(start, start + JUDGED_AT_ONCE);
      refusals.push(...(await Promise.all(some.map(({ file }) => refusalOf(file, this.#limits)))));
    }
    this.send(pictures.filter((picture, index) => {
      const error = refusals[index];
      if (error) this.#listener.onChange(picture, refusal(error));
      return !error;
    }));
  }

  /**
   * Queue pictures for the server to judge.
   * @param {Chosen[]} pictures
   */
  send(pictures) {
    this.#change(pictures, { ...UNTOLD, state: "queued", sent: 0 });
    this.#queue.push(...pictures);
    this.#fill();
  }

  #fill() {
    while (this.#requests < REQUESTS_AT_ONCE && this.#queue.length > 0) {
      const pictures = nextRequest(this.#queue, this.#limits);
      this.#queue = this.#queue.slice(pictures.length);
      this.#requests += 1;
      void this.#deliver(pictures).finally(() => {
        this.#requests -= 1;
        this.#fill();
      });
    }
  }

  /** @param {Chosen[]} pictures  of one request */
  async #deliver(pictures) {
    const request = Symbol("request");
    let idempotencyKey = newIdempotencyKey();
    for (let breaks = 0; pictures.length > 0; ) {
      const key = currentKey();
      const answer = await this.#post(pictures, idempotencyKey);
      if (answer.kind === "judged") {
        this.#listener.onJudged(pictures, answer.jobs, answer.batch);
        break;
      }
      if (answer.kind === "refused") {
        this.#change(pictures, refusal(answer.error, "failed"));
        break;
      }
      this.#change(pictures, { state: "queued", sent: 0 });
      if (answer.kind === "locked") {
        await askForKey(key);
        continue;
      }
      if (answer.kind === "busy") {
        this.#listener.onBusy(request, pictures.length, answer.seconds);
        await pause(1000 * answer.seconds);
        continue;
      }
      const readable = await this.#withoutUnreadable(pictures);
      if (readable.length < pictures.length) idempotencyKey = newIdempotencyKey();
      pictures = readable;
      if (await this.#connection.probe(request)) breaks += 1;
      else await this.#connection.regain(request);
      if (breaks === MAX_BREAKS) {
        const message = `The upload broke off ${MAX_BREAKS} times.`;
        this.#change(pictures, refusal({ code: "upload_interrupted", message }, "failed"));
        break;
      }
    }
    this.#listener.onSettled(request);
  }

  /**
   * @param {Chosen[]} pictures
   * @param {string} idempotencyKey
   */
  #post(pictures, idempotencyKey) {
    const files = pictures.map(({ file }) => file);
    const sizes = files.map(({ size }) => size);
    this.#change(pictures, { state: "sending", sent: 0 });
    return post(files, idempotencyKey, (share) => {
      for (const [index, sent] of shareProgress(sizes, share).entries()) {
        if (sent !== pictures[index].sent) this.#listener.onChange(pictures[index], { sent });
      }
    });
  }

  /**
   * A file that changed on disk breaks an upload just like a lost connection: tell them apart.
   * @param {Chosen[]} pictures
   * @returns {Promise<Chosen[]>}
   */
  async #withoutUnreadable(pictures) {
    const readable = await Promise.all(pictures.map(({ file }) => isReadable(file)));
    const lost = pictures.filter((_, index) => !readable[index]);
    this.#change(lost, refusal(unreadable(), "failed"));
    return pictures.filter((_, index) => readable[index]);
  }

  /**
   * @param {Chosen[]} pictures
   * @param {Change} change
   */
  #change(pictures, change) {
    for (const picture of pictures) this.#listener.onChange(picture, change);
  }
}

/**
 * @param {File} file
 * @returns {Promise<boolean>}
 */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
