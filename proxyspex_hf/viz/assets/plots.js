// Plots for experts, as SVG made of numbers and text nodes.
const textWidth = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (text, size = 12) => {
    context.font = `${size}px ${getComputedStyle(element).fontFamily}`;
    return context.measureText(text).width;
  };
})();
const figure = (width, height, name, ...children) =>
  el("div", { class: "plot", tabindex: "0", role: "img", "aria-label": name }, svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, ...children));
const line = (x1, y1, x2, y2, className) => svg("line", { x1, y1, x2, y2, class: className });
const label = (x, y, text, anchor = "start", className = "") => svg("text", { x, y, text, "text-anchor": anchor, class: className });
const block = (x, y, width, height, tone, title) =>
  svg("rect", { x, y, width: Math.max(width, 0.5), height: Math.max(height, 0.5), class: `block ${tone}` }, svg("title", { text: title }));
const names = (members) => members.map(plainName).join(" × ");

// Combinations as columns, their members as dots (an UpSet plot): the only picture that shows every order whole.
const upset = () => {
  const terms = listed().slice(0, 24), weight = new Map();
  for (const [members, value] of terms) for (const i of members) weight.set(i, (weight.get(i) ?? 0) + Math.abs(value));
  const features = [...weight.keys()].sort((a, b) => a - b);
  if (!features.length) return el("p", { class: "fine", text: "No combination passes the filters." });
  const left = Math.ceil(Math.max(...features.map((i) => textWidth(plainName(i))))) + 16;
  const largest = Math.max(...terms.map(reach)), digits = digitsFor(largest) > 3 ? digitsFor(largest) : 2;
  // Numbers with an exponent are longer than a column.
  const step = Math.max(34, ...terms.map(([, value]) => Math.ceil(textWidth(signed(value, digits), 10)) + 6));
  const top = 120, row = 19, width = left + step * terms.length + 12, height = top + row * features.length + 8;
  const bars = terms.flatMap((term, column) => {
    const [members, value, low, high] = term, tone = toneOfRow(term);
    const x = left + step * column + 8, size = (84 * Math.abs(value)) / largest;
    const ys = members.map((i) => top + row * features.indexOf(i) + 9);
    const ends = low === null || low === high ? [0, 0] : [low, high].map((end) => (84 * (end * value > 0 ? Math.abs(end) : 0)) / largest);
    return [block(x, top - 14 - size, 17, size, tone, `${names(members)}: ${withHalf(value, low, high, digits)}`),
      ends[0] === ends[1] ? null : line(x + 8.5, top - 14 - ends[0], x + 8.5, top - 14 - ends[1], "error"),
      label(x + 8.5, top - 19 - Math.max(size, ...ends), signed(value, digits), "middle", "tiny"),
      members.length > 1 ? line(x + 8.5, Math.min(...ys), x + 8.5, Math.max(...ys), "join") : null,
      ...ys.map((y) => svg("circle", { cx: x + 8.5, cy: y, r: 5.5, class: `dot ${tone}` }))];
  });
  const rows = features.flatMap((i, place) => [
    svg("rect", { x: 0, y: top + row * place, width, height: row, class: place % 2 ? "stripe" : "none" }),
    label(left - 8, top + row * place + 13, plainName(i), "end")]);
  return figure(width, height, `The ${terms.length} strongest combinations and their members`, rows, bars);
};

// Pairs as a matrix: the area of a square is the size of the pair's effect, the diagonal the feature's own.
const matrix = () => {
  const weight = data.labels.map(() => 0), pair = new Map(), said = new Map();
  for (const term of data.terms) {
    const [members, value, low, high] = term;
    if (members.length > 2) continue;
    pair.set(termKey(members), [value, toneOfRow(term)]);
    said.set(termKey(members), withHalf(value, low, high));
    for (const i of members) weight[i] += Math.abs(value) * (members.length === 2 ? 2 : 1);
  }
  const features = weight.map((_, i) => i).filter((i) => weight[i] > 0).sort((a, b) => weight[b] - weight[a]).slice(0, 16).sort((a, b) => a - b);
  if (!features.length) return el("p", { class: "fine", text: "No feature and no pair has an effect." });
  const left = Math.ceil(Math.max(...features.map((i) => textWidth(plainName(i))))) + 14, cell = 30, n = features.length;
  const size = left + cell * n + 8, largest = Math.max(...[...pair.values()].map(([value]) => Math.abs(value)));
  const cells = features.flatMap((a, row) => features.map((b, column) => {
    const key = a === b ? `${a}` : termKey([Math.min(a, b), Math.max(a, b)]), [value, tone] = pair.get(key) ?? [0];
    const side = (cell - 4) * Math.sqrt(Math.abs(value) / largest), x = left + cell * (column + 0.5), y = 8 + cell * (row + 0.5);
    return [svg("rect", { x: x - cell / 2, y: y - cell / 2, width: cell, height: cell, class: a === b ? "cell own" : "cell" }),
      value ? block(x - side / 2, y - side / 2, side, side, tone, `${a === b ? plainName(a) : names([a, b])}: ${said.get(key)}`) : null];
  }));
  const rows = features.map((i, row) => label(left - 8, 8 + cell * (row + 0.5) + 4, plainName(i), "end"));
  const columns = features.map((i, column) => svg("text", { transform: `translate(${left + cell * (column + 0.5) + 4} ${16 + cell * n}) rotate(90)`, text: plainName(i) }));
  return figure(size, 8 + cell * n + left + 4, "Effects of pairs; the diagonal is each feature alone", cells, rows, columns);
};

// From everything masked to the whole input by Faith-Shapley values of order 2, which add up to just that.
const waterfall = () => {
  if (data.indices === null) return el("p", { class: "fine", text: "Computing …" });
  const shares = data.indices.find(({ name, order }) => name === "FSII" && (order ?? 2) === 2);
  if (!canPredict() || shares.reason) return el("p", { class: "fine", text: shares.reason ?? "This explanation has too many terms for the page to add up." });
  const base = predict(data.labels.map(() => false)), end = predict(whole());
  const steps = shares.rows.slice(0, 14).map(([members, value]) => [names(members), value]);
  if (shares.total > steps.length) steps.push([`${shares.total - steps.length} others`, end - base - sum(steps.map(([, value]) => value))]);
  const [first, last] = [`all ${data.nouns[1]} masked`, "whole input"];
  const left = Math.min(420, Math.ceil(Math.max(...[first, last, ...steps.map(([name]) => name)].map((name) => textWidth(name) * 1.06)))) + 20;
  const width = left + 400, row = 22, levels = [base];
  for (const [, value] of steps) levels.push(levels.at(-1) + value);
  const low = Math.min(...levels, end), high = Math.max(...levels, end), at = (x) => left + 10 + (310 * (x - low)) / (high - low || 1);
  const edge = (y, name, value) => [label(left - 8, y + 12, name, "end", "strong"), line(at(value), y, at(value), y + row - 4, "join"), label(at(value) + 6, y + 13, signed(value), "start", "strong")];
  const shapes = steps.flatMap(([name, value], i) => {
    const y = row * (i + 1) + 6, from = at(levels[i]), to = at(levels[i + 1]);
    return [label(left - 8, y + 12, name, "end"), block(Math.min(from, to), y + 2, Math.abs(to - from), row - 7, signClass(value), `${name}: ${signed(value)}`),
      line(to, y + row - 5, to, y + row + 2, "join"), label(Math.max(from, to) + 6, y + 13, signed(value), "start", `tiny ${signClass(value)}`)];
  });
  const bottom = row * (steps.length + 1) + 6;
  return figure(width, bottom + row + 4, `From ${first} to the whole input`, edge(6, first, base), shapes, edge(bottom, last, end));
};

// R² of the k largest terms (paper, figure 5), a line a density.
const curve = () => {
  const { ks, lines } = data.curve;
  if (!lines.length || ks.length < 2) return null;
  const width = 420, height = 200, left = 40, bottom = 170, most = Math.log(ks.at(-1));
  const x = (k) => left + ((width - left - 70) * Math.log(k)) / (most || 1), y = (r2) => bottom - 150 * clamp(r2, 0, 1);
  const dashes = ["", "6 3", "2 3"];
  return figure(width, height, "R² of the k largest terms, by density",
    [0, 0.5, 1].flatMap((r2) => [line(left, y(r2), width - 66, y(r2), "grid"), label(left - 6, y(r2) + 4, String(r2), "end", "tiny")]),
    ks.filter((k) => [1, 5, 20, 80, 300, ks.at(-1)].includes(k)).map((k) => label(x(k), bottom + 15, String(k), "middle", "tiny")),
    label((left + width - 66) / 2, height - 2, "terms kept", "middle", "tiny"),
    // A key, as the lines may end close to each other.
    lines.map(({ density, r2 }, i) => {
      const look = { class: "curve", "stroke-dasharray": dashes[i % dashes.length] }, y0 = 30 + 18 * i;
      return [svg("polyline", { ...look, points: r2.map((value, j) => `${x(ks[j])},${y(value)}`).join(" ") }),
        svg("line", { ...look, x1: width - 62, x2: width - 44, y1: y0, y2: y0 }),
        label(width - 40, y0 + 4, percent(density), "start", "tiny")];
    }));
};
