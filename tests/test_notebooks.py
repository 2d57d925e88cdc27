"""The tutorials run as they stand, and what they show was made by what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from run_notebooks import FOLDER, NAMES, code_of, executed, text_of
from tiny_pipelines import generator


def stored(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", 4)


def test_every_notebook_runs(tmp_path: Path) -> None:
    books = executed(generator(), tmp_path)
    assert list(books) == list(NAMES)
    # The language model is a tiny one here; what does not depend on it is as it is stored.
    said = {name: text_of(book) for name, book in books.items()}
    first = stored("text").cells[1].outputs[0].data["text/plain"]
    assert first.split(",")[0] in said["text"]
    assert "(True, 'exact')" in said["hub"]
    assert "('exact', 16)" in said["documents"]
    assert "noise below 1e-4: True" in said["served"]
    assert "penguin" in said["caption"]
    assert len(re.findall(r"in \d inputs, mean effect", said["compare"])) == 4
    for book in books.values():
        nbformat.validate(book)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_whole_and_small(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < 100_000
    book = stored(name)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    stale = "its code was changed: python tests/run_notebooks.py " + name
    assert book.metadata["outputs_of"] == code_of(book), stale
    said = text_of(book)
    assert said.strip()
    assert not re.search(r"127\.0\.0\.1|/tmp/|/root/|/home/|Traceback|Warning", said)
