// One label: its groups (sub-centers, or the people of a proposed split) and merges, each decided as a whole.

import { byId, degrees, el, label, percent, toast } from "./dom.js";
import { caption, face, strip, tag } from "./face.js";
import { decide, isReviewed, labelPage, reviewedNote, trouble } from "./server.js";

const FLAGS = { mixed: "several people", duplicate_of: "same person as another label", weak_majority: "less than half agree", too_few: "too few images" };
const KINDS = { split: "Person", rest: "The rest, group", subcenter: "Sub-center" };
const SHOWN = 60;
let updates = []; // callbacks of the groups on the page, given the rows decided or undone

export const flagWords = (flag) => FLAGS[flag] ?? "";

// Show the label at `place`. hooks: chooseLabel(startWith) -> Promise of a name or null; remember(entry); review(page).
export async function openLabel(place, hooks) {
  const root = byId("label-page");
  let page;
  try {
    page = await labelPage(place);
  } catch (error) {
    trouble(error.message);
    return false;
  }
  updates = [];
  root.replaceChildren(
    el("p", {}, el("button", { type: "button", onclick: hooks.close }, "Back to the faces", el("kbd", {}, "Esc")), " ",
      el("button", { type: "button", onclick: () => hooks.review(page) }, "Review one by one")),
    el("h2", {}, label(page.label)),
    el("p", { class: "said" }, `${page.n} images \u00b7 `, reviewedNote(place), ["", `estimated noise ${percent(page.noise_rate)}`, flagWords(page.flag)].filter((part, i) => !i || part).join(" \u00b7 ")),
    ...page.merges.map((merge) => mergeCard(page, merge, hooks)),
    ...page.groups.map((group) => groupCard(page, group, hooks)));
  return true;
}

// Show changes to `rows`, made here or in another tab.
export const updateLabel = (rows) => updates.forEach((update) => update(rows));

function commit(rows, decision, newLabel, words, hooks) {
  if (!rows.length) {
    toast(["Nothing is chosen."]);
    return;
  }
  const entry = { id: null, rows };
  hooks.remember(entry);
  decide(rows, decision, newLabel, (outcome) => {
    entry.id = outcome.id;
    const others = outcome.conflicts.length ? ` ${outcome.conflicts.length} were decided elsewhere in the meantime and stay so.` : "";
    toast([`${outcome.applied} faces: `, ...words, ".", others], { text: "Undo", run: () => hooks.undo() });
  });
}

function mergeCard(page, merge, hooks) {
  // Strangers under a label don't become the other person: faces with another proposal stay as they are.
  const joins = (one, to) => !isReviewed(one.row) && (one.decision === "keep" || (one.decision === "relabel" && one.new_label === to));
  const all = (from, to) => async () => {
    try {
      const source = from === page.label ? page : await labelPage(merge.place);
      const rows = source.groups.flatMap((group) => group.faces).filter((one) => joins(one, to)).map((one) => one.row);
      commit(rows, "relabel", to, ["relabel to ", label(to)], hooks);
    } catch (error) {
      trouble(error.message);
    }
  };
  return el("section", { class: "group" },
    el("h3", {}, "May be the same person as ", label(merge.label)),
    el("p", { class: "note" }, `${degrees(merge.angle)} between the two; ${merge.n} images there. Reviewed faces, and those proposed for dropping or for a third label, stay as they are.`),
    strip([...merge.faces, ...merge.theirs], "face of either label"),
    el("div", { class: "actions" },
      el("button", { type: "button", class: "move", onclick: all(page.label, merge.label) }, "Relabel these to ", label(merge.label)),
      el("button", { type: "button", class: "move", onclick: all(merge.label, page.label) }, "Relabel those to ", label(page.label)),
      el("button", { type: "button", onclick: () => hooks.open(merge.place) }, "Open ", label(merge.label))));
}

// Dropping a group spares its faces with a proposed relabel.
const spare = (n) => (n ? ` ${n} proposed ${n === 1 ? "relabel is" : "relabels are"} kept when the group is dropped.` : "");

function groupCard(page, group, hooks) {
  const chosen = new Set(group.faces.filter((one) => !isReviewed(one.row)).map((one) => one.row));
  const count = el("span", {});
  const moves = (row) => moving.has(row) && !isReviewed(row);
  const moving = new Set(group.faces.filter((one) => one.decision === "relabel").map((one) => one.row));
  const spared = el("span", {});
  const recount = () => {
    count.textContent = `${chosen.size} of ${group.faces.length} chosen`;
    spared.textContent = spare([...moving].filter(moves).length);
  };
  const picks = new Map();
  const set = (row, on) => {
    if (on) chosen.add(row); else chosen.delete(row);
    picks.get(row)?.setAttribute("aria-pressed", String(on));
  };
  const setAll = (on) => { group.faces.forEach((one) => set(one.row, on)); recount(); };
  const list = el("ul", { class: "strip" });
  const show = (faces) => list.append(...faces.map((one, i) => {
    const name = `face ${list.childElementCount + i + 1}`;
    const pick = el("button", { type: "button", class: "pick", "aria-pressed": String(chosen.has(one.row)), title: one.sample_id, onclick: () => { set(one.row, !chosen.has(one.row)); recount(); } },
      el("figure", {}, face(one.row, name), caption(one, " ", tag(one))));
    picks.set(one.row, pick);
    return el("li", {}, pick);
  }));
  show(group.faces.slice(0, SHOWN));
  const more = group.faces.length > SHOWN
    ? el("button", { type: "button", onclick: () => { show(group.faces.slice(SHOWN)); more.remove(); } }, `Show the other ${group.faces.length - SHOWN}`) : null;
  recount();
  // Decided faces leave the selection, and return to it when their decision is undone.
  updates.push((rows) => {
    for (const one of group.faces.filter((any) => rows.includes(any.row))) {
      set(one.row, !isReviewed(one.row));
      picks.get(one.row)?.querySelector(".tag").replaceWith(tag(one));
    }
    recount();
  });
  const go = (decision, newLabel, ...words) => commit([...chosen], decision, newLabel, words, hooks);
  const drop = () => {
    const rows = [...chosen].filter((row) => !moves(row));
    const rest = spare(chosen.size - rows.length);
    if (chosen.size && !rows.length) toast(["Nothing is dropped.", rest]);
    else commit(rows, "drop", null, rest ? ["drop.", rest.slice(0, -1)] : ["drop"], hooks);
  };
  const relabel = async () => {
    const name = await hooks.chooseLabel(group.kind === "split" ? `${page.label} (${group.number})` : page.label);
    if (name !== null) go("relabel", name, "relabel to ", label(name));
  };
  const title = group.kind === "rest" ? "In no group" : `${KINDS[group.kind]} ${group.number}`;
  return el("section", { class: "group", "aria-label": title },
    el("h3", {}, title),
    el("p", { class: "note" }, count, ". Click a face to take it in or out; reviewed faces start out.", spared),
    el("div", { class: "actions" },
      el("button", { type: "button", class: "keep", onclick: () => go("keep", null, "keep as ", label(page.label)) }, "Keep as ", label(page.label)),
      el("button", { type: "button", class: "drop", onclick: drop }, "Drop"),
      el("button", { type: "button", class: "move", onclick: relabel }, "Relabel \u2026"),
      el("button", { type: "button", onclick: () => setAll(true) }, "Choose all"),
      el("button", { type: "button", onclick: () => setAll(false) }, "Choose none")),
    list, more);
}
