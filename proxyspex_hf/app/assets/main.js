// The page around the parts: headline, notes, share link; and what Python says.
const runs = (pieces) => pieces.map(([kind, text]) => {
  if (kind === "text") return text;
  if (kind === "name") return el("strong", {}, el("bdi", { text }));
  if (kind === "quoted") return el("span", {}, "“", el("bdi", { text }), "”");
  return el("span", { class: `num ${kind}`, text });
});
const summary = () => {
  const strongest = data.terms.slice(0, 5).map(([members, ...effect]) => `${names(members)} ${withHalf(...effect.slice(0, 3))}`).join("; ");
  const trusted = data.scores.map((score) => `${percent(score.density)} kept: R² ${r2Text(score.r2)}${r2Ends(score)}, ${score.verdict}`).join("; ");
  return `${strongest ? `Strongest effects: ${strongest}. ` : ""}${data.finding ? `${data.finding} ` : ""}${trusted ? `Faithfulness, by share of ${data.nouns[1]} kept: ${trusted}.` : ""}`;
};
const shareBar = () => {
  const field = el("input", { class: "link", type: "text", readonly: true, hidden: true, "aria-label": "Link to this view", "data-id": "link" });
  const note = el("span", { class: "fine", role: "status" });
  const share = button("Share this view", async () => {
    if (!data.source) {
      note.textContent = "This explanation is only in your session. Push it to the Hub (tab “From the Hub”), then share.";
      return;
    }
    const state = linkState().toString();
    field.value = `${location.origin}${location.pathname}?${data.source}${state ? `#${state}` : ""}`;
    field.hidden = false;
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      note.textContent = "Link copied.";
    } catch {
      note.textContent = "Copy the link with Ctrl+C.";
    }
  }, { "data-id": "share" });
  return el("div", { class: "share" }, share, field, note);
};
const show = () => {
  const root = element.querySelector(".psx"), page = root.querySelector('[data-id="page"]');
  if (!props.value) return;
  open(JSON.parse(props.value));
  const notes = [...data.notes, ...(data.warning ? [data.warning] : [])];
  const [reading, ranking, whatif, details] = parts.map((part) => part.build());
  page.replaceChildren(
    el("header", {},
      el("div", { class: "top" }, el("p", { class: "kicker" }, el("bdi", { text: data.model }), " · ", el("bdi", { text: data.task })), shareBar()),
      el("h2", {}, runs(data.headline)),
      el("p", { class: "sr", text: summary() }),
      notes.length ? el("ul", { class: "alerts", "aria-label": "Please note" }, notes.map((text) => el("li", { text }))) : null),
    el("div", { class: "main" }, el("div", { class: "column" }, reading, whatif), ranking), details);
  say("all");
  root.setAttribute("aria-busy", "false");
  root.dataset.key = data.key;
};
const hearing = (name) => () => {
  if (!props[name] || !data) return;
  const message = JSON.parse(props[name]);
  for (const part of parts) part.hear?.(name, message);
};
element.addEventListener("keydown", ({ key }) => key === "Escape" && view && light(null));
watch("value", show);
for (const name of ["answer", "removals", "file"]) watch(name, hearing(name));
show();
