// What is known of the fleet, as the API tells it; no DOM and no network here.

/**
 * @typedef {"booting" | "idle" | "busy" | "draining" | "lost"} Phase
 *
 * @typedef {object} Worker
 * @property {string} id
 * @property {Phase} phase
 * @property {string} launched_at  times are ISO 8601, UTC
 * @property {number} in_flight  images that it holds
 * @property {number} done
 * @property {number} failed
 * @property {number | null} service_s  seconds of work an image
 * @property {number | null} images_per_s
 *
 * @typedef {object} Decision
 * @property {string} at
 * @property {number} desired
 * @property {number} launch  how many workers were launched
 * @property {number} retire
 * @property {string} why  a sentence
 *
 * @typedef {object} Standing  how things stood; they stay so until the next one
 * @property {string} at
 * @property {number} waiting
 * @property {number} in_flight
 * @property {number} ready  workers
 * @property {number} desired
 *
 * @typedef {Standing & {done: number}} Point  with the images done so far
 *
 * @typedef {object} Report
 * @property {string | null} at  when the scaler told it; null if it never did
 * @property {boolean} live  whether the scaler is known to be at work
 * @property {{visible: number, in_flight: number, delayed: number, oldest_s: number | null}} queue
 * @property {Worker[]} workers
 * @property {number} desired
 * @property {number} min_workers
 * @property {number} max_workers
 * @property {Decision[]} decisions  newest first
 * @property {{hour_usd: number, total_usd: number, since: string} | null} cost
 * @property {Point[]} history  oldest first
 *
 * @typedef {"unheard" | "silent" | "rest" | "starting" | "working" | "idle"} Condition
 */

/** How far back the plots go. */
export const WINDOW_MS = 30 * 60_000;

/** @type {ReadonlySet<Phase>} */
const READY = new Set(["idle", "busy"]);

/**
 * @param {Report} report
 * @returns {Condition} what matters most about the fleet
 */
export function conditionOf(report) {
  if (report.at === null) return "unheard";
  if (!report.live) return "silent";
  if (unfinished(report) > 0) return readyWorkers(report) > 0 ? "working" : "starting";
  if (report.workers.length > 0) return "idle";
  return report.desired > 0 ? "starting" : "rest";
}

/**
 * @param {Report} report
 * @returns {number} images that wait for a worker
 */
export function waiting({ queue }) {
  return queue.visible + queue.delayed;
}

/**
 * @param {Report} report
 * @returns {number} images that wait or are in work
 */
export function unfinished(report) {
  return waiting(report) + report.queue.in_flight;
}

/**
 * @param {Report} report
 * @returns {number}
 */
export function readyWorkers({ workers }) {
  return workers.filter(({ phase }) => READY.has(phase)).length;
}

/**
 * @param {Report} report
 * @returns {number | null} images a second of all workers, null if none tells
 */
export function rate({ workers }) {
  const rates = workers.flatMap(({ images_per_s: each }) => each ?? []);
  return rates.length > 0 ? rates.reduce((sum, each) => sum + each, 0) : null;
}

/**
 * Put a report's points behind those that are known, and forget those that are too old to show.
 * @param {Point[]} known  oldest first
 * @param {Point[]} told  oldest first; may hold some of the known ones again, and is all there is
 *   where it ends earlier, as the server's clock went back
 * @param {number} now  milliseconds since 1970
 * @returns {Point[]} oldest first; the first one may be older, as it still counts after that
 */
export function extend(known, told, now) {
  const newest = known.at(-1)?.at ?? "";
  const latest = told.at(-1)?.at ?? newest;
  const all = latest < newest ? told : [...known, ...told.filter(({ at }) => at > newest)];
  const first = all.findIndex(({ at }) => Date.parse(at) > now - WINDOW_MS);
  return all.slice(Math.max(0, (first === -1 ? all.length : first) - 1));
}

/**
 * @param {Standing[]} history  oldest first
 * @param {number} time  milliseconds since 1970
 * @returns {Standing | undefined} how things stood then, if that is known
 */
export function pointAt(history, time) {
  return history.findLast(({ at }) => Date.parse(at) <= time);
}

/**
 * @param {Report} report
 * @returns {Standing[]} how things stand now, if the report tells; points are made more rarely
 */
export function standingNow(report) {
  const { at, queue, desired } = report;
  if (at === null) return [];
  const [waits, ready] = [waiting(report), readyWorkers(report)];
  return [{ at, waiting: waits, in_flight: queue.in_flight, ready, desired }];
}
