// What is known of a picture, from choosing it to its answer; no DOM and no network here.

/**
 * @typedef {{label: string, score: number}} Guess  score: 0 to 1
 * @typedef {{code: string, message: string}} Failure
 *
 * @typedef {object} Job  one image as the API tells it
 * @property {string | null} id  null if the server refused the file
 * @property {string} name
 * @property {"pending" | "done" | "failed" | "rejected"} status
 * @property {Guess[] | null} [top]  best first
 * @property {object | null} [output]  the answer of a function that gives no labels
 * @property {Failure | null} [error]
 * @property {string | null} [submitted_at]  ISO 8601, UTC
 * @property {string | null} [finished_at]
 *
 * @typedef {"queued" | "sending" | "waiting" | "done" | "failed" | "refused"} State
 *
 * @typedef {object} Picture
 * @property {number} id  of this page alone
 * @property {string} name
 * @property {File | null} file  null if it was uploaded before this page was loaded
 * @property {string | null} job  the id of its job, once it has one
 * @property {State} state
 * @property {number} sent  the share of its bytes that is uploaded, 0 to 1
 * @property {Guess[]} top  best first; empty until done
 * @property {object | null} output  the answer where it is not labels
 * @property {number | null} seconds  from the upload's end to its result
 * @property {Failure | null} error
 * @property {Job | null} told  its job as the server told it last
 *
 * @typedef {Picture & {file: File}} Chosen  a picture that can be sent
 * @typedef {Partial<Omit<Picture, "id" | "name" | "file">>} Change
 * @typedef {{total: number, waiting: number, done: number, failed: number}} Counts
 */

export const TOO_LARGE = "file_too_large";
export const UNREADABLE = "unreadable_file";
/** The codes of those errors that no second try can change. */
const FINAL = new Set([TOO_LARGE, UNREADABLE]);

/** What a picture is of which the server has told nothing. */
export const UNTOLD = { top: [], output: null, seconds: null, error: null, told: null };

let lastId = 0;

/**
 * Take up a file that the person chose.
 * @param {File} file
 * @returns {Chosen}
 */
export function newPicture(file) {
  return { ...unknown(), name: file.name, file };
}

/**
 * Take up a picture that the server has.
 * @param {Job} job
 * @returns {Picture}
 */
export function uploadedPicture(job) {
  return { ...unknown(), name: job.name, file: null, job: job.id, ...fromJob(job) };
}

/** @returns {Omit<Picture, "name" | "file">} */
function unknown() {
  lastId += 1;
  return { id: lastId, job: null, state: "queued", sent: 0, ...UNTOLD };
}

/**
 * @param {Job} job
 * @returns {Change} what the job's state means for its picture
 */
export function fromJob(job) {
  const { top, output = null, error } = job;
  const told = { told: job, seconds: secondsTaken(job) };
  if (job.status === "done") return { ...told, state: "done", top: top ?? [], output, error: null };
  if (job.status === "pending") return { ...told, state: "waiting", sent: 1 };
  const reason = error ?? { code: "unknown", message: "The server gave no reason." };
  return { ...refusal(reason, job.status === "rejected" ? "refused" : "failed"), ...told };
}

/**
 * @param {Failure} error
 * @param {"failed" | "refused"} state
 * @returns {Change}
 */
export function refusal(error, state = "refused") {
  return { state, error, sent: 0, seconds: null };
}

/**
 * @param {Picture} picture
 * @returns {boolean} whether it is finished, well or not
 */
export function isFinished({ state }) {
  return state === "done" || state === "failed" || state === "refused";
}

/**
 * @param {Picture} picture
 * @returns {picture is Chosen} whether it can be tried again, and that could end differently
 */
export function canRetry(picture) {
  const ended = picture.state === "failed" || picture.state === "refused";
  return picture.file !== null && ended && !FINAL.has(picture.error?.code ?? "");
}

/**
 * @param {Picture[]} pictures
 * @returns {string[]} the ids of their jobs, of those that have one
 */
export function jobIds(pictures) {
  return pictures.flatMap(({ job }) => job ?? []);
}

/**
 * @param {Iterable<Picture>} pictures
 * @returns {Counts} refused ones count as failed
 */
export function count(pictures) {
  const counts = { total: 0, waiting: 0, done: 0, failed: 0 };
  for (const picture of pictures) {
    counts.total += 1;
    if (picture.state === "done") counts.done += 1;
    else if (isFinished(picture)) counts.failed += 1;
    else counts.waiting += 1;
  }
  return counts;
}

/**
 * @param {Job} job
 * @returns {number | null} seconds from its acceptance to its result
 */
function secondsTaken({ submitted_at: submitted, finished_at: finished }) {
  if (!submitted || !finished) return null;
  const seconds = (Date.parse(finished) - Date.parse(submitted)) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
