/* The grid: a card an image. */

import { at, count, isBad, make, ordered, shown, state } from "./state.js";
import { draw, photograph } from "./maps.js";

const SIDE = 320, PAGE = 60;
const cards = new Map();  // item -> its element
let limit = PAGE;

export const handlers = { enlarge: () => {}, mark: () => {} };

export function badge(item) {
  const bad = isBad(item), element = make("span", "badge", item.good ? "good, by you" : bad === null ? "" : bad ? "anomalous" : "normal");
  element.hidden = !item.good && bad === null;
  element.classList.add(!item.good && bad ? "bad" : "good");
  return element;
}
export function details(item) {
  const p = item.result && item.result.p_value;
  return typeof p !== "number" ? "" : p < .001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}
export function spoken(item) {
  const bad = isBad(item);
  const score = item.result ? `score ${shown(item.result.score)}` : item.good ? "good, by you" : "not scored yet";
  return `${item.name}, ${score}${bad === null ? "" : bad ? ", anomalous" : ", normal"}`;
}
export async function paint(item, canvas, side) {
  if (!item.photo && item.hasPhoto) {
    item.photo = await photograph(item.file, SIDE);
    item.hasPhoto = item.photo !== null;
  }
  draw(canvas, item.photo, item.map, state, side || SIDE);
}

function card(item) {
  const box = make("li", "card"), button = make("button", "enlarge"), canvas = make("canvas"), words = make("div", "words");
  button.type = "button";
  button.append(canvas);
  button.onclick = () => handlers.enlarge(item);
  const mark = make("button", "plain mark");
  mark.type = "button";
  mark.onclick = () => handlers.mark(item);
  const name = make("span", "name", item.name);
  name.title = item.name;
  words.append(make("span", "score"), make("span", "badge"), make("span", "detail"), name, mark);
  box.append(button, words);
  return box;
}
function refreshCard(item, box) {
  box.classList.toggle("good", item.good);
  box.querySelector(".score").textContent = item.result && !item.good ? shown(item.result.score) : item.good ? "" : state.isScoring ? "…" : "–";
  box.querySelector(".badge").replaceWith(badge(item));
  box.querySelector(".detail").textContent = item.good ? "" : details(item);
  box.querySelector(".enlarge").setAttribute("aria-label", `Enlarge ${spoken(item)}`);
  const mark = box.querySelector(".mark"), able = handlers.canMark();
  mark.hidden = !able;
  mark.setAttribute("aria-pressed", item.good);
  mark.textContent = item.good ? "Good ✓" : "Mark as good";
  mark.setAttribute("aria-label", `Mark ${item.name} as good`);
  box.querySelectorAll(".remark").forEach(note => note.remove());
  const notes = item.result ? item.result.notes : [];
  for (const note of item.hasPhoto ? notes : [...notes, "This browser cannot show the format; the map is real."]) {
    box.querySelector(".words").append(make("span", "remark", note));
  }
}
handlers.canMark = () => false;

const drawnAs = new WeakMap();
/* Draw what has changed; items that are far down wait until they are asked for. */
export async function refreshCards() {
  const items = ordered(), visible = items.slice(0, limit);
  for (const [item, box] of cards) if (!visible.includes(item)) { box.remove(); cards.delete(item); }
  for (const item of visible) {
    if (!cards.has(item)) cards.set(item, card(item));
    refreshCard(item, cards.get(item));
  }
  const focused = document.activeElement;
  visible.forEach((item, place) => {  // moving an element that is in place would take its focus
    const box = cards.get(item);
    if (at("grid").children[place] !== box) at("grid").insertBefore(box, at("grid").children[place] || null);
  });
  if (focused && focused.isConnected) focused.focus({ preventScroll: true });
  at("more").hidden = state.asTable || items.length <= limit;
  at("more").textContent = `Show ${count(Math.min(PAGE, items.length - limit), "more image")}`;
  const look = `${state.layer} ${state.opacity} ${state.outline}`;
  await Promise.all(visible.map(async item => {
    const canvas = cards.get(item).querySelector("canvas"), before = drawnAs.get(canvas);
    if (before && before.look === look && before.map === item.map) return;
    drawnAs.set(canvas, { look, map: item.map });
    await paint(item, canvas);
    refreshCard(item, cards.get(item) || cards.set(item, card(item)).get(item));
  }));
}
export function showMore() { limit += PAGE; }
export function focusCard(item) {
  const box = cards.get(item);
  if (box && !state.asTable) box.querySelector(".enlarge").focus();
}
