"""Each kind of input in the report: images outlined, fixed text marked, plain functions by name."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import pytest
from record_factory import captioned_record, from_effects, make_record

from proxyspex_hf.record import Features, Part, Target
from proxyspex_hf.viz import render_html, render_notebook, render_text


def body(page: str) -> str:
    return page.split("<body>")[1].split("<script")[0]


def test_patches_are_outlined_on_the_image_in_the_order_of_the_features() -> None:
    record = captioned_record()
    page = render_html(record)
    assert record.picture is not None
    png = base64.b64encode(record.picture.png).decode()
    assert f'href="data:image/png;base64,{png}"' in page
    assert "img-src data:;" in page
    found = re.findall(r'<(path|span) class="f ([^"]*)" data-effect="([^"]*)"', body(page))
    assert [tag for tag, _, _ in found] == ["path"] * 4 + ["span"] * 3
    assert [float(effect) for _, _, effect in found] == [1.0, 0, 0, 0, 0, 0.5, 0]
    # The strongest is the pair of a patch and a word: its members are linked by number.
    assert 'data-members="0 5"' in page
    assert next(look for _, look, _ in found) == "pos t4"
    outlines = re.findall(r' d="([^"]*)"><title>([^<]*)</title>', page)
    assert outlines[2] == ("M0 2L3 2L3 4L0 4Z", "row 2, column 1")
    assert "all patches and words masked" in body(page)
    assert "“<bdi>row 1, column 1</bdi>” and “<bdi>red</bdi>” raise it together" in page
    assert "row 1, column 1 × … red" in render_text(record)
    assert "made black" in page
    assert "int8" in page
    assert "similarity for" in page


def test_pages_without_an_image_admit_none() -> None:
    page = render_html(make_record("not bad"))
    assert "img-src" not in page
    assert "<image" not in page


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
    assert 'class="key fixed">never masked' in page
    assert "log-perplexity for" in body(page)
    headline = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert headline is not None
    assert len(re.sub("<[^>]*>", "", headline.group(1))) < 500
    shown = body(page).split('id="text"')[1].split("<p")[0]
    assert re.sub(r"<[^>]*>", "", shown.split(">", 1)[1]).strip() == text
    assert "never masked" not in render_html(make_record("not bad"))


def test_a_plain_function_is_shown_by_its_names() -> None:
    features = Features(("age", "<b>rent</b>"), (), "features")
    record = make_record(
        "", from_effects({(): 0.0, (0, 1): 2.0}, 2), features=features, task="function"
    )
    page = render_html(record)
    assert page.count('class="f mix"') == 2
    assert "<b>rent</b>" not in body(page)
    assert "&lt;b&gt;rent&lt;/b&gt;" in page
    assert "all features masked" in page
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
    noun = {"patches": "patches", "superpixels": "regions", "segments": "stretches"}[kind]
    assert f"all {noun} masked" in page
    assert page.count("<path class=") == 4
    assert "<iframe" in render_notebook(alone)


def test_hostile_labels_stay_text() -> None:
    record = captioned_record()
    labels = ("</title><script>x</script>", *record.features.labels[1:])
    page = render_html(replace(record, features=replace(record.features, labels=labels)))
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
