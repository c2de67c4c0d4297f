// Whether the server can be reached, as those tell who just tried.

import { askForKey, currentKey, keyHeaders } from "./key.js";

const HEALTH_URL = "/healthz";
const PROBE_TIMEOUT_MS = 10_000;
const LONGEST_PAUSE_MS = 15_000;

/** Knows the parties (an upload, a batch) that can't reach the server; fires `change`. */
export class Connection extends EventTarget {
  /** @type {Set<unknown>} */
  #without = new Set();

  /** @returns {boolean} */
  get lost() {
    return this.#without.size > 0;
  }

  /**
   * @param {unknown} party  who tried
   * @param {boolean} reached  whether the server answered
   */
  report(party, reached) {
    const before = this.lost;
    if (reached) this.#without.delete(party);
    else this.#without.add(party);
    if (this.lost !== before) this.dispatchEvent(new Event("change"));
  }

  /**
   * Ask whether the server is there, and report it.
   * @param {unknown} party  who asks
   * @returns {Promise<boolean>}
   */
  async probe(party) {
    const answer = await request(HEALTH_URL);
    this.report(party, answer !== null);
    return answer !== null;
  }

  /**
   * Wait until the server answers.
   * @param {unknown} party  who waits
   */
  async regain(party) {
    for (let failures = 1; !(await this.probe(party)); failures += 1) {
      await pause(backoff(failures));
    }
  }
}

/**
 * Ask with a time limit; where a key is wanted, once that is given.
 * @param {string} url
 * @param {"GET" | "DELETE"} method
 * @returns {Promise<Response | null>} null if no answer came, or only that of a proxy
 */
export async function request(url, method = "GET") {
  for (;;) {
    const key = currentKey();
    const answer = await attempt(url, method);
    if (answer?.status !== 401) return answer;
    await askForKey(key);
  }
}

/**
 * @param {string} url
 * @param {"GET" | "DELETE"} method
 * @returns {Promise<Response | null>}
 */
async function attempt(url, method) {
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    const headers = keyHeaders();
    const answer = await fetch(url, { method, headers, signal, cache: "no-store" });
    return answer.status === 502 || answer.status === 504 ? null : answer;
  } catch {
    return null;
  }
}

/**
 * @param {number} failures  in a row, from 1
 * @returns {number} milliseconds to wait: doubling from one second, half of it by chance
 */
export function backoff(failures) {
  const longest = Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** (failures - 1));
  return longest * (0.5 + Math.random() / 2);
}

/**
 * @param {number} milliseconds
 * @returns {Promise<void>} resolves earlier when the browser comes back online
 */
export function pause(milliseconds) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      window.removeEventListener("online", wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    window.addEventListener("online", wake);
  });
}
