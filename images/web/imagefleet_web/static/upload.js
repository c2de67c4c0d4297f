// One upload: which files go together, how far each is, what the server answered.

import { keyHeaders } from "./key.js";

/**
 * @typedef {import("./limits.js").Limits} Limits
 * @typedef {import("./pictures.js").Failure} Failure
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Chosen} Chosen
 *
 * @typedef {{kind: "judged", batch: string | null, jobs: Job[]}
 *   | {kind: "refused", error: Failure}
 *   | {kind: "busy", seconds: number}
 *   | {kind: "locked"}
 *   | {kind: "unreachable"}} Answer  `judged`: one job for each file, in the order sent, and the
 *   id of their batch, null if all were refused; `locked`: the server wants a key, or another one
 */

const UPLOAD_URL = "/api/v1/upload";
/** More than a multipart part's boundary and headers take beside its file's name. */
const PART_OVERHEAD_BYTES = 512;
/** An upload that moves nothing for so long is broken off. */
const STALL_MS = 60_000;
/** Answers of a server, or of the proxy before it, that pass by themselves. 409: it is at it. */
const PASSING = new Set([409, 429, 502, 503, 504]);
const DEFAULT_RETRY_SECONDS = 5;

/**
 * @param {Chosen[]} queue  not empty
 * @param {Limits} limits
 * @returns {Chosen[]} the longest beginning of the queue that one request may carry
 */
export function nextRequest(queue, { maxFiles, maxRequestBytes }) {
  let bytes = 0;
  let length = 0;
  for (const { file } of queue.slice(0, maxFiles)) {
    bytes += file.size + PART_OVERHEAD_BYTES + 3 * file.name.length;
    if (length > 0 && bytes > maxRequestBytes) break;
    length += 1;
  }
  return queue.slice(0, length);
}

/**
 * Files are sent one after another, so a request's progress tells that of each.
 * @param {number[]} sizes  bytes of each file, in the order sent
 * @param {number} share  of the request that is sent, 0 to 1
 * @returns {number[]} the share of each file, 0 to 1
 */
export function shareProgress(sizes, share) {
  let left = share * sizes.reduce((sum, size) => sum + size, 0);
  return sizes.map((size) => {
    const sent = Math.min(size, left);
    left -= sent;
    return size > 0 ? sent / size : 1;
  });
}

/** @returns {string} a key that no other request has */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID wants HTTPS
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Send files in one request.
 * @param {File[]} files
 * @param {string} idempotencyKey  a request that is sent twice with the same one is taken in once
 * @param {(share: number) => void} onProgress  the share of the request that is sent, 0 to 1
 * @returns {Promise<Answer>} never rejects
 */
export function post(files, idempotencyKey, onProgress) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name);
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
    let stall = setTimeout(() => request.abort(), STALL_MS);
    request.upload.onprogress = ({ loaded, total }) => {
      clearTimeout(stall);
      stall = setTimeout(() => request.abort(), STALL_MS);
      onProgress(total > 0 ? loaded / total : 1);
    };
    request.onloadend = () => {
      clearTimeout(stall);
      const retryAfter = request.status ? request.getResponseHeader("Retry-After") : null;
      resolve(readAnswer(request.status, request.responseText, retryAfter, files.length));
    };
    request.open("POST", UPLOAD_URL);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", idempotencyKey);
    for (const [name, value] of Object.entries(keyHeaders())) {
      request.setRequestHeader(name, value);
    }
    request.send(form);
  });
}

/**
 * @param {number} status  0 if no answer came
 * @param {string} body
 * @param {string | null} retryAfter  that header's value
 * @param {number} files  how many were sent
 * @returns {Answer}
 */
export function readAnswer(status, body, retryAfter, files) {
  if (status === 0) return { kind: "unreachable" };
  if (status === 401) return { kind: "locked" };
  if (PASSING.has(status) && parse(body).code !== "quota_exceeded") {
    return { kind: "busy", seconds: Number(retryAfter) || DEFAULT_RETRY_SECONDS };
  }
  const told = parse(body);
  if (Array.isArray(told.jobs) && told.jobs.length === files) {
    return { kind: "judged", batch: told.batch ?? null, jobs: told.jobs };
  }
  const message = told.detail || told.title || `The server answered ${status} without a reason.`;
  return { kind: "refused", error: { code: told.code || `http_${status}`, message } };
}

/**
 * @param {string} body
 * @returns {Record<string, any>} empty if the body is no JSON object
 */
function parse(body) {
  try {
    return JSON.parse(body) ?? {};
  } catch {
    return {};
  }
}
