// One line of news: what is going on, what went wrong, where to go. All of it as text nodes.

function read() {
  try {
    return JSON.parse(props.value || "{}");
  } catch {
    return {};
  }
}

function linked(link) {
  const target = new URL(link.query ? `?${link.query}` : link.url, window.location.href);
  if (!["http:", "https:"].includes(target.protocol)) return el("span", { text: link.text });
  const away = link.url ? { target: "_blank", rel: "noopener noreferrer" } : {};
  return el("a", { href: target.href, text: link.text || target.href, ...away });
}

// The run stands in the address, so that a reload finds it again.
let run = null, seen = null;
function keepRun() {
  const query = new URLSearchParams(window.location.search);
  if ((query.get("run") ?? "") === (run ?? "")) return;
  if (run) query.set("run", run);
  else query.delete("run");
  const text = query.toString();
  const address = `${window.location.pathname}${text ? `?${text}` : ""}${window.location.hash}`;
  window.history.replaceState(window.history.state, "", address);
}

function show() {
  const news = read();
  if (news.attach) trigger("attach", { run: news.attach });
  if (typeof news.run === "string") {
    run = news.run;
    keepRun();
  }
  const [bar, said] = element.querySelectorAll(".bar, .said");
  element.querySelector(".psx-notice").dataset.kind = news.kind || "";
  bar.replaceChildren();
  said.replaceChildren();
  if (news.kind === "step") {
    if (news.run && news.run !== seen) requestAnimationFrame(() => element.scrollIntoView({ block: "nearest" }));
    seen = news.run || seen;
    // A screen reader is told of the phase, not of each batch.
    const counted = news.total > 0 ? { max: news.total, value: news.done } : {};
    bar.append(el("progress", { "aria-label": news.phase, ...counted }), el("span", { text: news.text }));
    said.append(el("span", { text: news.phase, class: "phase" }));
    return;
  }
  if (news.text) said.append(el("span", { text: news.text }));
  for (const link of news.links || []) said.append(linked(link));
}

show();
watch("value", show);
window.addEventListener("popstate", () => run !== null && element.isConnected && keepRun());
// A page that comes back as it was left hears of nothing any more.
window.addEventListener("pageshow", (event) => event.persisted && run && window.location.reload());
