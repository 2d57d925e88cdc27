"use strict";
// Adds behaviour to a page that is complete without it. Text reaches the DOM by textContent only.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const [one, many] = data.nouns;
  const text = byId("text"), list = byId("rows"), tip = byId("tip");
  const words = [...text.querySelectorAll(".f")];
  const numbers = ({ dataset: { effect, low, high } }) =>
    ({ effect: Number(effect), ends: low === undefined ? null : [Number(low), Number(high)] });
  const simplify = (string) => string.normalize("NFKC").toLowerCase();
  const rows = [...list.querySelectorAll(".row")].map((element) => ({
    element,
    item: element.parentElement,
    members: element.dataset.members.split(" ").map(Number),
    ...numbers(element),
    spelled: [...element.querySelectorAll(".members b")].map((b) => simplify(b.textContent)),
  }));
  const rowOf = new Map(rows.map((row) => [row.element, row]));
  const indexOf = new Map(words.map((word, i) => [word, i]));
  const rowsWith = words.map(() => new Set());
  for (const row of rows) for (const i of row.members) rowsWith[i].add(row);
  const kept = words.map(() => true);
  const canPredict = data.support !== null;
  let pinned = null, focused = null; // focused: by the keyboard

  const signed = (x) => (x < 0 ? "\u2212" : "+") + Math.abs(x).toFixed(data.decimals);
  const isSure = ({ effect, ends }) => (ends ? ends[0] > 0 || ends[1] < 0 : effect !== 0);
  const between = ({ ends }) => (ends && ends[0] !== ends[1] ? ` (90%: ${ends.map(signed).join(" to ")})` : "");
  const count = (k) => `${k} ${k === 1 ? one : many}`;
  const make = (tag, textContent, className = "") =>
    Object.assign(document.createElement(tag), { textContent, className });
  // The explanation itself: f(S) = sum over T of F(T) * (-1)^|T and S|, S the kept features.
  const predict = (mask) => {
    let total = 0;
    for (let t = 0; t < data.support.length; t++) {
      let odd = false;
      for (const i of data.support[t]) if (mask[i]) odd = !odd;
      total += odd ? -data.coefficients[t] : data.coefficients[t];
    }
    return total;
  };
  const whole = canPredict ? predict(kept) : 0;

  // Highlights: a row lights its members in the text, a word lights its rows.
  const light = (scope, elements, lit) => {
    scope.classList.toggle("dim", lit !== null);
    elements.forEach((element, i) => element.classList.toggle("on", lit !== null && lit(i)));
  };
  const items = rows.map((row) => row.item);
  const showRow = (row) =>
    light(text, words, row ? ((members) => (i) => members.has(i))(new Set(row.members)) : null);
  const showWord = (i) => {
    light(list, items, i === null ? null : (r) => rowsWith[i].has(rows[r]));
    if (i === null) tip.hidden = true;
    else explain(i);
  };
  const settle = () => {
    showRow(rowOf.get(focused) ?? pinned);
    showWord(indexOf.get(focused) ?? null);
  };

  const explain = (i) => {
    const found = numbers(words[i]), lines = [make("strong", words[i].textContent)];
    lines[0].dir = "auto";
    lines.push(make("div", !found.effect && !between(found) ? "no effect on its own"
      : `lost without it: ${signed(found.effect)}${between(found)}${isSure(found) ? "" : ", unsure"}`));
    if (rowsWith[i].size) {
      const together = [...rowsWith[i]].filter((row) => row.members.length > 1).length;
      lines.push(make("div", `in ${together} combination${together === 1 ? "" : "s"}`));
    }
    if (canPredict) {
      const change = predict(kept.with(i, !kept[i])) - predict(kept);
      lines.push(make("div", `${kept[i] ? "taking it out" : "putting it back"}: ${signed(change)}`));
    }
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const box = words[i].getClientRects()[0], width = document.documentElement.clientWidth;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${scrollX + Math.max(8, Math.min(box.left, width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${scrollY + (above >= 0 ? above : words[i].getBoundingClientRect().bottom + 8)}px`;
  };

  // What if: the explanation's own answer with some features out.
  const caveat = (out) => {
    if (data.exact) return "Every subset was asked of the model, so this is not an estimate.";
    const share = 1 - out / words.length;
    const measured = [...document.querySelectorAll("#trust tr[data-density]")];
    const distance = (row) => Math.abs(Number(row.dataset.density) - share);
    const near = measured.sort((a, b) => distance(a) - distance(b))[0];
    const start = "This is the explanation\u2019s answer, not the model\u2019s. ";
    if (!near || distance(near) > 0.15)
      return `${start}Its faithfulness with so many ${many} out was not measured.`;
    const [mask, fit] = [near.querySelector("th"), near.querySelector("td")];
    const r2 = fit.querySelector(".num").textContent, word = near.dataset.verdict;
    return `${start}On masks that ${mask.textContent.replace("keeps", "keep")} it is ${word}: R\u00b2 ${r2}.`;
  };
  const update = () => {
    const value = predict(kept), out = kept.filter((keep) => !keep).length;
    const output = byId("prediction");
    output.textContent = signed(value);
    output.dataset.value = String(value);
    byId("was").textContent = out ? `(was ${signed(whole)})` : "for the whole input";
    byId("ask").textContent = out
      ? `${count(out)} taken out. Click again to put back.`
      : `What if? Click ${many} to take them out.`;
    byId("restore").disabled = out === 0;
    byId("caveat").textContent = caveat(out);
    words.forEach((word, i) => {
      word.classList.toggle("out", !kept[i]);
      word.setAttribute("aria-pressed", String(!kept[i]));
    });
    describe();
  };

  // The pinned row says what it means; a second list of words would be another thing to read.
  const detail = make("div", "", "detail");
  const describe = () => {
    detail.remove();
    if (pinned === null) return;
    const { members, effect } = pinned, order = members.length, said = signed(effect) + between(pinned);
    const parts = [make("span", order === 1
      ? `What the score loses when it alone is taken out of the whole input: ${said}.`
      : `What the ${order} do at the input only together: ${said}.${order === 2 ? " Taken out one at a time, they cost " +
        `${signed(Math.abs(effect)).slice(1)} ${effect < 0 ? "less" : "more"} in sum than both at once.` : ""}`)];
    if (canPredict) {
      const mask = kept.map((keep, i) => keep && !members.includes(i));
      const button = make("button", `Take out: predicts ${signed(predict(mask))}`);
      button.type = "button";
      button.disabled = members.every((i) => !kept[i]);
      button.addEventListener("click", () => {
        for (const i of members) kept[i] = false;
        update();
        pinned.element.focus();
      });
      parts.push(document.createElement("br"), button);
    }
    detail.replaceChildren(...parts);
    pinned.item.append(detail);
  };
  const pin = (row) => {
    pinned = row === pinned ? null : row;
    for (const other of rows) other.element.setAttribute("aria-pressed", String(other === pinned));
    describe();
    settle();
    if (pinned && matchMedia("(min-width: 60.01rem)").matches)
      words[pinned.members[0]].scrollIntoView({ block: "nearest" });
  };

  // Filters.
  const wanted = { low: 1, high: Infinity, sign: 0, contains: "", all: false };
  const filter = () => {
    const needle = simplify(wanted.contains.trim());
    const matches = rows.filter(({ members, effect, spelled }) =>
      members.length >= wanted.low && members.length <= wanted.high &&
      effect * wanted.sign >= 0 && spelled.some((label) => label.includes(needle)));
    const shown = new Set(wanted.all ? matches : matches.slice(0, data.top));
    for (const row of rows) row.item.hidden = !shown.has(row);
    byId("count").textContent = `${shown.size} of ${matches.length}`;
    byId("more").hidden = matches.length <= data.top;
    if (pinned && pinned.item.hidden) pin(pinned);
    rove(rows.map((row) => row.element), rows.find((row) => !row.item.hidden)?.element);
  };
  const choice = (id, apply) => byId(id).addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button === null) return;
    for (const other of byId(id).querySelectorAll("button"))
      other.setAttribute("aria-pressed", String(other === button));
    apply(button.dataset);
    filter();
  });
  choice("by-order", ({ low, high }) => Object.assign(wanted, { low: Number(low), high: Number(high) }));
  choice("by-sign", ({ sign }) => Object.assign(wanted, { sign: Number(sign) }));
  byId("contains").addEventListener("input", ({ target }) => {
    wanted.contains = target.value;
    filter();
  });
  byId("more").addEventListener("click", ({ target }) => {
    wanted.all = !wanted.all;
    target.textContent = wanted.all ? "Show fewer" : "Show all";
    filter();
  });

  // Keyboard: one tab stop for the text and one for the list, arrows inside.
  const rove = (elements, stop) => {
    for (const element of elements) element.tabIndex = element === stop ? 0 : -1;
  };
  const arrows = (scope, elements, press) => scope.addEventListener("keydown", (event) => {
    const open = elements.filter((element) => element.offsetParent !== null);
    const here = open.indexOf(event.target);
    if (here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const forward = getComputedStyle(scope).direction === "rtl" ? -1 : 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: forward, ArrowLeft: -forward };
    const goals = { Home: 0, End: open.length - 1 };
    if (event.key === "Enter" || event.key === " ") press(event.target);
    else if (event.key in steps || event.key in goals) {
      const goal = event.key in goals ? goals[event.key] : here + steps[event.key];
      const next = open[Math.max(0, Math.min(open.length - 1, goal))];
      rove(elements, next);
      next.focus();
    } else return;
    event.preventDefault();
  });

  const rowAt = ({ target }) => rowOf.get(target.closest(".row")), wordAt = ({ target }) => indexOf.get(target.closest(".f"));
  document.documentElement.classList.add("js");
  for (const { element } of rows) {
    element.setAttribute("role", "button");
    element.setAttribute("aria-pressed", "false");
  }
  list.addEventListener("mouseover", (event) => showRow(rowAt(event) ?? pinned));
  list.addEventListener("click", (event) => rowAt(event) && pin(rowAt(event)));
  text.addEventListener("mouseover", (event) => showWord(wordAt(event) ?? null));
  for (const scope of [text, list]) {
    scope.addEventListener("mouseleave", settle);
    for (const type of ["focusin", "focusout"]) scope.addEventListener(type, ({ target }) => {
      focused = type === "focusin" && target.matches(":focus-visible") ? target : null;
      settle();
    });
  }
  arrows(list, rows.map((row) => row.element), (element) => pin(rowOf.get(element)));
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    focused = null;
    pinned ? pin(pinned) : settle();
  });
  filter();
  if (canPredict) {
    for (const word of words) {
      word.setAttribute("role", "button");
      word.setAttribute("aria-describedby", "tip");
    }
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", `The input; arrow keys move, Enter takes a ${one} out`);
    text.addEventListener("click", (event) => {
      const i = wordAt(event);
      if (i === undefined || (event.detail < 2 && !getSelection().isCollapsed)) return;
      kept[i] = !kept[i];
      update();
      showWord(i);
    });
    byId("restore").addEventListener("click", () => {
      kept.fill(true);
      update();
    });
    arrows(text, words, (word) => word.dispatchEvent(new MouseEvent("click", { bubbles: true })));
    rove(words, words[0]);
    update();
  } else byId("what-if").hidden = true;
})();
