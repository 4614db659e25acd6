/* What the page knows: the images, what is scored of them, and how they are shown. */

export const state = {
  detectors: [], limits: {}, items: [], failures: [],
  threshold: null,  // null: no decisions
  outline: 0.5, opacity: 0.85, layer: "heat", sort: "score", asTable: false,
  explanation: "", warnings: [], isScoring: false, scored: null,  // what the scores were made with
};
let numbered = 0;

export const at = id => document.getElementById(id);
export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
export const detector = () => state.detectors.find(one => one.name === at("detector").value) || null;
export const className = () => at("class-name").value.trim() || "object";
export const shown = number => number === null || number === undefined ? "" : number.toFixed(3);

export function addItem(file, name) {
  const item = { id: ++numbered, file, name, good: false, result: null, map: null, photo: null, hasPhoto: true };
  state.items.push(item);
  return item;
}
export const marked = () => state.items.filter(item => item.good);
export const scoredItems = () => state.items.filter(item => item.result);

/* Whether an image is anomalous; null where nothing decides. */
export const isBad = item => state.threshold === null || !item.result ? null : item.result.score >= state.threshold;

const byName = (a, b) => a.name.localeCompare(b.name, "en", { numeric: true });
const score = item => item.result ? item.result.score : -1;
const ORDERS = {
  score: (a, b) => score(b) - score(a) || byName(a, b),
  "-score": (a, b) => score(a) - score(b) || byName(a, b),
  name: byName, "-name": (a, b) => byName(b, a),
  size: (a, b) => area(a) - area(b), "-size": (a, b) => area(b) - area(a),
};
const area = item => item.result ? item.result.rows * item.result.cols : 0;
export const ordered = () => [...state.items].sort(ORDERS[state.sort] || ORDERS.score);
