// The page: the face on the screen, the keys, and undo.

import { announce, byId, el, label, toast } from "./dom.js";
import { setUpRelabel, setUpSearch } from "./dialogs.js";
import { inWords, proposal, showItem } from "./face.js";
import { openLabel, updateLabel } from "./label.js";
import * as server from "./server.js";

const AHEAD = 12; // items per request
const LOW = 6; // request more when fewer are left
const RETRY_MS = 1000;
const SOON = 3; // items whose pictures are fetched in advance

const deck = { view: "informative", place: null, name: null, ahead: [], next: 0, ended: false, asking: null, behind: [], item: null, drawn: 0, turn: 0, preloads: 0 };
const done = []; // decisions of this tab that can be undone, the last one last

// Ask for more items; false: the server didn't answer.
function refill() {
  deck.asking ??= ask(deck.drawn).finally(() => { deck.asking = null; });
  return deck.asking;
}

async function ask(drawn) {
  try {
    const page = await server.queue(deck.view, deck.place, deck.next, AHEAD);
    if (drawn === deck.drawn) takePage(page); // else another view was chosen meanwhile
    return true;
  } catch (error) {
    server.trouble(error.message);
    return false;
  }
}

function takePage(page) {
  deck.next = page.next;
  deck.ended = page.next >= page.total;
  deck.ahead.push(...page.items);
}

// Prefetch the pictures of the next faces, after those on the screen.
async function preload() {
  const generation = ++deck.preloads;
  const shown = [...byId("review").querySelectorAll("img")];
  await Promise.allSettled(shown.map((image) => image.decode()));
  for (const item of deck.ahead.slice(0, SOON)) {
    const faces = [...item.own, ...item.other, ...item.neighbors].map((one) => server.picture(one.row, "small"));
    const images = [server.picture(item.row, "large"), ...faces].map((src) => Object.assign(new Image(), { fetchPriority: "low", src }));
    await Promise.allSettled(images.map((image) => image.decode()));
    if (generation !== deck.preloads) return; // another face is on the screen by now
  }
}

async function chooseView(view, place = null, name = null) {
  Object.assign(deck, { view, place, name, ahead: [], next: 0, ended: false, behind: [], item: null, drawn: deck.drawn + 1 });
  closeLabel();
  await advance();
}

// Show the next undecided face.
async function advance(spoken = "") {
  if (deck.item) deck.behind.push(deck.item);
  deck.item = null;
  const turn = ++deck.turn;
  for (;;) {
    while (deck.ahead.length && server.isReviewed(deck.ahead[0].row)) deck.ahead.shift();
    if (deck.ahead.length || deck.ended) break;
    const answered = await refill();
    if (!answered) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    if (turn !== deck.turn) return; // another key was pressed, or another view chosen
  }
  draw(deck.ahead.shift() ?? null, spoken);
  if (deck.ahead.length < LOW && !deck.ended) refill();
}

function draw(item, spoken = "") {
  deck.item = item;
  const root = byId("review");
  if (!item) {
    root.className = "";
    const what = deck.name === null ? ["Nothing is left in this view."] : ["Nothing is left of ", label(deck.name), "."];
    const all = el("button", { type: "button", onclick: () => chooseView("informative") }, "All labels");
    root.replaceChildren(el("h2", {}, ...what), el("p", {}, "Choose another view above. The reviews take effect with ", el("code", {}, "purify apply"), " or when the run is resumed."),
      ...(deck.place === null ? [] : [all]));
    announce(`${spoken} Nothing is left in this view.`);
    return;
  }
  showItem(root, item, actions);
  preload();
  if (deck.name !== null) {
    root.querySelector(".subject").prepend(el("p", { class: "note" }, "Only ", label(deck.name), " ", el("button", { type: "button", onclick: () => chooseView("informative") }, "All labels")));
  }
  announce(`${spoken} Face labeled ${item.label}. Proposed: ${item.decision}${item.decision === "relabel" ? ` to ${item.new_label}` : ""}.`);
}

function settle(decision, newLabel = null) {
  const item = deck.item;
  if (!item) return;
  const entry = { id: null, rows: [item.row] };
  done.push(entry);
  server.decide(entry.rows, decision, newLabel, (outcome) => {
    entry.id = outcome.id;
    if (!outcome.conflicts.length) return;
    if (done.includes(entry)) done.splice(done.indexOf(entry), 1);
    toast(["Someone decided this face meanwhile: ", ...inWords(server.reviewOf(item.row) ?? { decision: "review" }), ". It stays so."], { text: "Look again", run: () => show(item.row) }, 15);
  });
  const said = { keep: "Kept.", drop: "Dropped.", relabel: `Relabeled to ${newLabel}.` }[decision];
  advance(said);
}

async function show(row) {
  closeLabel();
  try {
    const item = await server.item(row);
    if (deck.item && deck.item.row !== row) deck.ahead.unshift(deck.item);
    deck.item = null;
    draw(item);
  } catch (error) {
    server.trouble(error.message);
  }
}

function undo() {
  const entry = done.pop() ?? null;
  server.undo(entry, async (rows) => {
    if (!rows.length) {
      toast([entry ? "That decision had not been recorded." : "There is nothing to undo."]);
      return;
    }
    announce(`Taken back: ${rows.length} faces.`);
    if (rows.length === 1 && byId("label-page").hidden) await show(rows[0]);
    else toast([`Taken back: ${rows.length} faces.`]);
  });
}

function back() {
  const item = deck.behind.pop();
  if (!item) return;
  if (deck.item) deck.ahead.unshift(deck.item);
  draw(item, "Back.");
}

async function open(place) {
  if (!(await openLabel(place, hooks))) return;
  byId("review").hidden = true;
  byId("label-page").hidden = false;
  byId("label-page").focus();
  scrollTo(0, 0);
}

function closeLabel() {
  if (byId("label-page").hidden) return;
  byId("label-page").hidden = true;
  byId("review").hidden = false;
  byId("review").focus();
  if (deck.item && server.isReviewed(deck.item.row)) advance();
}

const chooseLabel = setUpRelabel();
const openSearch = setUpSearch(open);
const hooks = {
  chooseLabel,
  close: closeLabel,
  open,
  remember: (entry) => done.push(entry),
  review: (page) => chooseView("informative", page.place, page.label),
  undo,
};

const actions = {
  keep: () => settle("keep"),
  drop: () => settle("drop"),
  other: () => deck.item?.other_label && settle("relabel", deck.item.other_label),
  accept: () => { const said = deck.item && proposal(deck.item); if (said) settle(said.decision, said.new_label); },
  relabel: async () => {
    const item = deck.item;
    if (!item) return;
    const name = await chooseLabel(item.other_label);
    if (name !== null && deck.item === item) settle("relabel", name);
  },
  skip: () => advance("Skipped."),
  openLabel: () => deck.item && open(deck.item.label_place),
};

const ON_A_FACE = { k: actions.keep, d: actions.drop, o: actions.other, r: actions.relabel, y: actions.accept, s: actions.skip, arrowright: actions.skip, b: back, arrowleft: back, l: actions.openLabel };
const ANYWHERE = { u: undo, "/": openSearch, "?": () => byId("help").showModal() };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea")) return;
  const key = event.key.toLowerCase();
  if (key === "escape") { closeLabel(); return; }
  if (!byId("keys-on").checked) return;
  const run = ANYWHERE[key] ?? (byId("label-page").hidden ? ON_A_FACE[key] : undefined);
  if (!run || (event.repeat && key !== "arrowright" && key !== "arrowleft")) return;
  event.preventDefault();
  run();
});

function progress(state) {
  byId("bar").max = state.n_borderline || 1;
  byId("bar").value = state.n_borderline_reviewed;
  for (const option of byId("view").options) {
    option.dataset.name ??= option.textContent;
    option.textContent = `${option.dataset.name} (${state.left[option.value]} left)`;
  }
  byId("progress-text").textContent = `${state.n_borderline_reviewed} of ${state.n_borderline} borderline, ${state.n_reviewed} of ${state.n} faces reviewed`;
}

byId("view").addEventListener("change", (event) => { chooseView(event.target.value); event.target.blur(); });
byId("search-open").addEventListener("click", openSearch);
byId("help-open").addEventListener("click", () => byId("help").showModal());
byId("undo").addEventListener("click", undo);
byId("keys-on").addEventListener("change", (event) => localStorage.setItem("keys", event.target.checked ? "on" : "off"));
byId("keys-on").checked = localStorage.getItem("keys") !== "off";

try {
  const state = await server.open((answer, rows) => {
    progress(answer);
    updateLabel(rows);
    if (deck.item && rows.includes(deck.item.row)) draw(deck.item);
    // Reopen a finished view when a decision is undone elsewhere.
    else if (!deck.item && deck.ended && byId("label-page").hidden && rows.some((row) => !server.isReviewed(row))) chooseView(deck.view, deck.place, deck.name);
  });
  byId("no-images").hidden = server.hasImages();
  document.body.classList.toggle("named", !server.hasImages());
  progress(state);
  takePage(state.page);
  byId("run").textContent = state.run;
  document.title = `Review ${state.run}`;
  byId("view").value = "informative";
  await advance();
} catch (error) {
  byId("loading").hidden = true;
  server.trouble(error.message);
}
