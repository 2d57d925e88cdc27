// What if: the explanation's answer at once, the model's on request, and the best removal sets.
parts.whatif = (() => {
  let ask, now, share, range, scale, restore, check, verdict, sizes, play, setNote, best, timer = null, pause = null;

  const out = () => removed().length;
  // Above the axis the answer, below it what it lies between, in rows where names would overprint.
  const strip = (value) => {
    const marks = [["empty", data.empty, "all out"], ["whole", data.full, "whole input"]];
    if (view.answer?.value !== undefined) marks.push(["model", view.answer.value, "model"]);
    const ends = known(removed()) ?? [value, value];
    const all = [...marks.map(([, x]) => x), value, ...ends], low = Math.min(...all), high = Math.max(...all);
    const span = high - low || 1, at = (x) => 4 + (92 * (x - low)) / span, edges = [];
    const row = (x, name) => {
      const left = at(x) < 12 ? at(x) : at(x) > 88 ? at(x) - 2.4 * name.length : at(x) - 1.2 * name.length;
      let free = edges.findIndex((edge) => edge + 2 < left);
      if (free < 0) free = edges.length;
      edges[free] = left + 2.4 * name.length;
      return free;
    };
    const placed = [...marks].sort((a, b) => a[1] - b[1]).map(([kind, x, name]) => svg("g", { class: `tick ${kind}` },
      svg("line", { x1: `${at(x)}%`, x2: `${at(x)}%`, y1: 5, y2: 19 }),
      svg("text", { x: `${at(x)}%`, y: 32 + 13 * row(x, name), "text-anchor": at(x) < 12 ? "start" : at(x) > 88 ? "end" : "middle", text: name })));
    scale.setAttribute("height", 24 + 13 * edges.length);
    scale.replaceChildren(
      svg("line", { class: "axis", x1: "2%", x2: "98%", y1: 12, y2: 12 }),
      svg("line", { class: "doubt", x1: `${at(ends[0])}%`, x2: `${at(ends[1])}%`, y1: 12, y2: 12 }),
      ...placed, svg("circle", { class: "now", cx: `${at(value)}%`, cy: 12, r: 6 }));
  };

  const askModel = () => {
    view.waiting = true;
    view.answer = null;
    draw("answer");
    trigger("check", { key: data.key, removed: removed() });
  };
  // How sure the answer is: Python knows, where it is not among what the page was given.
  const askSure = () => {
    clearTimeout(pause);
    if (data.exact || !data.predicted.length || known(removed())) return;
    if (trigger) pause = setTimeout(() => trigger("sure", { key: data.key, removed: removed() }), 200);
    else if (data.doubt) pause = setTimeout(() => {
      doubt ??= doubtOf(data.doubt);
      const [low, high] = doubt(view.kept);
      view.sure = { removed: removed(), low, high };
      draw("answer");
    }, 50);
  };
  const playSets = () => {
    if (timer) return stop();
    if (!view.removals) return wanted(() => playSets());
    timer = setInterval(() => (view.size >= view.removals.length ? stop() : pick(view.size + 1)), 1100);
    pick(view.size >= view.removals.length ? 1 : view.size + 1);
    draw("removals");
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    draw("removals");
  };
  let then = null;
  const wanted = (next) => {
    then = next;
    setNote.textContent = "Solving …";
    trigger("removals", { key: data.key });
  };
  const pick = (size) => {
    if (!view.removals) return wanted(() => pick(size));
    view.size = clamp(size, 0, view.removals.length);
    keep(without(view.size ? view.removals[view.size - 1].removed : []));
  };

  const build = () => {
    clearInterval(timer);
    timer = then = null;
    if (!canPredict()) return el("section", { class: "card whatif" }, el("h3", { text: "What if?" }), el("p", { class: "fine", text: "This explanation has too many terms for the page to compute with." }));
    ask = el("p", { class: "fine ask" });
    share = el("b", { class: "share-now" });
    now = el("output", { class: "now", "data-id": "prediction" });
    range = el("span", { class: "range fine", "data-id": "range" });
    scale = svg("svg", { class: "scale", width: "100%", height: 36, "aria-hidden": "true" });
    restore = button("Restore all", () => { view.size = 0; keep(whole()); });
    check = trigger ? button("Check with the model", askModel, { class: "primary", "data-id": "check" }) : null;
    verdict = el("p", { class: "verdict", role: "status", "data-id": "answer" });
    play = button("▶ Play", playSets, { "aria-label": "Play the best removals" });
    sizes = el("input", { type: "range", min: 0, max: Math.min(10, data.labels.length), value: 0, step: 1, "aria-label": "Best removal: how many", "data-id": "sizes" });
    sizes.addEventListener("input", () => {
      const size = Number(sizes.value);
      stop();
      pick(size);
    });
    setNote = el("p", { class: "fine", role: "status", "data-id": "set" });
    best = trigger ? el("details", { class: "best" }, el("summary", { text: "Best removals" }), el("div", { class: "slide" }, sizes, play), setNote) : null;
    return el("section", { class: "card whatif", "aria-label": "What if" },
      el("h3", { text: "What if?" }), ask,
      el("p", { class: "answer" }, share, now, range),
      scale, el("div", { class: "actions" }, check, restore), verdict, best);
  };

  const draw = (what) => {
    if (!canPredict() || !["kept", "answer", "removals", "all"].includes(what)) return;
    // Of the whole input the model's own answer is known.
    const fitted = predict(view.kept), value = out() ? fitted : data.full, p = shareOf(value), ends = known(removed());
    const [before, name] = verdictOf(value);
    share.textContent = p === null ? "" : data.scale.of === "likelihood" || data.scale.quoted ? `${percentText(p)} likely ` : `${before}${name} `;
    now.textContent = signed(value);
    now.dataset.value = String(value);
    now.title = data.score;
    const apart = !out() && signed(fitted) !== signed(value);
    range.textContent = apart ? `the explanation gives ${signed(fitted)}` : data.exact ? (data.differs ? "as it was answered" : "exact") : ends ? sharesText(ends) : data.predicted.length ? (trigger || data.doubt ? "…" : "interval not in this file") : "";
    ask.textContent = out() ? `${counted(removed())} taken out. Click again to put back.` : `Click ${data.nouns[1]} in the input to take them out.`;
    allow(restore, out() > 0);
    strip(value);
    if (["kept", "all"].includes(what)) askSure();
    if (!trigger) return;
    allow(check, !view.waiting && data.cannot_ask === null);
    check.textContent = view.waiting ? "Asking the model …" : "Check with the model";
    verdict.className = "verdict";
    if (data.cannot_ask !== null) verdict.textContent = data.cannot_ask;
    else if (view.answer?.error) {
      verdict.textContent = view.answer.error;
      verdict.classList.add("bad");
    } else if (view.answer) {
      // Of the whole input, too: what stands above it then is the model's own answer.
      const gap = fitted - view.answer.value, told = shareOf(view.answer.value);
      verdict.replaceChildren("The model says ", told === null ? "" : `${percentText(told)}, `, el("b", { "data-id": "model-value", "data-value": String(view.answer.value), text: signed(view.answer.value) }),
        `, the explanation ${signed(fitted)}: ${sizeText(Math.abs(gap))} apart.`);
    } else verdict.textContent = "";
    sizes.value = view.size;
    play.textContent = timer ? "❚❚ Pause" : "▶ Play";
    play.setAttribute("aria-label", timer ? "Pause" : "Play the best removals");
    const set = view.removals?.[view.size - 1], start = predict(whole());
    if (set) setNote.textContent = `${set.proven ? "Proven to move" : "The best set found in time: it moves"} the prediction most, by ${signed(set.predicted - start)}, of all sets of ${count(view.size)}.`;
    else if (!then) setNote.textContent = `Which ${data.nouns[1]} to remove to move the prediction most: slide, or play.`;
  };

  const hear = (name, message) => {
    if (message.key !== data.key || !["answer", "interval", "removals"].includes(name)) return;
    if (name === "answer") {
      view.waiting = false;
      if (message.error || message.removed.join() === removed().join()) view.answer = message;
      say("answer");
    } else if (name === "interval") {
      if (!message.error) view.sure = message;
      draw("answer");
    } else if (message.error) {
      then = null;
      setNote.textContent = message.error;
    } else {
      view.removals = message.sets;
      sizes.max = message.sets.length;
      const next = then;
      then = null;
      next?.();
      draw("removals");
    }
  };
  return { build, draw, hear };
})();
