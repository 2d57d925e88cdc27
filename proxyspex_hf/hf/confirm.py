"""The full input's value beside the pipeline's own answer, when an input is bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.value_function import BoundInput, close


def confirm(bound: BoundInput) -> None:
    """Compare the full input's value with the pipeline's own answer.

    Raises:
        InputError: they differ beyond rounding.
    """
    if bound.stages is None or not np.isfinite(bound.whole).all():
        return  # what is not finite is refused when it is asked
    with evaluating(bound.model):
        claims = bound.claims()
    if claims is None:
        return
    said, made = claims
    names = [[str(name) for name, _ in side] for side in (said, made)]
    numbers = [np.array([[number for _, number in side]]) for side in (said, made)]
    if names[0] == names[1] and close(bound, numbers[1], numbers[0]):
        return
    raise InputError(
        f"{type(bound.stages.pipe).__name__} itself answers {_listed(said)} for this input, but "
        f"its model's outputs make it {_listed(made)}: what the pipeline changes outside of its "
        "preprocess and _forward (a postprocess or __call__ of its own) cannot be explained. Move "
        "the change into preprocess or _forward."
    )


def _listed(pairs: Sequence[Any]) -> str:
    shown = ", ".join(f"{name} {number:.4g}" for name, number in pairs[:3])
    return f"{shown}, …" if len(pairs) > 3 else shown
