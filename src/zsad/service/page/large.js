/* One image, large. */

import { at, ordered, shown, state } from "./state.js";
import { draw, photograph } from "./maps.js";
import { badge, details, focusCard, handlers, spoken } from "./cards.js";

const SIDE = 1000;
let item = null, photo = null;

export async function enlarge(chosen) {
  if (item !== chosen) {
    item = chosen; photo = item.photo;  // the small one until the large one is there
    refreshLarge();
    if (!at("large").open) at("large").showModal();
    const sharper = item.hasPhoto ? await photograph(item.file, SIDE) : null;
    if (item !== chosen) return;
    photo = sharper || photo;
  }
  refreshLarge();
}
export function refreshLarge() {
  if (!item) return;
  const canvas = at("large-canvas");
  draw(canvas, photo, item.map, state, SIDE);
  canvas.setAttribute("aria-label", spoken(item));
  at("large-score").textContent = item.result && !item.good ? shown(item.result.score) : "";
  at("large-badge").replaceWith(Object.assign(badge(item), { id: "large-badge" }));
  at("large-detail").textContent = item.good ? "" : details(item);
  at("large-name").textContent = item.result ? `${item.name} · ${item.result.cols}×${item.result.rows} px` : item.name;
  const notes = item.result ? item.result.notes : [];
  at("large-notes").textContent = notes.join("; ");
  at("large-notes").hidden = !notes.length;
  at("large-good").hidden = !handlers.canMark();
  at("large-good").setAttribute("aria-pressed", item.good);
  at("large-good").textContent = item.good ? "Good ✓" : "Mark as good";
  at("previous").disabled = !neighbour(-1); at("next").disabled = !neighbour(1);
}
const neighbour = step => { const items = ordered(); return items[items.indexOf(item) + step]; };
function turn(step) { const other = neighbour(step); if (other) enlarge(other); }

at("previous").onclick = () => turn(-1);
at("next").onclick = () => turn(1);
at("close").onclick = () => at("large").close();
at("large-good").onclick = () => handlers.mark(item);
at("large").onclick = event => { if (event.target === at("large")) at("large").close(); };
at("large").onkeydown = event => { const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]; if (step) turn(step); };
at("large").onclose = () => { const left = item; item = photo = null; focusCard(left); };
