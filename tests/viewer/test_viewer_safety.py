"""Strangers' text stays text on the live page, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from payloads import PAYLOADS
from record_factory import (
    from_effects,
    make_record,
    random_spectrum,
    senseless_doubts,
    with_doubt,
)

from proxyspex_hf.app import components
from proxyspex_hf.app.source import Source
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import ExplanationRecord, Target

Show = Callable[..., Any]
TABS = ["upset", "matrix", "waterfall", "structure", "code", "facts", "trust"]


def poisoned(*payloads: str) -> ExplanationRecord:
    """A record with ``payloads`` wherever a stranger can write."""
    text, spans = "good ", [(0, 4)]
    for payload in (*payloads, "bad"):
        spans.append((len(text), len(text) + len(payload)))
        text += f"{payload} "
    n, every = len(spans), "\n".join(payloads)
    features = Features(labels=("good", *payloads, "bad"), spans=tuple(spans), kind="words")
    effects: dict[tuple[int, ...], float] = {(): 0.1, tuple(range(n)): 0.2}
    effects |= {(i,): 0.5 - 0.1 * i for i in range(n)}
    effects |= {(0, i): -0.4 + 0.1 * i for i in range(1, n)}
    record = make_record(
        text,
        from_effects(effects, n),
        features=features,
        task=every,
        target=Target(every, 1, every, every + "!"),
        provenance={
            "model": every,
            "revision": every,
            "notes": payloads,
            "versions": {every: every},
            "quantization": every,
        },
    )
    arguments = {
        "candidate_labels": list(payloads),
        every: {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    }
    settings = replace(record.settings, arguments=arguments, mask_token=every, sampling=every)
    return replace(record, settings=settings)


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), 7))
def test_no_payload_runs_wherever_a_stranger_can_write(show: Show, start: int) -> None:
    payloads = PAYLOADS[start : start + 7]
    first, last = (quote(payload, "", errors="replace") for payload in (payloads[0], payloads[-1]))
    state = f"#contains={first}&tab={last}"
    shown = show(poisoned(*payloads), rest=state)
    for tab in TABS:
        shown.experts(tab)
    shown.experts()
    shown.part("contains").fill("")
    shown.experts("upset")
    for i in range(1, len(payloads) + 1):
        shown.feature(i).hover()
        shown.feature(i).click()
    shown.part("check").click()
    shown.page.wait_for_function("document.querySelector('.psx .verdict').textContent !== ''")
    assert shown.page.evaluate("window.pwned") == 0
    assert shown.page.locator(".psx :is(script, iframe, object, form, base, meta)").count() == 0
    assert shown.page.locator(".psx img, .psx a[href]").count() == 0
    on = "all => all.flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert shown.page.locator(".psx *").evaluate_all(on) == []
    written = shown.page.locator(".psx .written").text_content()
    assert payloads[0].replace("\x00", "") in written.replace("\x00", "").replace("\ufffd", "")


@pytest.mark.parametrize("place", [0, 6])
def test_a_stored_kernel_without_sense_breaks_no_page(show: Show, place: int) -> None:
    record = with_doubt(make_record("one two three four five six", random_spectrum(6, 20)))
    shown = show(replace(record, doubt=senseless_doubts(6)[place]))
    for tab in TABS:
        shown.experts(tab)
    shown.feature(2).click()
    assert shown.value() == pytest.approx(shown.predicted(), abs=1e-9)
    text = shown.page.locator(".psx").inner_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_there_are_thirty_of_them() -> None:
    assert len(set(PAYLOADS)) >= 30


def test_the_page_gets_text_never_an_object_that_could_be_a_file() -> None:
    explanation = InteractionExplanation(poisoned("x"))
    for told in (
        components.shown(explanation, source=Source("own"), model="why <b>not</b>"),
        components.answered(explanation, (0,), 1.0),
        components.failed(explanation, "no"),
        components.saved(explanation),
        components.removed_sets(explanation, explanation.removal_curve([1])),
    ):
        assert isinstance(told, str)
        assert told.isascii()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_copied_code_holds_strangers_text_as_strings_only(payload: str) -> None:
    import ast

    from proxyspex_hf.viz.code import python_code

    record = poisoned(payload)
    names: set[str] = set()
    for task in (payload, "text-generation", "text-classification", "image-classification"):
        tree = ast.parse(python_code(replace(record, task=task)))
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names |= {node.id if isinstance(node, ast.Name) else "" for node in called}
    assert names == {"pipeline", "InteractionExplainer", ""}


@pytest.mark.parametrize(
    "query",
    [
        {"example": "../../etc/passwd"},
        {"example": "<img src=x onerror=window.pwned=1>"},
        {"dataset": "me"},
        {"dataset": "me/../../x"},
        {"dataset": "me/x?y=1"},
        {"dataset": "me/x", "id": "zz"},
        {"dataset": "me/x", "id": "3f2a61", "revision": "../../main\n"},
        {"dataset": "me/x", "id": "3f2a61", "config": "a/b"},
    ],
)
def test_a_link_names_only_what_can_exist(query: dict[str, str]) -> None:
    with pytest.raises(InputError, match="cannot be the name of one"):
        Source.from_query(query)


@pytest.mark.parametrize(
    "source",
    [
        Source("example", name="review"),
        Source("hub", repo_id="me/explanations", id="3f2a61bc"),
        Source("hub", repo_id="me/x", id="3f2a61bc", revision="v1.0", config_name="other"),
    ],
)
def test_a_link_opens_what_it_was_made_of(source: Source) -> None:
    from urllib.parse import parse_qsl

    assert Source.from_query(dict(parse_qsl(source.query()))) == source


def test_one_s_own_has_no_link_and_other_queries_name_nothing() -> None:
    assert Source("own").query() == ""
    assert Source.from_query({"__theme": "dark"}) is None
