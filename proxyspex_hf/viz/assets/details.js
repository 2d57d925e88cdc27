// For experts, folded: the list by any index, how far to trust it, plots, structure, code.
parts.details = (() => {
  let fold, panel, tabs;
  const rows = (head, body) => el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, body.map(([first, ...cells]) => el("tr", {}, el("th", { scope: "row", text: first }), cells.map((cell) => el("td", {}, cell)))))));
  const meter = (r2) => [svg("svg", { class: "meter", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 10 }), svg("rect", { width: 100 * clamp(r2 ?? 0, 0, 1), height: 10 })), el("span", { class: "num", text: r2Text(r2) })];

  const measured = () => {
    if (data.every_subset) return "over all subsets, by how likely each is when so many are kept";
    return data.left_out
      ? "on masks that were drawn at random, each predicted by a fit without it; masks count by how likely they are when so many are kept, and the last column says how many they are worth together"
      : "on masks that were not used for fitting";
  };
  const trust = () => {
    if (!data.scores.length) return [el("p", { text: data.exact ? "Every subset was asked of the model, so nothing had to be estimated." : "Faithfulness was not measured for this explanation." })];
    const chart = curve();
    return [el("div", { class: "side" }, el("div", {},
      rows(["Masks that keep", "This explanation, R²", "Additive only (LASSO)", data.left_out ? "Worth masks" : "Masks"], data.scores.map((score) =>
        [`${percent(score.density)} of the ${data.nouns[1]}`, [...meter(score.r2), el("span", { class: "word", text: `${r2Ends(score)} ${score.verdict}` })], meter(score.linear), String(score.masks)])),
      el("p", { class: "fine", text: `R² ${measured()}: 1 is perfect, 0 no better than a constant. ${data.scores.some((score) => r2Ends(score)) ? "In parentheses: its 90% interval. " : ""}90% kept is the neighbourhood of the actual input.` }),
      el("p", { class: "fine", text: data.noise === null ? "Noise floor of the model's values: not measured; it matters for quantized models and half precision." : `Noise floor of the model's values: ${data.noise.toPrecision(3)}.` })),
    chart ? el("div", {}, chart, el("p", { class: "fine", text: `R² when only the k largest terms are kept, as they are, by share of the input kept${curveMasks()}. A dip: terms that only later ones balance.` })) : null)];
  };
  const curveMasks = () => {
    if (data.every_subset) return ", on all subsets that were asked";
    return data.curve.fitted ? ", on the masks that were drawn; they were fitted, so it ends above the table’s" : ", on masks held out for the purpose";
  };
  const structure = () => {
    const { ks, dsr, scr, shr } = data.hierarchy, { orders, counts, share } = data.energy;
    return [el("div", { class: "side" },
      el("div", {}, el("h4", { text: "Are the parts of a combination there, too?" }),
        rows(["Largest terms", "one fewer (DSR)", "a staircase (SCR)", "all subsets (SHR)"], ks.map((k, i) => [String(k), percent(dsr[i]), percent(scr[i]), percent(shr[i])]))),
      el("div", {}, el("h4", { text: "Variance over uniform masks, by size" }),
        rows(["Size", "Terms", "Share"], orders.map((order, i) => [String(order), String(counts[i]), share[i] && share[i] < 0.001 ? "below 0.1%" : `${(100 * share[i]).toFixed(1)}%`]))))];
  };
  const code = () => {
    const block = el("pre", { tabindex: "0", "data-id": "code" }, el("code", { text: data.code }));
    const note = el("span", { class: "fine", role: "status" });
    const copy = button("Copy as Python", async () => {
      try {
        await navigator.clipboard.writeText(data.code);
        note.textContent = "Copied.";
      } catch {
        getSelection().selectAllChildren(block);
        note.textContent = "Selected: copy it with Ctrl+C.";
      }
    }, { "data-id": "copy" });
    const save = trigger ? button("Download JSON", () => trigger("save", { key: data.key }), { "data-id": "save" }) : null;
    return [el("div", { class: "actions" }, copy, save, note), block];
  };
  const facts = () => [el("dl", {}, data.facts.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { dir: "auto", text: value })]))];
  const explained = (text, content) => [el("p", { class: "fine", text }), content];
  const ranked = () => {
    const built = parts.ranking.build();
    queueMicrotask(() => parts.ranking.draw("all"));
    return [built];
  };
  const PANELS = {
    list: ["All effects", ranked],
    trust: ["How sure", trust],
    upset: ["UpSet", () => explained("Each column is one combination of the list (its filters apply): bar up, its value; dots below, its members.", upset())],
    matrix: ["Pairs", () => explained(`The area of a square is the size of a pair's effect, the diagonal each feature's own; hatched ${means()[1]}.`, matrix())],
    waterfall: ["Waterfall", () => explained(`From all ${data.nouns[1]} masked to the whole input, by Faith-Shapley values of single ${data.nouns[1]} and pairs, which add up to the difference.`, waterfall())],
    structure: ["Structure", structure],
    code: ["Python and JSON", code],
    facts: ["How it was made", facts],
  };
  const select = (name, focus) => {
    view.tab = Object.hasOwn(PANELS, name) ? name : "list";
    for (const tab of tabs) {
      const here = tab.dataset.tab === view.tab;
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
      if (here && focus) tab.focus();
    }
    if (data.indices === null && ["list", "waterfall", "upset"].includes(view.tab)) trigger("tables", { key: data.key });
    panel.setAttribute("aria-label", PANELS[view.tab][0]);
    panel.replaceChildren(...PANELS[view.tab][1]());
    remember?.();
  };
  // The figures behind a line of the story.
  const show = (name) => {
    fold.open = true;
    select(name);
    fold.scrollIntoView({ block: "start" });
    panel.focus({ preventScroll: true });
  };
  const build = () => {
    panel = el("div", { class: "panel", role: "tabpanel", tabindex: "-1" });
    tabs = Object.entries(PANELS).map(([name, [title]]) => button(title, () => select(name), { role: "tab", "data-tab": name }));
    const bar = el("div", { class: "tabs", role: "tablist", "aria-label": "Details" }, tabs);
    bar.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      select(tabs[(tabs.findIndex((tab) => tab.dataset.tab === view.tab) + step + tabs.length) % tabs.length].dataset.tab, true);
    });
    fold = el("details", { class: "card details", open: view.open, "data-id": "experts" },
      el("summary", { text: "For experts: every effect, plots, figures, code" }), bar, panel);
    fold.addEventListener("toggle", () => {
      view.open = fold.open;
      if (fold.open && !panel.childElementCount) select(view.tab);
      remember?.();
    });
    return fold;
  };
  const draw = (what) => {
    if (!fold.open) return what === "all" && panel.replaceChildren();
    if (what === "all" || (what === "list" && view.tab === "upset")) select(view.tab);
  };
  const hear = (name, message) => {
    if (name === "indices" && message.key === data.key) {
      if (message.error) return announce(message.error);
      data.indices = message.tables;
      if (!tables().some(({ key }) => key === view.index)) view.index = EFFECT;
      if (fold.open) select(view.tab);
      const known = new Set(tables().flatMap(({ rows }) => rows.map(([members]) => termKey(members))));
      if (view.wanted) view.chosen = view.wanted.filter((key) => known.has(key)).map(membersOf);
      view.wanted = null;
      say("chosen");
      return;
    }
    if (name !== "file" || message.key !== data.key) return;
    if (message.error) return announce(message.error);
    const link = el("a", { href: URL.createObjectURL(new Blob([message.text], { type: "application/json" })), download: `explanation-${data.key.slice(0, 8)}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return { build, draw, hear, show };
})();
