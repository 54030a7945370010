// The server: queries, decisions on their way to the disk, and the decisions of other tabs.

import { byId, el } from "./dom.js";

const RETRY_MS = 1000;
const POLL_MS = 2000;
const REFUSED = [404, 422];
const GONE = "the server doesn't answer (if it was stopped, start `purify review` again and open the address it prints)";

const tab = crypto.getRandomValues(new Uint32Array(4)).join("-"); // tells this tab's writes from those of others
let token = new URLSearchParams(location.search).get("token") ?? "";
let version = 0;
let start = "";
let images = true;
const reviews = new Map(); // row -> review; what this tab knows and has decided
const counts = new Map(); // place of a label -> { reviewed, version }
const waiting = []; // decisions and undos that the server hasn't acknowledged, in order
let sending = false;
let listener = () => {};

export const reviewOf = (row) => reviews.get(row) ?? null;
export const isReviewed = (row) => reviews.has(row);
export const hasImages = () => images;
export const picture = (row, size) => `/faces/${start}/${row}/${size}`;

async function ask(path, body = undefined) {
  const options = { headers: token ? { "x-purify-token": token } : {}, cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options).catch(() => { throw new Error(GONE); });
  if (response.ok) return response.json();
  let why = `${response.status} ${response.statusText}`;
  try { why = (await response.json()).error ?? why; } catch { /* not from our server */ }
  throw Object.assign(new Error(why), { status: response.status });
}

export const queue = (view, place, from, n) =>
  ask(`/api/queue?view=${view}&start=${from}&n=${n}${place === null ? "" : `&label=${place}`}`).then((page) => {
    page.items.forEach(noteItem);
    return page;
  });
export const item = (row) => ask(`/api/items/${row}`).then(noteItem);
export const search = (words) => ask(`/api/labels?q=${encodeURIComponent(words)}`).then((found) => {
  found.forEach((one) => noteCount(one.place, one));
  return found;
});
export const labelPage = (place) => ask(`/api/labels/${place}`).then((page) => {
  noteCount(place, page);
  page.groups.forEach((group) => group.faces.forEach(note));
  page.merges.forEach((merge) => [...merge.faces, ...merge.theirs].forEach(note));
  return page;
});

// Remember the reviews that came with faces. Decisions on their way to the server take precedence.
function note(one) {
  if (onTheWay().has(one.row)) return;
  if (one.review) reviews.set(one.row, one.review);
  else reviews.delete(one.row);
}

function noteItem(item) {
  noteCount(item.label_place, item.class);
  [item, ...item.own, ...item.other, ...item.neighbors].forEach(note);
  return item;
}

// Remember how many images of a label are reviewed, unless an earlier answer knew a later state.
function noteCount(place, { reviewed, version: at }) {
  if ((counts.get(place)?.version ?? -1) <= at) counts.set(place, { reviewed, version: at });
}

const inNumbers = (place) => `${counts.get(place)?.reviewed ?? 0} reviewed`;

// "3 reviewed", kept up to date while it is on the page.
export const reviewedNote = (place) => el("span", { "data-reviewed": place }, inNumbers(place));

const onTheWay = () => new Set(waiting.flatMap((entry) => entry.action?.rows ?? []));

export async function open(onChange) {
  const state = await ask("/api/state");
  ({ token, start, version, images } = state);
  state.page.items.forEach(noteItem);
  // The cookie opens the page from here on; the token needn't stay in the history of the browser.
  history.replaceState(null, "", location.pathname);
  listener = onChange;
  setInterval(poll, POLL_MS);
  window.addEventListener("beforeunload", (event) => { if (waiting.length) event.preventDefault(); });
  return state;
}

// Decide on rows: at once in this tab, then on the disk. `done` gets the outcome.
export function decide(rows, decision, newLabel, done) {
  const action = { rows, decision, new_label: newLabel, seen: version };
  for (const row of rows) reviews.set(row, { decision, new_label: newLabel, reviewer: null, at: null });
  waiting.push({ action, done });
  send();
}

// Take back a decision of this tab (the outcome of `decide`) or, with null, the last one on the disk.
export function undo(entry, done) {
  waiting.push({ undo: entry, done });
  send();
}

function take(answer) {
  if (answer.version < version) return; // overtaken by a later answer
  const rows = Object.keys(answer.reviews).map(Number);
  const held = onTheWay();
  for (const row of rows) {
    if (held.has(row)) continue; // decided here since; the server will judge which one holds
    if (answer.reviews[row] === null) reviews.delete(row);
    else reviews.set(row, answer.reviews[row]);
  }
  version = answer.version;
  for (const [place, reviewed] of Object.entries(answer.labels)) noteCount(Number(place), { reviewed, version });
  for (const node of document.querySelectorAll("[data-reviewed]")) node.textContent = inNumbers(Number(node.dataset.reviewed));
  listener(answer, rows);
}

async function send() {
  if (sending) return;
  sending = true;
  while (waiting.length) {
    show();
    const [first] = waiting;
    const undos = "undo" in first;
    if (undos && first.undo && first.undo.id === null) { // nothing of it was recorded
      waiting.shift();
      first.done([]);
      continue;
    }
    const stop = waiting.findIndex((entry) => "undo" in entry);
    const batch = undos ? [first] : waiting.slice(0, stop < 0 ? waiting.length : stop);
    let answer;
    try {
      answer = undos
        ? await ask("/api/undo", { tab, seen: version, id: first.undo?.id ?? null })
        : await ask("/api/reviews", { tab, seen: version, actions: batch.map((entry) => entry.action) });
    } catch (error) {
      if (REFUSED.includes(error.status)) { // it would be refused again
        waiting.splice(0, batch.length);
        batch.forEach((entry) => entry.action?.rows.forEach((row) => reviews.delete(row)));
        trouble(`Not recorded: ${error.message}`);
        continue;
      }
      trouble(`Not saved yet: ${error.message}. Keep this tab open; it keeps trying.`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      continue;
    }
    trouble("");
    waiting.splice(0, batch.length);
    take(answer);
    batch.forEach((entry, i) => entry.done(undos ? answer.rows : { id: answer.outcomes[i].action_id, ...answer.outcomes[i] }));
  }
  sending = false;
  show();
}

async function poll() {
  if (document.hidden || sending) return;
  try {
    const answer = await ask(`/api/changes?seen=${version}`);
    if (!sending) take(answer);
    trouble("");
  } catch (error) {
    trouble(`No answer: ${error.message}.`);
  }
}

function show() {
  const note = byId("saved");
  note.textContent = waiting.length ? `saving ${waiting.length} ...` : "all saved";
  note.classList.toggle("waiting", waiting.length > 0);
}

export function trouble(text) {
  const box = byId("trouble");
  if (box.textContent !== text) box.textContent = text;
  box.hidden = !text;
}
