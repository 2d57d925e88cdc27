"""What was answered before: in a cache directory, or by a call that was interrupted.

Remembered answers are taken only under an equal key (:mod:`proxyspex_hf.hf.identity`), and only
after a few of their masks were asked again: no key holds all that a hook or a user's function does.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ProxySpexError, ProxySpexWarning
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.identity import as_text, hooks_of, identity_of, key_of
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.hf.store import ValueStore
from proxyspex_hf.hf.tasks.table import task_of
from proxyspex_hf.hf.value_function import BoundInput, is_rounded, unpacked

#: Masks that are asked again beside the full one.
_AGAIN = 2
#: How far an answer may be from what it was, as shares of the values' spread and of their size:
#: float32 in batches of other shapes; half precision and quantized weights, which differ by batch,
#: and servers, of which neither is known.
_EXACT, _ROUNDED = (1e-3, 1e-5), (0.1, 1e-2)
#: The same for values near zero.
_FLOOR = 1e-6


class _Same:
    """A thing that equals nothing but itself, and lives as long as this does."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


@dataclass(frozen=True)
class _Answers:
    """Values by packed mask, without a dict's objects for each: there may be millions."""

    masks: bytes
    values: FloatArray

    @classmethod
    def of(cls, answers: dict[bytes, float]) -> _Answers:
        return cls(b"".join(answers), np.array(list(answers.values())))

    def __len__(self) -> int:
        return len(self.values)

    def by_mask(self) -> dict[bytes, float]:
        width = len(self.masks) // len(self)
        starts = range(0, len(self.masks), width)
        return {
            self.masks[start : start + width]: value
            for start, value in zip(starts, self.values.tolist(), strict=True)
        }


class Memory:
    """The answers of one explainer's earlier calls."""

    def __init__(self) -> None:
        self._asked: Hashable = None
        self._left: dict[Hashable, _Answers] = {}
        self._held = False

    def askers(
        self,
        pipe: Any,
        bound: Sequence[tuple[BoundInput, BoundInput]],
        value: Any,
        directory: str | Path | None,
    ) -> list[Asker]:
        """What asks each of several inputs, with all that is remembered of it.

        Args:
            pipe: the pipeline, or the function.
            bound: each input, and the one whose outputs it is scored from.
            value: the option ``value``.
            directory: the option ``cache_dir``.

        Raises:
            InputError: a directory that cannot be used, or not with a user's own function.
        """
        if directory is None:
            askers = [Asker(own, asked_as=shared) for own, shared in bound]
            self._recall(pipe, askers, value)
        else:
            if callable(value) or any(own.model is None for own, _ in bound):
                raise InputError(
                    "cache_dir cannot be used with a user-supplied function: its values are not "
                    "known by its name. Leave cache_dir out, or give value a name."
                )
            identity = identity_of(pipe, bound[0][0].model, task_of(pipe)) if bound else {}
            askers = [
                Asker(own, ValueStore(directory, key_of(own, identity), own.n_features), shared)
                for own, shared in bound
            ]
            processes = Processes()
            for asker in askers:
                asker.refresh(processes)
        _ask_again([asker for asker in askers if asker.answers])
        return askers

    @contextmanager
    def until_done(self, pipe: Any, askers: Sequence[Asker], value: Any) -> Iterator[None]:
        """What is answered inside is remembered where it is interrupted, and forgotten else."""
        try:
            yield
        except BaseException:
            self._keep(pipe, askers, value)
            raise
        if self._held:
            self._keep(pipe, askers, value)
        else:
            self.forget()

    @contextmanager
    def held(self) -> Iterator[None]:
        """What whole calls inside are answered is remembered, too, until this is done."""
        outer, self._held = self._held, True
        try:
            yield
        finally:
            self._held = outer
        if not outer:
            self.forget()

    def _keep(self, pipe: Any, askers: Sequence[Asker], value: Any) -> None:
        """Remember what a call has learnt, and of which function."""
        new = {
            _place(asker.bound, value): _Answers.of(asker.answers)
            for asker in askers
            if asker.answers and asker.store is None
        }
        if not new:
            return
        asked = _asked(pipe, askers[0].bound)
        self._left = (self._left if asked == self._asked else {}) | new
        self._asked = asked

    def forget(self) -> None:
        """Remember nothing: kept longer, answers would outlive what they were computed with."""
        self._asked, self._left = None, {}

    def _recall(self, pipe: Any, askers: Sequence[Asker], value: Any) -> None:
        if not self._left or not askers:
            return
        if _asked(pipe, askers[0].bound) != self._asked:
            self.forget()
            return
        for asker in askers:
            left = self._left.get(_place(asker.bound, value))
            if left is not None:
                asker.recall(left.by_mask())


def _asked(pipe: Any, bound: BoundInput) -> Hashable:
    """The function that is asked: by its key, and by what only lives in this process."""
    own = pipe if bound.model is None else None
    hooks = tuple(_Same(hook) for hook in hooks_of(bound.model))
    return (
        as_text(identity_of(pipe, bound.model, task_of(pipe))),
        _Same(bound.model),
        _Same(own),
        hooks,
    )


def _place(bound: BoundInput, value: Any) -> Hashable:
    own = _Same(value) if callable(value) else None
    return as_text(key_of(bound, {})), own


def _ask_again(askers: Sequence[Asker]) -> None:
    """Ask a few remembered masks of each input again, by the pipeline's own stages; where they
    differ, forget all of them."""
    for asker in askers:
        keys = _chosen(asker)
        masks = unpacked(keys, asker.bound.n_features)
        then = asker.known(keys)
        try:
            rows = np.concatenate([asker.asked_as.by_pipeline(mask) for mask in masks])
            now = asker.bound.score(rows)
        except ProxySpexError as error:
            _warn(asker, f"it now fails: {error}")
            asker.forget()
            continue
        asker.calls += len(keys)
        asker.inputs += len(keys)
        if not np.abs(now - then).max() <= _tolerance(asker):  # also where it is not finite
            worst = int(np.abs(now - then).argmax())
            _warn(asker, f"it now gives {now[worst]:.6g} where it gave {then[worst]:.6g}")
            asker.forget()


def _warn(asker: Asker, change: str) -> None:
    where = "the interrupted call" if asker.store is None else str(asker.store.path)
    warnings.warn(
        f"the answers kept from {where} are not what this model gives: asked again, {change}. "
        "They are dropped, and everything is asked anew.",
        ProxySpexWarning,
        stacklevel=5,
    )


def _chosen(asker: Asker) -> list[bytes]:
    """The full mask where it was answered, and a few others, chosen by a seed."""
    n = asker.bound.n_features
    full = np.packbits(np.ones((1, n), dtype=np.bool_), axis=1)[0].tobytes()
    others = sorted(key for key in asker.answers if key != full)
    rng = np.random.default_rng(0)
    places = rng.choice(len(others), min(_AGAIN, len(others)), replace=False)
    return [*([full] if asker.has(full) else []), *(others[place] for place in places)]


def _tolerance(asker: Asker) -> float:
    values = np.array(list(asker.answers.values()))
    rounded = asker.bound.remote or is_rounded(asker.bound.model)
    of_spread, of_size = _ROUNDED if rounded else _EXACT
    return max(of_spread * float(np.ptp(values)), of_size * float(np.abs(values).max()), _FLOOR)
