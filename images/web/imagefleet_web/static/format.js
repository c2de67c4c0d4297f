// Numbers as people read them.

const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const [dollars, smallDollars] = [2, 4].map((digits) => new Intl.NumberFormat("en-US", {
  style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: digits,
}));

/**
 * @param {string} time  ISO 8601
 * @returns {string} in the time zone of this browser, `24 Nov 2026, 20:38`
 */
export function formatTime(time) {
  return moment.format(new Date(time));
}

/**
 * @param {string} time  ISO 8601
 * @returns {string} in the time zone of this browser, `20:38:05`
 */
export function formatClock(time) {
  return clock.format(new Date(time));
}

/**
 * @param {number} usd
 * @returns {string} `$12.30`, small sums with more digits: `$0.0341`
 */
export function formatMoney(usd) {
  return (usd < 1 ? smallDollars : dollars).format(usd);
}

/**
 * @param {number} number
 * @returns {string} `20,971,520`
 */
export function formatNumber(number) {
  return decimal.format(number);
}

/**
 * @param {number} share  0 to 1
 * @returns {string} `87%`; `<1%` rather than a zero that is none
 */
export function formatShare(share) {
  return share > 0 && share < 0.01 ? "<1%" : percent.format(share);
}

/**
 * @param {number} seconds
 * @returns {string} `640 ms`, `1.2 s`, `2 min 5 s`
 */
export function formatSeconds(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${decimal.format(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * @param {number} bytes
 * @returns {string} `812 bytes`, `240 KiB`, `20 MiB`
 */
export function formatBytes(bytes) {
  if (bytes < 1024) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  const kibibytes = bytes / 1024;
  if (kibibytes < 1023.5) return `${Math.round(kibibytes)} KiB`;
  return `${decimal.format(kibibytes / 1024)} MiB`;
}

/**
 * @param {number} number
 * @param {string} one  the noun for one, `picture`
 * @returns {string} `1 picture`, `3 pictures`
 */
export function formatCount(number, one) {
  return `${formatNumber(number)} ${one}${number === 1 ? "" : "s"}`;
}

/**
 * @param {object} output
 * @returns {string} a line for each of its fields, with what it holds as JSON
 */
export function formatOutput(output) {
  const lines = Object.entries(output).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  return lines.join("\n");
}
