// The input in reading order: words and regions tinted by effect, chosen combinations as brackets.
const LANE = 11, STUB = 13, BADGE = 15;
// Characters of a fixed text that is folded, and of each end that then stays.
const LONG = 240, ENDS = 60;
const LOOKS = { for: "pos", against: "neg", joined: "mix", unsure: "unsure", idle: "idle" };

parts.reading = (() => {
  let text, picture, overlay, marks, features, badges;

  const looks = (i) => `f ${LOOKS[data.tints[i][0]]}${data.tints[i][1] ? ` t${data.tints[i][1]}` : ""}`;
  const spoken = (i) => {
    const single = data.singles[i], unsure = isSure(single) ? "" : "unsure, ";
    const own = single[0] || single[1] ? `${unsure}alone ${withHalf(...single)}` : "no effect alone";
    return `${plainName(i)}: ${own}${view.kept[i] ? "" : ", taken out"}`;
  };
  const feature = (node, i) => {
    features[i] = node;
    for (const [name, value] of Object.entries({ class: looks(i), "data-i": i, role: "button" })) node.setAttribute(name, value);
    return node;
  };
  const image = () => {
    if (!data.picture) return null;
    const { width, height, png } = data.picture;
    badges = svg("g", { class: "badges" });
    picture = svg("svg", { class: `picture${Math.min(width, height) < 128 ? " small" : ""}`, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "The image" },
      svg("image", { width, height, href: `data:image/png;base64,${png}` }),
      data.cut ? svg("path", { class: "cut", d: data.cut[0], "fill-rule": "evenodd" }, svg("title", { text: data.cut[1] })) : null,
      data.regions.map((d, i) => feature(svg("path", { d, "fill-rule": "evenodd" }, svg("title", { text: plainName(i) })), i)), badges);
    return picture;
  };
  // A long text that is never masked, such as a chat's other messages, is folded on a narrow page.
  const fixedText = (content) => {
    if (content.length < LONG) return el("span", { class: "fixed", text: content });
    const cut = content.indexOf(" ", ENDS), end = content.lastIndexOf(" ", content.length - ENDS);
    if (cut < 0 || end <= cut) return el("span", { class: "fixed", text: content });
    const fold = button("…", () => {
      node.classList.toggle("open");
      fold.setAttribute("aria-expanded", String(node.classList.contains("open")));
    }, { class: "small fold", "aria-expanded": "false", "aria-label": "The whole of the text that is never masked" });
    const node = el("span", { class: "fixed" }, content.slice(0, cut), fold, el("span", { class: "middle", text: content.slice(cut, end) }), content.slice(end));
    return node;
  };
  const words = () => {
    if (data.pieces.length)
      return data.pieces.map(([content, i, fixed]) => i === null
        ? (fixed ? fixedText(content) : document.createTextNode(content))
        : feature(el("span", { text: content }), i));
    if (data.regions.length) return [];
    return data.labels.flatMap((label, i) => [feature(el("span", { text: label }), i), " "]);
  };
  const at = (target) => {
    const node = target.closest?.("[data-i]");
    return node && text.contains(node) ? Number(node.dataset.i) : null;
  };

  const build = () => {
    features = [];
    picture = badges = null;
    overlay = svg("svg", { class: "overlay", "aria-hidden": "true" });
    const shown = image(), written = words();
    marks = el("div", { class: "written", dir: "auto" }, written, overlay);
    text = el("div", { class: `input${shown && written.length ? " both" : ""}`, role: "group", "aria-label": `The input; arrow keys move, Enter takes a ${data.nouns[0]} out` },
      shown, written.length ? marks : null);
    text.addEventListener("click", ({ target, detail }) => {
      const i = at(target);
      if (i === null || (detail < 2 && detail > 0 && !getSelection().isCollapsed)) return;
      toggle(i);
    });
    arrows(text, () => features, (node) => toggle(Number(node.dataset.i)));
    rove(features, features[0]);
    new ResizeObserver(() => marks.isConnected && brackets()).observe(marks);
    const has = (look) => data.tints.some(([name]) => name === look), [helps, harms] = means();
    return el("div", { class: "reading" },
      text,
      el("p", { class: "legend" },
        el("span", { class: "key pos t5", text: helps }),
        el("span", { class: "key neg t5", text: harms }),
        has("joined") ? el("span", { class: "key mix", text: "only in combination" }) : null,
        has("unsure") ? el("span", { class: "key unsure", text: "unsure" }) : null,
        data.pieces.some(([, , fixed]) => fixed) ? el("span", { class: "key fixed", text: "never masked" }) : null,
        data.cut ? el("span", { text: data.cut[1] }) : null,
        data.scale.hint ? el("span", { text: data.scale.hint }) : null));
  };

  // Under a line of text each combination has a bracket: its members there, joined; an open end
  // says that it goes on in another line, where the same number stands.
  const fragments = (box) => view.chosen.flatMap((members, place) => {
    const lines = new Map();
    for (const i of members) {
      if (i < data.regions.length) continue;
      const { left, right, bottom } = features[i].getClientRects()[0];
      const y = Math.round(bottom - box.top);
      const line = [...lines.keys()].find((other) => Math.abs(other - y) < 8) ?? y;
      lines.set(line, [...(lines.get(line) ?? []), [left - box.left, right - box.left]]);
    }
    const ordered = [...lines.keys()].sort((a, b) => a - b);
    return ordered.map((bottom, k) => {
      const spans = lines.get(bottom), cameFrom = k > 0, goesOn = k < ordered.length - 1;
      const left = Math.min(...spans.map(([x]) => x)) - (cameFrom ? STUB : 0);
      const right = Math.max(...spans.map(([, x]) => x)) + (goesOn ? STUB : 0);
      return { place, sign: toneOf(members), bottom, spans, left, right, cameFrom, goesOn };
    });
  });
  const stack = (found) => {
    const taken = new Map(); // line -> right edges of its rows
    let rows = 0;
    for (const piece of [...found].sort((a, b) => a.bottom - b.bottom || a.left - b.left)) {
      const edges = taken.get(piece.bottom) ?? [];
      const free = edges.findIndex((edge) => edge + 4 < piece.left - BADGE);
      piece.row = free < 0 ? edges.length : free;
      edges[piece.row] = piece.right;
      taken.set(piece.bottom, edges);
      rows = Math.max(rows, edges.length);
    }
    return rows;
  };
  const brackets = () => {
    overlay.replaceChildren();
    badges?.replaceChildren();
    view.chosen.forEach((members, place) => {
      for (const i of members) if (i < data.regions.length) onImage(i, place, toneOf(members));
    });
    if (!marks.getBoundingClientRect().width) return;
    marks.style.setProperty("--lanes", stack(fragments(marks.getBoundingClientRect())));
    const box = marks.getBoundingClientRect(), found = fragments(box); // where the lines lie now
    stack(found);
    for (const { place, sign, bottom, spans, left, right, cameFrom, row } of found) {
      const y = bottom + 5 + row * LANE;
      const path = (kind, d) => overlay.append(svg("path", { class: `lane ${kind} ${sign}`, d }));
      path("joint", `M${left} ${y}H${right}`);
      for (const [from, to] of spans) path("member", `M${from + 1} ${y - 4}V${y}H${to - 1}V${y - 4}`);
      badge(overlay, left - (cameFrom ? 5 : 6), y - 1, place, sign, 5.5, 8.5);
    }
  };
  const badge = (where, x, y, place, sign, radius, size) =>
    where.append(svg("g", { class: `badge ${sign}` },
      svg("circle", { cx: x, cy: y, r: radius }),
      svg("text", { x, y, "font-size": size, text: String(place + 1) })));
  const onImage = (i, place, sign) => {
    const { x, y, width, height } = features[i].getBBox(), radius = data.picture.width / 36;
    badges.append(svg("path", { class: `region ${sign}`, d: data.regions[i] }));
    badge(badges, clamp(x + radius * (1.4 + 2.1 * (place % 3)), x + radius, x + width - radius),
      y + radius * (1.4 + 2.1 * Math.floor(place / 3)), place, sign, radius, radius * 1.5);
  };
  const draw = (what) => {
    if (what === "lit") {
      const lit = view.lit && new Set(view.lit);
      text.classList.toggle("dim", lit !== null && lit.size > 1);
      features.forEach((node, i) => node.classList.toggle("on", lit !== null && lit.has(i)));
    }
    if (["kept", "all"].includes(what)) features.forEach((node, i) => {
      node.classList.toggle("out", !view.kept[i]);
      node.setAttribute("aria-pressed", String(!view.kept[i]));
      node.setAttribute("aria-label", spoken(i));
    });
    if (["chosen", "list", "all"].includes(what)) brackets();
  };
  // Where the keyboard comes to in the input.
  const stop = (i) => rove(features, features[i]);
  return { build, draw, stop };
})();
