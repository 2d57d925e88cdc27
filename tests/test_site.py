"""The parts of the site that are made: gallery, tutorials, links, and that it loads nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import site_hooks
from mkdocs.exceptions import PluginError

from proxyspex_hf.app.examples import EXAMPLES, load_example


def page(path: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=path))


def led(markdown: str, path: str) -> str:
    return site_hooks.on_page_markdown(markdown, page=page(path), config=None, files=None)


def test_the_gallery_shows_every_example_and_is_made_alike_each_time() -> None:
    shown = led("<!-- gallery -->", "gallery.md")
    assert shown == site_hooks.gallery()
    for name, title in EXAMPLES.items():
        assert f"## {title}" in shown
        assert f"(gallery/{name}.html)" in shown
    assert "**74% POSITIVE.**" in shown
    again = load_example.__wrapped__("short")  # read anew, not the kept one
    assert again.to_html() == load_example("short").to_html()


def test_links_out_of_the_docs_lead_somewhere() -> None:
    notebook = "[a tutorial](../../examples/notebooks/text.ipynb)"
    assert led(notebook, "howto/tasks.md") == "[a tutorial](../tutorials/text.md)"
    picture = "![a figure](../examples/paper/results/figure01.png)"
    assert led(picture, "paper.md") == (
        "![a figure](repository/examples/paper/results/figure01.png)"
    )
    file = "[its tables](../tests/bench/data/README.md)"
    assert (
        led(file, "intervals.md") == "its tables (`tests/bench/data/README.md` in the repository)"
    )
    for kept in ("[method](../method.md)", "[web](https://example.org)", "[here](#part)"):
        assert led(kept, "howto/tasks.md") == kept


def test_a_tutorial_has_its_code_and_what_came_of_it(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Text."]},
        {
            "cell_type": "code",
            "source": ["print(1 < 2)"],
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["True\n"]},
                {"output_type": "display_data", "data": {"image/svg+xml": ["<svg/>"]}},
            ],
        },
    ]
    path = site_hooks.ROOT / "examples" / "notebooks" / "text.ipynb"
    text, pictures = site_hooks.tutorial(path)
    assert text.startswith("# A text: what made the classifier say that?")
    assert "effect ± 90%" in text
    assert list(pictures) == ["text-1.svg"]
    made = tmp_path / "made.ipynb"
    made.write_text(json.dumps({"cells": cells}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_hooks, "ROOT", tmp_path)
        text, pictures = site_hooks.tutorial(made)
    assert "```python\nprint(1 < 2)\n```" in text
    assert "```text\nTrue\n```" in text
    assert pictures == {"made-1.svg": "<svg/>"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", '<script defer src="https://cdn.example/x.js"></script>'),
        ("a.html", "<img alt='' src=//cdn.example/x.png>"),
        ("a.html", '<link href="https://fonts.example/css" rel="stylesheet">'),
        ("a.css", "@import url(https://fonts.example/css);"),
        ("a.css", 'body { background: url("//cdn.example/x.png") }'),
    ],
)
def test_a_site_that_loads_from_elsewhere_is_refused(
    name: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(PluginError, match=rf"{name} loads \S*example"):
        site_hooks.on_post_build(config=SimpleNamespace(site_dir=str(tmp_path)))


def test_links_to_follow_and_pictures_of_its_own_are_let_pass(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">x</a><img src="data:image/png;base64,AA">'
        '<script src="../b.js"></script><link rel="stylesheet" href="../c.css">'
    )
    (tmp_path / "a.css").write_text("body { background: url(../x.png) }")
    site_hooks.on_post_build(config=SimpleNamespace(site_dir=str(tmp_path)))
