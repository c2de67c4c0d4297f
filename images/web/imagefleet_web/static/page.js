// The page: brings its parts together.

import { batchUrl } from "./batches.js";
import { Connection } from "./connection.js";
import { Earlier } from "./earlier.js";
import { Watcher } from "./events.js";
import { formatCount } from "./format.js";
import { Gallery } from "./gallery.js";
import { History } from "./history.js";
import { takeFiles } from "./intake.js";
import { browserStorage, Kept } from "./kept.js";
import { readLimits } from "./limits.js";
import { Notices } from "./notices.js";
import { canRetry, fromJob, isFinished, jobIds } from "./pictures.js";
import { Summary } from "./summary.js";
import { offerCopy } from "./terminal.js";
import { Uploader } from "./uploader.js";

/**
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Picture} Picture
 */

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const chooser = /** @type {HTMLInputElement} */ (byId("files"));

const summary = new Summary(document);
const notices = new Notices(byId("notices"));
const connection = new Connection();
const gallery = new Gallery(byId("cards"), /** @type {HTMLTemplateElement} */ (byId("card")), {
  onRetry: (picture) => {
    if (canRetry(picture)) uploader.send([picture]);
    gallery.focus(picture);
  },
  onRemove: (picture) => forget([picture]),
  onChange: onceAfter(() => summary.show(gallery.pictures)),
});
const kept = new Kept(browserStorage());
const earlier = new Earlier(gallery, kept, connection, (batch, pictures) => {
  void awaitResults(batch, pictures);
});
const history = new History(document, /** @type {HTMLTemplateElement} */ (byId("batch")), {
  onShow: (id) => earlier.show(id),
  onDelete: async (id) => {
    const gone = await earlier.delete(id);
    if (!gone) notices.farewell(id, "This upload could not be deleted. Try again soon.", "trouble");
    return gone;
  },
});
/** The pictures whose results are to come, by their jobs' ids. @type {Map<string, Picture>} */
const awaited = new Map();
const watcher = new Watcher(connection, (job) => settle(job));
const uploader = new Uploader(readLimits(document.body.dataset), connection, {
  onChange: (picture, change) => gallery.change(picture, change),
  onJudged: follow,
  onBusy: (request, pictures, seconds) => {
    const many = formatCount(pictures, "picture");
    const text = `The service is busy. Sending ${many} again in ${Math.ceil(seconds)} s.`;
    notices.show(request, text, "wait");
  },
  onSettled: (request) => notices.clear(request),
});

takeFiles({
  chooser,
  onFiles: (files) => uploader.add(gallery.add(files)),
  onDrag: (dragging) => document.body.classList.toggle("dragging", dragging),
});
byId("retry-failed").addEventListener("click", () => {
  uploader.send(gallery.pictures.filter(canRetry));
  byId("results").focus();
});
byId("clear").addEventListener("click", () => forget(gallery.pictures.filter(isFinished)));
connection.addEventListener("change", () => {
  if (connection.lost) {
    const text = "Connection lost. Your pictures stay here; trying until the service answers.";
    notices.show(connection, text, "trouble");
  } else notices.farewell(connection, "Connected again.");
});
window.addEventListener("offline", () => connection.regain(window));
window.addEventListener("beforeunload", (event) => uploader.busy && event.preventDefault());
offerCopy(byId("copy"), byId("command"), byId("origin"));
void history.refresh();
void earlier.restore();

/**
 * @param {Picture[]} pictures  of one request
 * @param {Job[]} jobs  theirs, in the same order
 * @param {string | null} batch  the id of theirs
 */
function follow(pictures, jobs, batch) {
  kept.remove(jobIds(pictures)); // of those that were tried before
  for (const [index, job] of jobs.entries()) {
    gallery.change(pictures[index], { ...fromJob(job), job: job.id });
  }
  if (!batch) return;
  kept.add(batch, jobIds(pictures));
  void history.refresh();
  void awaitResults(batch, pictures);
}

/**
 * @param {string} batch  its id
 * @param {Picture[]} pictures  some of it, those that are finished too
 */
async function awaitResults(batch, pictures) {
  const waiting = pictures.filter(({ state }) => state === "waiting");
  for (const picture of waiting) awaited.set(/** @type {string} */ (picture.job), picture);
  if (waiting.length === 0) return;
  await watcher.follow(batchUrl(batch), jobIds(waiting));
  void history.refresh();
}

/** @param {Job} job  finished */
function settle(job) {
  const picture = job.id === null ? undefined : awaited.get(job.id);
  if (!picture) return;
  awaited.delete(/** @type {string} */ (job.id));
  gallery.change(picture, fromJob(job));
}

/** @param {Picture[]} pictures  finished */
function forget(pictures) {
  kept.remove(jobIds(pictures));
  gallery.remove(pictures);
  if (gallery.pictures.length > 0) byId("results").focus();
  else chooser.focus();
}

/**
 * @param {() => void} action
 * @returns {() => void} asks for the action; it runs once after what is going on now
 */
function onceAfter(action) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      action();
    });
  };
}
