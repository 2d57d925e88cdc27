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
from record_factory import captioned_record, make_record, review_record, with_doubt

from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz import render_picture, render_picture_png
from proxyspex_hf.viz.reading import tints
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
