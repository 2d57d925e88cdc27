"use strict";
// The explanations of a data set, the newest first. What strangers wrote stays text.

const MOST = 200;
let shownFor = null;

function made(tag, text, name) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (name) node.className = name;
  return node;
}

// The ids of those to compare, in the order in which they were ticked.
let ticked = [];
const compare = made("button", "", "compare");
compare.type = "button";
compare.addEventListener("click", () => trigger("compare", { ids: ticked }));
function tick(id, on) {
  ticked = [...ticked.filter((other) => other !== id), ...(on ? [id] : [])].slice(-2);
  for (const box of element.querySelectorAll("li input")) box.checked = ticked.includes(box.value);
  compare.disabled = ticked.length < 2;
  compare.textContent = ["Tick two to compare", "Tick one more to compare", "Compare the two"][ticked.length];
}

function box(entry) {
  const input = document.createElement("input");
  input.type = "checkbox";
  input.value = entry.id;
  input.checked = ticked.includes(entry.id);
  input.setAttribute("aria-label", `Compare: ${entry.title}`);
  input.addEventListener("change", () => tick(entry.id, input.checked));
  return input;
}

function row(entry) {
  const item = document.createElement("li");
  const button = made("button", "", "open");
  button.type = "button";
  button.append(
    made("span", entry.title, "title"),
    made("span", entry.strongest, "strongest"),
    made("span", entry.about, "about"),
  );
  button.addEventListener("click", () => trigger("open", { id: entry.id }));
  item.append(box(entry), button);
  return item;
}

function fill(list, count, entries, wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = entries.filter((entry) => {
    const all = `${entry.title} ${entry.strongest} ${entry.about} ${entry.id}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  list.replaceChildren(...found.slice(0, MOST).map(row));
  const more = found.length > MOST ? `, the first ${MOST} are shown: filter for others` : "";
  count.textContent = `${found.length} of ${entries.length} explanations${more}`;
}

function show() {
  if (props.value === shownFor) return;
  shownFor = props.value;
  const root = element.querySelector(".psx-listing");
  root.replaceChildren();
  ticked = [];
  let entries;
  try {
    entries = JSON.parse(props.value || "[]");
  } catch {
    entries = [];
  }
  if (!entries.length) return;
  const label = made("label", "Filter", "filter");
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "words, model, target …";
  label.append(input, ...(entries.length > 1 ? [compare] : []));
  const count = made("p", "", "count");
  count.setAttribute("role", "status");
  const list = document.createElement("ul");
  input.addEventListener("input", () => fill(list, count, entries, input.value));
  root.append(label, count, list);
  fill(list, count, entries, "");
  tick(null, false);
}

show();
watch("value", show);
