"""Asking many masks of one or several inputs: remembered, stored, shared among processes.

Batches are formed over everything that is asked in one call, and a batch that is known is skipped
whole: what an interrupted run computed is the same, bit for bit, as what it would have become.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.core.values import Cached, checked_values
from proxyspex_hf.errors import ModelError, ProxySpexError
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.hf.store import ValueStore
from proxyspex_hf.hf.value_function import (
    Batch,
    BoundInput,
    answer,
    batches,
    is_rounded,
    items_of,
    packed,
)

__all__ = ["Asker", "ask_together", "noise_floor"]


class Asker(Cached):
    """The values of one input: each distinct mask is answered once.

    Attributes:
        calls: masks that the model was asked for; each counts, also those equal to another.
        inputs: distinct model inputs that were run.
        stored: masks that came from the cache directory.
    """

    def __init__(self, bound: BoundInput, store: ValueStore | None = None) -> None:
        super().__init__(bound)
        self.bound = bound
        self.store = store
        self.inputs = 0
        self.stored = 0

    def __call__(self, masks: BoolArray, progress: ProgressCallback | None = None) -> FloatArray:
        """Values of ``masks`` (b, n) -> (b,).

        Raises:
            InputError: masks of the wrong shape.
            ModelError: the model failed, or gave values that are NaN or infinite.
        """
        return ask_together([self], [masks], progress)[0]

    def known(self, keys: Sequence[bytes]) -> FloatArray:
        """Values of packed masks that were answered before."""
        return np.array([self._known[key] for key in keys], dtype=np.float64)

    def has(self, key: bytes) -> bool:
        return key in self._known

    def refresh(self, processes: Processes) -> None:
        """Take over what other processes stored since."""
        if self.store is None:
            return
        new = processes.from_first(self.store.new)
        self.stored += sum(key not in self._known for key in new)
        self._known = {**new, **self._known}

    def learn(self, keys: Sequence[bytes], values: FloatArray, masks: BoolArray) -> None:
        """Keep answers: check them, remember them.

        Raises:
            ModelError: a value is NaN or infinite.
        """
        found = dict(zip(keys, checked_values(values, masks).tolist(), strict=True))
        self._known.update(found)
        self.calls += len(found)

    def keep(self, keys: Sequence[bytes]) -> None:
        """Store answers that were learnt."""
        if self.store is not None and keys:
            self.store.add({key: self._known[key] for key in keys})


@dataclass
class _Item:
    """One distinct model input, and who asked it: (asker, packed mask, mask)."""

    item: bytes
    askers: list[tuple[Asker, bytes, BoolArray]]

    @property
    def open(self) -> list[tuple[Asker, bytes, BoolArray]]:
        return [(asker, key, mask) for asker, key, mask in self.askers if not asker.has(key)]


def ask_together(
    askers: Sequence[Asker], masks: Sequence[BoolArray], progress: ProgressCallback | None = None
) -> list[FloatArray]:
    """The values of each asker's masks; inputs of one kind share batches, so that they are full."""
    processes = Processes()
    rows = [as_masks(m, asker.bound.n_features) for asker, m in zip(askers, masks, strict=True)]
    keys = [packed(r) for r in rows]
    for asker in askers:
        asker.refresh(processes)
    groups: dict[object, list[_Item]] = {}
    for asker, own, own_keys in zip(askers, rows, keys, strict=True):
        if not all(asker.has(key) for key in own_keys):  # else not even a trial is worth it
            _collect(groups.setdefault(_sharing(asker.bound), []), asker, own, own_keys)
    missing = sum(len(item.open) for items in groups.values() for item in items)
    report = Reporter(progress, "model calls", missing)
    for items in groups.values():
        for answered in _answered(items, processes):
            for asker, own_keys in answered.items():
                if processes.first:
                    asker.keep(own_keys)
                report.advance(len(own_keys))
    return [asker.known(own_keys) for asker, own_keys in zip(askers, keys, strict=True)]


def _sharing(bound: BoundInput) -> Hashable:
    """Inputs of one kind share batches where they are asked in one way; by the pipeline's own
    stages, where items are masks, only one input under several targets does."""
    same_input = json.dumps(bound.fingerprint()) if bound.way == "pipeline" else ""
    return bound.sharing, bound.way, same_input


def _collect(group: list[_Item], asker: Asker, masks: BoolArray, keys: Sequence[bytes]) -> None:
    places = {item.item: item for item in group}
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    distinct = list(first.values())
    for row, item in zip(distinct, items_of(asker.bound, masks[distinct]), strict=True):
        if item not in places:
            places[item] = _Item(item, [])
            group.append(places[item])
        places[item].askers.append((asker, keys[row], masks[row]))


def _answered(items: list[_Item], processes: Processes) -> Iterator[Mapping[Asker, list[bytes]]]:
    """Run the batches of one group, a round at a time; yields which masks each round answered."""
    if not any(item.open for item in items):
        return
    bound = items[0].askers[0][0].bound
    every = batches(bound, [item.item for item in items])
    open_batches = [
        rest for batch in every if (rest := [row for row in batch.rows if items[row].open])
    ]
    for start in range(0, len(open_batches), processes.count):
        ours = start + processes.index
        result: tuple[list[int], FloatArray] | str | None = None
        if ours < len(open_batches):
            result = _run(bound, items, open_batches[ours], processes)
        answered: dict[Asker, list[bytes]] = {}
        for each in processes.gathered(result):
            if isinstance(each, str):
                raise ModelError(each)
            if each is not None:
                for asker, own_keys in _taken(items, *each).items():
                    answered.setdefault(asker, []).extend(own_keys)
        yield answered


def _run(
    bound: BoundInput, items: list[_Item], rows: list[int], processes: Processes
) -> tuple[list[int], FloatArray] | str:
    try:
        return rows, answer(bound, Batch(tuple(rows), tuple(items[r].item for r in rows)).items)
    except ProxySpexError as error:
        if processes.count == 1:
            raise
        return str(error)  # raised in every process, none is left waiting


def _taken(items: list[_Item], rows: list[int], outputs: FloatArray) -> dict[Asker, list[bytes]]:
    """Score the outputs for everyone who asked them."""
    wanted: dict[Asker, list[tuple[int, bytes, BoolArray]]] = {}
    for place, row in enumerate(rows):
        for asker, key, mask in items[row].open:
            wanted.setdefault(asker, []).append((place, key, mask))
    for asker, entries in wanted.items():
        places = [place for place, _, _ in entries]
        values = asker.bound.score(outputs[places])
        asker.learn([key for _, key, _ in entries], values, np.stack([m for _, _, m in entries]))
        asker.inputs += len(set(places))
    return {asker: [key for _, key, _ in entries] for asker, entries in wanted.items()}


#: Masks that are asked again, alone.
_AGAIN = 8


def noise_floor(asker: Asker, masks: BoolArray, wanted: bool | None) -> float | None:
    """Largest difference between the values of a few masks as they were asked and by the pipeline.

    ``wanted`` None measures it where it is to be expected: quantized weights, half precision.
    """
    bound = asker.bound
    if wanted is None:
        wanted = is_rounded(bound.model)
    if not wanted or bound.model is None:
        return None
    some = masks[np.linspace(0, len(masks) - 1, min(_AGAIN, len(masks)), dtype=int)]
    alone = bound.score(np.concatenate([bound.by_pipeline(mask) for mask in some]))
    return float(np.abs(alone - asker.known(packed(some))).max())
