"""The picture of the story: SVG and PNG, without a browser."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from payloads import PAYLOADS
from PIL import Image
from record_factory import (
    captioned_record,
    from_effects,
    make_record,
    review_record,
    with_doubt,
)

from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz import render_picture, render_picture_png
from proxyspex_hf.viz.direction import Word, places
from proxyspex_hf.viz.reading import tints
from proxyspex_hf.viz.shapes import width_of
from proxyspex_hf.viz.verdict import verdict_of

SVG = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_it_says_the_verdict_and_every_word_in_reading_order() -> None:
    record = with_doubt(review_record())
    said = " ".join(words(render_picture(record)))
    assert verdict_of(record, record.full_value).text.split()[-1].rstrip(".") in said
    text = " ".join(record.text.split())
    assert text.replace(" ", "") in said.replace(" ", "")
    assert "is enough to lower it;" in said.replace("  ", " ")


def test_tints_are_the_page_s_and_lie_under_their_words() -> None:
    record = review_record()
    tree = ET.fromstring(render_picture(record))
    blocks = [r for r in tree.iter(f"{SVG}rect") if r.get("rx")]
    looks = tints(record)
    tinted = [i for i, (_, step) in enumerate(looks) if step]
    assert len(blocks) == len(tinted)
    dashed = [p for p in tree.iter(f"{SVG}path") if p.get("stroke-dasharray")]
    assert len(dashed) == sum(looks[i][0] == "against" for i in tinted)
    places = {(w.get("x"), w.text) for w in tree.iter(f"{SVG}text")}
    for block, i in zip(blocks, tinted, strict=True):
        assert (block.get("x"), record.features.labels[i]) in places


def lefts(text: str) -> dict[str, float]:
    """Where each word of a text begins in its picture; its lines are those of 18 pixels."""
    tree = ET.fromstring(render_picture(make_record(text)))
    drawn = [w for w in tree.iter(f"{SVG}text") if w.get("font-size") == "18"]
    return {w.text or "": float(w.get("x", 0)) for w in drawn}


def test_a_text_that_runs_to_the_left_is_read_from_the_right() -> None:
    text = "הסרט הזה לא great film רע בכלל"
    found = lefts(text)
    order = sorted(found, key=found.__getitem__, reverse=True)
    assert order == ["הסרט", "הזה", "לא", "film", "great", "רע", "בכלל"]
    tree = ET.fromstring(render_picture(make_record(text)))
    first = next(w for w in tree.iter(f"{SVG}text") if w.get("font-size") == "18")
    assert first.text == "הסרט"
    assert float(first.get("x", 0)) + float(first.get("textLength", 0)) == pytest.approx(732, abs=1)
    found = lefts("The film סרט 12 הזה is not 3 bad")
    order = sorted(found, key=found.__getitem__)
    assert order == ["The", "film", "הזה", "12", "סרט", "is", "not", "3", "bad"]


def test_tints_stay_under_words_that_run_to_the_left() -> None:
    text = "הסרט הזה לא רע"
    record = make_record(text, from_effects({(): 0.3, (0,): 1.0, (3,): -0.5}, 4))
    tree = ET.fromstring(render_picture(record))
    blocks = {r.get("x") for r in tree.iter(f"{SVG}rect") if r.get("rx")}
    drawn = [w for w in tree.iter(f"{SVG}text") if w.get("font-size") == "18"]
    assert blocks == {w.get("x") for w in drawn if w.text in ("הסרט", "רע")}


def test_quotations_of_a_sentence_keep_their_order() -> None:
    words = [Word(text, 10.0 * i, 8.0, i) for i, text in enumerate(("לא", "רע"), 1)]
    assert places(words, leftwards=False, right=700) == [10.0, 20.0]
    together = [word._replace(group=1) for word in words]
    assert places(together, leftwards=False, right=700) == [20.0, 10.0]
    assert places(together, leftwards=True, right=700) == [692.0, 682.0]
    assert places([], leftwards=True, right=700) == []


def test_white_space_is_not_spelled() -> None:
    said = words(render_picture(make_record("one\ttwo\u00a0three\u3000four\r\nfive")))
    assert {"one", "two", "three", "four", "five"} <= set(said)
    assert not any("\\" in word for word in said)


def test_a_joined_emoji_is_as_wide_as_one() -> None:
    one = width_of("👩", 18)
    assert width_of("👩\u200d👩\u200d👧", 18) == one
    assert width_of("👍🏽", 18) == one
    assert width_of("👩👩", 18) == 2 * one


def test_no_word_leaves_the_picture() -> None:
    for text in ("word " * 60, "漢字" * 60, "supercalifragilistic" * 12):
        tree = ET.fromstring(render_picture(make_record(text.strip())))
        height = float(tree.get("height", 0))
        assert height < 1400
        for word in tree.iter(f"{SVG}text"):
            assert float(word.get("x", 0)) + float(word.get("textLength", 0)) <= 760
            assert float(word.get("y", 0)) <= height


@pytest.mark.parametrize(
    "record", [review_record(), captioned_record(), make_record("这部 🎬 不差")]
)
def test_the_png_is_drawn(record: ExplanationRecord) -> None:
    png = render_picture_png(record, scale=1)
    with Image.open(io.BytesIO(png)) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    assert pixels.shape[1] == 760
    assert (pixels < 120).all(axis=2).sum() > 300  # ink
    colours = pixels.reshape(-1, 3).astype(int)
    inks = [(0xB3, 0x58, 0x06), (0x21, 0x66, 0xAC)]
    assert any((abs(colours - ink).sum(axis=1) < 30).any() for ink in inks)
    assert render_picture_png(record, scale=1) == png
    with pytest.raises(InputError, match=r"scale must be from 0\.5 to 8"):
        render_picture_png(record, scale=9)


def test_to_image_writes_by_the_file_s_name(tmp_path: Path) -> None:
    explanation = InteractionExplanation(captioned_record())
    for name, start in (("e.svg", b"<svg "), ("E.PNG", b"\x89PNG")):
        explanation.to_image(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(InputError, match=r"'e\.gif'.*\.svg or \.png"):
        explanation.to_image(tmp_path / "e.gif")


@pytest.mark.parametrize("batch", [PAYLOADS[i::2] for i in range(2)], ids=range(2))
def test_a_strangers_text_is_only_text(batch: list[str]) -> None:
    for payload in batch:
        target = Target(payload, 0, payload, payload, payload)
        record = make_record(f"good {payload} bad", target=target, provenance={"model": payload})
        picture = render_picture(record)
        names = {element.tag.removeprefix(SVG) for element in ET.fromstring(picture).iter()}
        assert names <= {"svg", "title", "rect", "text", "path"}
        assert not re.search(r"\b(href|on\w+)=", re.sub(r">[^<]*<", "><", picture))
