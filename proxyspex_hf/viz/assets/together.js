// Combinations as sentences; a click draws the brackets that join their members in the input.
parts.together = (() => {
  let list;
  const place = (members) => view.chosen.findIndex((other) => termKey(other) === termKey(members));
  const sentence = ({ members, parts: pieces, rank }) => {
    const node = el("button", { type: "button", class: `sentence ${toneOf(members)}`, "data-key": termKey(members) },
      el("span", { class: "mark", "aria-hidden": "true" }), el("span", { class: "said" }, quoted(pieces), rank ? el("span", { class: "fine", text: ` · ${rank}` }) : null));
    node.addEventListener("click", () => choose(members));
    const out = canPredict() ? button("Take out", () => takeOut(members), { class: "small", "aria-label": `Take out ${names(members)}` }) : null;
    return el("li", {}, node, out);
  };
  // What was chosen elsewhere has a row here, too: no badge in the input without one.
  const others = () => view.chosen.filter((members) => !data.together.some((told) => termKey(told.members) === termKey(members)))
    .map((members) => {
      const found = rowOf(members), name = ["quoted", names(members)];
      if (!found) return { members, rank: null, parts: [name] };
      const [from, [, value, low, high, kind]] = found;
      // What is no effect says of which index it is a score.
      const [what, digits] = from.key === EFFECT ? [kind ? ` ${kind}: ` : ": ", data.decimals] : [`, ${from.title}: `, digitsOfTable(from)];
      return { members, rank: null, parts: [name, ["text", what], ["number", withHalf(value, low, high, digits)]] };
    });
  const build = () => {
    list = el("ul", { class: "together", "aria-label": "Combinations" });
    return el("div", {}, el("h3", {}, "Together", data.together.length ? el("span", { class: "fine unit", text: ` ${data.score}${data.predicted.length ? ", ± 90%" : ""}` }) : null),
      data.finding ? el("p", { class: "finding", "data-id": "finding", text: data.finding }) : null, list);
  };
  const draw = (what) => {
    if (["chosen", "all"].includes(what)) {
      list.replaceChildren(...[...data.together, ...others()].map(sentence));
      for (const node of list.querySelectorAll(".sentence")) {
        const at = place(node.dataset.key.split("-").map(Number));
        node.setAttribute("aria-pressed", String(at >= 0));
        node.querySelector(".mark").textContent = at >= 0 ? String(at + 1) : "";
      }
    }
  };
  return { build, draw };
})();
