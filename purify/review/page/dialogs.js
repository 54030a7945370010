// Dialogs: search of labels, the choice of a new label, help.

import { byId, el, label } from "./dom.js";
import { flagWords } from "./label.js";
import { search, trouble } from "./server.js";

// Fill `list` with the labels that match what is typed into `input`; `choose` is told of a click.
// What it returns refreshes the list, and its promise settles when that is done.
function searchList(input, list, choose, note = null) {
  let last = 0;
  return async () => {
    const mine = ++last;
    let found;
    try {
      found = await search(input.value);
    } catch (error) {
      trouble(error.message);
      return;
    }
    if (mine !== last) return; // typed on since
    list.replaceChildren(...found.map((one) => el("li", {},
      el("button", { type: "button", onclick: () => choose(one) }, label(one.label), " ",
        el("small", {}, [`${one.n} images`, one.reviewed ? `${one.reviewed} reviewed` : "", flagWords(one.flag)].filter(Boolean).join(" \u00b7 "))))));
    if (note) {
      const proposals = found.length ? "Labels that deserve a look: two people under one, or one person under two." : "Type a part of a label.";
      note.textContent = input.value.trim() ? `${found.length || "no"} labels` : proposals;
    }
  };
}

export function setUpSearch(open) {
  const dialog = byId("search"), input = byId("search-words");
  const choose = (one) => { dialog.close(); open(one.place); };
  const list = searchList(input, byId("search-found"), choose, byId("search-note"));
  let listed = Promise.resolve();
  const refresh = () => { listed = list(); };
  input.addEventListener("input", refresh);
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    if (event.submitter?.value === "close" && document.activeElement !== input) return;
    event.preventDefault(); // Enter in the field opens the first label
    const asked = listed;
    await asked; // of the words that are there now: the list may still be that of earlier ones
    if (dialog.open && asked === listed) byId("search-found").querySelector("button")?.click();
  });
  return () => { input.value = ""; refresh(); dialog.showModal(); input.focus(); };
}

export function setUpRelabel() {
  const dialog = byId("relabel"), input = byId("relabel-name");
  const refresh = searchList(input, byId("relabel-found"), (one) => finish(one.label));
  let settle = () => {};
  let suggested = null; // taken as it is unless someone types: a field of a form would change white space
  const finish = (name) => { const tell = settle; settle = () => {}; if (dialog.open) dialog.close(); tell(name); };
  input.addEventListener("input", () => { suggested = null; refresh(); });
  byId("relabel-close").addEventListener("click", () => finish(null));
  dialog.addEventListener("close", () => finish(null));
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = suggested ?? input.value.trim();
    if (name) finish(name);
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
