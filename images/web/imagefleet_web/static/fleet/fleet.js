// The view of the fleet: brings its parts together, up to date while somebody looks at it.

import { formatClock, formatMoney, formatNumber } from "../format.js";
import { Feed } from "./feed.js";
import { Lately } from "./lately.js";
import { rate, readyWorkers, waiting } from "./report.js";
import { Rows, write } from "./rows.js";
import * as words from "./words.js";

/**
 * @typedef {import("./report.js").Decision} Decision
 * @typedef {import("./report.js").Report} Report
 * @typedef {import("./report.js").Worker} Worker
 */

/** While nothing is told, the plots go on so often. */
const STEP_MS = 5000;

export class Fleet {
  #part;
  #feed;
  #lately;
  #workers;
  #decisions;
  #wanted = false;
  /** @type {Report | null} */
  #report = null;
  /** How far the server's clock is ahead, in milliseconds. */
  #ahead = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #steps;

  /**
   * @param {Document} page
   * @param {import("../connection.js").Connection} connection
   */
  constructor(page, connection) {
    /**
     * @template {HTMLElement} T
     * @param {string} id
     */
    const part = (id) => /** @type {T} */ (page.getElementById(id));
    this.#part = part;
    this.#feed = new Feed(connection, (report, serverTime) => {
      this.#report = report;
      this.#ahead = serverTime - Date.now();
      this.#show(report);
    });
    this.#lately = new Lately(page);
    this.#workers = new Rows(part("worker-rows"), part("worker"), ({ id }) => id, fillWorker);
    this.#decisions = new Rows(part("decision-rows"), part("decision"), keyOf, fillDecision);
    page.addEventListener("visibilitychange", () => this.#attend());
  }

  /** @param {boolean} wanted  whether this is the view to show */
  show(wanted) {
    this.#wanted = wanted;
    this.#attend();
  }

  /** Listen while the view can be seen, and only then. */
  #attend() {
    clearInterval(this.#steps);
    if (!this.#wanted || document.hidden) {
      this.#feed.close();
      return;
    }
    this.#feed.open();
    this.#steps = setInterval(() => this.#report && this.#showTime(this.#report), STEP_MS);
  }

  /** @param {Report} report */
  #show(report) {
    const part = this.#part;
    this.#showTime(report);
    write(part("fleet-headline"), words.headline(report));
    part("fleet-known").hidden = report.at === null;
    write(part("figure-waiting"), formatNumber(waiting(report)));
    write(part("about-waiting"), words.aboutWaiting(report));
    write(part("figure-ready"), formatNumber(readyWorkers(report)));
    write(part("about-ready"), words.aboutWorkers(report));
    write(part("figure-rate"), formatNumber(rate(report) ?? 0));
    write(part("about-rate"), words.aboutRate(this.#lately.history));
    part("cost").hidden = report.cost === null;
    if (report.cost) {
      write(part("figure-cost"), formatMoney(report.cost.total_usd));
      write(part("about-cost"), words.aboutCost(report.cost));
    }
    this.#workers.show(report.workers);
    part("workers").hidden = report.workers.length === 0;
    this.#decisions.show(report.decisions);
    part("decisions").hidden = report.decisions.length === 0;
  }

  /** @param {Report} report */
  #showTime(report) {
    this.#lately.show(report, Date.now() + this.#ahead);
  }
}

/**
 * @param {(name: string) => HTMLElement} part
 * @param {Worker} worker
 */
function fillWorker(part, worker) {
  write(part("id"), worker.id);
  write(part("phase"), words.PHASES[worker.phase] ?? worker.phase);
  part("phase").dataset.phase = worker.phase;
  write(part("about"), words.aboutWorker(worker));
}

/** @param {Decision} decision */
function keyOf({ at, why }) {
  return `${at} ${why}`;
}

/**
 * @param {(name: string) => HTMLElement} part
 * @param {Decision} decision
 */
function fillDecision(part, decision) {
  const at = /** @type {HTMLTimeElement} */ (part("at"));
  at.dateTime = decision.at;
  write(at, formatClock(decision.at));
  write(part("step"), words.stepOf(decision));
  write(part("spoken"), words.spokenStepOf(decision));
  write(part("why"), decision.why);
}
