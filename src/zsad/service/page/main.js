/* The page: from images to scores, and what its controls do. */

import { addItem, at, className, count, detector, isBad, make, marked, scoredItems, shown, state } from "./state.js";
import { ask, detectors, predictionForm, Problem, sentence, useToken } from "./service.js";
import { bytesOf, decodeMap, SCALE } from "./maps.js";
import { dropped, named } from "./files.js";
import { handlers, refreshCards, showMore } from "./cards.js";
import { csv, refreshTable, save } from "./table.js";
import { enlarge, refreshLarge } from "./large.js";

const AT_A_TIME = 3;
let running = null;  // the controller of what is being scored

addEventListener("error", event => { document.documentElement.dataset.error = event.message; });
addEventListener("unhandledrejection", event => { document.documentElement.dataset.error = String(event.reason); });

function show(problem) {
  const remedy = problem.remedy ? [make("p", "", problem.remedy)] : [];
  at("problem").replaceChildren(make("p", "", problem.message), ...remedy);
  at("problem").hidden = false;
}
const hideProblem = () => { at("problem").hidden = true; };
const say = words => { at("announced").textContent = words; };

/* What is drawn again after every change. */
function refresh() {
  const scored = scoredItems().filter(item => !item.good), bad = scored.filter(isBad).length, good = marked().length;
  at("results").hidden = !state.items.length;
  const decided = state.threshold === null ? "" : `, ${bad} anomalous`;
  at("summary").textContent = `${count(scored.length, "image")} scored${decided}${good ? `, ${good} marked as good` : ""}`;
  at("judged").textContent = state.explanation;
  at("judged").hidden = !state.explanation;
  at("warnings").replaceChildren(...state.warnings.map(words => make("p", "note", words)));
  at("threshold-value").textContent = state.threshold === null ? "not set" : shown(state.threshold);
  if (state.threshold !== null) at("threshold").value = state.threshold;
  at("outline-value").textContent = shown(state.outline);
  at("opacity-value").textContent = `${Math.round(100 * state.opacity)} %`;
  at("unset").disabled = state.threshold === null;
  at("csv").disabled = at("coco").disabled = !scored.length;
  at("failures").hidden = !state.failures.length;
  at("failed").replaceChildren(...state.failures.map(failureBox));
  at("grid").hidden = state.asTable; at("table-box").hidden = !state.asTable;
  at("as-grid").setAttribute("aria-pressed", !state.asTable); at("as-table").setAttribute("aria-pressed", state.asTable);
  at("sort").value = ["score", "-score", "name"].includes(state.sort) ? state.sort : "";
  at("again").hidden = Boolean(running) || !isStale();
  at("again").textContent = good ? `Compare with the ${count(good, "good image")}` : "Score again";
  marking(good);
  if (state.asTable) refreshTable();
  refreshLarge();
  return refreshCards();
}
function failureBox(failure) {
  const box = make("div", "failure");
  box.append(make("b", "", failure.source), `${sentence(failure.rule)} Found: ${failure.value}. ${sentence(failure.remedy)}`);
  return box;
}
function marking(good) {
  const one = detector();
  if (!one) return;
  const able = one.needs_normal ? "This detector compares with good images: mark some, and compare." :
    "Know some that are good? Mark them, and the others are compared with these.";
  at("marking").textContent = !one.takes_normal ? "" : good ? `${count(good, "image")} marked as good. They have no score of their own.` : able;
}
/* Whether marks, detector or class have changed since the scores were made. */
const setting = () => JSON.stringify([at("detector").value, className(), usedMarks().map(item => item.id)]);
const usedMarks = () => detector() && detector().takes_normal ? marked() : [];
const isStale = () => state.items.length > 0 && state.scored !== setting();

function describe() {
  const one = detector();
  if (!one) return;
  const how = one.scores_together ? "Images are compared with one another: several of one kind work best." :
    one.needs_normal ? "Images are compared with those that you mark as good." : "Each image is judged by itself.";
  at("about").textContent = `${how} ${one.name} runs on ${one.backbone} at ${one.image_size} px.` +
    (one.remembers ? ` It remembers ${one.remembers}.` : "") + (one.calibration ? ` Calibrated: ${one.calibration}.` : "");
  at("class-name").disabled = Boolean(one.only_class);
  if (one.only_class) at("class-name").value = one.only_class;
  at("class-help").textContent = one.only_class ? "This detector was exported for these." : "In plain English, such as “metal nut”.";
  at("caveat").textContent = one.caveat;
  at("caveat").hidden = !one.caveat;
  at("drop-help").textContent = `PNG, JPEG, TIFF, BMP, WebP, DICOM and others; at most ${state.limits.max_files} at a time.`;
}

/* Scoring. */
function needed(fresh) {  // what is scored: all, where images are compared with one another or with good ones
  const one = detector(), normal = usedMarks(), rest = state.items.filter(item => !normal.includes(item));
  const whole = normal.length > 0 || one.scores_together && rest.length > 1;
  return { one, normal, whole, images: whole || !fresh ? rest : rest.filter(item => !item.result) };
}
function obstacle({ one, normal, images, whole }) {
  const limits = state.limits, bytes = [...images, ...normal].reduce((sum, item) => sum + item.file.size, 0);
  if (one.needs_normal && !normal.length) return new Problem("This detector compares with good images.", "Mark some as good, then compare.");
  if (!images.length) return normal.length ? new Problem("All images are marked as good.", "Add images to compare with them.") : null;
  if (one.needs_several && images.length < 2) return new Problem("This detector compares images with one another.", "Add more images of the same kind.");
  if (whole && images.length + normal.length > limits.max_files) {
    return new Problem(`At most ${limits.max_files} images are compared at a time; there are ${images.length + normal.length}.`, "Remove all, and add fewer.");
  }
  if (whole && bytes > limits.max_request_bytes) return new Problem("These images are too large to be compared at a time.", "Add fewer, or smaller ones.");
  return null;
}
async function score(fresh = false) {
  if (running) running.abort();
  hideProblem();
  const task = needed(fresh), blocked = task.one && obstacle(task);
  if (!task.one) return;
  if (blocked) { show(blocked); await refresh(); return; }
  const mine = running = new AbortController();
  state.isScoring = true;
  for (const item of [...task.images, ...task.normal]) { item.result = null; item.map = null; }
  if (task.whole || !fresh) Object.assign(state, { explanation: "", warnings: [] });
  const begun = setting();
  busy("Sending images", null);
  await refresh();
  try {
    await (task.whole ? together : singly)(task, mine.signal);
    state.scored = begun;
  } catch (error) {
    if (error.failures && error.failures.length) fail(error.failures, task.images);
    if (error.name !== "AbortError") troubled(error);
    else if (running === mine) say("Cancelled.");
  } finally {
    if (running === mine) { running = null; state.isScoring = false; at("busy").hidden = true; await refresh(); }
  }
  if (running === null && !at("problem").checkVisibility()) say(at("summary").textContent);
}
function busy(words, share) {
  at("busy").hidden = false;
  at("doing").textContent = words;
  if (share === null) at("progress").removeAttribute("value"); else at("progress").value = share;
}
const waits = seconds => busy(`The service is busy; next try in ${seconds} s`, null);
async function together({ one, images, normal }, signal) {
  const words = normal.length ? `Comparing ${count(images.length, "image")} with ${count(normal.length, "good image")}` :
    `Comparing ${count(images.length, "image")} with one another`;
  const uploaded = share => share < 1 ? busy(`Sending ${count(images.length + normal.length, "image")}`, share) : busy(words, null);
  const answer = await ask("/v1/predict", () => predictionForm(one, className(), images, normal), signal, { uploaded, busy: waits });
  await take(answer, images);
}
async function singly({ one, images }, signal) {
  const waiting = [...images];
  let done = 0;
  const work = async () => {
    for (let item; (item = waiting.shift());) {
      try {
        await take(await ask("/v1/predict", () => predictionForm(one, className(), [item], []), signal, { busy: waits }), [item]);
      } catch (error) {
        if (!error.failures || !error.failures.length) throw error;
        fail(error.failures, [item]);
      }
      signal.throwIfAborted();
      busy(`${++done} of ${count(images.length, "image")} scored`, done / images.length);
      await refresh();
    }
  };
  busy(`0 of ${count(images.length, "image")} scored`, 0);
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, images.length) }, work));
}
/* Results name their image by its number in the request. */
async function take(answer, images) {
  state.explanation = [answer.setting, answer.explanation.replace(" (--normal DIR)", "")].filter(Boolean).join(": ");
  state.warnings = answer.warnings;
  fail(answer.failures, images);
  await Promise.all(answer.predictions.map(async found => {
    const item = images[found.index], bytes = bytesOf(found.map);
    delete found.map;
    item.bytes = bytes; item.map = await decodeMap(bytes); item.result = found;
  }));
  const decided = answer.predictions.find(found => found.threshold !== null);
  if (decided && state.threshold === null) state.threshold = decided.threshold;
  const lined = answer.predictions.find(found => found.pixel_threshold !== null);
  if (lined) { state.outline = lined.pixel_threshold; at("outline").value = state.outline; }
}
function fail(failures, images) {
  const failed = failures.map(failure => images[failure.index]);
  state.items = state.items.filter(item => !failed.includes(item));
  state.failures.push(...failures);
}
function troubled(error) {
  if (error.status === 401) at("token-form").hidden = false;
  show(error instanceof Problem ? error : new Problem(`Something went wrong on this page: ${error.message}.`, "Reload it."));
}
function add(found) {
  if (!found.length) { show(new Problem("There is no image among these files.", "Choose PNG, JPEG, TIFF or other images.")); return; }
  const names = new Set(found.map(([, name]) => name));
  state.failures = state.failures.filter(failure => !names.has(failure.source));  // they are tried again
  for (const [file, name] of found) addItem(file, name);
  score(true);
}

/* Controls. */
function listen() {
  const drop = at("drop");
  addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", async event => {
    event.preventDefault();
    drop.classList.remove("over");
    add(await dropped(event.dataTransfer));
  });
  addEventListener("paste", event => { if (event.clipboardData.files.length) add(named([...event.clipboardData.files])); });
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"]]) {
    at(button).onclick = () => at(input).click();
    at(input).onchange = () => { add(named([...at(input).files])); at(input).value = ""; };
  }
  at("detector").onchange = () => { state.threshold = null; describe(); state.items.length ? score() : refresh(); };
  at("class-name").onchange = () => { if (state.items.length) score(); };
  at("cancel").onclick = () => { if (running) running.abort(); };
  at("again").onclick = () => score();
  at("clear").onclick = () => {
    if (running) running.abort();
    Object.assign(state, { items: [], failures: [], explanation: "", warnings: [], scored: null });
    hideProblem(); refresh(); at("choose").focus();
  };
  for (const name of ["threshold", "outline", "opacity"]) {
    at(name).oninput = () => { state[name] = Number(at(name).value); refresh(); };
    at(name).onchange = () => say(at("summary").textContent);
  }
  at("unset").onclick = () => { state.threshold = null; refresh(); at("threshold").focus(); };
  at("layer").onchange = () => { state.layer = at("layer").value; refresh(); };
  at("sort").onchange = () => { state.sort = at("sort").value; refresh(); };
  at("as-grid").onclick = () => { state.asTable = false; refresh(); };
  at("as-table").onclick = () => { state.asTable = true; refresh(); };
  at("more").onclick = () => { showMore(); refresh(); };
  at("csv").onclick = () => save(csv(), "scores.csv", "text/csv");
  at("coco").onclick = coco;
  at("token-form").onsubmit = event => { event.preventDefault(); useToken(at("token").value.trim()); at("token-form").hidden = true; begin(); };
  handlers.enlarge = enlarge;
  handlers.canMark = () => Boolean(detector() && detector().takes_normal);
  handlers.mark = item => { item.good = !item.good; say(`${item.name} ${item.good ? "marked as good" : "no longer marked as good"}.`); refresh(); };
  handlers.sort = key => {
    const first = key === "score" ? "score" : key;
    state.sort = state.sort === first ? `-${key}` : first;
    refresh();
  };
}
async function coco() {
  const items = scoredItems().filter(item => !item.good);
  const form = () => {
    const made = new FormData();
    made.set("pixel_threshold", String(state.outline));
    made.set("format", "coco");
    made.set("sizes", JSON.stringify(items.map(item => [item.result.rows, item.result.cols])));
    for (const item of items) made.append("maps", new Blob([item.bytes]), item.name);
    return made;
  };
  hideProblem();
  try {
    save(JSON.stringify(await ask("/v1/regions", form, new AbortController().signal)), "coco.json", "application/json");
  } catch (error) { troubled(error); }
}
async function begin() {
  hideProblem();
  try {
    const found = await detectors();
    state.detectors = found.detectors; state.limits = found.limits;
    at("detector").replaceChildren(...found.detectors.map(one => new Option(one.name, one.name)));
    const calibrated = found.detectors[0].calibrated_class;
    if (calibrated && at("class-name").value === "object") at("class-name").value = calibrated;
    at("foot").textContent = `zsad ${found.version}. Programs use the same service: POST /v1/predict, described by /openapi.json.`;
    describe();
  } catch (error) { troubled(error); }
}

at("scale").style.background = SCALE;
listen();
begin();
