"""A printed report: the story on one sheet, and its text in the file that the printer gets."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from record_factory import make_record

from proxyspex_hf.app.examples import load_example
from proxyspex_hf.viz.together import told_together
from proxyspex_hf.viz.verdict import verdict_of

Open = Callable[..., Any]


def objects(pdf: bytes) -> dict[int, bytes]:
    """Chromium's file, object by object, with its streams unpacked."""
    found = {}
    for number, body in re.findall(rb"(\d+) 0 obj\s(.*?)endobj", pdf, re.DOTALL):
        head, mark, stream = body.partition(b"stream\n")
        if mark and b"FlateDecode" in head:
            body = head + zlib.decompress(stream.rsplit(b"\nendstream", 1)[0])
        found[int(number)] = body
    return found


def unicode_of(cmap: bytes) -> dict[int, str]:
    """Glyph -> text, of a font's ToUnicode map."""
    out = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for glyph, text in re.findall(rb"<(\w+)> <(\w+)>", block):
            out[int(glyph, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
        for first, last, text in re.findall(rb"<(\w+)> <(\w+)> <(\w+)>", block):
            start = int(text, 16)
            for step in range(int(last, 16) - int(first, 16) + 1):
                out[int(first, 16) + step] = chr(start + step)
    return out


def plain(text: str) -> str:
    """Letters alone: two that are drawn as one are two again."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def printed(pdf: bytes) -> tuple[int, str]:
    """How many pages, and the letters on them, without spaces."""
    parts = objects(pdf)
    pages = [body for body in parts.values() if re.search(rb"/Type\s*/Page\b(?!s)", body)]
    fonts = {}
    for body in parts.values():
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", body):
            cmap = re.search(rb"/ToUnicode (\d+) 0 R", parts[int(number)])
            if cmap is not None:
                fonts[name] = unicode_of(parts[int(cmap[1])])
    said = ""
    for body in parts.values():
        font: dict[int, str] = {}
        for name, shown in re.findall(rb"/(F\d+) [\d.]+ Tf|(\[[^\]]*\] TJ|<\w+> Tj)", body):
            font = fonts.get(name, {}) if name else font
            for glyphs in re.findall(rb"<(\w+)>", shown):
                digits = 4 if len(glyphs) % 4 == 0 else 2  # drawn glyphs have a byte each
                codes = [int(glyphs[i : i + digits], 16) for i in range(0, len(glyphs), digits)]
                said += "".join(font.get(code, "") for code in codes)
    return len(pages), plain(said)


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_shipped_review_is_printed_on_one_sheet(open_page: Open, paper: str) -> None:
    record = load_example("review").record
    view = open_page(record)
    pages, said = printed(view.page.pdf(format=paper))
    assert pages == 1
    verdict = verdict_of(record, record.full_value).text
    told = ["".join(text for _, text in parts) for parts in told_together(record)]
    assert len(told) > 1
    for text in (verdict, record.text, *told):
        assert plain(text) in said
    assert "Clickwords" not in said  # what only a screen can do
    assert "Share" not in said


def test_a_long_text_takes_more_than_one_sheet(open_page: Open) -> None:
    """Else the count above would say nothing."""
    view = open_page(make_record(" ".join(f"word{i}" for i in range(900))))
    pages, said = printed(view.page.pdf(format="A4"))
    assert pages > 1
    assert "word899" in said
