"""The explanations that ship with the app; ``space/make_examples.py`` makes them."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation

__all__ = ["EXAMPLES", "load_example"]

#: Name of each example, and what its button says.
EXAMPLES = {
    "short": "Not bad: a sentence, and a classifier",
    "caption": "A picture with its caption, and CLIP",
    "question": "A question on a story, and a language model",
    "review": "A film review, and a classifier",
}


@cache
def load_example(name: str) -> InteractionExplanation:
    """One of them, read once.

    Raises:
        InputError: there is none of that name.
    """
    if name not in EXAMPLES:
        raise InputError(f"there is no example {name!r}; there are {', '.join(EXAMPLES)}.")
    with as_file(files("proxyspex_hf.app.examples") / f"{name}.json") as path:
        return InteractionExplanation.load(path)
