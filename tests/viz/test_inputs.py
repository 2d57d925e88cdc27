"""Each kind of input in the report: images outlined, fixed text marked, plain functions by name."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import pytest
from record_factory import captioned_record, from_effects, make_record

from proxyspex_hf.record.inputs import Features, Part
from proxyspex_hf.record.record import Target
from proxyspex_hf.viz import render_html, render_notebook, render_text
from proxyspex_hf.viz.view import view


def body(page: str) -> str:
    return page.split("<body>")[1].split("<script")[0]


def test_patches_are_outlined_on_the_image_in_the_order_of_the_features() -> None:
    record = captioned_record()
    page = render_html(record)
    assert record.picture is not None
    png = base64.b64encode(record.picture.png).decode()
    assert f'href="data:image/png;base64,{png}"' in page
    found = re.findall(r'<(path|b|i|span) class="f ([^"]*)"', body(page))
    assert [tag for tag, _ in found[:4]] == ["path"] * 4
    assert [look for _, look in found] == [
        "pos t8",
        *["idle"] * 2,
        "mix",
        "mix",
        "pos t4",
        "mix",
    ]
    outlines = re.findall(r' d="([^"]*)"><title>([^<]*)</title>', page)
    assert outlines[2] == ("M0 2L3 2L3 4L0 4Z", "row 2, column 1")
    quoted = '<em class="quoted"><bdi>{}</bdi></em>'
    pair = " and ".join(map(quoted.format, ("row 1, column 1", "red")))
    assert f"{pair} work together to raise it: " in page
    assert "row 1, column 1 × red" in render_text(record)
    assert "made black" in page
    assert "int8" in page
    assert "Similarity +" in body(page)


def test_the_image_stands_in_a_file_s_data_once() -> None:
    record = captioned_record()
    assert record.picture is not None
    png = base64.b64encode(record.picture.png).decode()
    assert render_html(record).count(png) == 2  # and once in what is read without scripts
    assert "<image" not in body(render_html(make_record("not bad")))


def test_fixed_parts_of_a_prompt_are_told_from_masked_ones() -> None:
    text = "Answer briefly. Rex is a dog. Who is Rex?"
    features = Features(
        ("Rex", "is", "a", "dog."), ((16, 19), (20, 22), (23, 24), (25, 29)), "words"
    )
    record = make_record(
        text,
        from_effects({(): 0.0, (0,): -1.0, (0, 3): -0.5}, 4),
        features=features,
        task="text-generation",
        target=Target("A dog " * 100, None, "log-perplexity", "A dog " * 100),
        parts=(Part("instruction", 0, 16), Part("context", 16, 30), Part("question", 30, 41)),
    )
    page = render_html(record)
    assert '<span class="fixed">Answer briefly. </span>' in page
    assert '<span class="fixed"> Who is Rex?</span>' in page
    assert "token by token." in body(page)
    headline = re.search(r"<h2>(.*?)</h2>", page, re.DOTALL)
    assert headline is not None
    assert len(re.sub("<[^>]*>", "", headline.group(1))) < 500
    shown = body(page).split('class="written plain"')[1].split("</div>")[0]
    assert re.sub(r"<[^>]*>", "", shown.split(">", 1)[1]).strip() == text


def test_a_plain_function_is_shown_by_its_names() -> None:
    features = Features(("age", "<b>rent</b>"), (), "features")
    record = make_record(
        "", from_effects({(): 0.0, (0, 1): 2.0}, 2), features=features, task="function"
    )
    page = render_html(record)
    assert body(page).count('class="f mix"') == 2
    assert "<b>rent</b>" not in body(page)
    assert "&lt;b&gt;rent&lt;/b&gt;" in page
    assert "age × <b>rent</b>" in render_text(record)


@pytest.mark.parametrize("kind", ["patches", "superpixels", "segments"])
def test_images_alone(kind: str) -> None:
    record = captioned_record()
    features = replace(
        record.features,
        labels=record.features.labels[:4],
        spans=(),
        kind=kind,  # type: ignore[arg-type]
        region_kind=kind,  # type: ignore[arg-type]
    )
    alone = make_record(
        "",
        from_effects({(): 0.0, (1, 2): 1.0}, 4),
        features=features,
        picture=record.picture,
        task="image-classification",
    )
    page = render_html(alone)
    nouns = {
        "patches": ("patch", "patches"),
        "superpixels": ("region", "regions"),
        "segments": ("stretch", "stretches"),
    }[kind]
    assert view(alone, most_rows=None)["counted"] == [(*nouns, 0, 4)]
    assert body(page).count("<path class=") == 4
    assert "<iframe" in render_notebook(alone)


def test_hostile_labels_stay_text() -> None:
    record = captioned_record()
    labels = ("</title><script>x</script>", *record.features.labels[1:])
    page = render_html(replace(record, features=replace(record.features, labels=labels)))
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
