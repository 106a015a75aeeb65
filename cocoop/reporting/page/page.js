"use strict";
// Sorts tables, filters by dataset and method, and opens everything for printing. The page is complete without it.

function valueOf(row, column) {
  const text = row.cells[column].textContent.trim();
  return { text, number: parseFloat(text.replace(/\u2212/g, "-").replace(/[,\u2013]/g, "")) };
}

function compare(one, other, words, sign) {
  if (words) return sign * one.text.localeCompare(other.text, "en", { numeric: true });
  const missing = Number.isNaN(one.number) - Number.isNaN(other.number);
  return missing || sign * (one.number - other.number) || 0;
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies];
  const original = bodies.map((body) => [...body.rows].filter((row) => !row.classList.contains("block")));

  function sort(column) {
    const head = heads[column];
    const words = head.classList.contains("word");
    const orders = words ? ["ascending", "descending", null] : ["descending", "ascending", null];
    const order = orders[(orders.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    if (order) head.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const by = (one, other) => compare(valueOf(one, column), valueOf(other, column), words, sign);
    // Rows within their block; blocks by their best row that is visible.
    const rows = original.map((block) => (order ? [...block].sort(by) : block));
    const first = rows.map((block) => block.find((row) => row.offsetParent !== null) || block[0]);
    const places = bodies.map((_, place) => place);
    if (order) places.sort((one, other) => by(first[one], first[other]));
    for (const place of places) {
      bodies[place].append(...rows[place]);
      table.append(bodies[place]);
    }
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
}

function filter() {
  for (const kind of ["dataset", "method"]) {
    const ticked = [...document.querySelectorAll(`input[name=${kind}]:checked`)];
    const wanted = new Set(ticked.map((box) => box.value));
    for (const item of document.querySelectorAll(`main [data-${kind}]`)) {
      const shown = !wanted.size || item.getAttribute(`data-${kind}`).split(" ").some((name) => wanted.has(name));
      item.classList.toggle(`no-${kind}`, !shown);
    }
    const count = document.getElementById(`chosen-${kind}`);
    if (count) count.textContent = wanted.size || "all";
  }
}

document.querySelectorAll("table.sort").forEach(sortable);
const form = document.getElementById("filters");
if (form) {
  form.hidden = false;
  form.addEventListener("change", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  filter(); // a browser may restore the ticks of an earlier visit
}
const closed = () => document.querySelectorAll("main details:not([open]):not(.settings)");
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...closed()];
  opened.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
