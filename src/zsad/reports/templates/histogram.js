/* The scores of all images as bars, a threshold on the same axis, and what it decides. */
const BINS = 40, HIGH = 80;
const bars = [];  // for each bin its cards, and a rectangle for the normal and the anomalous ones among them
let axis = null, mark = null;

/* From a round number below all scores, and the threshold of the run, to one above them. */
function axisOf(low, high) {
  const wish = Math.max((high - low) / 5, 1e-4), power = 10 ** Math.floor(Math.log10(wish));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= wish * .999);
  const from = Math.max(0, Math.min(1 - step, Math.floor(low / step) * step));
  const to = Math.min(1, (Math.floor(high / step) + 1) * step);  // above the highest: that end of the slider flags none
  const digits = Math.min(6, Math.max(3, Math.ceil(Math.log10(200 / (to - from)))));
  const ticks = [];
  for (let i = 0; from + i * step <= to + step / 100; i++) ticks.push(Number((from + i * step).toFixed(6)));
  return { from: Number(from.toFixed(6)), to: Number(to.toFixed(6)), digits, ticks };
}
function extremes() {  // without spreading them: of a long run they are more than a call may have arguments
  return cards.reduce(([low, high], card) => [Math.min(low, card.score), Math.max(high, card.score)], [1, 0]);
}
const place = score => 100 * Math.min(1, Math.max(0, (score - axis.from) / (axis.to - axis.from)));
const shownScore = score => score.toFixed(axis.digits);

function svgPart(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  at("histogram").append(element);
  return element;
}
function histogram() {
  const [low, high] = cards.length ? extremes() : [0, 1], known = run.threshold ?? low;
  axis = axisOf(Math.min(low, known), Math.max(high, known));
  for (let i = 0; i < BINS; i++) bars.push({ cards: [], parts: [] });
  for (const card of cards) bars[Math.min(BINS - 1, Math.floor(place(card.score) / 100 * BINS))].cards.push(card);
  bars.forEach((bar, i) => {
    if (!bar.cards.length) return;
    const [from, to] = [i, i + 1].map(edge => shownScore(axis.from + edge * (axis.to - axis.from) / BINS));
    for (let part = 0; part < 2; part++) {
      const rectangle = svgPart("rect", { x: i * 100 / BINS + "%", width: 88 / BINS + "%", rx: 1 });
      rectangle.append(document.createElementNS("http://www.w3.org/2000/svg", "title"));
      rectangle.firstChild.textContent = `${count(bar.cards.length, "image")} with a score from ${from} to ${to}`;
      bar.parts.push(rectangle);
    }
  });
  at("tallest").textContent = cards.length ? `tallest bar: ${count(Math.max(...bars.map(bar => bar.cards.length)), "image")}` : "";
  mark = svgPart("line", { y1: 0, y2: 84, "class": "mark" });
  const middle = [...cards].sort(ORDERS.low)[Math.floor(cards.length / 2)];
  at("histogram").setAttribute("aria-label", cards.length === 0 ? "Histogram without images" :
    `Histogram of ${count(cards.length, "score")}, from ${shownScore(low)} to ` +
    `${shownScore(high)}; the middle one is ${shownScore(middle.score)}`);
  for (const tick of axis.ticks) {
    const label = make("span", "", String(tick));
    label.style.left = place(tick) + "%";
    at("ticks").append(label);
  }
  const slider = at("threshold");
  slider.min = axis.from; slider.max = axis.to; slider.step = (10 ** -axis.digits).toFixed(axis.digits);
}
function drawBars() {
  const most = Math.max(1, ...bars.map(bar => bar.cards.length));
  for (const bar of bars) {
    if (!bar.parts.length) continue;
    const bad = bar.cards.filter(card => isBad(card)).length, decided = bar.cards.some(card => isBad(card) !== null);
    const whole = Math.max(2, HIGH * bar.cards.length / most), top = whole * bad / bar.cards.length;
    [[HIGH + 4 - (whole - top), whole - top, decided ? "good" : "open"], [HIGH + 4 - whole, top, "bad"]]
      .forEach(([y, height, name], part) => {
        bar.parts[part].setAttribute("y", y); bar.parts[part].setAttribute("height", height);
        bar.parts[part].setAttribute("class", name);
      });
  }
  const threshold = line();
  mark.style.display = threshold === null ? "none" : "";
  if (threshold !== null) for (const end of ["x1", "x2"]) mark.setAttribute(end, place(threshold) + "%");
}

/* The words beside the slider. */
const option = () => "--threshold " + (view.threshold === null ? short(run.threshold) : view.threshold.toFixed(axis.digits));
function tell(flagged) {
  const threshold = line(), slider = at("threshold"), isSet = threshold !== null, moved = view.threshold !== null;
  const flags = `${flagged} of ${count(cards.length, "image")}`;
  slider.classList.toggle("unset", !isSet);
  slider.setAttribute("aria-valuetext", isSet ? `${shownScore(threshold)}, flags ${flags}` : "no threshold, images are ranked");
  at("unset").hidden = isSet; at("set").hidden = !isSet;
  at("back").hidden = !moved;
  at("moved").hidden = !moved;
  if (!isSet) return;
  at("option").textContent = option();
  at("copy").setAttribute("aria-label", "Copy " + option());
  at("flags").textContent = `flags ${flags}` + (cards.length ? ` (${(100 * flagged / cards.length).toFixed(0)}\u00a0%)` : "");
}
function moveSlider() {  // without a threshold it waits at the end that flags none
  at("threshold").value = line() ?? axis.to;
}
async function copy() {
  const text = option();
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a browser that gives no page from a file its clipboard
    getSelection().selectAllChildren(at("option"));
    document.execCommand("copy");
  }
  at("copy").textContent = "Copied";
  at("announced").textContent = `${text} copied`;
  setTimeout(() => { at("copy").textContent = "Copy"; }, 1500);
}
