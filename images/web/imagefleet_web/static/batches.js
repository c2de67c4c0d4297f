// Batches that the server has: asking for one, the list of them, deleting one.

import { backoff, pause, request } from "./connection.js";
import { GONE } from "./events.js";

/**
 * @typedef {import("./connection.js").Connection} Connection
 * @typedef {import("./pictures.js").Job} Job
 *
 * @typedef {object} Past  a batch in the list of them
 * @property {string} batch  its id
 * @property {string} url
 * @property {string} submitted_at  ISO 8601, UTC
 * @property {number} total  its pictures
 * @property {number} pending  those without a result
 */

const BATCHES_URL = "/api/v1/batches";
const PAGE = 10;

/**
 * @param {string} id
 * @returns {string}
 */
export function batchUrl(id) {
  return `${BATCHES_URL}/${id}`;
}

/**
 * Ask for a batch until the server answers.
 * @param {string} id
 * @param {Connection} connection
 * @returns {Promise<Job[] | null>} its jobs, or null if there is no such batch any more
 */
export async function jobsOf(id, connection) {
  const url = batchUrl(id);
  for (let failures = 1; ; failures += 1) {
    const answer = await request(url);
    connection.report(url, answer !== null);
    if (answer?.ok) return (await answer.json()).jobs;
    if (answer && answer.status < 500 && answer.status !== 429) return null;
    await pause(backoff(failures));
  }
}

/**
 * @param {string | null} cursor  of the page before
 * @returns {Promise<{batches: Past[], cursor: string | null} | null>} null if there was no answer
 */
export async function pastBatches(cursor) {
  const query = new URLSearchParams({ limit: String(PAGE), ...(cursor && { cursor }) });
  const answer = await request(`${BATCHES_URL}?${query}`);
  return answer?.ok ? answer.json() : null;
}

/**
 * @param {string} id
 * @returns {Promise<boolean>} whether the batch is gone now
 */
export async function deleteBatch(id) {
  const answer = await request(batchUrl(id), "DELETE");
  return answer !== null && (answer.ok || GONE.has(answer.status));
}
