// What recurs in a data set: words and combinations, with inputs that open by a click.

const MOST = 60;
let shownFor = null;

function row(entry) {
  const parts = [[entry.count, "count"], [entry.mean, "mean"], [entry.words, "title"]];
  return el("li", {}, el("details", {},
    el("summary", {}, parts.map(([text, name]) => el("span", { text, class: name }))),
    entry.examples.map(({ id, title }) => button(title, () => trigger("open", { id }), { class: "open" }))));
}

function show() {
  if (props.value === shownFor) return;
  shownFor = props.value;
  const root = element.querySelector(".psx-listing");
  root.replaceChildren();
  let told;
  try {
    told = JSON.parse(props.value || "null");
  } catch {
    told = null;
  }
  if (!told) return;
  const list = el("ul");
  const onchange = () => list.replaceChildren(...told.groups[Number(chosen.value)].rows.slice(0, MOST).map(row));
  const chosen = el("select", { onchange },
    told.groups.map((group, value) => el("option", { value, text: group.label || "all labels" })));
  root.append(el("label", { text: "Label", class: "filter" }, chosen), el("p", { text: told.about, class: "count" }), list);
  onchange();
}

show();
watch("value", show);
