// Two stories side by side, and what differs. What strangers wrote stays text.
const LOOKS = { for: "pos", against: "neg", joined: "mix", unsure: "unsure", idle: "idle" };
const look = ([name, step]) => `f ${LOOKS[name]}${step ? ` t${step}` : ""}`;
const runs = (parts) => parts.map(([kind, text]) =>
  (kind === "quoted" ? el("em", { class: "quoted" }, el("bdi", { text })) : kind === "number" ? el("span", { class: "num", text }) : text));

const picture = ({ picture: shown, regions, tints, labels, cut }) => {
  if (!shown) return null;
  const { width, height, png } = shown;
  return svg("svg", { class: `picture${Math.min(width, height) < 128 ? " small" : ""}`, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "The image" },
    svg("image", { width, height, href: `data:image/png;base64,${png}` }),
    cut ? svg("path", { class: "cut", d: cut[0], "fill-rule": "evenodd" }) : null,
    regions.map((d, i) => svg("path", { d, class: look(tints[i]), "fill-rule": "evenodd" }, svg("title", { text: labels[i] }))));
};
const written = ({ pieces, labels, regions, tints }) => {
  const feature = (text, i) => el({ for: "b", against: "i" }[tints[i][0]] ?? "span", { class: look(tints[i]), text });
  if (pieces.length)
    return pieces.map(([text, i, fixed]) => (i !== null ? feature(text, i) : fixed ? el("span", { class: "fixed", text }) : text));
  return regions.length ? [] : labels.flatMap((label, i) => [feature(label, i), " "]);
};
const story = (side) => el("section", { class: "card story" },
  el("p", { class: "kicker" }, el("bdi", { text: side.by }), " · ", el("bdi", { text: side.name })),
  el("h3", {}, side.verdict[0], el("strong", {}, el("bdi", { text: side.verdict[1] })), side.verdict[2]),
  side.flip.length ? el("p", { class: "flip" }, runs(side.flip)) : null,
  picture(side),
  side.cut ? el("p", { class: "fine", text: side.cut[1] }) : null,
  el("div", { class: "written plain", dir: "auto" }, written(side)),
  el("ul", { class: "together" }, side.together.map((parts) => el("li", {}, runs(parts)))));

const table = ({ sides, rows, more, about }) => {
  const head = (text) => el("th", { scope: "col" }, el("bdi", { text }));
  return el("section", { class: "card differs" }, el("h3", { text: "What differs" }),
    rows.length
      ? el("div", { class: "scroll" }, el("table", {},
          el("thead", {}, el("tr", {}, head("Effect"), head("Difference ± 90%"), sides.map(({ name }) => head(name)))),
          el("tbody", {}, rows.map(([labels, first, second, difference, sign]) => el("tr", {},
            el("th", { scope: "row" }, el("bdi", { text: labels })),
            el("td", { class: `num ${sign > 0 ? "pos" : "neg"}` }, el("b", { text: difference })),
            el("td", { class: "num", text: first }), el("td", { class: "num", text: second }))))))
      : el("p", { text: "No difference can be told from zero." }),
    more ? el("p", { class: "fine", text: `… and ${more} more.` }) : null,
    el("p", { class: "fine", text: about }));
};

const page = element.querySelector('[data-id="page"]'), first = [...page.childNodes];
const show = () => {
  element.querySelector(".psx").setAttribute("aria-busy", "false");
  if (!props.value) return page.replaceChildren(...first);
  const told = JSON.parse(props.value);
  page.replaceChildren(
    el("header", {}, el("h2", {}, el("bdi", { text: told.sides[0].name }), " beside ", el("bdi", { text: told.sides[1].name }))),
    el("div", { class: "pair" }, told.sides.map(story)), table(told));
  const address = new URL(`?${told.query}`, location.href).search;
  if (told.query && location.search !== address) history.pushState(null, "", `${location.pathname}${address}`);
};
show();
watch("value", show);
