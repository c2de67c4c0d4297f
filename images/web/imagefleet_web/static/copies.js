// Copies in memory of what the server has, for images and links: neither can send the key, nor try
// again when the network drops them.

import { backoff, pause } from "./connection.js";
import { keyHeaders } from "./key.js";

/** Answers of a server, or a proxy before it, that may be others a moment later. */
const PASSING = [429, 500, 502, 503, 504];

/**
 * Fetch something until it comes.
 * @param {string} url
 * @param {{signal?: AbortSignal, tries?: number}} [limits]  without any, it is tried for ever
 * @returns {Promise<string | null>} the address of the copy, to be revoked; null if there is none
 */
export async function copyOf(url, { signal, tries = Infinity } = {}) {
  for (let failures = 1; ; failures += 1) {
    try {
      const answer = await fetch(url, { headers: keyHeaders(), signal });
      if (answer.ok) return URL.createObjectURL(await answer.blob());
      if (!PASSING.includes(answer.status)) return null;
    } catch {
      // Nothing came, or not all of it.
    }
    if (failures >= tries) return null;
    await pause(backoff(failures));
    if (signal?.aborted) return null;
  }
}
