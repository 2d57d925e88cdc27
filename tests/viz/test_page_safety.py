"""Strangers' text stays text, and the page asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from payloads import PAYLOADS
from record_factory import (
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    senseless_doubts,
    with_doubt,
)

from proxyspex_hf.core.posterior import Doubt
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.record.serialize import dumps, record_from_json
from proxyspex_hf.viz import (
    render_html,
    render_notebook,
    render_picture,
    render_svg,
    render_text,
)
from proxyspex_hf.viz.markup import embed_json
from proxyspex_hf.viz.view import view

Open = Callable[..., Any]
Parse = Callable[[str], Any]


def poisoned(payload: str) -> ExplanationRecord:
    """A record with ``payload`` wherever a stranger can write."""
    text = f"good {payload} bad"
    start = text.index(payload)
    features = Features(
        labels=("good", payload, "bad"),
        spans=((0, 4), (start, start + len(payload)), (len(text) - 3, len(text))),
        kind="tokens",
    )
    record = make_record(
        text,
        from_effects({(): 0.1, (0, 1): 1.0, (1,): -0.5, (0, 1, 2): 0.2}, 3),
        features=features,
        target=Target(payload, 1, payload, payload + "!"),
        provenance={
            "model": payload,
            "revision": payload,
            "dtype": payload,
            "device": payload,
            "notes": (payload,),
            "created": payload,
            "versions": {payload: payload},
            "seconds": {payload: 1.0},
        },
        task=payload,
    )
    return replace(
        record,
        fit=replace(record.fit, method=payload, chosen=payload, refinement=payload),
        settings=replace(record.settings, features=payload, mask_token=payload, sampling=payload),
    )


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_strangers_text_adds_no_markup(payload: str, parse: Parse) -> None:
    def skeleton(record: ExplanationRecord) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(values)) for tag, values in parse(render_html(record)).tags]

    page = render_html(poisoned(payload))
    page.encode()  # a lone surrogate would fail here
    assert skeleton(poisoned(payload)) == skeleton(poisoned("harmless"))
    assert "\u2028" not in page.split('id="data">')[1].split("</script>")[0]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_the_notebook_frame_is_one_closed_attribute(payload: str, parse: Parse) -> None:
    frame = render_notebook(poisoned(payload))
    tags = parse(frame).tags
    assert [tag for tag, _ in tags[:2]] == ["style", "iframe"]
    values = tags[1][1]
    assert values["sandbox"] == "allow-scripts allow-downloads allow-modals"
    # Around it there is only what is read without scripts.
    plain = [(tag, sorted(given)) for tag, given in tags[2:]]
    harmless = parse(render_notebook(poisoned("harmless"))).tags[2:]
    assert plain == [(tag, sorted(given)) for tag, given in harmless]
    inner = parse(str(values["srcdoc"])).tags
    assert [tag for tag, _ in inner].count("script") == 2


def test_the_policy_admits_only_the_packages_own_script_and_style() -> None:
    page = render_html(review_record())
    policy = html.unescape(re.findall(r'Security-Policy" content="([^"]+)"', page)[0])
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in policy
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        content = page.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    named = page.replace("// ", "").replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"(?:https?:)?//[a-z]|@import|url\((?!#)", named)
    assert not re.findall(r"\sstyle=|\son\w+=", page.split("<script>")[0].split("</style>")[1])


@pytest.mark.parametrize(("package", "count"), [("viz", 14), ("app", 4)])
def test_the_assets_build_no_markup_from_strings(package: str, count: int) -> None:
    folder = files(f"proxyspex_hf.{package}") / "assets"
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|fetch|import\("
    names = [asset.name for asset in folder.iterdir()]
    assert sum(name.endswith(".js") for name in names) == count
    for name in names:
        content = (folder / name).read_text(encoding="utf-8")
        if name.endswith(".js"):
            assert not re.findall(forbidden, content), name
        if not name.endswith(".html"):
            assert "</" not in content
            assert "<!--" not in content
            assert len(content.splitlines()) <= (300 if name.endswith(".css") else 200)


@pytest.mark.parametrize("batch", [PAYLOADS[i::4] for i in range(4)], ids=range(4))
def test_strangers_text_never_runs(open_page: Open, batch: list[str]) -> None:
    text, spans = "", []
    for payload in batch:
        spans.append((len(text), len(text) + len(payload)))
        text += payload + " "
    joined, n = " ".join(batch), len(batch)
    record = make_record(
        text,
        from_effects({tuple(range(n)): 1.0, **{(i,): -0.5 for i in range(n)}}, n),
        features=Features(tuple(batch), tuple(spans), "tokens"),
        target=Target(joined, 0, joined, joined + "!"),
        provenance={"model": joined, "notes": (*batch, joined), "versions": {joined: joined}},
        task=joined,
    )
    for content in (render_html(record), f"<!DOCTYPE html>{render_notebook(record)}"):
        view = open_page(record, content=content)
        frame = view.page.frames[-1]
        frame.wait_for_selector('.psx[aria-busy="false"]')
        for i in range(n):
            frame.locator(".input .f").nth(i).evaluate("e => { e.focus(); e.click(); }")
        frame.locator(".details > summary").evaluate("e => e.click()")
        for tab in frame.locator('[role="tab"]').all():
            tab.evaluate("e => e.click()")
        frame.locator('[data-tab="list"]').evaluate("e => e.click()")
        frame.locator(".row").nth(0).evaluate("e => e.click()")
        frame.locator('[data-id="contains"]').fill(batch[0])
        assert frame.evaluate("window.pwned") is None
        assert frame.evaluate("document.scripts.length") <= 4
        assert frame.locator("iframe, img, a, base, object, form").count() == 0
        assert view.page.evaluate("window.pwned") is None
        shown = frame.locator(".input .f").all_text_contents()
        plain = [i for i, payload in enumerate(batch) if not re.findall("[\x00\ud800]", payload)]
        assert [shown[i] for i in plain] == [batch[i] for i in plain]


def test_the_policy_stops_what_the_escaping_would_let_through(open_page: Open) -> None:
    view = open_page(make_record("some text"))
    failures: list[str] = []
    view.page.on("requestfailed", lambda request: failures.append(request.failure))
    view.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.pwned = 1";
          document.body.append(script);
          const image = document.createElement("img");
          image.src = "https://evil.example/x.png";
          image.setAttribute("onerror", "window.pwned = 1");
          document.body.append(image);
        }"""
    )
    for _ in range(100):
        if failures and len(view.complaints) >= 2:
            break
        view.page.wait_for_timeout(100)
    assert view.page.evaluate("window.pwned") is None
    assert failures == ["csp"]
    assert len(view.complaints) >= 2
    view.complaints.clear()
    view.requests.pop()


@pytest.mark.parametrize("doubt", senseless_doubts(6), ids=range(len(senseless_doubts(6))))
@pytest.mark.parametrize("n_fit", [2, 51])
def test_a_stored_kernel_without_sense_breaks_no_picture(
    doubt: Doubt, n_fit: int, parse: Parse
) -> None:
    record = with_doubt(make_record("one two three four five six", random_spectrum(6, 20)))
    queries = replace(record.queries, n_fit=n_fit)
    # As it would come: through a file, whose bounds it keeps.
    read = record_from_json(json.loads(dumps(replace(record, doubt=doubt, queries=queries))))
    assert [len(e.members) for e in read.effects].count(1) == 6
    for effect in read.effects:
        assert effect.interval is None or np.isfinite(effect.interval).all()
    page = render_html(read)
    svg = render_picture(read)
    assert not re.search(r"\b(nan|inf|Infinity)\b", svg)
    assert not re.search(r"\b(nan|inf|Infinity)\b", page.split("<body>")[1].split("<script>")[0])
    parse(page)
    render_svg(read)
    assert max(map(len, render_text(read).splitlines())) <= 80
    embed_json(view(read))  # finite numbers only


def test_the_notebook_frame_is_ascii() -> None:
    assert render_notebook(make_record("这部电影 😍")).isascii()
