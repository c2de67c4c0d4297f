// The fleet in words.

import {
  formatClock, formatCount, formatMoney, formatNumber, formatSeconds, formatTime,
} from "../format.js";
import { conditionOf, waiting } from "./report.js";

/**
 * @typedef {import("./report.js").Decision} Decision
 * @typedef {import("./report.js").Point} Point
 * @typedef {import("./report.js").Report} Report
 * @typedef {import("./report.js").Standing} Standing
 * @typedef {import("./report.js").Worker} Worker
 */

/** @type {Record<import("./report.js").Phase, string>} */
export const PHASES = {
  booting: "starting",
  idle: "ready",
  busy: "at work",
  draining: "finishing",
  lost: "lost",
};

/**
 * @param {Report} report
 * @returns {string} without figures that change all the time, as it is read out when it changes
 */
export function headline(report) {
  switch (conditionOf(report)) {
    case "unheard":
      return "The scaler has not been heard of yet. What is uploaded is kept until it runs.";
    case "silent":
      return `The scaler has not been heard of since ${formatClock(report.at ?? "")}. ` +
        "This is how things stood then.";
    case "rest":
      return "Nothing is running: no workers, no cost. The next picture starts one.";
    case "starting":
      return "Workers are starting.";
    case "idle":
      return report.min_workers > 0
        ? "All is done. Workers are ready for more."
        : "All is done. Workers that stay idle are ended soon.";
    case "working":
      return "Workers are at work.";
  }
}

/**
 * @param {Report} report
 * @returns {string} `28 more in work, the oldest for 1.5 s`
 */
export function aboutWaiting({ queue }) {
  const parts = [`${formatNumber(queue.in_flight)} in work`];
  if (queue.delayed > 0) parts.push(`${formatNumber(queue.delayed)} of them put off`);
  if (queue.oldest_s !== null) parts.push(`the oldest for ${formatSeconds(queue.oldest_s)}`);
  return parts.join(", ");
}

/**
 * @param {Report} report
 * @returns {string} `3 wanted, at most 20`
 */
export function aboutWorkers({ desired, max_workers: most }) {
  return `${desired} wanted, at most ${most}`;
}

/**
 * @param {Point[]} history
 * @returns {string} `1,200 done so far`
 */
export function aboutRate(history) {
  const done = history.at(-1)?.done;
  return done === undefined ? "" : `${formatNumber(done)} done so far`;
}

/**
 * @param {NonNullable<Report["cost"]>} cost
 * @returns {string} `$0.12 an hour now, since 24 Nov 2026, 20:38`
 */
export function aboutCost({ hour_usd: hour, since }) {
  return `${formatMoney(hour)} an hour now, counted since ${formatTime(since)}`;
}

/**
 * @param {Worker} worker
 * @returns {string} `120 images, 1 failed, 3 in work, 41.2 a second, 15 ms each`
 */
export function aboutWorker(worker) {
  const { in_flight: held, service_s: service, images_per_s: rate } = worker;
  const parts = [formatCount(worker.done, "image")];
  if (worker.failed > 0) parts.push(`${formatNumber(worker.failed)} failed`);
  if (held > 0) parts.push(`${formatNumber(held)} in work`);
  if (rate !== null) parts.push(`${formatNumber(rate)} a second`);
  if (service !== null) parts.push(`${formatSeconds(service)} each`);
  parts.push(`since ${formatClock(worker.launched_at)}`);
  return parts.join(", ");
}

/**
 * @param {Decision} decision
 * @returns {string} `+2`, `−1`, `±0`
 */
export function stepOf({ launch, retire }) {
  if (launch > 0) return `+${launch}`;
  return retire > 0 ? `−${retire}` : "±0";
}

/**
 * @param {Decision} decision
 * @returns {string}
 */
export function spokenStepOf({ launch, retire, desired }) {
  const parts = [];
  if (launch > 0) parts.push(`${formatCount(launch, "worker")} launched`);
  if (retire > 0) parts.push(`${formatCount(retire, "worker")} retired`);
  return `${parts.join(", ") || `${formatCount(desired, "worker")} wanted`}:`;
}

/**
 * @param {Standing} point
 * @returns {string} `90 waiting, 10 in work`
 */
export function aboutImages({ waiting: waits, in_flight: held }) {
  return `${formatNumber(waits)} waiting, ${formatNumber(held)} in work`;
}

/**
 * @param {Standing} point
 * @returns {string} `3 ready, 4 wanted`
 */
export function aboutReady({ ready, desired }) {
  return `${ready} ready, ${desired} wanted`;
}

/**
 * @param {Report} report
 * @param {Standing[]} history  of the time that is shown
 * @returns {string} what the plots show
 */
export function summaryOf(report, history) {
  if (history.length === 0) return "Nothing has happened yet.";
  const most = history.reduce((one, other) => (total(other) > total(one) ? other : one));
  const workers = Math.max(...history.map(({ ready }) => ready));
  if (total(most) === 0 && workers === 0) return "No image came, and no worker ran.";
  const images = `At most ${formatCount(total(most), "image")} waited or were in work at once`;
  const [waits, held] = [waiting(report), report.queue.in_flight].map(formatNumber);
  const now = `now ${waits} wait and ${held} are in work`;
  return `${images}, at ${formatClock(most.at)}; ${now}. ` +
    `At most ${formatCount(workers, "worker")} ${workers === 1 ? "was" : "were"} ready.`;
}

/** @param {Standing} point */
function total({ waiting: waits, in_flight: held }) {
  return waits + held;
}
