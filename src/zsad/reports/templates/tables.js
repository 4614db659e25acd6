const BY_NAME = new Intl.Collator(undefined, { numeric: true });

/* Sorting: a click on a title sorts downwards (names upwards), another turns it round, a third restores the order. */
function sortable(table) {
  const body = table.tBodies[0], rows = [...body.rows];
  columnsOf(table.tHead).forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    const turns = column ? ["descending", "ascending", null] : ["ascending", "descending", null];
    button.onclick = () => {
      const turn = turns[(turns.indexOf(title.getAttribute("aria-sort")) + 1) % 3];
      for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
      if (turn) title.setAttribute("aria-sort", turn);
      body.append(...(turn ? sorted(rows, column, turn === "ascending" ? 1 : -1) : rows));
    };
  });
}
function columnsOf(head) {  // the title of each column, whatever rows and columns the others span
  const taken = new Set(), titles = [];
  [...head.rows].forEach((row, level) => {
    let column = 0;
    for (const cell of row.cells) {
      while (taken.has(`${level} ${column}`)) column++;
      for (let down = 0; down < cell.rowSpan; down++) {
        for (let right = 0; right < cell.colSpan; right++) taken.add(`${level + down} ${column + right}`);
      }
      if (cell.scope === "col") titles[column] = cell;
      column += cell.colSpan;
    }
  });
  return titles;
}
function sorted(rows, column, way) {
  if (!column) return [...rows].sort((a, b) => way * BY_NAME.compare(a.dataset.key, b.dataset.key));
  const value = row => row.cells[column].dataset.value;  // of n/a there is none: these stay at the end
  const known = rows.filter(row => value(row) !== undefined), none = rows.filter(row => value(row) === undefined);
  return [...known.sort((a, b) => way * (value(a) - value(b))), ...none];
}
