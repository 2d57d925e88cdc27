"""Runs the tutorials of ``examples/notebooks``, and keeps what they print.

    python tests/run_notebooks.py            # all; with SmolLM2, for which see examples/smollm2.py
    python tests/run_notebooks.py text hub   # some of them

The Hub and the inference server are the tests' own, on loopback. `tests/test_notebooks.py` runs the
same cells with a tiny language model. All notebooks run one after the other in one kernel, emptied
in between: starting Python and torch six times would take longer than the cells.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from hub_server import HubServer
from hub_server.clients import environment_for
from inference_server import InferenceServer
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "notebooks"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb")))
#: What a cell may leave in a notebook; an explanation's own page would be 70 kB of HTML.
_KEPT = ("image/svg+xml", "text/plain")


def executed(llm: Any, directory: Path, names: Sequence[str] = NAMES) -> dict[str, Any]:
    """Each notebook by its name, with its outputs.

    Args:
        llm: a text-generation pipeline, saved for the tutorial on documents and served for the
            one on served models.
        directory: an empty one, in which the cells run.
        names: of the notebooks, in the order in which they run.
    """
    model = directory / "model"
    llm.model.save_pretrained(model)
    llm.tokenizer.save_pretrained(model)
    books = {name: nbformat.read(FOLDER / f"{name}.ipynb", 4) for name in names}
    with HubServer() as hub, InferenceServer(llm, "vllm", name="my-model") as server:
        hub.add_user("hf_me", "me")
        replaced = {
            "str(local_copy())": repr(str(model)),
            "http://host:8000/v1": server.url,
            '"my-tokenizer"': repr(str(model)),
            '"../pictures/': f'"{ROOT}/examples/pictures/',
        }
        cells = []
        for name, book in books.items():
            cells.append(nbformat.v4.new_code_cell(f"%reset -f\n__name__ = {name!r}"))
            for cell in book.cells:
                run = cell.copy()
                for old, new in replaced.items():
                    run.source = run.source.replace(old, new)
                cells.append(run)
        first = next(iter(books.values()))
        whole = nbformat.v4.new_notebook(cells=cells, metadata=deepcopy(first.metadata))
        places = [str(ROOT), str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]
        env = environment_for(hub, directory / "home") | {"PYTHONPATH": os.pathsep.join(places)}
        client = NotebookClient(
            whole,
            timeout=300,
            record_timing=False,
            resources={"metadata": {"path": str(directory)}},
        )
        client.execute(env=env)
    done = iter(whole.cells)
    for book in books.values():
        next(done)
        number = 0
        for cell in book.cells:
            run = next(done)
            if cell.cell_type == "code":
                number += 1
                cell.execution_count = number
                cell.outputs = [_kept(output, number) for output in run.outputs if _is_kept(output)]
    return books


def _is_kept(output: Any) -> bool:
    """Progress bars and warnings of libraries are not the tutorial's."""
    return output.output_type != "stream" or output.name == "stdout"


def _kept(output: Any, number: int) -> Any:
    if output.output_type == "execute_result":
        output.execution_count = number
    if "data" in output:
        kept = next((kind for kind in _KEPT if kind in output.data), None)
        output.data = {} if kept is None else {kept: output.data[kept]}
        output.metadata = {}
    return output


def code_of(book: Any) -> str:
    """A hash of what its cells run: stored beside the outputs, it tells when they are stale."""
    code = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def text_of(book: Any) -> str:
    """All that a notebook's cells put out, as text."""
    found = []
    for cell in book.cells:
        for output in cell.get("outputs", []):
            found.append(output.get("text", ""))
            found += [str(data) for data in output.get("data", {}).values()]
    return "\n".join(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="NAME")
    names = parser.parse_args().names or NAMES
    from transformers import pipeline

    sys.path.append(str(ROOT / "examples"))
    from smollm2 import local_copy

    llm = pipeline("text-generation", model=str(local_copy()))
    with tempfile.TemporaryDirectory() as directory:
        books = executed(llm, Path(directory), names)
        for name, book in books.items():
            if re.search(rf"127\.0\.0\.1|{re.escape(directory)}", text_of(book)):
                raise SystemExit(f"{name} prints an address or a path of this machine.")
            for cell in book.cells:
                cell.metadata.pop("execution", None)
            book.metadata["outputs_of"] = code_of(book)
            nbformat.write(book, FOLDER / f"{name}.ipynb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
