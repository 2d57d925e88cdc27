"""From bound inputs to explanations: all of them are asked together, then each is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from proxyspex_hf.core.attribution import Plan, attribute
from proxyspex_hf.errors import InputError, ProxySpexError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.answers import Asker, ask_together, noise_floor
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.progress_bar import progress_callback
from proxyspex_hf.recording import make_record

__all__ = ["explained", "placed"]


def explained(
    pipe: Any, askers: Sequence[Asker], chosen: ExplainerOptions, *, keep: bool
) -> list[InteractionExplanation | ProxySpexError]:
    """The explanation of what each asker asks.

    With ``keep``, an input that cannot be explained has its error in its place.

    Raises:
        InputError: options that do not fit an input.
        ModelError: the model failed.
    """
    progress = progress_callback(chosen.progress if Processes().first else False)
    made: dict[Asker, InteractionExplanation | ProxySpexError] = {}
    plans: dict[Asker, Plan] = {}
    masks: dict[Asker, Any] = {}
    for asker in askers:
        with _kept(made, asker, keep):
            plans[asker] = chosen.plan(asker.bound.n_features)
            if len(askers) > 1:
                masks[asker] = _masks_of(asker, plans[asker], chosen)
    if masks:
        ask_together(list(masks), list(masks.values()), progress, keep=keep)
    for asker in (asker for asker in askers if asker not in made):
        with _kept(made, asker, keep):
            if asker.error is not None:
                raise asker.error
            algorithm = chosen.algorithm()
            found = attribute(asker, plans[asker], algorithm, progress=progress)
            noise = noise_floor(asker, found.masks, chosen.noise)
            record = make_record(pipe, asker, chosen, algorithm, found, noise)
            made[asker] = InteractionExplanation(record)
    return [made[asker] for asker in askers]


@contextmanager
def _kept(made: dict[Any, Any], place: Any, keep: bool) -> Iterator[None]:
    """With ``keep``, an error inside becomes what was made in its place."""
    try:
        yield
    except ProxySpexError as error:
        if not keep:
            raise
        made[place] = error


def placed(error: ProxySpexError, position: int, count: int) -> ProxySpexError:
    """An error that says which input of a list it is about."""
    named = type(error)(f"input {position} of {count}: {error}")
    named.__cause__ = error
    return named


class _Planned(Exception):  # noqa: N818 - no error: it carries the masks out
    def __init__(self, masks: Any) -> None:
        self.masks = masks


class _Planner(Asker):
    def __call__(self, masks: Any, progress: Any = None) -> Any:  # noqa: ARG002
        raise _Planned(masks)


def _masks_of(asker: Asker, how: Plan, chosen: ExplainerOptions) -> Any:
    """The masks that :func:`attribute` will ask, so that several inputs can be asked together."""
    try:
        attribute(_Planner(asker.bound), how, chosen.algorithm())
    except _Planned as planned:
        return planned.masks
    raise InputError("the plan asks nothing.")
