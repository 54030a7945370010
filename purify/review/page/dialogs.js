// Dialogs: label search, and the choice of a new label.

import { byId, el, label } from "./dom.js";
import { flagWords } from "./label.js";
import { reviewedNote, search, trouble } from "./server.js";

const fold = (text) => text.normalize("NFKC").toLowerCase().replaceAll("_", " ").trim();

// The labels that match the text of `input`, as options in `list`; arrow keys move the highlight, `enter` takes it.
// An exact match is highlighted first, else the first match. `create`, if given, takes text that is no label yet.
function labelList(dialog, input, list, { choose, create = null, note = null }) {
  let options = [], active = -1, asked = 0, listed = Promise.resolve();
  const option = (run, ...words) => options.push({ run, button: el("button", { type: "button", role: "option", id: `${list.id}-${options.length}`, onclick: run }, ...words) });
  const highlight = (place) => {
    active = Math.min(place, options.length - 1);
    options.forEach(({ button }, i) => button.setAttribute("aria-selected", String(i === active)));
    input.setAttribute("aria-activedescendant", options[active]?.button.id ?? "");
    options[active]?.button.scrollIntoView({ block: "nearest" });
  };
  const fill = async () => {
    const text = input.value.trim(), mine = ++asked;
    const found = await search(input.value).catch((error) => { trouble(error.message); return []; });
    if (mine !== asked) return; // typing went on
    options = [];
    for (const one of found) {
      option(() => choose(one), label(one.label), " ", el("small", {}, `${one.n} images, `, reviewedNote(one.place), flagWords(one.flag) && ` \u00b7 ${flagWords(one.flag)}`));
    }
    const exact = found.findIndex((one) => one.label === text);
    const alike = found.findIndex((one) => fold(one.label) === fold(text));
    if (create && text && exact < 0) option(() => create(text), "New label: ", label(text));
    list.replaceChildren(...options.map(({ button }) => el("li", { role: "presentation" }, button)));
    highlight(exact >= 0 ? exact : alike >= 0 ? alike : create && !text ? -1 : 0);
    note?.(found.length);
  };
  const refresh = () => { listed = fill(); };
  input.addEventListener("input", refresh);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    highlight(Math.max(0, active + step));
  });
  const enter = async () => {
    const mine = asked;
    await listed; // the list may still be that of earlier text
    if (dialog.open && mine === asked) options[active]?.run();
  };
  return { refresh, enter };
}

export function setUpSearch(open) {
  const dialog = byId("search"), input = byId("search-words");
  const choose = (one) => { dialog.close(); open(one.place); };
  const note = (n) => {
    const proposals = n ? "Labels worth a look: several people under one label, or one person under several." : "Type part of a label.";
    byId("search-note").textContent = input.value.trim() ? `${n || "no"} labels` : proposals;
  };
  const { refresh, enter } = labelList(dialog, input, byId("search-found"), { choose, note });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    if (event.submitter?.value === "close" && document.activeElement !== input) return;
    event.preventDefault();
    enter();
  });
  return () => { input.value = ""; refresh(); dialog.showModal(); input.focus(); };
}

export function setUpRelabel() {
  const dialog = byId("relabel"), input = byId("relabel-name");
  let settle = () => {};
  let suggested = null; // taken verbatim until the user types or moves: a form field would change its white space
  const finish = (name) => { const tell = settle; settle = () => {}; if (dialog.open) dialog.close(); tell(name); };
  const { refresh, enter } = labelList(dialog, input, byId("relabel-found"), { choose: (one) => finish(one.label), create: finish });
  input.addEventListener("input", () => { suggested = null; });
  input.addEventListener("keydown", (event) => { if (event.key.startsWith("Arrow")) suggested = null; });
  byId("relabel-close").addEventListener("click", () => finish(null));
  dialog.addEventListener("close", () => finish(null));
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (suggested) finish(suggested); else enter();
  });
  // Ask for a label, starting with `suggestion`; null if cancelled.
  return (suggestion) => new Promise((resolve) => {
    settle = resolve;
    suggested = suggestion;
    input.value = suggestion ?? "";
    refresh();
    dialog.showModal();
    input.select();
  });
}
