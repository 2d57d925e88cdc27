"""The SVG picture: what it says, and that it is only a picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from record_factory import (
    additive,
    constant,
    from_effects,
    make_record,
    review_record,
    with_doubt,
)

from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import Target
from proxyspex_hf.viz import render_svg
from proxyspex_hf.viz.shapes import width_of
from proxyspex_hf.viz.terms import Term
from proxyspex_hf.viz.wording import number

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_the_strongest_stand_first_and_to_scale() -> None:
    picture = render_svg(review_record(), top=4)
    said = texts(picture)
    assert said[0] == "What moves POSITIVE"
    assert said[1].startswith("acme/distil-sentiment: I went in expecting")
    assert said[2::2] == ["not (2) × bad", "bad", "moving", "warm"]
    assert said[3::2] == ["+0.92", "−0.78", "+0.71", "+0.52"]
    bars = [r for r in ET.fromstring(picture).iter(f"{SVG}rect") if r.get("rx")]
    widths = [float(bar.get("width", 0)) for bar in bars]
    assert [w / widths[0] for w in widths] == pytest.approx(
        [1, 0.78 / 0.92, 0.71 / 0.92, 0.52 / 0.92], abs=1e-3
    )
    assert [bar.get("fill") for bar in bars] == ["#B35806", "#2166AC", "#B35806", "#B35806"]


def test_a_whisker_spans_the_interval() -> None:
    record = with_doubt(review_record())
    picture = render_svg(record, top=3)
    found = record.effects[:3]
    bars = [r for r in ET.fromstring(picture).iter(f"{SVG}rect") if r.get("rx")]
    whiskers = [p.get("d", "") for p in ET.fromstring(picture).iter(f"{SVG}path")]
    assert len(whiskers) == len(bars) == 3
    for effect, bar, whisker in zip(found, bars, whiskers, strict=True):
        assert effect.interval is not None
        scale = float(bar.get("width", 0)) / abs(effect.value)
        left = float(bar.get("x", 0))
        low, high = sorted(map(abs, effect.interval))
        ends = [float(x) for x in re.findall(r"M([\d.]+) ", whisker)]
        assert [ends[0], ends[-1]] == pytest.approx(
            [left + scale * low, left + scale * high], abs=0.3
        )
    assert number(found[0].value, found[0].interval, 2, "\N{MINUS SIGN}") in texts(picture)


@pytest.mark.parametrize("size", [1.0, 1e12])
def test_a_number_with_its_interval_stays_in_the_picture(
    size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lopsided = Term((0,), -1.234 * size, (-1.31 * size, -0.52 * size), "lowers alone")
    monkeypatch.setattr("proxyspex_hf.viz.bars.ranked_terms", lambda _record: [lopsided])
    picture = ET.fromstring(render_svg(make_record("one two three")))
    (text,) = (t for t in picture.iter(f"{SVG}text") if " to " in (t.text or ""))
    width = width_of(text.text or "", 14)
    assert float(text.get("x", 0)) + width < float(picture.get("width", 0))
    (bar,) = (r for r in picture.iter(f"{SVG}rect") if r.get("rx"))
    assert float(bar.get("width", 0)) >= 35


def test_that_the_words_add_up_is_said() -> None:
    record = make_record("one two three", from_effects({(): 0.5, (0,): 1.0, (2,): -1.0}, 3))
    said = "No combination matters: the words add up."
    assert said in texts(render_svg(additive(with_doubt(record))))
    assert said not in texts(render_svg(record))  # nothing could tell


def test_long_and_wide_labels_are_cut() -> None:
    record = make_record("漢字" * 40 + " film")
    said = texts(render_svg(record))
    assert all(len(text) <= 85 for text in said)
    assert any(text.endswith("…") and text.startswith("漢字") for text in said)


def test_nothing_found_is_said() -> None:
    record = constant(make_record("a film", from_effects({(): 1.0}, 2)))
    said = "Nothing was found: the score does not depend on the words."
    assert said in texts(render_svg(record))
    with pytest.raises(InputError, match="top must be at least 1"):
        render_svg(record, top=0)


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"/><image href="x"/>', "\x1b[1m &amp;"]
)
def test_a_strangers_text_is_only_text(text: str) -> None:
    record = make_record(f"good {text}", target=Target(text, 0, "logit", text))
    picture = render_svg(record)
    names = {element.tag.removeprefix(SVG) for element in ET.fromstring(picture).iter()}
    assert names == {"svg", "title", "rect", "text"}
    assert not re.search(r"\bhref\b(?!=&quot;)", re.sub(r">[^<]*<", "><", picture))
