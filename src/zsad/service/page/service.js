/* The API, with progress, waiting where the service is busy, and errors that people understand. */

export class Problem extends Error {
  constructor(words, remedy = "", status = 0, failures = []) {
    super(words);
    this.remedy = remedy; this.status = status; this.failures = failures;
  }
}
const KEY = "zsad-token";
const MOST_TRIES = 60;
let token = sessionStorage.getItem(KEY) || "";
export function useToken(text) { token = text; sessionStorage.setItem(KEY, text); }
const headers = () => token ? { Authorization: `Bearer ${token}` } : {};

export const sentence = words => !words ? "" : `${words[0].toUpperCase()}${words.slice(1)}${/[.?!]$/.test(words) ? "" : "."}`;

function problem(status, body) {
  let told = {};
  try { told = JSON.parse(body); } catch { /* a proxy may answer something else */ }
  if (status === 401) return new Problem("This service asks for an access token.", "Enter the one you were given.", status);
  if (!told.rule) return new Problem(`The service answered ${status || "nothing"}.`, "Try again in a moment.", status);
  return new Problem(`${sentence(told.rule)} Found: ${told.value}.`, sentence(told.remedy), status, told.failures);
}
const unreachable = () =>
  new Problem("The service does not answer.", "Is zsad serve still running? Start it again, and try once more.");

export async function detectors() {
  let answer;
  try { answer = await fetch("/v1/detectors", { headers: headers() }); } catch { throw unreachable(); }
  if (!answer.ok) throw problem(answer.status, await answer.text());
  return answer.json();
}

/* One request; fetch tells nothing of the upload, so this is the older way. */
function send(path, form, signal, uploaded) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = event => uploaded(event.loaded / (event.total || 1));
    request.onload = () => resolve(request);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
const pause = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("cancelled", "AbortError")); });
});

/* The answer to a form; where the service is busy, it is asked again when it says so. */
export async function ask(path, makeForm, signal, { uploaded = () => {}, busy = () => {} } = {}) {
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted();
    const answer = await send(path, makeForm(), signal, uploaded);
    if (answer.status === 200) return JSON.parse(answer.responseText);
    if (answer.status !== 429 || tries >= MOST_TRIES) throw problem(answer.status, answer.responseText);
    const seconds = Math.min(Number(answer.getResponseHeader("Retry-After")) || 1, 30);
    busy(seconds);
    await pause(seconds, signal);
  }
}

export function predictionForm(detector, className, images, normal) {
  const form = new FormData();
  form.set("detector", detector.name);
  form.set("class_name", className);
  form.set("maps", "png");
  form.set("map_side", "512");
  for (const item of images) form.append("images", item.file, item.name);
  for (const item of normal) form.append("normal", item.file, item.name);
  return form;
}
