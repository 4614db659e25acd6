const data = JSON.parse(document.getElementById("data").textContent);
const about = data.about, run = about.run, cards = data.cards, failures = about.failures;
const at = id => document.getElementById(id);
const PAGE = 60, WIDE = 50;
const FILTERS = { all: () => true, anomalous: card => isBad(card), normal: card => !isBad(card), failed: () => false };
const ORDERS = { high: (a, b) => b.score - a.score, low: (a, b) => a.score - b.score,
                 name: (a, b) => a.source.localeCompare(b.source, undefined, { numeric: true }) };
const view = {};  // show, sort, text, and threshold: null while every image keeps the decision of the run
const boxes = new Map();  // card -> its element, of the cards that are drawn
const tabs = {}, counts = {};
const classes = new Set(cards.map(card => card.class_name));
let matching = [], enlarged = null, mark = null, waiting = 0, naming = 0;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
const colour = score => {
  const place = Math.min(Math.max(score, 0), 1) * (about.scale.length - 1), low = Math.min(Math.floor(place), about.scale.length - 2);
  return "rgb(" + about.scale[low].map((c, i) => Math.round(c + (about.scale[low + 1][i] - c) * (place - low))).join(",") + ")";
};
const isBad = card => view.threshold === null ? card.is_anomalous : card.score >= view.threshold;
const line = () => view.threshold === null ? run.threshold : view.threshold;
const fileName = path => path.split(/[\\/]/).slice(-2).join("/");
const words = card => classes.size > 1 ? `${card.class_name} · ${fileName(card.source)}` : fileName(card.source);
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/* Where the view is kept: the part of the address after #, so that a view can be bookmarked. */
function recall() {
  const kept = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const threshold = kept.threshold === undefined ? NaN : Number(kept.threshold);
  view.show = kept.show in FILTERS ? kept.show : "all";
  view.sort = kept.sort in ORDERS ? kept.sort : "high";
  view.text = kept.text || "";
  view.threshold = threshold >= 0 && threshold <= 1 ? threshold : null;
  at("search").value = view.text; at("sort").value = view.sort; at("threshold").value = line();
}
function keep() {  // not at every step of a slider: browsers limit how often an address may change
  clearTimeout(naming);
  naming = setTimeout(() => {
    const kept = Object.entries(view).filter(([, value]) => value !== null && value !== "");
    try { history.replaceState(null, "", "#" + new URLSearchParams(kept)); } catch { /* the view still works */ }
  }, 250);
}

/* Made once. */
function head() {
  at("what").textContent = `${run.detector} on ${run.backbone} at ${run.image_size} px, ` +
    `looking for anomalies of: ${classes.size > 1 ? [...classes].join(", ") : run.class_name}`;
  at("weights").textContent = `Weights: ${run.weights}. Precision: ${run.precision} on ${run.device}.` +
    (run.memory ? ` Remembers: ${run.memory}.` : "");
  at("stopped").textContent = run.stopped_by && `This run was stopped early (${run.stopped_by}). It shows what was done until then.`;
  at("stopped").hidden = !run.stopped_by;
  at("note").textContent = about.caveat;
  at("note").hidden = !about.caveat;
  at("warnings").replaceChildren(...about.warnings.map(warning => make("p", "note", warning)));
  at("ignored").textContent = about.ignored && `Not taken for images: ${about.ignored}.`;
  at("ignored").hidden = !about.ignored;
  at("scale").style.background = `linear-gradient(90deg, ${about.scale.map(c => `rgb(${c})`).join(",")})`;
  at("back").textContent = `Back to the run's ${run.threshold}`;
  at("foot").textContent = `zsad ${run.version} · threshold of the run ${run.threshold} · ${run.created} · ${run.command}`;
}
function tiles() {
  for (const [key, noun] of [["all", "images scored"], ["anomalous", "anomalous"], ["normal", "normal"],
                             ["failed", "without a score"]]) {
    const tile = make("div", "tile");
    counts[key] = make("b");
    tile.append(counts[key], make("span", "", noun));
    at("tiles").append(tile);
  }
  at("tiles").append(strip());
}
function strip() {
  const box = make("div", "tile strip"), ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "How many images have which score, from 0 to 1, and the threshold");
  const draw = (tag, attributes, text) => {
    const element = document.createElementNS(ns, tag);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    svg.append(element);
    return element;
  };
  const bins = new Array(WIDE).fill(0);
  for (const card of cards) bins[Math.min(WIDE - 1, Math.floor(card.score * WIDE))]++;
  const most = Math.max(1, ...bins);
  bins.forEach((number, i) => {
    if (!number) return;
    const height = Math.max(2, 44 * number / most), from = (i / WIDE).toFixed(2), to = ((i + 1) / WIDE).toFixed(2);
    const bar = draw("rect", { x: i * 100 / WIDE + "%", width: 85 / WIDE + "%", y: 46 - height, height, rx: 1, fill: colour((i + .5) / WIDE) });
    bar.append(document.createElementNS(ns, "title"));
    bar.firstChild.textContent = `${count(number, "image")} with a score from ${from} to ${to}`;
  });
  draw("line", { x1: "0%", x2: "100%", y1: 46.5, y2: 46.5, stroke: "var(--line)" });
  mark = draw("line", { y1: 0, y2: 50, stroke: "var(--ink)", "stroke-dasharray": "3 3" });
  for (const [x, anchor] of [[0, "start"], [.5, "middle"], [1, "end"]]) draw("text", { x: x * 100 + "%", y: 62, "text-anchor": anchor }, x);
  box.append(svg);
  return box;
}
function filters() {
  for (const name of Object.keys(FILTERS)) {
    const button = make("button", "", name);
    button.type = "button";
    button.append(" ", make("small"));
    button.onclick = () => { view.show = name; refresh(); };
    tabs[name] = button;
    at("tabs").append(button);
  }
  tabs.failed.hidden = !failures.length;
}

/* Drawn again when the view changes. */
function decisions() {
  const bad = cards.filter(isBad).length;
  const numbers = { all: cards.length, anomalous: bad, normal: cards.length - bad, failed: failures.length };
  for (const key in numbers) {
    counts[key].textContent = numbers[key];
    tabs[key].lastChild.textContent = key === "all" ? cards.length + failures.length : numbers[key];
    tabs[key].setAttribute("aria-pressed", view.show === key);
  }
  for (const [card, box] of boxes) box.querySelector(".badge").replaceWith(badge(card));
  mark.setAttribute("x1", line() * 100 + "%"); mark.setAttribute("x2", line() * 100 + "%");
  at("shown").textContent = line().toFixed(3);
  at("moved").hidden = view.threshold === null;
}
function images() {
  const text = view.text.toLowerCase(), has = item => item.source.toLowerCase().includes(text);
  matching = cards.filter(card => FILTERS[view.show](card) && has(card)).sort(ORDERS[view.sort]);
  boxes.clear();
  at("grid").replaceChildren();
  more();
  const failed = ["all", "failed"].includes(view.show) ? failures.filter(has) : [];
  at("failures").hidden = !failed.length;
  at("failed").replaceChildren(...failed.map(failure => {
    const box = make("div", "failure");
    box.append(make("b", "", failure.source), failure.message);
    return box;
  }));
  at("empty").hidden = matching.length + failed.length > 0;
  at("announced").textContent = count(matching.length, "image") + " shown";
}
function more() {
  for (const card of matching.slice(boxes.size, boxes.size + PAGE)) {
    boxes.set(card, cardOf(card));
    at("grid").append(boxes.get(card));
  }
  at("more").hidden = boxes.size === matching.length;
  bottom.unobserve(at("more")); bottom.observe(at("more"));  // observing anew reports a button that is still in sight
}
function refresh() {
  decisions(); images(); keep();
}
function cardOf(card) {
  const box = make("button", "card"), pair = make("div", "pair"), below = make("div", "words");
  box.type = "button";
  for (const [uri, what] of [[card.photo_uri, "photograph"], [card.overlay_uri, "heat map"]]) {
    const image = make("img");
    image.loading = "lazy"; image.alt = `${what} of ${fileName(card.source)}`; image.src = uri;
    pair.append(image);
  }
  const name = make("span", "name");
  name.append(make("bdi", "", words(card)));
  name.title = card.source;
  below.append(make("span", "score", card.score.toFixed(3)), badge(card), name);
  for (const note of card.notes) below.append(make("span", "remark", note));
  box.append(pair, below);
  box.onclick = () => enlarge(card);
  return box;
}
const badge = card => make("span", "badge " + (isBad(card) ? "bad" : "good"), isBad(card) ? "anomalous" : "normal");
function enlarge(card) {
  enlarged = card;
  at("photo").src = card.photo_uri; at("heat").src = card.overlay_uri;
  at("photo").alt = `photograph of ${fileName(card.source)}`; at("heat").alt = `heat map of ${fileName(card.source)}`;
  at("large-score").textContent = card.score.toFixed(3);
  at("large-badge").replaceWith(Object.assign(badge(card), { id: "large-badge" }));
  at("large-name").textContent = `${card.source} · ${card.class_name} · ${card.cols}×${card.rows} px`;
  at("large-notes").textContent = card.notes.join("; ");
  at("large-notes").hidden = !card.notes.length;
  at("large-overlay").href = encodeURI(card.overlay); at("large-map").href = encodeURI(card.map);
  at("previous").disabled = !neighbour(-1); at("next").disabled = !neighbour(1);
  if (!at("large").open) at("large").showModal();
}
const neighbour = step => matching[matching.indexOf(enlarged) + step];
function turn(step) {
  const card = neighbour(step);
  if (!card) return;
  if (!boxes.has(card)) more();
  enlarge(card);
}
const bottom = new IntersectionObserver(entries => {
  if (entries.at(-1).isIntersecting && boxes.size < matching.length) more();
}, { rootMargin: "800px" });

head(); tiles(); filters(); recall(); refresh();
at("search").oninput = event => { view.text = event.target.value; refresh(); };
at("sort").onchange = event => { view.sort = event.target.value; refresh(); };
at("threshold").oninput = event => {
  view.threshold = Number(event.target.value);
  cancelAnimationFrame(waiting);
  // Cards only come and go where decisions choose them; elsewhere their badges change in place.
  waiting = requestAnimationFrame(() => { if (["anomalous", "normal"].includes(view.show)) refresh(); else { decisions(); keep(); } });
};
at("back").onclick = () => { view.threshold = null; at("threshold").value = line(); refresh(); at("threshold").focus(); };
at("opacity").oninput = event => { at("heat").style.opacity = event.target.value; };
at("more").onclick = more;
at("close").onclick = () => at("large").close();
at("previous").onclick = () => turn(-1);
at("next").onclick = () => turn(1);
at("large").onclick = event => { if (event.target === at("large")) at("large").close(); };
at("large").onkeydown = event => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && event.target.type !== "range") turn(step);  // on the slider, arrows move the slider
};
at("large").onclose = () => { if (boxes.has(enlarged)) boxes.get(enlarged).focus(); };
addEventListener("hashchange", () => { recall(); refresh(); });
