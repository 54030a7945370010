// Nodes from plain values. Text is always text: nothing here, or anywhere on the page, parses a string as HTML.

export const byId = (id) => document.getElementById(id);

// el("p", {class: "note", onclick: f, "aria-label": "x"}, "text", node, null) -> <p>
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// A label in its own direction, so that right-to-left text doesn't reorder its surroundings.
export const label = (text) => el("bdi", { class: "label", dir: "auto", title: text }, text);

export const percent = (share) => (share === null || share === undefined ? "not known" : `${Math.round(share * 100)} %`);

export const degrees = (angle) => (angle === null || angle === undefined ? "no angle" : `${angle.toFixed(1)}\u00b0`);

// Text for screen readers, in the one live region of the page.
export function announce(text) {
  byId("announcer").textContent = text;
}

let toastTimer;

// A message at the foot of the page, with an optional button {text, run}.
export function toast(parts, button = null, seconds = 6) {
  const box = byId("toast");
  box.replaceChildren(...parts);
  if (button) {
    const run = () => { box.hidden = true; button.run(); };
    box.append(el("button", { type: "button", onclick: run }, button.text));
  }
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, seconds * 1000);
}
