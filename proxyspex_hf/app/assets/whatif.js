// What if: the explanation's answer at once, the model's on request, and the best removal sets.
parts.push((() => {
  let ask, now, was, scale, restore, caveat, check, verdict, sizes, play, setNote, timer = null;

  const out = () => removed().length;
  const near = () => {
    const share = 1 - out() / data.labels.length;
    const byDistance = [...data.scores].sort((a, b) => Math.abs(a.density - share) - Math.abs(b.density - share))[0];
    return byDistance && Math.abs(byDistance.density - share) <= 0.15 ? byDistance : null;
  };
  const trust = () => {
    if (data.exact) return "Every subset was asked of the model, so this is not an estimate.";
    const score = near();
    if (!score) return `How far to trust it with so many ${data.nouns[1]} out was not measured.`;
    return `With about ${percent(score.density)} of the ${data.nouns[1]} kept, its R² on masks it was not fitted to is ${r2Text(score.r2)}${r2Ends(score)}: ${score.verdict}.`;
  };

  // A strip from all-masked to whole, and where the two answers lie on it.
  const strip = (value) => {
    const marks = [["empty", data.empty, "all out"], ["whole", predict(whole()), "whole input"]];
    if (view.answer?.value !== undefined) marks.push(["model", view.answer.value, "model"]);
    const all = [...marks.map(([, x]) => x), value], low = Math.min(...all), high = Math.max(...all);
    const span = high - low || 1, at = (x) => 4 + (92 * (x - low)) / span;
    scale.replaceChildren(
      svg("line", { class: "axis", x1: "2%", x2: "98%", y1: 12, y2: 12 }),
      ...marks.map(([kind, x, name]) => svg("g", { class: `mark ${kind}` },
        svg("line", { x1: `${at(x)}%`, x2: `${at(x)}%`, y1: 5, y2: 19 }),
        svg("text", { x: `${at(x)}%`, y: 32, "text-anchor": at(x) < 12 ? "start" : at(x) > 88 ? "end" : "middle", text: name }))),
      svg("circle", { class: "now", cx: `${at(value)}%`, cy: 12, r: 6 }));
  };

  const askModel = () => {
    view.waiting = true;
    view.answer = null;
    draw("answer");
    trigger("check", { key: data.key, removed: removed() });
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
    const gone = new Set(view.size ? view.removals[view.size - 1].removed : []);
    keep(data.labels.map((_, i) => !gone.has(i)));
  };

  const build = () => {
    clearInterval(timer);
    timer = then = null;
    if (!canPredict()) return el("section", { class: "card whatif" }, el("h3", { text: "What if?" }), el("p", { class: "fine", text: "This explanation has too many terms for the page to compute with." }));
    ask = el("p", { class: "fine" });
    now = el("output", { class: "now", "data-id": "prediction" });
    was = el("span", { class: "was" });
    scale = svg("svg", { class: "scale", width: "100%", height: 36, "aria-hidden": "true" });
    restore = button("Restore all", () => { view.size = 0; keep(whole()); });
    check = button("Check with the model", askModel, { class: "primary", "data-id": "check" });
    verdict = el("p", { class: "verdict", role: "status", "data-id": "answer" });
    caveat = el("p", { class: "fine" });
    play = button("▶ Play", playSets, { "aria-label": "Play the best removals" });
    sizes = el("input", { type: "range", min: 0, max: Math.min(10, data.labels.length), value: 0, step: 1, "aria-label": "Best removal: how many", "data-id": "sizes" });
    sizes.addEventListener("input", () => {
      const size = Number(sizes.value);
      stop();
      pick(size);
    });
    setNote = el("p", { class: "fine", role: "status", "data-id": "set" });
    return el("section", { class: "card whatif", "aria-label": "What if" },
      el("h3", { text: "What if?" }), ask,
      el("p", { class: "answer" }, el("span", { text: "Explanation predicts " }), now, was),
      scale, caveat,
      el("div", { class: "actions" }, check, restore),
      verdict,
      el("div", { class: "best" }, el("span", { class: "label", text: "Best removal" }), sizes, play),
      setNote);
  };

  const draw = (what) => {
    if (!canPredict() || !["kept", "answer", "removals", "all"].includes(what)) return;
    const value = predict(view.kept), start = predict(whole());
    now.textContent = signed(value);
    now.dataset.value = String(value);
    was.textContent = out() ? ` (whole input: ${signed(start)})` : " for the whole input";
    ask.textContent = out() ? `${count(out())} taken out. Click again to put back.` : `Click ${data.nouns[1]} to take them out.`;
    restore.disabled = out() === 0;
    caveat.textContent = trust();
    strip(value);
    check.disabled = view.waiting || data.cannot_ask !== null;
    check.textContent = view.waiting ? "Asking the model …" : "Check with the model";
    verdict.className = "verdict";
    if (data.cannot_ask !== null) verdict.textContent = data.cannot_ask;
    else if (view.answer?.error) {
      verdict.textContent = view.answer.error;
      verdict.classList.add("bad");
    } else if (view.answer) {
      const gap = value - view.answer.value;
      verdict.replaceChildren("The model says ", el("b", { "data-id": "model-value", "data-value": String(view.answer.value), text: signed(view.answer.value) }),
        `, the explanation ${signed(value)}: ${Math.abs(gap).toFixed(data.decimals)} apart.`);
    } else verdict.textContent = "";
    sizes.value = view.size;
    play.textContent = timer ? "❚❚ Pause" : "▶ Play";
    play.setAttribute("aria-label", timer ? "Pause" : "Play the best removals");
    const set = view.removals?.[view.size - 1];
    if (set) setNote.textContent = `${set.proven ? "Proven to move" : "The best set found in time: it moves"} the prediction most, by ${signed(set.predicted - start)}, of all sets of ${count(view.size)}.`;
    else if (!then) setNote.textContent = `Which ${data.nouns[1]} to remove to move the prediction most: slide, or play.`;
  };

  const hear = (name, message) => {
    if (message.key !== data.key || name === "file") return;
    if (name === "answer") {
      view.waiting = false;
      if (message.error || message.removed.join() === removed().join()) view.answer = message;
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
})());
