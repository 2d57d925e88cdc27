// The explanations of a data set, the newest first. What strangers wrote stays text.

const MOST = 200;
let shownFor = null;

// The ids of those to compare, in the order in which they were ticked.
let ticked = [];
const compare = button("", () => trigger("compare", { ids: ticked }), { class: "compare" });
function tick(id, on) {
  ticked = [...ticked.filter((other) => other !== id), ...(on ? [id] : [])].slice(-2);
  for (const box of element.querySelectorAll("li input")) box.checked = ticked.includes(box.value);
  compare.disabled = ticked.length < 2;
  compare.textContent = ["Tick two to compare", "Tick one more to compare", "Compare the two"][ticked.length];
}

function box(entry) {
  const onchange = () => tick(entry.id, input.checked);
  const input = el("input", { type: "checkbox", value: entry.id, "aria-label": `Compare: ${entry.title}`, onchange });
  input.checked = ticked.includes(entry.id);
  return input;
}

function row(entry) {
  const open = button("", () => trigger("open", { id: entry.id }), { class: "open" });
  open.append(...["title", "strongest", "about"].map((name) => el("span", { text: entry[name], class: name })));
  return el("li", {}, box(entry), open);
}

function list(items, count, entries, wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = entries.filter((entry) => {
    const all = `${entry.title} ${entry.strongest} ${entry.about} ${entry.id}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  items.replaceChildren(...found.slice(0, MOST).map(row));
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
  const items = el("ul");
  const count = el("p", { class: "count", role: "status" });
  const oninput = (event) => list(items, count, entries, event.target.value);
  const input = el("input", { type: "search", placeholder: "words, model, target …", oninput });
  const label = el("label", { text: "Filter", class: "filter" }, input, entries.length > 1 ? compare : null);
  root.append(label, count, items);
  list(items, count, entries, "");
  tick(null, false);
}

show();
watch("value", show);
