/* The table, which its headings sort, and the files that can be saved. */

import { at, className, detector, isBad, make, ordered, shown, state } from "./state.js";
import { badge, handlers, spoken } from "./cards.js";

const COLUMNS = [["name", "Image"], ["score", "Score"], [null, "Decision"], [null, "p-value"], ["size", "Size in px"], [null, "Good"]];

export function refreshTable() {
  const head = at("table").tHead.rows[0];
  if (!head.cells.length) {
    for (const [key, title] of COLUMNS) {
      const cell = make("th");
      cell.scope = "col";
      if (key) {
        const button = make("button", "", title);
        button.type = "button";
        button.onclick = () => handlers.sort(key);
        cell.append(button);
      } else cell.textContent = title;
      cell.dataset.key = key || "";
      head.append(cell);
    }
  }
  for (const cell of head.cells) {
    const down = cell.dataset.key === "score" ? "score" : `-${cell.dataset.key}`;
    if (!cell.dataset.key) continue;
    const isSorted = state.sort.replace("-", "") === cell.dataset.key;
    cell.setAttribute("aria-sort", !isSorted ? "none" : state.sort === down ? "descending" : "ascending");
  }
  const focused = document.activeElement && document.activeElement.dataset.row;
  at("table").tBodies[0].replaceChildren(...ordered().map(row));
  if (focused) document.querySelector(`[data-row="${CSS.escape(focused)}"]`)?.focus();
}
function row(item) {
  const line = make("tr"), file = make("td", "file"), open = make("button", "plain", item.name), decision = make("td");
  open.type = "button";
  open.dataset.row = `open ${item.id}`;
  open.setAttribute("aria-label", `Enlarge ${spoken(item)}`);
  open.onclick = () => handlers.enlarge(item);
  file.append(open);
  decision.append(badge(item));
  const mark = make("button", "plain", item.good ? "Good ✓" : "Mark");
  mark.type = "button";
  mark.hidden = !handlers.canMark();
  mark.dataset.row = `mark ${item.id}`;
  mark.setAttribute("aria-pressed", item.good);
  mark.setAttribute("aria-label", `Mark ${item.name} as good`);
  mark.onclick = () => handlers.mark(item);
  const good = make("td"), found = item.good ? null : item.result;
  good.append(mark);
  line.append(file, make("td", "", found ? shown(found.score) : ""), decision, make("td", "", found ? shown(found.p_value) : ""),
    make("td", "", found ? `${found.cols} × ${found.rows}` : ""), good);
  return line;
}

/* A cell: text that a spreadsheet would take for a formula gets an apostrophe. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^['=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
export function csv() {
  const lines = [["source", "class_name", "detector", "score", "threshold", "is_anomalous", "p_value", "rows", "cols", "marked_good"]];
  for (const item of ordered()) {
    const found = item.good ? {} : item.result || {};
    lines.push([item.name, className(), detector().name, found.score, state.threshold, item.good ? null : isBad(item), found.p_value,
      found.rows, found.cols, item.good]);
  }
  return lines.map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
}
export function save(content, name, type) {
  const link = make("a"), address = URL.createObjectURL(new Blob([content], { type }));
  link.href = address; link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
