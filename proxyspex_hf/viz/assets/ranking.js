// For experts: the ranked list, with any index and every filter.
parts.ranking = (() => {
  let list, about, finding, foot, more;

  const spelled = (members) => members.flatMap((i, place) => {
    const gap = place > 0 && i !== members[place - 1] + 1;
    const joint = place ? [el("i", { "aria-hidden": "true", text: gap ? "× …" : "×" })] : [];
    return [...joint, el("b", {}, el("bdi", { text: data.labels[i] }), data.occurrence[i] ? el("sub", { text: data.occurrence[i] }) : null)];
  });
  const whisker = (low, high, largest) => {
    if (low === null || low === high) return null;
    // Across zero the whisker starts at the bar's own beginning.
    const sizes = [Math.abs(low), Math.abs(high)].map((end) => ((100 * end) / largest).toFixed(2));
    const near = low > 0 || high < 0 ? Math.min(...sizes.map(Number)) : 0, far = Math.max(...sizes.map(Number));
    return svg("path", { class: "whisker", d: `M${near} 2V8M${near} 5H${far}M${far} 2V8` });
  };
  const bar = (value, low, high, largest) =>
    svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: ((100 * Math.abs(value)) / largest).toFixed(2), height: 10 }), whisker(low, high, largest));
  const row = (term, largest) => {
    const [members, value, low, high, kind] = term;
    const [said, half] = numberParts(value, low, high, decimals());
    const node = el("div", { class: `row ${toneOfRow(term)}`, role: "button", "data-key": termKey(members), title: endsText(low, high, decimals()) || null },
      el("span", { class: "mark" }),
      el("span", { class: "value" }, said, el("span", { class: "half", text: half })),
      bar(value, low, high, largest),
      el("span", { class: "members", dir: "auto" }, spelled(members), kind && members.length > 1 ? el("span", { class: "kind", text: ` ${kind}` }) : null),
      el("span", { class: "order", text: members.length }, el("span", { class: "sr", text: ` ${data.nouns[members.length === 1 ? 0 : 1]}` })));
    node.addEventListener("click", () => choose(members));
    return el("li", {}, node);
  };
  const decimals = () => digitsOfTable(table());
  const rowNodes = () => [...list.querySelectorAll(".row")];

  const build = () => {
    const change = (name) => (value) => {
      view[name] = value;
      if (name !== "top") view.top = FIRST_ROWS;
      say("list");
    };
    about = el("p", { class: "fine" });
    finding = el("p", { class: "finding", text: data.finding ?? "" });
    list = el("ol", { class: "rows", tabindex: "-1", "aria-label": "Combinations, the strongest first" });
    foot = el("span", { role: "status" });
    more = button("Show all", () => change("top")(view.top === FIRST_ROWS ? Infinity : FIRST_ROWS));
    arrows(list, rowNodes, (node) => node.click());
    const index = el("select", { "aria-label": "Index", "data-id": "index", onchange: ({ target }) => change("index")(target.value) },
      tables().map(({ key, title }) => el("option", { value: key, text: title, selected: key === view.index })));
    const contains = el("input", { type: "search", placeholder: "contains …", value: view.contains, "aria-label": "Only combinations that contain", autocomplete: "off", spellcheck: "false", "data-id": "contains" });
    contains.addEventListener("input", () => change("contains")(contains.value));
    return el("section", { class: "ranking", "aria-label": "The ranked list" }, about,
      el("div", { class: "filters" }, index,
        choice("Size", [["all", "All"], ["1", "Single"], ["2", "Pairs"], ["3", "3+"]], view.order, change("order")),
        choice("Sign", [[0, "±", "both signs"], [1, "+", "above zero"], [-1, MINUS, "below zero"]], view.sign, change("sign")),
        contains),
      finding, list, el("p", { class: "foot" }, foot, more));
  };
  const draw = (what) => {
    if (!list?.isConnected) return; // another panel is open
    if (what === "lit") {
      const lit = view.lit;
      list.classList.toggle("dim", lit !== null && lit.length === 1 && !list.contains(document.activeElement));
      for (const node of rowNodes()) {
        const members = node.dataset.key.split("-").map(Number);
        node.parentElement.classList.toggle("on", lit !== null && lit.every((i) => members.includes(i)));
      }
      return;
    }
    if (["list", "all"].includes(what)) {
      const found = listed(), { title, about: meaning, reason, total, rows } = table();
      const largest = Math.max(...rows.map(reach), 1e-300);
      about.replaceChildren(el("b", { text: title }), `: ${meaning}.${data.scale.hint ? ` ${data.scale.hint}` : ""}`, reason ? el("span", { class: "bad", text: ` ${reason}` }) : "");
      finding.hidden = data.finding === null || view.index !== EFFECT;
      list.replaceChildren(...found.slice(0, view.top).map((term) => row(term, largest)));
      rove(rowNodes(), rowNodes()[0]);
      foot.textContent = `${Math.min(view.top, found.length)} of ${found.length}${total > rows.length ? ` (of ${total} found)` : ""}`;
      more.hidden = found.length <= FIRST_ROWS;
      more.textContent = view.top < found.length ? "Show all" : "Show fewer";
    }
    if (["list", "chosen", "all"].includes(what)) for (const node of rowNodes()) {
      const place = view.chosen.findIndex((members) => termKey(members) === node.dataset.key);
      node.setAttribute("aria-pressed", String(place >= 0));
      node.querySelector(".mark").textContent = place >= 0 ? String(place + 1) : "";
    }
  };
  return { build, draw };
})();
