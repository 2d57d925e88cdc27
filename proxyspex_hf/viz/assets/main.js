// The page around the parts: in this order they are the story. Then what Python says, and the address.
const summary = () => {
  const strongest = data.terms.slice(0, 5).map(([members, ...effect]) => `${names(members)} ${withHalf(...effect.slice(0, 3))}`).join("; ");
  return `${strongest ? `Strongest effects: ${strongest}. ` : ""}${data.finding ? `${data.finding} ` : ""}${data.sure}`;
};
const shareBar = () => {
  const field = el("input", { class: "link", type: "text", readonly: true, hidden: true, "aria-label": "Link to this view", "data-id": "link" });
  const note = el("span", { class: "fine", role: "status" });
  const share = trigger ? button("Share", async () => {
    if (!data.source || data.source.startsWith("own=")) {
      note.textContent = "This explanation is kept here for an hour only. Push it to the Hub (tab “From the Hub”), then share.";
      return;
    }
    field.value = `${location.origin}${address()}`;
    field.hidden = false;
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      note.textContent = "Link copied.";
    } catch {
      note.textContent = "Copy the link with Ctrl+C.";
    }
  }, { "data-id": "share", "aria-label": "Share this view" }) : null;
  return el("div", { class: "share" }, pictureBar(), share, field, note);
};

// The address names the explanation and what was done to it: reload, Back and a copied address work.
const NAMED = ["example", "dataset", "id", "revision", "config", "own", "compare", "with"];
const named = (query) => NAMED.flatMap((name) => {
  const value = new URLSearchParams(query).get(name);
  return value === null ? [] : [[name, value]];
});
const address = () => {
  const query = new URLSearchParams(location.search), state = linkState().toString();
  for (const name of NAMED) query.delete(name);
  const kept = [data.source, query.toString()].filter(Boolean).join("&");
  return `${location.pathname}${kept ? `?${kept}` : ""}${state ? `#${state}` : ""}`;
};
// A link may shorten an id.
const isHere = () => {
  const wanted = named(location.search), own = new Map(named(data.source ?? ""));
  return wanted.length > 0 && wanted.every(([name, value]) => (own.get(name) ?? "").startsWith(value));
};
let settled = false, timer = null;
remember = () => {
  if (!trigger || !settled) return;
  clearTimeout(timer);
  timer = setTimeout(() => history.replaceState(null, "", address()), 150);
};

const display = (hash) => {
  const root = element.querySelector(".psx"), page = root.querySelector('[data-id="page"]');
  open(data, hash);
  const notes = [...data.notes, ...(data.warning ? [data.warning] : [])];
  const figures = button("The figures", () => parts.details.show("trust"), { class: "small", "data-id": "figures" });
  page.replaceChildren(
    el("header", {},
      el("div", { class: "top" }, el("p", { class: "kicker" }, el("bdi", { text: data.model }), " · ", el("bdi", { text: data.task })), shareBar()),
      parts.verdict.build(),
      el("p", { class: "sr", text: summary() }),
      notes.length ? el("ul", { class: "alerts", "aria-label": "Please note" }, notes.map((text) => el("li", { text }))) : null),
    el("div", { class: "main" },
      el("section", { class: "card story", "aria-label": "What matters" }, el("h3", { text: "What matters" }), parts.reading.build(), parts.together.build()),
      el("div", { class: "beside" }, parts.whatif.build(),
        el("p", { class: "sure", "data-id": "sure" }, el("b", { text: "How sure? " }), data.sure, " ", figures))),
    parts.details.build());
  say("all");
  if (trigger && view.wanted) trigger("tables", { key: data.key });
  root.setAttribute("aria-busy", "false");
  root.dataset.key = data.key ?? "";
};
const show = () => {
  if (!props.value) return;
  const first = data === null;
  clearTimeout(timer);
  data = JSON.parse(props.value);
  if (!trigger) return display("");
  const here = isHere(), coming = first && !here && named(location.search).length > 0;
  settled = false;
  display(here || (first && !coming) ? location.hash : "");
  if (coming) return; // what the link names is on its way
  if (here || first) history.replaceState(null, "", address());
  else history.pushState(null, "", address());
  settled = true;
};
const hearing = (name) => () => {
  if (!props[name] || !data) return;
  const message = JSON.parse(props[name]);
  steady(() => Object.values(parts).forEach((part) => part.hear?.(name, message)));
};
// What lies under the pointer, or under the keyboard's focus, is lit. The whole page listens: a row
// that is drawn anew under the pointer never hears that the pointer left.
const membersAt = (target) => {
  const node = target.closest(".input [data-i], .row, .sentence");
  return node ? (node.dataset.key ?? node.dataset.i).split("-").map(Number) : null;
};
element.addEventListener("mouseover", ({ target }) => view && light(membersAt(target)));
element.addEventListener("mouseleave", () => view && light(null));
element.addEventListener("focusin", ({ target }) => view && target.matches(":focus-visible") && light(membersAt(target)));
element.addEventListener("focusout", () => view && light(null));
element.addEventListener("keydown", ({ key }) => key === "Escape" && view && light(null));
watch("value", () => steady(show));
for (const name of ["answer", "interval", "indices", "removals", "file"]) watch(name, hearing(name));
if (trigger) window.addEventListener("popstate", () => {
  if (!data || !element.isConnected) return;
  clearTimeout(timer);
  if (isHere()) steady(() => display(location.hash));
  // Python chooses the tab, too.
  if (named(location.search).length) trigger("back", { query: location.search.slice(1) });
});
show();
