// Waiting until an element is on the screen, or about to be.

/** So much of the window's size away, it is about to be seen. */
const NEAR = "50%";

/** @type {WeakMap<Element, () => void>} */
const waiting = new WeakMap();
/** One for all: each observer costs something whenever the page scrolls. */
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    waiting.get(target)?.();
    waiting.delete(target);
  }
}, { rootMargin: NEAR });

/**
 * @param {Element} element
 * @returns {Promise<void>} resolves once it is about to be seen
 */
export function comesIntoView(element) {
  return new Promise((resolve) => {
    waiting.set(element, resolve);
    observer.observe(element);
  });
}
