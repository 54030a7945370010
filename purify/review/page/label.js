// One label: its groups (sub-centers, or the people of a proposed split) and merges, each decided at once.

import { byId, degrees, el, label, percent, toast } from "./dom.js";
import { face, strip, tag } from "./face.js";
import { decide, isReviewed, labelPage, trouble } from "./server.js";

const FLAGS = { mixed: "two people or more", duplicate_of: "same person as another label", weak_majority: "less than half agree", too_few: "too few images" };
const KINDS = { split: "Person", rest: "The rest, group", subcenter: "Sub-center" };
const SHOWN = 60;

export const flagWords = (flag) => FLAGS[flag] ?? "";

// Show the label at `place`. hooks: chooseLabel(startWith) -> Promise of a name or null; remember(entry, what); review(place).
export async function openLabel(place, hooks) {
  const root = byId("label-page");
  let page;
  try {
    page = await labelPage(place);
  } catch (error) {
    trouble(error.message);
    return false;
  }
  const again = () => openLabel(place, hooks);
  root.replaceChildren(
    el("p", {}, el("button", { type: "button", onclick: hooks.close }, "Back to the faces", el("kbd", {}, "Esc")), " ",
      el("button", { type: "button", onclick: () => hooks.review(page) }, "Review one by one")),
    el("h2", {}, label(page.label)),
    el("p", { class: "said" }, [`${page.n} images`, `${page.reviewed} reviewed`, `estimated noise ${percent(page.noise_rate)}`, flagWords(page.flag)].filter(Boolean).join(" \u00b7 ")),
    ...page.merges.map((merge) => mergeCard(page, merge, hooks, again)),
    ...page.groups.map((group) => groupCard(page, group, hooks, again)));
  return true;
}

function commit(rows, decision, newLabel, words, hooks, again) {
  if (!rows.length) {
    toast(["Nothing is chosen."]);
    return;
  }
  const entry = { id: null, rows };
  hooks.remember(entry);
  decide(rows, decision, newLabel, (outcome) => {
    entry.id = outcome.id;
    const others = outcome.conflicts.length ? ` ${outcome.conflicts.length} had been decided elsewhere in the meantime and stay so.` : "";
    toast([`${outcome.applied} faces: `, ...words, ".", others], { text: "Undo", run: () => hooks.undo() });
    again();
  });
}

function mergeCard(page, merge, hooks, again) {
  // Strangers under a label don't become the other person: what is to go elsewhere stays as it is.
  const joins = (one, to) => !isReviewed(one.row) && (one.decision === "keep" || (one.decision === "relabel" && one.new_label === to));
  const all = (from, to) => async () => {
    try {
      const source = from === page.label ? page : await labelPage(merge.place);
      const rows = source.groups.flatMap((group) => group.faces).filter((one) => joins(one, to)).map((one) => one.row);
      commit(rows, "relabel", to, ["relabel to ", label(to)], hooks, again);
    } catch (error) {
      trouble(error.message);
    }
  };
  return el("section", { class: "group" },
    el("h3", {}, "May be the same person as ", label(merge.label)),
    el("p", { class: "note" }, `${degrees(merge.angle)} between the two; ${merge.n} images there. Faces that were reviewed already, or are proposed to be dropped or to get yet another label, stay as they are.`),
    strip([...merge.faces, ...merge.theirs], "face of either label"),
    el("div", { class: "actions" },
      el("button", { type: "button", class: "move", onclick: all(page.label, merge.label) }, "Relabel these to ", label(merge.label)),
      el("button", { type: "button", class: "move", onclick: all(merge.label, page.label) }, "Relabel those to ", label(page.label)),
      el("button", { type: "button", onclick: () => hooks.open(merge.place) }, "Open ", label(merge.label))));
}

function groupCard(page, group, hooks, again) {
  const chosen = new Set(group.faces.filter((one) => !isReviewed(one.row)).map((one) => one.row));
  const count = el("span", {});
  const recount = () => { count.textContent = `${chosen.size} of ${group.faces.length} chosen`; };
  const picks = new Map();
  const set = (row, on) => {
    if (on) chosen.add(row); else chosen.delete(row);
    picks.get(row)?.setAttribute("aria-pressed", String(on));
    recount();
  };
  const list = el("ul", { class: "strip" });
  const show = (faces) => list.append(...faces.map((one, i) => {
    const name = `face ${list.childElementCount + i + 1}`;
    const pick = el("button", { type: "button", class: "pick", "aria-pressed": String(chosen.has(one.row)), title: one.sample_id, onclick: () => set(one.row, !chosen.has(one.row)) },
      el("figure", {}, face(one.row, name), el("figcaption", {}, degrees(one.angle_dominant), " ", tag(one))));
    picks.set(one.row, pick);
    return el("li", {}, pick);
  }));
  show(group.faces.slice(0, SHOWN));
  const more = group.faces.length > SHOWN
    ? el("button", { type: "button", onclick: () => { show(group.faces.slice(SHOWN)); more.remove(); } }, `Show the other ${group.faces.length - SHOWN}`) : null;
  recount();
  const go = (decision, newLabel, ...words) => commit([...chosen], decision, newLabel, words, hooks, again);
  const relabel = async () => {
    const name = await hooks.chooseLabel(group.kind === "split" ? `${page.label} (${group.number})` : page.label);
    if (name !== null) go("relabel", name, "relabel to ", label(name));
  };
  const title = group.kind === "rest" ? "In no group" : `${KINDS[group.kind]} ${group.number}`;
  return el("section", { class: "group", "aria-label": title },
    el("h3", {}, title),
    el("p", { class: "note" }, count, ". Click a face to leave it out or to take it in; those that were reviewed already are left out at first."),
    el("div", { class: "actions" },
      el("button", { type: "button", class: "keep", onclick: () => go("keep", null, "keep as ", label(page.label)) }, "Keep as ", label(page.label)),
      el("button", { type: "button", class: "drop", onclick: () => go("drop", null, "drop") }, "Drop"),
      el("button", { type: "button", class: "move", onclick: relabel }, "Relabel \u2026"),
      el("button", { type: "button", onclick: () => group.faces.forEach((one) => set(one.row, true)) }, "Choose all"),
      el("button", { type: "button", onclick: () => group.faces.forEach((one) => set(one.row, false)) }, "Choose none")),
    list, more);
}
