// One face to decide on, with the evidence beside it.

import { degrees, el, label, percent } from "./dom.js";
import { hasImages, picture, reviewOf, reviewedNote } from "./server.js";

const REASONS = {
  near_dominant: "near the faces of its label",
  far_from_dominant: "far from the faces of its label",
  non_dominant_subcenter: "at another sub-center of its label",
  closer_to_other_label: "closer to another label",
  open_set: "like no label of the set",
  second_identity: "in a smaller group of a label that mixes people",
  duplicate_of: "its label is another name of the same person",
  same_picture: "the same picture, or nearly, is under another label too",
  near_duplicate_of: "nearly the same picture as another one of its label",
  uncertain: "doubtful",
  too_few_to_judge: "too few images to judge",
  hard: "hard to recognize, claimed by no other label",
  published_list: "kept or removed by a published list",
};
const KINDS = { keep: "keep", drop: "drop", relabel: "move", review: "move" };

// A decision in words: {decision, new_label} -> nodes.
export function inWords(decided) {
  if (decided.decision === "relabel") return ["relabel to ", label(decided.new_label)];
  return [{ keep: "keep", drop: "drop", review: "left to a person" }[decided.decision]];
}

// The image of a row, or "no image" if it is unavailable; null in a run without images.
export function face(row, alt, size = "small") {
  if (!hasImages()) return null;
  const image = el("img", { class: "face", src: picture(row, size), alt, loading: size === "small" ? "lazy" : "eager", decoding: "async", draggable: "false" });
  image.addEventListener("error", () => image.replaceWith(el("div", { class: "face none", role: "img", "aria-label": `${alt}: no image` }, "no image")));
  return image;
}

export function tag(one) {
  const decided = reviewOf(one.row) ?? one;
  const mark = reviewOf(one.row) ? "\u2713 " : "";
  return el("span", { class: `tag ${KINDS[decided.decision]}` }, mark, ...inWords(decided));
}

// The caption of a face; it names the sample in a run without images.
export const caption = (one, ...words) => el("figcaption", { title: one.sample_id }, ...(hasImages() ? [] : [label(one.sample_id), " "]), degrees(one.angle_dominant), ...words);

// Faces in a row, with those labels that are not `expected`.
export function strip(faces, what, expected = null) {
  return el("ul", { class: "strip" }, ...faces.map((one, i) =>
    el("li", {}, el("figure", {}, face(one.row, `${what} ${i + 1}`),
      caption(one, ...(one.label === expected ? [] : [" ", label(one.label)]))))));
}

function section(title, faces, what, empty, expected = null) {
  return el("section", {}, el("h3", {}, ...title), faces.length ? strip(faces, what, expected) : el("p", { class: "note" }, empty));
}

// The proposal that `Y` accepts; null where the rule left it to a person.
export const proposal = (item) => (item.decision === "review" ? null : { decision: item.decision, new_label: item.decision === "relabel" ? item.new_label : null });

// The photo of an aligned face, its box drawn, and why this face of it.
const photo = (item) => el("figure", { class: "photo" },
  el("img", { src: picture(item.row, "photo"), alt: "the photo, this face framed" }),
  el("figcaption", {}, `${item.photo.faces} ${item.photo.faces === 1 ? "face" : "faces"} in the photo: ${item.photo.why}`));

export function showItem(root, item, actions) {
  const review = reviewOf(item.row);
  const button = (kind, key, run, ...words) => el("button", { type: "button", class: kind, "data-key": key, onclick: run, disabled: !run }, ...words, el("kbd", {}, key));
  const proposed = proposal(item);
  const facts = [
    ["label is right", percent(item.p_clean)],
    ["angle to its label", degrees(item.angle_dominant)],
    ["angle to the other label", degrees(item.angle_other)],
    ["other label is right", percent(item.p_other)],
    ["neighbors agree", percent(item.neighbor_agreement)],
    ["images of the label", el("span", {}, `${item.class.n}, `, reviewedNote(item.label_place))],
    ["rule", item.rule],
  ];
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  root.className = "item";
  root.replaceChildren(
    el("div", { class: "subject" },
      face(item.row, "face to decide on", "large"),
      el("h2", { class: "name" }, label(item.label)),
      el("p", { class: "said" }, "Proposed: ", el("strong", {}, ...inWords(item)), `, ${REASONS[item.reason] ?? item.reason}`),
      review ? el("p", { class: "now" }, "Decided: ", ...inWords(review), review.reviewer ? " by " : "", review.reviewer ? label(review.reviewer) : null) : null,
      el("div", { class: "actions", id: "decide", role: "group", "aria-label": "Decision", tabindex: "-1" },
        button("keep strong", "K", actions.keep, "Keep"),
        button("drop strong", "D", actions.drop, "Drop"),
        button("move", "O", item.other_label ? actions.other : null, "It is ", item.other_label ? label(item.other_label) : "another"),
        button("move", "R", actions.relabel, "Relabel \u2026"),
        button("", "Y", proposed ? actions.accept : null, "As proposed"),
        button("", "S", actions.skip, "Skip"),
        button("", "L", actions.openLabel, "All of this label")),
      el("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      el("p", { class: "note" }, label(item.sample_id))),
    el("div", { class: "evidence" },
      section(["The label ", label(item.label)], item.own, "own face", "No other face under this label.", item.label),
      section(item.other_label ? ["The other label ", label(item.other_label)] : ["Another label"], item.other, "face of the other label", "No other label comes near.", item.other_label),
      section(["Nearest neighbors"], item.neighbors, "neighbor", "None."),
      item.photo ? el("section", {}, el("h3", {}, "The photo"), photo(item)) : null));
  // Keep the focus on the button used to decide.
  if (focused) (root.querySelector(`[data-key="${focused}"]:enabled`) ?? root.querySelector("#decide")).focus();
}
