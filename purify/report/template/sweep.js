"use strict";
// Shows the removals at each setting from tables inside the page; only shares are computed here.
(function () {
  const section = document.getElementById("angles");
  const data = JSON.parse(section.dataset.sweep);
  const count = (value) => Math.round(value).toLocaleString("en-US");
  const percent = (part, whole) => (whole > 0 ? ((100 * part) / whole).toFixed(1) + "\u00a0%" : "-");
  const share = (value) => (value === null ? "-" : (100 * value).toFixed(1) + "\u00a0%");

  // A row: removed, share of all, wrong among them by their probabilities, right ones lost, precision, recall.
  function row(sweep, i) {
    const cells = [count(sweep.removed[i]), percent(sweep.removed[i], data.images)];
    if (sweep.wrong) cells.push(count(sweep.wrong[i]), count(sweep.removed[i] - sweep.wrong[i]));
    if (sweep.precision) cells.push(share(sweep.precision[i]), share(sweep.recall[i]));
    return cells;
  }

  function fill(name, sweep, i) {
    const cells = document.querySelectorAll('tr[data-live="' + name + '"] td');
    row(sweep, i).forEach((text, k) => { cells[k].textContent = text; });
  }

  function slider(id, show) {
    const box = document.getElementById(id + "-box");
    if (!box) return;
    const input = document.getElementById(id), said = document.getElementById(id + "-said");
    const update = () => {
      const [value, text] = show(Number(input.value));
      input.setAttribute("aria-valuetext", value);
      said.textContent = text;
    };
    input.addEventListener("input", update);
    box.hidden = false;
    update();
  }

  const removes = (sweep, i) => count(sweep.removed[i]) + " (" + percent(sweep.removed[i], data.images) + ")";

  const mark = document.getElementById("mark"), axis = data.axis;
  const strips = Array.from(document.querySelectorAll(".at-angle"));
  slider("angle", (i) => {
    const { at, official, paper } = data.angle, degrees = at[i];
    const reach = Math.min(Math.max((degrees - axis.low) / (axis.high - axis.low), 0), 1);
    mark.hidden = false;
    mark.style.left = 100 * (axis.left + (axis.right - axis.left) * reach) + "%";
    fill("official", official, i);
    fill("paper", paper, i);
    strips.forEach((strip) => {
      strip.hidden = !(Number(strip.dataset.from) <= degrees && degrees < Number(strip.dataset.to));
    });
    const value = degrees.toFixed(1) + "\u00b0";
    return [value, value + ": official would remove " + removes(official, i) + ", paper " + removes(paper, i)];
  });

  slider("precision", (i) => {
    const sweep = data.precision, value = (100 * sweep.at[i]).toFixed(1) + "\u00a0%";
    fill("calibrated", sweep, i);
    return [value, "at least " + value + " of the removed images wrong: calibrated would remove " + removes(sweep, i)];
  });
})();
