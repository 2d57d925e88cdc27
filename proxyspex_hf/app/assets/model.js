// The explanation and what the reader has done to it. `say` tells every part of the page of a change.
const EFFECT = "effect", MOST_CHOSEN = 5, FIRST_ROWS = 30;
let data = null; // what Python sent
let view = null; // what the reader chose
const parts = []; // {build(), draw(what)} of each part of the page

const termKey = (members) => members.join("-");
const count = (k) => `${k} ${data.nouns[k === 1 ? 0 : 1]}`;
const signed = (x, decimals = data.decimals) =>
  (x < 0 && Number(Math.abs(x).toFixed(decimals)) > 0 ? MINUS : "+") + Math.abs(x).toFixed(decimals);
// ± half of the interval; of a lopsided one its ends, as ± would tell others.
const halfText = (value, low, high, decimals = data.decimals) => {
  if (low === null || low === undefined || low === high) return "";
  const half = (high - low) / 2;
  const centred = Math.abs(value - (low + high) / 2) <= half / 2;
  if (half * 10 ** decimals < 0.5) return "";
  if (centred && Math.abs(value) > half === (low > 0 || high < 0)) return ` ± ${half.toFixed(decimals)}`;
  return ` (${signed(low, decimals)} to ${signed(high, decimals)})`;
};
const withHalf = (value, low, high, decimals = data.decimals) => signed(value, decimals) + halfText(value, low, high, decimals);
const endsText = (low, high, decimals = data.decimals) =>
  (low === null || low === undefined || low === high ? "" : `90%: ${signed(low, decimals)} to ${signed(high, decimals)}`);
// Told from zero; where there is no interval, all that is not zero is.
const isSure = ([value, low, high]) => (low === null ? value !== 0 : low > 0 || high < 0);
const reach = ([, value, low, high]) => Math.max(...[value, low ?? 0, high ?? 0].map(Math.abs));
const plainName = (i) => data.labels[i] + (data.occurrence[i] ? `[${data.occurrence[i]}]` : "");
const canPredict = () => data.support !== null;

// f(S) = sum over T of F(T) * (-1)^|T and S|, S the kept features.
const predict = (kept) => {
  let total = 0;
  for (let t = 0; t < data.support.length; t++) {
    let odd = false;
    for (const i of data.support[t]) if (kept[i]) odd = !odd;
    total += odd ? -data.coefficients[t] : data.coefficients[t];
  }
  return total;
};
const whole = () => data.labels.map(() => true);
const removed = () => view.kept.flatMap((kept, i) => (kept ? [] : [i]));

const effectTable = () => ({
  key: EFFECT, title: "Effect", rows: data.terms, total: data.n_terms,
  about: `what the ${data.score} loses when the ${data.nouns[0]} is taken out of the whole input; of a combination, what its ${data.nouns[1]} do there only together` +
    (data.singles.some(([, low]) => low !== null) ? ". With its 90% interval; what cannot be told from zero is not listed" : ""),
});
const tables = () => [effectTable(), ...data.indices.map((table) => (
  { ...table, key: table.order === null ? table.name : `${table.name}.${table.order}` }))];
const table = () => tables().find(({ key }) => key === view.index) ?? effectTable();

const SIZES = { all: [1, Infinity], 1: [1, 1], 2: [2, 2], 3: [3, Infinity] };
const listed = () => {
  const [low, high] = SIZES[view.order];
  const needle = simplify(view.contains.trim());
  return table().rows.filter(([members, value]) =>
    members.length >= low && members.length <= high && value * view.sign >= 0 &&
    (!needle || members.some((i) => simplify(plainName(i)).includes(needle))));
};
const effectOf = new Map();
const mainEffect = (i) => data.singles[i][0];

// What a link carries besides the explanation itself.
const linkState = () => {
  const state = new URLSearchParams();
  if (view.index !== EFFECT) state.set("index", view.index);
  if (view.order !== "all") state.set("order", view.order);
  if (view.sign) state.set("sign", String(view.sign));
  if (view.contains) state.set("contains", view.contains);
  if (removed().length) state.set("out", removed().join("."));
  state.set("shown", view.chosen.map(termKey).join("."));
  if (view.tab !== "trust") state.set("tab", view.tab);
  return state;
};
const indices = (text) => {
  const found = (text ?? "").split(/[.-]/).filter(Boolean).map(Number);
  return found.every((i) => Number.isInteger(i) && i >= 0 && i < data.labels.length) ? found : [];
};
const open = (given) => {
  data = given;
  effectOf.clear();
  for (const [members, value] of data.terms) effectOf.set(termKey(members), value);
  const state = new URLSearchParams(location.hash.slice(1));
  const known = new Set(tables().flatMap(({ rows }) => rows.map(([members]) => termKey(members))));
  const asked = (state.get("shown") ?? "").split(".").filter((key) => known.has(key));
  const combined = data.terms.filter(([members]) => members.length > 1).slice(0, 3);
  const first = combined.length ? combined : data.terms.slice(0, 1);
  view = {
    index: tables().some(({ key }) => key === state.get("index")) ? state.get("index") : EFFECT,
    order: Object.hasOwn(SIZES, state.get("order") ?? "") ? state.get("order") : "all",
    sign: own({ 1: 1, "-1": -1 }, state.get("sign"), 0),
    contains: (state.get("contains") ?? "").slice(0, 100),
    top: FIRST_ROWS,
    kept: whole(),
    chosen: state.has("shown") ? asked.slice(0, MOST_CHOSEN).map((key) => key.split("-").map(Number)) : first.map(([members]) => members),
    tab: state.get("tab") ?? "trust",
    lit: null, // members under the pointer
    answer: null, waiting: false, removals: null, size: 0,
  };
  for (const i of indices(state.get("out"))) view.kept[i] = false;
};

const say = (what) => {
  for (const part of parts) part.draw?.(what);
};
const announce = (text) => {
  element.querySelector('[data-id="said"]').textContent = text;
};
const isChosen = (members) => view.chosen.some((other) => termKey(other) === termKey(members));
const choose = (members) => {
  view.chosen = isChosen(members)
    ? view.chosen.filter((other) => termKey(other) !== termKey(members))
    : [...view.chosen, members].slice(-MOST_CHOSEN);
  say("chosen");
};
const light = (members) => {
  view.lit = members;
  say("lit");
};
const keep = (kept) => {
  view.kept = kept;
  view.answer = null;
  say("kept");
};
const toggle = (i) => {
  view.size = 0;
  keep(view.kept.map((value, j) => (j === i ? !value : value)));
};
