"use strict";
// What recurs in a data set: words and combinations, with inputs that open by a click.

const MOST = 60;
let shownFor = null;

function made(tag, text, name) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (name) node.className = name;
  return node;
}

function row(entry) {
  const item = document.createElement("li");
  const fold = document.createElement("details");
  const head = made("summary");
  head.append(made("span", entry.count, "count"), made("span", entry.mean, "mean"), made("span", entry.words, "title"));
  fold.append(head);
  for (const example of entry.examples) {
    const button = made("button", example.title, "open");
    button.type = "button";
    button.addEventListener("click", () => trigger("open", { id: example.id }));
    fold.append(button);
  }
  item.append(fold);
  return item;
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
  const label = made("label", "Label", "filter");
  const choice = document.createElement("select");
  for (const [place, group] of told.groups.entries()) {
    const option = made("option", group.label || "all labels");
    option.value = String(place);
    choice.append(option);
  }
  label.append(choice);
  const count = made("p", told.about, "count");
  const list = document.createElement("ul");
  const fill = () => list.replaceChildren(...told.groups[Number(choice.value)].rows.slice(0, MOST).map(row));
  choice.addEventListener("change", fill);
  root.append(label, count, list);
  fill();
}

show();
watch("value", show);
