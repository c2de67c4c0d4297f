// The pictures of this page as a file: CSV or JSON Lines, with what the server's own would hold.

/**
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Picture} Picture
 */

/** Those of the server's `results.csv`. */
const COLUMNS = [
  "job", "name", "status", "label", "score", "output", "error_code", "error_message", "model",
  "worker", "submitted_at", "started_at", "finished_at",
];
/** What begins so is a formula to spreadsheets, and a text with an apostrophe before it. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
const NEEDS_QUOTES = /[",\r\n]/;
/** In that time a browser has begun to write a file. */
const SAVING_MS = 60_000;

/**
 * @param {Picture[]} pictures
 * @returns {Blob} a row for the columns' names, then one for each picture
 */
export function asCsv(pictures) {
  const rows = [COLUMNS, ...pictures.map((picture) => rowOf(jobOf(picture)))];
  const lines = rows.map((row) => `${row.map(cell).join(",")}\r\n`);
  return new Blob(lines, { type: "text/csv;charset=utf-8" });
}

/**
 * @param {Picture[]} pictures
 * @returns {Blob} the object of each one's job on a line
 */
export function asJsonLines(pictures) {
  const lines = pictures.map((picture) => `${JSON.stringify(jobOf(picture))}\n`);
  return new Blob(lines, { type: "application/jsonl" });
}

/**
 * @param {string} url  of what is to be saved; revoked once it is
 * @param {string} name  of the file
 */
export function save(url, name) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), SAVING_MS);
}

/**
 * @param {Picture} picture
 * @returns {Job} as the server told it; of a picture that it doesn't know, what the page knows
 */
function jobOf({ told, name, state, error }) {
  if (told) return told;
  const ended = state === "failed" || state === "refused";
  return { id: null, name, status: ended ? "rejected" : "pending", error };
}

/**
 * @param {Job & Record<string, unknown>} job
 * @returns {unknown[]} its cells
 */
function rowOf(job) {
  const output = job.output ? JSON.stringify(job.output) : null;
  const [error_code, error_message] = [job.error?.code, job.error?.message];
  const values = { ...job, job: job.id, output, error_code, error_message };
  return COLUMNS.map((column) => /** @type {Record<string, unknown>} */ (values)[column]);
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function cell(value) {
  const text = String(value ?? "");
  const harmless = typeof value === "string" && FORMULA.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
