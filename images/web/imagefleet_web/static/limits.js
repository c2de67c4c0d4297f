// What the server takes, and which files need no upload to be refused, in the server's own words.

import { TOO_LARGE, UNREADABLE } from "./pictures.js";
import { formatNumber } from "./format.js";

/**
 * @typedef {object} Limits
 * @property {number} maxFiles  of one request
 * @property {number} maxFileBytes
 * @property {number} maxRequestBytes
 * @property {string[]} formats  names such as `JPEG`
 *
 * @typedef {import("./pictures.js").Failure} Failure
 */

/** How each format's files begin; a dot stands for any byte. @type {Record<string, RegExp>} */
const BEGINNINGS = {
  JPEG: /^\xff\xd8\xff/,
  PNG: /^\x89PNG\r\n\x1a\n/,
  WEBP: /^RIFF....WEBP/s,
  GIF: /^GIF8[79]a/,
  BMP: /^BM/,
  TIFF: /^(II\*\0|MM\0\*|II\+\0|MM\0\+)/,
};
const BEGINNING_BYTES = 12;

/**
 * @param {DOMStringMap} data  the data attributes in which the server wrote its limits
 * @returns {Limits}
 */
export function readLimits(data) {
  return {
    maxFiles: Number(data.maxFiles),
    maxFileBytes: Number(data.maxFileBytes),
    maxRequestBytes: Number(data.maxRequestBytes),
    formats: (data.formats ?? "").split(","),
  };
}

/**
 * Look at a file as the server would, as far as its size and first bytes tell.
 * @param {File} file
 * @param {Limits} limits
 * @returns {Promise<Failure | null>} why the server would refuse it, if it surely would
 */
export async function refusalOf(file, limits) {
  try {
    const beginning = await file.slice(0, BEGINNING_BYTES).arrayBuffer();
    return judge(file.size, String.fromCharCode(...new Uint8Array(beginning)), limits);
  } catch {
    return unreadable();
  }
}

/**
 * @param {number} size  bytes
 * @param {string} beginning  the first bytes, one character each
 * @param {Limits} limits
 * @returns {Failure | null}
 */
export function judge(size, beginning, limits) {
  if (size === 0) return { code: "empty_file", message: "The file is empty." };
  if (size > limits.maxFileBytes) {
    const [is, most] = [formatNumber(size), formatNumber(limits.maxFileBytes)];
    return { code: TOO_LARGE, message: `The file has ${is} bytes; at most ${most} are accepted.` };
  }
  const patterns = limits.formats.map((name) => BEGINNINGS[name.toUpperCase()]);
  if (patterns.every((pattern) => pattern && !pattern.test(beginning))) {
    const formats = listFormats(limits.formats);
    return { code: "unsupported_format", message: `This is not a picture in ${formats}.` };
  }
  return null;
}

/** @returns {Failure} for a file that was moved, changed or taken away since it was chosen */
export function unreadable() {
  return { code: UNREADABLE, message: "The file can't be read any more. Choose it again." };
}

/**
 * @param {string[]} formats
 * @returns {string} `JPEG, PNG or WebP`
 */
function listFormats(formats) {
  return new Intl.ListFormat("en-GB", { type: "disjunction", style: "long" }).format(formats);
}
