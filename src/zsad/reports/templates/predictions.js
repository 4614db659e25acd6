const data = JSON.parse(document.getElementById("data").textContent);
const about = data.about, run = about.run, cards = data.cards, failures = about.failures;
const at = id => document.getElementById(id);
const PAGE = 60;
const FILTERS = { all: () => true, anomalous: card => isBad(card) === true, normal: card => isBad(card) === false,
                  failed: () => false };
const ORDERS = { high: (a, b) => b.score - a.score, low: (a, b) => a.score - b.score,
                 name: (a, b) => a.source.localeCompare(b.source, undefined, { numeric: true }) };
const view = {};  // show, sort, text, and threshold: null while every image keeps the decision of the run, or has none
const boxes = new Map();  // card -> its element, of the cards that are drawn
const tabs = {}, counts = {};
const classes = new Set(cards.map(card => card.class_name));
let matching = [], enlarged = null, naming = 0;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
/* Whether an image is anomalous; null where no threshold decides. */
const isBad = card => view.threshold === null ? card.is_anomalous : card.score >= view.threshold;
const line = () => view.threshold === null ? run.threshold : view.threshold;
const short = number => String(Number(number.toPrecision(6)));
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
  at("search").value = view.text; at("sort").value = view.sort;
  moveSlider();
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
  at("judged").textContent = [run.setting, run.explanation].filter(Boolean).join(": ");
  at("what").textContent = `${run.detector} on ${run.backbone} at ${run.image_size} px, ` +
    `looking for anomalies of: ${classes.size > 1 ? [...classes].join(", ") : run.class_name}`;
  at("weights").textContent = `Weights: ${run.weights}. Precision: ${run.precision} on ${run.device}.` +
    (run.memory ? ` Remembers: ${run.memory}.` : "");
  at("calibrated").textContent = `Calibrated on ${run.calibration}. ` +
    "p: of those normal images and the image itself, the share with a score at least as high.";
  at("calibrated").hidden = !run.calibration;
  at("stopped").textContent = run.stopped_by && `This run was stopped early (${run.stopped_by}). It shows what was done until then.`;
  at("stopped").hidden = !run.stopped_by;
  at("note").textContent = about.caveat;
  at("note").hidden = !about.caveat;
  at("warnings").replaceChildren(...about.warnings.map(warning => make("p", "note", warning)));
  at("ignored").textContent = about.ignored && `Not taken for images: ${about.ignored}.`;
  at("ignored").hidden = !about.ignored;
  at("scale").style.background = `linear-gradient(90deg, ${about.scale.map(c => `rgb(${c})`).join(",")})`;
  at("back").textContent = run.threshold === null ? "Clear" : `Back to the run's ${short(run.threshold)}`;
  at("foot").textContent = `zsad ${run.version} · ${run.threshold === null ? "uncalibrated" : `threshold of the run ${short(run.threshold)}`} · ` +
    `${run.created} · ${run.command}`;
}
function tiles() {
  for (const [key, noun] of [["all", "images scored"], ["anomalous", "anomalous"], ["normal", "normal"],
                             ["failed", "without a score"]]) {
    const tile = make("div", "tile");
    counts[key] = make("b");
    tile.append(counts[key], make("span", "", noun));
    at("tiles").append(tile);
  }
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
}

/* Drawn again when the view changes. */
function decisions() {
  const numbers = { all: cards.length, anomalous: cards.filter(FILTERS.anomalous).length,
                    normal: cards.filter(FILTERS.normal).length, failed: failures.length };
  const decided = numbers.anomalous + numbers.normal > 0;
  if (!decided && ["anomalous", "normal"].includes(view.show)) view.show = "all";
  for (const key in numbers) {
    const isKnown = decided || !["anomalous", "normal"].includes(key);
    counts[key].textContent = isKnown ? numbers[key] : "–";
    tabs[key].lastChild.textContent = key === "all" ? cards.length + failures.length : numbers[key];
    tabs[key].setAttribute("aria-pressed", view.show === key);
    tabs[key].hidden = !isKnown || key === "failed" && !failures.length;
  }
  for (const [card, box] of boxes) box.querySelector(".badge").replaceWith(badge(card));
  drawBars(); tell(numbers.anomalous);
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
const drawn = run.overlay === "outline" ? "outlines" : "heat map";
function cardOf(card) {
  const box = make("button", "card"), pair = make("div", "pair"), below = make("div", "words");
  box.type = "button";
  for (const [uri, what] of [[card.photo_uri, "photograph"], [card.overlay_uri, drawn]]) {
    const image = make("img");
    image.loading = "lazy"; image.alt = `${what} of ${fileName(card.source)}`; image.src = uri;
    pair.append(image);
  }
  const name = make("span", "name");
  name.append(make("bdi", "", words(card)));
  name.title = card.source;
  below.append(make("span", "score", shownScore(card.score)), badge(card), make("span", "detail", details(card)), name);
  for (const note of card.notes) below.append(make("span", "remark", note));
  box.append(pair, below);
  box.onclick = () => enlarge(card);
  return box;
}
function badge(card) {
  const bad = isBad(card), element = make("span", "badge", bad === null ? "" : bad ? "anomalous" : "normal");
  if (bad === null) element.hidden = true; else element.classList.add(bad ? "bad" : "good");
  return element;
}
function details(card) {
  const known = [];
  if (card.p_value !== null && card.p_value !== undefined) known.push(card.p_value < .001 ? "p < 0.001" : `p = ${card.p_value.toFixed(3)}`);
  if (card.regions !== null && card.regions !== undefined) known.push(count(card.regions, "region"));
  return known.join(" · ");
}
function enlarge(card) {
  enlarged = card;
  at("photo").src = card.photo_uri; at("heat").src = card.overlay_uri;
  at("photo").alt = `photograph of ${fileName(card.source)}`; at("heat").alt = `${drawn} of ${fileName(card.source)}`;
  at("large-score").textContent = shownScore(card.score);
  at("large-detail").textContent = details(card);
  at("large-badge").replaceWith(Object.assign(badge(card), { id: "large-badge" }));
  at("large-name").textContent = `${card.source} · ${card.class_name} · ${card.cols}×${card.rows} px`;
  at("large-notes").textContent = card.notes.join("; ");
  at("large-notes").hidden = !card.notes.length;
  at("large-overlay").href = encodeURI(card.overlay); at("large-map").href = encodeURI(card.map);
  at("boxing").hidden = !card.boxes.length;
  regionBoxes(card);
  at("previous").disabled = !neighbour(-1); at("next").disabled = !neighbour(1);
  if (!at("large").open) at("large").showModal();
}
function regionBoxes(card) {  // each twice: bright between dark edges, to be seen on any image
  const space = "http://www.w3.org/2000/svg", svg = at("region-boxes");
  svg.setAttribute("viewBox", `0 0 ${card.cols} ${card.rows}`);
  svg.replaceChildren(...(at("boxed").checked ? card.boxes : []).map(([x, y, width, height]) => {
    const box = document.createElementNS(space, "g");
    for (let line = 0; line < 2; line++) {
      const rectangle = document.createElementNS(space, "rect");
      for (const [name, value] of Object.entries({ x, y, width, height })) rectangle.setAttribute(name, value);
      box.append(rectangle);
    }
    return box;
  }));
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

at("drawn").textContent = drawn[0].toUpperCase() + drawn.slice(1);
at("large-overlay").textContent = `${drawn} at full size`;
at("boxed").checked = run.overlay !== "outline";  // which shows where regions are
head(); tiles(); filters(); histogram(); recall(); refresh();
at("search").oninput = event => { view.text = event.target.value; refresh(); };
at("sort").onchange = event => { view.sort = event.target.value; refresh(); };
at("threshold").oninput = event => {
  view.threshold = Number(event.target.value);
  // Cards only come and go where decisions choose them; elsewhere their badges change in place.
  if (["anomalous", "normal"].includes(view.show)) refresh(); else { decisions(); keep(); }
};
at("back").onclick = () => { view.threshold = null; moveSlider(); refresh(); at("threshold").focus(); };
at("copy").onclick = copy;
at("opacity").oninput = event => { at("heat").style.opacity = event.target.value; };
at("boxed").onchange = () => regionBoxes(enlarged);
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
