// The last half hour: plots of images and workers, a sentence that says the same, and a table.

import { formatClock, formatNumber } from "../format.js";
import { Plot } from "./plot.js";
import { WINDOW_MS, extend, pointAt, standingNow } from "./report.js";
import { aboutImages, aboutReady, summaryOf } from "./words.js";

/**
 * @typedef {import("./plot.js").Series} Series
 * @typedef {import("./report.js").Point} Point
 * @typedef {import("./report.js").Report} Report
 * @typedef {import("./report.js").Standing} Standing
 */

const MINUTE_MS = 60_000;
/** How many minutes to show, and where on their axis: the first of them that holds all there is. */
const SPANS = [
  { minutes: 5, times: ["5 min ago", "", "3", "2", "1", "now"] },
  { minutes: 10, times: ["10 min ago", "5", "now"] },
  { minutes: WINDOW_MS / MINUTE_MS, times: ["30 min ago", "20", "10", "now"] },
];
/** Those that wait stand on top of those in work. @type {Series[]} */
const IMAGES = [{ name: "waiting", kind: "area" }, { name: "in_flight", kind: "area" }];
/** @type {Series[]} */
const WORKERS = [{ name: "ready", kind: "area" }, { name: "desired", kind: "line" }];
/** Scales go up to those at least, so that a single image is no mountain. */
const [LEAST_IMAGES, LEAST_WORKERS] = [10, 2];
const TABLE_ROWS = 30;

export class Lately {
  #part;
  #images;
  #workers;
  /** @type {Point[]} */
  #history = [];
  /** The same up to now. @type {Standing[]} */
  #points = [];
  #minutes = 0;
  #span = { from: 0, to: 0, end: 0 };

  /** @param {ParentNode} page */
  constructor(page) {
    /** @param {string} id */
    const part = (id) => /** @type {HTMLElement} */ (page.querySelector(`#${id}`));
    this.#part = {
      minutes: part("lately-minutes"),
      summary: part("lately-summary"),
      details: /** @type {HTMLDetailsElement} */ (part("lately-details")),
      rows: part("lately-rows"),
      images: part("reading-images"),
      workers: part("reading-workers"),
    };
    /** @param {number | null} share */
    const point = (share) => this.#read(share);
    this.#images = new Plot(part("plot-images"), IMAGES, LEAST_IMAGES, point);
    this.#workers = new Plot(part("plot-workers"), WORKERS, LEAST_WORKERS, point);
    this.#part.details.addEventListener("toggle", () => this.#fillTable());
  }

  /** @returns {Point[]} oldest first */
  get history() {
    return this.#history;
  }

  /**
   * @param {Report} report  whose history may hold what is new alone
   * @param {number} now  the server's time, milliseconds since 1970
   */
  show(report, now) {
    this.#history = extend(this.#history, report.history, now);
    this.#points = [...this.#history, ...standingNow(report)];
    const end = report.live ? now : Date.parse(report.at ?? "");
    const { minutes, times } = spanOf(this.#points, now);
    this.#span = { from: now - minutes * MINUTE_MS, to: now, end };
    if (this.#minutes !== minutes) {
      this.#minutes = minutes;
      this.#part.minutes.textContent = String(minutes);
      for (const plot of [this.#images, this.#workers]) plot.label(times);
    }
    this.#images.draw(this.#samples((at) => [at.waiting + at.in_flight, at.in_flight]), this.#span);
    this.#workers.draw(this.#samples((at) => [at.ready, at.desired]), this.#span);
    this.#part.summary.textContent = summaryOf(report, this.#points);
    this.#fillTable();
  }

  /** @param {(point: Standing) => number[]} values */
  #samples(values) {
    return this.#points.map((point) => ({ time: Date.parse(point.at), values: values(point) }));
  }

  /** @param {number | null} share  where in time the pointer is, from 0 to 1 */
  #read(share) {
    const { from, to, end } = this.#span;
    const time = from + (share ?? 0) * (to - from);
    const point = share === null || time > end ? undefined : pointAt(this.#points, time);
    for (const plot of [this.#images, this.#workers]) plot.mark(point ? share : null);
    const clock = formatClock(new Date(time).toISOString());
    this.#part.images.textContent = point ? `${clock}: ${aboutImages(point)}` : "";
    this.#part.workers.textContent = point ? `${clock}: ${aboutReady(point)}` : "";
  }

  #fillTable() {
    const { details, rows } = this.#part;
    if (!details.open) return;
    const { from, to, end } = this.#span;
    const lines = [];
    for (let time = end; time > from; time -= (to - from) / TABLE_ROWS) {
      const point = pointAt(this.#points, time);
      if (!point) break;
      const cells = [point.waiting, point.in_flight, point.ready, point.desired];
      lines.push(rowOf(new Date(time).toISOString(), cells.map(formatNumber)));
    }
    rows.replaceChildren(...lines);
  }
}

/**
 * @param {Standing[]} points  oldest first
 * @param {number} now  milliseconds since 1970
 */
function spanOf(points, now) {
  const age = now - Date.parse(points[0]?.at ?? new Date(now).toISOString());
  return SPANS.find(({ minutes }) => age <= minutes * MINUTE_MS) ?? SPANS[SPANS.length - 1];
}

/**
 * @param {string} at
 * @param {string[]} cells
 * @returns {HTMLTableRowElement}
 */
function rowOf(at, cells) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  const time = document.createElement("time");
  head.scope = "row";
  time.dateTime = at;
  time.textContent = formatClock(at);
  head.append(time);
  row.append(head);
  for (const text of cells) row.insertCell().textContent = text;
  return row;
}
