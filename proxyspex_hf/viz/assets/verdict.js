// What the model said in words, and what flips it; while features are out, what it would say then.
const percentText = (share) => (share < 0.005 ? "under 1%" : share >= 0.995 ? "over 99%" : `${Math.round(100 * share)}%`);
const shareOf = (value) => {
  const { share } = data.scale;
  if (share === "identity") return clamp(value, 0, 1);
  if (share === "exp" || share === "exp-minus") return Math.exp(Math.min(0, share === "exp" ? value : -value));
  return share === "logistic" ? 1 / (1 + Math.exp(-clamp(value, -700, 700))) : null;
};
// Digits of a value that stands alone: about three figures of it, unless it should be zero.
const digitsOf = (value) => {
  const largest = Math.max(...[data.full, data.empty, data.terms[0]?.[1] ?? 0].map(Math.abs));
  return digitsFor(Math.abs(value) > 1e-10 * largest ? value : largest);
};
// [before, name, after]; the same words as viz/verdict.py has.
const verdictOf = (value) => {
  const { label, other, of, margin, name } = data.scale, share = shareOf(value);
  if (share === null && margin)
    return ["", label, ` ${value > 0 ? "leads" : "trails"} the next label by ${sizeText(Math.abs(value), digitsOf(value))}.`];
  const marks = data.scale.quoted ? ["“", "”."] : ["", "."];
  if (share === null) return [`${name[0].toUpperCase()}${name.slice(1)} ${signed(value, digitsOf(value))} for ${marks[0]}`, label, marks[1]];
  if (of === "likelihood") return ["“", label, `” is ${percentText(share)} likely, token by token.`];
  if (data.scale.quoted) return ["“", label, `” is ${percentText(share)} likely.`];
  const turned = other !== null && share < 0.5, p = turned ? 1 - share : share;
  const adverb = p > 0.95 ? ", clearly" : p >= 0.5 && p < 0.6 ? ", barely" : p > 0.4 && p < 0.5 && !data.scale.predicted ? ", just not" : "";
  return [`${percentText(p)} `, turned ? other : label, `${adverb}.`];
};
const verdictNodes = ([before, name, after]) => [before, el("strong", {}, el("bdi", { text: name })), after];
const quoted = (pieces) => pieces.map(([kind, text]) =>
  (kind === "quoted" ? el("em", { class: "quoted" }, el("bdi", { text })) : kind === "number" ? el("span", { class: "num", text }) : text));

// The interval of what is predicted without `members`, where it is known: [low, high] or null.
const known = (members) => {
  const found = data.predicted.find(([out]) => termKey(out) === termKey(members));
  if (found) return found.slice(1);
  return view.sure && termKey(view.sure.removed) === termKey(members) ? [view.sure.low, view.sure.high] : null;
};
const sharesText = ([low, high]) => {
  if (shareOf(low) === null) return `90%: ${signed(low)} to ${signed(high)}`;
  // Of the label that the verdict names.
  const turned = data.scale.other !== null && shareOf(predict(view.kept)) < 0.5;
  const ends = [low, high].map(shareOf).map((p) => (turned ? 1 - p : p)).sort((a, b) => a - b);
  const [least, most] = ends.map(percentText);
  return least === most ? "sure to 1%" : `90%: ${least} to ${most}`;
};

parts.verdict = (() => {
  let head, flip, told, was;
  const build = () => {
    head = el("h2", { "data-id": "verdict", "aria-live": "polite" });
    told = el("span");
    // Made once: it may have the keyboard's focus.
    const attempt = canPredict() ? button(data.flip.flips ? "Try it" : "See it", () => takeOut(data.flip.members), { class: "try small", "data-id": "try" }) : "";
    flip = el("p", { class: "flip", "data-id": "flip" }, told, " ", attempt);
    was = el("p", { class: "flip", "data-id": "was" });
    return [head, flip, was];
  };
  const draw = (what) => {
    if (!["kept", "all", "answer"].includes(what)) return;
    const out = removed(), asked = view.answer?.value;
    head.replaceChildren(...verdictNodes(verdictOf(out.length ? asked ?? predict(view.kept) : data.full)));
    const { members, parts: pieces } = data.flip;
    flip.hidden = !members.length || out.length > 0;
    was.hidden = !out.length;
    if (!members.length) return;
    told.replaceChildren(...quoted(pieces));
    if (!out.length) return;
    const named = out.slice(0, 4).flatMap((i, k) => [k ? ", " : "", el("em", { class: "quoted" }, el("bdi", { text: toldApart(i) }))]);
    was.replaceChildren("Without ", ...named, out.length > 4 ? ` and ${out.length - 4} more` : "",
      asked === undefined ? ", as the explanation predicts. " : ", as the model says. ",
      "Whole input: ", ...verdictNodes(verdictOf(data.full)));
  };
  return { build, draw };
})();
