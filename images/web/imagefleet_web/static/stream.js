// An event stream, read by `fetch`: `EventSource` can't send a key.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import { keyHeaders } from "./key.js";

/**
 * @typedef {object} StreamEvent
 * @property {string} type
 * @property {string} data
 * @property {string} id  empty if it has none
 *
 * @typedef {object} Stream
 * @property {number} serverTime  milliseconds since 1970, when the answer began
 * @property {AsyncGenerator<StreamEvent | null>} events  null for a comment, which shows that
 *   the stream is alive
 */

/**
 * Open a stream.
 * @param {string} url
 * @param {AbortSignal} signal  closes it; whoever reads it then gets an error
 * @param {string} [after]  the id of the last event that is known
 * @returns {Promise<Stream | null>} null if the server gives none
 */
export async function openStream(url, signal, after = "") {
  const headers = {
    Accept: "text/event-stream",
    ...keyHeaders(),
    ...(after && { "Last-Event-ID": after }),
  };
  const answer = await fetch(url, { headers, signal, cache: "no-store" });
  if (!answer.ok || !answer.body) return null;
  const serverTime = Date.parse(answer.headers.get("Date") ?? "");
  return {
    serverTime: Number.isNaN(serverTime) ? Date.now() : serverTime,
    events: eventsIn(answer.body),
  };
}

/**
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<StreamEvent | null>}
 */
async function* eventsIn(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) yield readEvent(block);
  }
}

/**
 * @param {string} block  lines: `name: value`, or `: comment`
 * @returns {StreamEvent | null} null if it tells nothing
 */
function readEvent(block) {
  const fields = Object.fromEntries(block.split("\n").map(readField));
  const { event = "message", data, id = "" } = fields;
  return data === undefined ? null : { type: event, data, id };
}

/**
 * @param {string} line
 * @returns {[string, string]}
 */
function readField(line) {
  const colon = line.indexOf(": ");
  return [line.slice(0, colon), line.slice(colon + 2)];
}
