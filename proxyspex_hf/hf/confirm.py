"""Values beside the pipeline's own answers, when an input is bound: whole, and half masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.value_function import BoundInput, Claims, Unread, close


def confirm(bound: BoundInput) -> None:
    """Compare what is made of the model's outputs with the pipeline's own answer, for the whole
    input and for one with every other feature masked; where the pipeline answers in a form that
    cannot be compared, ``notes`` say so.

    Raises:
        InputError: they differ beyond rounding.
        ModelError: the pipeline cannot answer an input that its own stages can.
    """
    if bound.stages is None or not np.isfinite(bound.whole).all():
        return  # what is not finite is refused when it is asked
    whole = np.ones(bound.n_features, dtype=np.bool_)
    try:
        with evaluating(bound.model):
            _compare(bound, bound.claims(whole), "this input")
            _compare(bound, _half_masked(bound), "this input with every other feature masked")
    except Unread as unread:
        bound.notes = (
            *bound.notes,
            f"{type(bound.stages.pipe).__name__} answers in a form of its own "
            f"({unread.args[0]!r:.60}), so that it could not be compared: whether it changes what "
            "its model's outputs say, outside of its preprocess and _forward, is not known.",
        )


def _half_masked(bound: BoundInput) -> Claims | None:
    """The claims with every other feature masked; with the rest of them, where the first say
    nothing."""
    odd = np.arange(bound.n_features) % 2 == 1
    for mask in (odd, ~odd):
        if mask.all():
            continue
        try:
            with np.errstate(invalid="ignore"):  # NaN is refused when it is asked, and by that name
                claims = bound.claims(mask)
        except ModelError:
            if _can_be_asked(bound, mask):
                raise
            continue
        if claims is not None and np.isfinite([number for _, number in claims[1]]).all():
            return claims
    return None


def _can_be_asked(bound: BoundInput, mask: NDArray[np.bool_]) -> bool:
    """Whether the pipeline's stages take a masked input: what fails there, fails in its own words
    when it is asked."""
    try:
        return bool(np.isfinite(bound.outputs_of(mask)).all())
    except ModelError:
        return False


def _compare(bound: BoundInput, claims: Claims | None, what: str) -> None:
    if claims is None or bound.stages is None:
        return
    said, made = claims
    names = [[str(name) for name, _ in side] for side in (said, made)]
    numbers = [np.array([[number for _, number in side]]) for side in (said, made)]
    if names[0] == names[1] and close(bound, numbers[1], numbers[0]):
        return
    raise InputError(
        f"{type(bound.stages.pipe).__name__} itself answers {_listed(said)} for {what}, but "
        f"its model's outputs make it {_listed(made)}: what the pipeline changes outside of its "
        "preprocess and _forward (a postprocess or __call__ of its own) cannot be explained. Move "
        "the change into preprocess or _forward."
    )


def _listed(pairs: Sequence[Any]) -> str:
    shown = ", ".join(f"{name} {number:.4g}" for name, number in pairs[:3])
    return f"{shown}, …" if len(pairs) > 3 else shown
