// The page: brings its parts together.

import { Awaited } from "./awaited.js";
import { Connection } from "./connection.js";
import { Earlier } from "./earlier.js";
import { Filter } from "./filter.js";
import { Fleet } from "./fleet/fleet.js";
import { formatCount } from "./format.js";
import { Gallery } from "./gallery.js";
import { History } from "./history.js";
import { takeFiles } from "./intake.js";
import { browserStorage, Kept } from "./kept.js";
import { readLimits } from "./limits.js";
import { Notices } from "./notices.js";
import { canRetry, fromJob, isFinished, jobIds } from "./pictures.js";
import { onceSoon } from "./soon.js";
import { Summary } from "./summary.js";
import { asCsv, asJsonLines, save } from "./takeaway.js";
import { offerCopy } from "./terminal.js";
import { Uploader } from "./uploader.js";
import { Views } from "./views.js";

/**
 * @typedef {import("./pictures.js").Job} Job
 * @typedef {import("./pictures.js").Picture} Picture
 */

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const chooser = /** @type {HTMLInputElement} */ (byId("files"));

const filter = new Filter(byId("states"), /** @type {HTMLInputElement} */ (byId("find")), () => {
  gallery.refilter();
});
const summary = new Summary(document, filter);
const sumUp = onceSoon(() => summary.show(gallery.pictures, gallery.shown));
const notices = new Notices(byId("notices"));
const connection = new Connection();
const gallery = new Gallery(byId("cards"), /** @type {HTMLTemplateElement} */ (byId("card")), {
  onRetry: (picture) => {
    if (canRetry(picture)) uploader.send([picture]);
  },
  onRemove: (picture) => forget([picture]),
  onChange: () => {
    byId("results").hidden = gallery.isEmpty;
    sumUp();
  },
  isShown: (picture) => filter.matches(picture),
  onFocusLost: () => byId("results").focus(),
});
const kept = new Kept(browserStorage());
const earlier = new Earlier(gallery, kept, connection, (batch, pictures) => {
  void awaitResults(batch, pictures);
});
const history = new History(document, /** @type {HTMLTemplateElement} */ (byId("batch")), {
  onShow: (id) => {
    filter.reset();
    return earlier.show(id);
  },
  onDelete: async (id) => {
    const gone = await earlier.delete(id);
    if (!gone) notices.farewell(id, "This upload could not be deleted. Try again soon.", "trouble");
    return gone;
  },
});
const awaited = new Awaited(connection, (picture, change) => gallery.change(picture, change));
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
const fleet = new Fleet(document, connection);
const views = new Views(byId("views"), (name) => fleet.show(name === "fleet"));

takeFiles({
  chooser,
  onFiles: (files) => {
    views.open("pictures");
    filter.reset(); // whoever adds pictures wants to see them
    void uploader.add(gallery.add(files));
  },
  onDrag: (dragging) => document.body.classList.toggle("dragging", dragging),
});
byId("show-all").addEventListener("click", () => {
  filter.reset();
  byId("results").focus();
});
byId("retry-failed").addEventListener("click", () => {
  uploader.send(gallery.shown.filter(canRetry));
  byId("results").focus();
});
byId("clear").addEventListener("click", () => forget(gallery.shown.filter(isFinished)));
byId("take-csv").addEventListener("click", () => {
  save(URL.createObjectURL(asCsv(gallery.shown)), "imagefleet.csv");
});
byId("take-jsonl").addEventListener("click", () => {
  save(URL.createObjectURL(asJsonLines(gallery.shown)), "imagefleet.jsonl");
});
connection.addEventListener("change", () => {
  if (connection.lost) {
    const text = "Connection lost. Your pictures stay here; trying until the service answers.";
    notices.show(connection, text, "trouble");
  } else notices.farewell(connection, "Connected again.");
});
window.addEventListener("offline", () => connection.regain(window));
window.addEventListener("beforeunload", (event) => uploader.busy && event.preventDefault());
offerCopy(byId("copy"), byId("command"), byId("origin"));
byId("not-started").remove();
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
 * @param {Picture[]} pictures  some of it
 */
async function awaitResults(batch, pictures) {
  if (await awaited.follow(batch, pictures)) void history.refresh();
}

/** @param {Picture[]} pictures  finished */
function forget(pictures) {
  kept.remove(jobIds(pictures));
  gallery.remove(pictures);
  if (gallery.isEmpty) chooser.focus();
  else byId("results").focus();
}
