// The explanation and what the reader has done to it. `say` tells every part of the page of a change.
const EFFECT = "effect", MOST_CHOSEN = 5, FIRST_ROWS = 30;
let data = null; // what Python sent
let view = null; // what the reader chose
const parts = {}; // name -> {build(), draw(what), hear(name, message)} of each part of the page

const termKey = (members) => members.join("-");
const membersOf = (key) => key.split("-").map(Number);
// “3 of 48 patches and 1 of 8 words”: never a sum of both.
const counted = (members) => data.counted.flatMap(([one, many, first, all]) => {
  const k = members.filter((i) => i >= first && i < first + all).length;
  return k || data.counted.length === 1 ? [`${k} of ${all} ${all === 1 ? one : many}`] : [];
}).join(" and ") || `0 of ${data.labels.length} ${data.nouns[1]}`;
const count = (k) => `${k} ${data.nouns[k === 1 ? 0 : 1]}`;
// Long numbers have an exponent of two digits; the same as viz/wording.py says.
const scientific = (size, digits) => size.toExponential(digits).replace(/([+-])(\d)$/, (_, sign, digit) => `${sign}0${digit}`);
// Only zero reads as zero, and what is a rounding error beside the digits that are shown.
const enough = (value, decimals) => {
  const size = Math.abs(value);
  return size >= 0.5 * 10 ** -decimals || size < 10 ** -(decimals + 8) ? decimals : -Number(size.toExponential(0).split("e")[1]);
};
const sizeText = (size, least = data.decimals) => {
  if (size >= 1e9) return scientific(size, 2);
  const decimals = enough(size, least);
  if (decimals <= 6 || size >= 1e-4) return size.toFixed(Math.min(decimals, 6));
  if (size < 0.5 * 10 ** -decimals) return "0";
  return scientific(size, clamp(Number(size.toExponential().split("e")[1]) + decimals, 0, 6));
};
const digitsFor = (value) => (value ? Math.max(1, 2 - Math.round(Math.log10(Math.abs(value)))) : 2);
const signed = (x, decimals = data.decimals) => {
  const size = sizeText(Math.abs(x), decimals);
  return (x < 0 && Number(size) > 0 ? MINUS : "+") + size;
};
// ± half of the interval; its ends where ± would tell others, or, as rounded, another side of zero.
const numberParts = (given, low, high, least = data.decimals) => {
  const half = ((high ?? given) - (low ?? given)) / 2, hidden = (decimals) => !half || half < 0.5 * 10 ** -decimals;
  const decimals = hidden(least) ? enough(given, least) : least;
  // Beside an interval that holds zero, the digits of what rounds to zero say nothing.
  const value = !hidden(least) && low <= 0 && high >= 0 && Math.abs(given) < 0.5 * 10 ** -least ? 0 : given;
  const text = signed(value, decimals), centred = Math.abs(value - (low + high) / 2) <= half / 2;
  if (hidden(decimals)) return [text, ""];
  const [size, spread] = [Math.abs(value), half].map((each) => sizeText(each, decimals));
  if (centred && Number(size) > Number(spread) === (low > 0 || high < 0)) return [text, ` ± ${spread}`];
  return [text, ` (${signed(low, decimals)} to ${signed(high, decimals)})`];
};
const withHalf = (...given) => numberParts(...given).join("");
const endsText = (low, high, decimals = data.decimals) =>
  (low === null || low === undefined || low === high ? "" : `90%: ${signed(low, decimals)} to ${signed(high, decimals)}`);
// Told from zero; where there is no interval, all that is not zero is.
const isSure = ([value, low, high]) => (low === null ? value !== 0 : low > 0 || high < 0);
const reach = ([, value, low, high]) => Math.max(...[value, low ?? 0, high ?? 0].map(Math.abs));
const plainName = (i) => data.labels[i] + (data.occurrence[i] ? `[${data.occurrence[i]}]` : "");
const toldApart = (i) => data.labels[i] + String(data.occurrence[i] || "").replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
const canPredict = () => data.support !== null;
// The colour: for or against what the model said, whichever way its number goes.
const signClass = (x) => (x * data.scale.up < 0 ? "neg" : "pos");
const means = () => ({
  "log-perplexity": ["makes it likelier", "makes it less likely"],
  "contrastive loss": ["makes the two fit better", "makes the two fit worse"],
})[data.scale.name] ?? (data.scale.up < 0 ? ["lowers it", "raises it"] : ["raises it", "lowers it"]);

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
const without = (members) => data.labels.map((_, i) => !members.includes(i));
const removed = () => view.kept.flatMap((kept, i) => (kept ? [] : [i]));

const effectTable = () => ({
  key: EFFECT, title: "Effect", rows: data.terms, total: data.n_terms,
  about: `what the ${data.score} loses when the ${data.nouns[0]} is taken out of the whole input; of a combination, what its ${data.nouns[1]} do there only together` +
    (data.singles.some(([, low]) => low !== null) ? ". With its 90% interval; what cannot be told from zero is not listed" : ""),
});
// In the app the indices come when they are wanted: they take a second.
const tables = () => [effectTable(), ...(data.indices ?? []).map((table) => (
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
// The colour says for or against, as the words of a row do: of an OR, its number has the other sign.
const toneOfRow = ([, value, , , , speaksFor]) => (speaksFor === undefined ? signClass(value) : speaksFor ? "pos" : "neg");
const digitsOfTable = ({ rows }) => digitsFor(Math.max(...rows.map(([, value]) => Math.abs(value)), 0));
// [table, row] of members: their effect, else their score in the index that is listed, else in any.
const rowOf = (members) => {
  for (const each of [effectTable(), table(), ...tables()]) {
    const row = each.rows.find(([other]) => termKey(other) === termKey(members));
    if (row) return [each, row];
  }
  return null;
};

// The colour of a combination: what its sentence says it does.
const toneOf = (members) => {
  const told = data.together.find((each) => termKey(each.members) === termKey(members));
  return told ? (told.for ? "pos" : "neg") : toneOfRow(rowOf(members)?.[1] ?? [members, 0]);
};

// What an address carries besides the explanation itself: only what is not as it opens.
const linkState = () => {
  const state = new URLSearchParams();
  if (view.index !== EFFECT) state.set("index", view.index);
  if (view.order !== "all") state.set("order", view.order);
  if (view.sign) state.set("sign", String(view.sign));
  if (view.contains) state.set("contains", view.contains);
  if (removed().length) state.set("out", removed().join("."));
  const shown = view.chosen.map(termKey).join(".");
  if (shown !== first().map(termKey).join(".")) state.set("shown", shown);
  if (view.open) state.set("tab", view.tab);
  return state;
};
const indices = (text) => {
  const found = (text ?? "").split(/[.-]/).filter(Boolean).map(Number);
  return found.every((i) => Number.isInteger(i) && i >= 0 && i < data.labels.length) ? found : [];
};
const first = () => data.together.slice(0, 2).map(({ members }) => members);
const open = (given, hash) => {
  data = given;
  const state = new URLSearchParams(hash.slice(1));
  const known = new Set(tables().flatMap(({ rows }) => rows.map(([members]) => termKey(members))));
  const wanted = (state.get("shown") ?? "").split(".").slice(0, MOST_CHOSEN), asked = wanted.filter((key) => known.has(key));
  view = {
    index: data.indices === null ? (state.get("index") ?? EFFECT).slice(0, 20) : tables().some(({ key }) => key === state.get("index")) ? state.get("index") : EFFECT,
    order: Object.hasOwn(SIZES, state.get("order") ?? "") ? state.get("order") : "all",
    sign: own({ 1: 1, "-1": -1 }, state.get("sign"), 0),
    contains: (state.get("contains") ?? "").slice(0, 100),
    top: FIRST_ROWS,
    kept: whole(),
    chosen: state.has("shown") ? asked.map(membersOf) : first(),
    // What only an index knows that has yet to come; null once the reader chooses.
    wanted: data.indices === null && state.has("shown") && asked.length < wanted.filter(Boolean).length ? wanted : null,
    tab: state.get("tab") ?? "list",
    open: state.has("tab"), // whether the part for experts is
    lit: null, // members under the pointer
    answer: null, waiting: false, sure: null, removals: null, size: 0,
  };
  for (const i of indices(state.get("out"))) view.kept[i] = false;
};

const say = (what) => {
  const drawAll = () => Object.values(parts).forEach((part) => part.draw?.(what));
  if (what === "lit") return drawAll();
  steady(drawAll);
  remember?.();
};
let remember = null; // keeps the address up to date
const announce = (text) => {
  element.querySelector('[data-id="said"]').textContent = text;
};
const isChosen = (members) => view.chosen.some((other) => termKey(other) === termKey(members));
const choose = (members) => {
  view.wanted = null;
  view.chosen = isChosen(members)
    ? view.chosen.filter((other) => termKey(other) !== termKey(members))
    : [...view.chosen, members].slice(-MOST_CHOSEN);
  say("chosen");
};
const light = (members) => {
  if (members === view.lit) return; // nothing was lit, and nothing is
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
const takeOut = (members) => {
  view.size = 0;
  parts.reading.stop(members[0]);
  keep(without(members));
};
