// Elements are made here and nowhere else: text goes in as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
};
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
// A button that cannot be pressed at the moment has `aria-disabled`: `disabled` would drop the focus.
const button = (text, onclick, attributes = {}) => el("button", { type: "button", text, ...attributes,
  onclick: (event) => event.currentTarget.getAttribute("aria-disabled") !== "true" && onclick(event) });
const allow = (node, allowed) => node.setAttribute("aria-disabled", String(!allowed));

// A stranger's key must not find what every object inherits.
const own = (map, key, otherwise) => (key !== null && Object.hasOwn(map, key) ? map[key] : otherwise);

const MINUS = "\u2212";
const simplify = (text) => text.normalize("NFKC").toLowerCase();
const percent = (share) => `${Number((100 * share).toPrecision(3))}%`;
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const r2Text = (r2) => (r2 === null ? "\u2013" : r2.toFixed(2).replace("-", MINUS));
const r2Ends = ({ r2, interval }) =>
  (r2 === null || interval === null || interval[0] === interval[1] ? "" : ` (${interval.map(r2Text).join(" to ")})`);
const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);

// One tab stop for many elements: arrows move inside, Enter and space press.
const rove = (elements, stop) => {
  for (const node of elements) node.setAttribute("tabindex", node === stop ? "0" : "-1");
};
const arrows = (scope, elements, press) =>
  scope.addEventListener("keydown", (event) => {
    const open = elements().filter((node) => !node.closest("[hidden]"));
    const here = open.indexOf(event.target);
    if (here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const forward = getComputedStyle(event.target).direction === "rtl" ? -1 : 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: forward, ArrowLeft: -forward };
    const goals = { Home: 0, End: open.length - 1 };
    if (event.key === "Enter" || event.key === " ") press(event.target);
    else if (event.key in steps || event.key in goals) {
      const goal = event.key in goals ? goals[event.key] : here + steps[event.key];
      const next = open[clamp(goal, 0, open.length - 1)];
      rove(elements(), next);
      next.focus();
    } else return;
    event.preventDefault();
  });

const STOPS = "a[href], button, input, select, summary, [tabindex]";
const nameOf = ({ tagName, dataset: { key, i, id, tab }, ariaLabel, textContent }) =>
  `${tagName} ${key ?? i ?? id ?? tab ?? ariaLabel ?? textContent}`;
// What had the keyboard's focus has it after `change`, too, drawn anew or not, with the caret where it
// was. From what is gone or hidden then it moves to the nearest of its kind, else to what is nearest.
const steady = (change) => {
  const at = document.activeElement, caret = at?.selectionStart ?? null, kind = at?.classList[0];
  const stops = element.contains(at) ? [...element.querySelectorAll(STOPS)].filter((node) => node === at || node.tabIndex >= 0) : [];
  const place = stops.indexOf(at);
  change();
  if (place >= 0) queueMicrotask(() => { // what is drawn in a microtask is there now, too
    const held = document.activeElement;
    if (held === at ? !at.closest("[hidden]") : held !== document.body) return;
    const far = (node, i) => Math.abs(i - place) + (i < place ? 0.5 : 0) + (node.classList[0] === kind ? 0 : stops.length);
    const nearest = stops.map((node, i) => [far(node, i), node]).sort(([a], [b]) => a - b);
    const next = nearest.find(([, node]) => {
      const now = [...element.querySelectorAll(node.tagName)].find((other) => nameOf(other) === nameOf(node));
      if (!now || now.closest("[hidden]")) return false;
      now.focus({ preventScroll: true });
      return document.activeElement === now;
    });
    if (next?.[1] === at && caret !== null) document.activeElement.setSelectionRange?.(caret, caret);
  });
};

// A row of buttons of which one is pressed. options: [value, text, label for screen readers]
const choice = (label, options, current, onchoose) => {
  const group = el("span", { class: "choice", role: "group", "aria-label": label });
  for (const [value, text, name] of options)
    group.append(button(text, () => {
      for (const other of group.children) other.setAttribute("aria-pressed", String(other === pressed.get(value)));
      onchoose(value);
    }, { "aria-pressed": String(value === current), "aria-label": name }));
  const pressed = new Map(options.map(([value], i) => [value, group.children[i]]));
  return group;
};
