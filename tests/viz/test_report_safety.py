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
from proxyspex_hf.record import ExplanationRecord, Features, Target
from proxyspex_hf.serialize import dumps, record_from_json
from proxyspex_hf.viz import render_html, render_notebook, render_svg, render_text
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
    (tag, values), *others = parse(frame).tags
    assert tag == "iframe"
    assert not others
    assert values["sandbox"] == "allow-scripts"
    assert values["srcdoc"] == render_html(poisoned(payload))


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
    assert not re.findall(r"(?:https?:)?//[a-z]|@import|url\((?!#)", page.replace("// ", ""))
    assert not re.findall(r"\sstyle=|\son\w+=", page.split("<script>")[0].split("</style>")[1])


def test_the_assets_build_no_markup_from_strings() -> None:
    folder = files("proxyspex_hf.viz") / "assets"
    script = (folder / "report.js").read_text(encoding="utf-8")
    forbidden = r"innerHTML|outerHTML|insertAdjacent|\.write|eval|Function\(|fetch|import\("
    assert not re.findall(forbidden, script)
    for name in ("report.js", "report.css"):
        content = (folder / name).read_text(encoding="utf-8")
        assert "</" not in content
        assert "<!--" not in content
        assert len(content.splitlines()) <= 250


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
        for i in range(n):
            frame.locator("#text .f").nth(i).evaluate("e => { e.focus(); e.click(); }")
        frame.locator(".row").nth(0).hover()
        frame.locator(".row").nth(0).click()
        frame.locator("#contains").fill(batch[0])
        assert frame.evaluate("[window.pwned, document.scripts.length]") == [None, 2]
        assert frame.locator("iframe, img, a:not([href='#trust']), base, object").count() == 0
        assert view.page.evaluate("window.pwned") is None
        shown = frame.locator("#text .f").all_text_contents()
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
    view.page.wait_for_timeout(200)
    assert view.page.evaluate("window.pwned") is None
    assert failures == ["csp"]
    assert len(view.complaints) >= 2
    view.complaints.clear()
    view.requests.pop()


@pytest.mark.parametrize("doubt", senseless_doubts(6), ids=range(len(senseless_doubts(6))))
@pytest.mark.parametrize("n_fit", [0, 51])
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
    assert not re.search(r"\b(nan|inf|Infinity)\b", page.split("<body>")[1].split("<script>")[0])
    parse(page)
    render_svg(read)
    assert max(map(len, render_text(read).splitlines())) <= 80
    embed_json(view(read))  # finite numbers only


def test_the_notebook_frame_is_ascii() -> None:
    assert render_notebook(make_record("这部电影 😍")).isascii()
