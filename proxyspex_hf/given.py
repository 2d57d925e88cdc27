"""Explanations as people give them: one, or any number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation


def as_explanation(name: str, given: Any) -> InteractionExplanation:
    """An argument that is an explanation.

    Raises:
        InputError: it is something else, such as the name of a file.
    """
    if not isinstance(given, InteractionExplanation):
        raise InputError(
            f"{name} must be an InteractionExplanation, got {quoted(given)}: of a file, give "
            "InteractionExplanation.load(path)."
        )
    return given


def as_explanations(given: Any) -> Iterator[InteractionExplanation]:
    """One after the other, from anything that can be gone through once.

    Raises:
        InputError: a single explanation, the name of something, or another thing among them.
    """
    alone = isinstance(given, (str, bytes, InteractionExplanation))
    if alone or not isinstance(given, Iterable):
        raise InputError(
            f"explanations must be a list of InteractionExplanation, got {quoted(given)}."
        )
    for explanation in given:
        yield as_explanation("each of explanations", explanation)
