// A plot of what held from each moment to the next: areas and lines over time, drawn as SVG.

/**
 * @typedef {object} Series
 * @property {string} name  which the style sheet gives a colour, as `data-series`
 * @property {"area" | "line"} kind
 *
 * @typedef {object} Sample  what held from a moment on
 * @property {number} time  milliseconds since 1970
 * @property {number[]} values  one for each series
 */

const SVG = "http://www.w3.org/2000/svg";
/** Of the drawing, which is stretched to the room that there is; lines keep their width. */
const [WIDTH, HEIGHT] = [1800, 100];

export class Plot {
  #paths;
  #whole;
  #half;
  #least;
  #cursor;
  #axis;

  /**
   * @param {HTMLElement} place  an empty element, which gets the drawing and the scale's labels
   * @param {Series[]} series  drawn one over the other, in this order
   * @param {number} least  the top of the scale while all is less
   * @param {(share: number | null) => void} onPoint  where in time the pointer is, from 0 to 1
   */
  constructor(place, series, least, onPoint) {
    this.#paths = series.map(({ name, kind }) => {
      const path = document.createElementNS(SVG, "path");
      path.dataset.series = name;
      path.dataset.kind = kind;
      return path;
    });
    const drawing = document.createElementNS(SVG, "svg");
    drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.append(...this.#paths);
    this.#whole = label("whole");
    this.#half = label("half");
    this.#cursor = label("cursor");
    this.#least = least;
    this.#axis = label("times");
    place.append(this.#whole, this.#half, drawing, this.#cursor, this.#axis);
    place.addEventListener("pointermove", ({ clientX }) => {
      const { left, width } = drawing.getBoundingClientRect();
      onPoint(Math.max(0, Math.min(1, (clientX - left) / width)));
    });
    place.addEventListener("pointerleave", () => onPoint(null));
    this.mark(null);
  }

  /** @param {number | null} share  where in time to draw a line across, if at all */
  mark(share) {
    this.#cursor.hidden = share === null;
    this.#cursor.style.setProperty("--share", String(share));
  }

  /** @param {string[]} times  labels of the time axis, at equal distances */
  label(times) {
    const labels = times.map((text) => Object.assign(label("time"), { textContent: text }));
    this.#axis.replaceChildren(...labels);
  }

  /**
   * @param {Sample[]} samples  oldest first; the last one holds to the end
   * @param {{from: number, to: number, end: number}} span  the time axis, and until when it is
   *   known what holds; milliseconds since 1970
   */
  draw(samples, { from, to, end }) {
    const top = niceTop(Math.max(this.#least, ...samples.flatMap(({ values }) => values)));
    this.#whole.textContent = top.toLocaleString("en");
    this.#half.textContent = top % 2 === 0 ? (top / 2).toLocaleString("en") : "";
    /** @param {number} time */
    const x = (time) => Math.max(0, Math.min(1, (time - from) / (to - from))) * WIDTH;
    /** @param {number} value */
    const y = (value) => (1 - value / top) * HEIGHT;
    for (const [index, path] of this.#paths.entries()) {
      const steps = samples.map(({ time, values }) => [x(time), y(values[index])]);
      path.setAttribute("d", steps.length > 0 ? outline(steps, x(end), path.dataset.kind) : "");
    }
  }
}

/**
 * @param {number[][]} steps  where a level begins, and how high it is
 * @param {number} end  where the last one ends
 * @param {string | undefined} kind
 * @returns {string} of a path
 */
function outline(steps, end, kind) {
  const [[startX, startY]] = steps;
  const line = steps.slice(1).map(([x, y]) => `H${fine(x)}V${fine(y)}`).join("");
  if (kind === "line") return `M${fine(startX)} ${fine(startY)}${line}H${fine(end)}`;
  return `M${fine(startX)} ${HEIGHT}V${fine(startY)}${line}H${fine(end)}V${HEIGHT}Z`;
}

/**
 * @param {number} most
 * @returns {number} 1, 2, 4, 5, 10, 20, 40, 50, 100 …, the first that is not less
 */
export function niceTop(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((top) => top >= most) ?? most;
}

/**
 * @param {number} length
 * @returns {number} to a tenth of what the drawing is measured in
 */
function fine(length) {
  return Math.round(length * 10) / 10;
}

/** @param {string} name */
function label(name) {
  const element = document.createElement("span");
  element.className = name;
  return element;
}
