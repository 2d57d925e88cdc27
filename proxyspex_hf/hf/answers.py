"""Asking many masks of one or several inputs: remembered, stored, shared among processes.

Batches are formed over everything that is asked in one call, and a batch that is known is skipped
whole: what an interrupted run computed is the same, bit for bit, as what it would have become.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.values import Cached, checked_values, described
from proxyspex_hf.errors import ModelError, ProxySpexError
from proxyspex_hf.hf.failures import tried_again
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.hf.store import ValueStore
from proxyspex_hf.hf.value_function import (
    Batch,
    BoundInput,
    answers,
    batches,
    is_rounded,
    items_of,
    packed,
)


class Asker(Cached):
    """The values of one input: each distinct mask is answered once.

    Args:
        bound: the input.
        store: its values on disk.
        asked_as: the input whose outputs are scored; another than ``bound`` where several labels of
            one input share their forwards.

    Attributes:
        error: why the model cannot answer this input, where its failure was to cost no other.
        calls: masks that the model was asked for; each counts, also those equal to another.
        inputs: distinct model inputs that were run.
        stored: masks that came from the cache directory.
    """

    def __init__(
        self,
        bound: BoundInput,
        store: ValueStore | None = None,
        asked_as: BoundInput | None = None,
    ) -> None:
        super().__init__(bound)
        self.bound = bound
        self.asked_as = bound if asked_as is None else asked_as
        self.store = store
        self.error: ProxySpexError | None = None
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

    @property
    def has_lost(self) -> bool:
        """Whether stored values were damaged, so that batches are partly known."""
        return self.store is not None and self.store.damaged

    def has(self, key: bytes) -> bool:
        return key in self._known

    @property
    def answers(self) -> dict[bytes, float]:
        """Every value that is known, by packed mask."""
        return dict(self._known)

    def recall(self, values: Mapping[bytes, float]) -> None:
        """Take over values that were answered before."""
        self._known.update(values)

    def forget(self) -> None:
        """Drop all values, stored ones too."""
        self._known.clear()
        self.stored = 0
        if self.store is not None and Processes().first:
            self.store.clear()

    def refresh(self, processes: Processes) -> None:
        """Take over what other processes stored since."""
        if self.store is None:
            return
        new = processes.from_first(self.store.new)
        self.stored += sum(key not in self._known for key in new)
        self._known = {**new, **self._known}

    def learn(
        self, keys: Sequence[bytes], values: FloatArray, masks: BoolArray
    ) -> tuple[list[bytes], ModelError | None]:
        """Remember the answers that can be used: which those are, and what is wrong with others."""
        array, usable, error = checked_values(values, masks, self.bound.called)
        learnt = [key for key, ok in zip(keys, usable, strict=True) if ok]
        self._known.update(zip(learnt, array[usable].tolist(), strict=True))
        self.calls += len(keys)
        return learnt, error

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
        return [
            (asker, key, mask)
            for asker, key, mask in self.askers
            if asker.error is None and not asker.has(key)
        ]


def ask_together(
    askers: Sequence[Asker],
    masks: Sequence[BoolArray],
    progress: ProgressCallback | None = None,
    *,
    keep: bool = False,
) -> list[FloatArray]:
    """The values of each asker's masks; inputs of one kind share batches, so that they are full.

    Where the model fails on an input, that is raised; with ``keep`` it becomes the asker's
    ``error``, its values are empty, and the others are answered.
    """
    processes = Processes()
    rows = [as_masks(m, asker.bound.n_features) for asker, m in zip(askers, masks, strict=True)]
    keys = [packed(r) for r in rows]
    for asker in askers:
        asker.refresh(processes)
    groups: dict[object, list[_Item]] = {}
    for asker, own, own_keys in zip(askers, rows, keys, strict=True):
        if all(asker.has(key) for key in own_keys):
            continue  # not even a trial is worth it
        try:
            _collect(groups.setdefault(_sharing(asker.asked_as), []), asker, own, own_keys)
        except ProxySpexError as error:
            if not keep:
                raise
            asker.error = error
    missing = sum(len(item.open) for items in groups.values() for item in items)
    report = Reporter(progress, "model calls", missing)
    for items in groups.values():
        for answered in _answered(items, processes, keep):
            for asker, own_keys in answered.items():
                if processes.first:
                    asker.keep(own_keys)
                report.advance(len(own_keys))
    return [
        asker.known(own_keys if asker.error is None else [])
        for asker, own_keys in zip(askers, keys, strict=True)
    ]


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
    for row, item in zip(distinct, items_of(asker.asked_as, masks[distinct]), strict=True):
        if item not in places:
            places[item] = _Item(item, [])
            group.append(places[item])
        places[item].askers.append((asker, keys[row], masks[row]))


#: Rows of one group, and their outputs or why there are none.
_Part = tuple[list[int], FloatArray | ProxySpexError]


def _answered(
    items: list[_Item], processes: Processes, keep: bool
) -> Iterator[Mapping[Asker, list[bytes]]]:
    """Run the batches of one group, a round at a time; yields which masks each round answered."""
    if not any(item.open for item in items):
        return
    bound = items[0].askers[0][0].asked_as
    open_batches = [
        rest
        for batch in _batched(bound, items, list(range(len(items))), keep)
        if (rest := _to_run(items, batch))
    ]
    for start in range(0, len(open_batches), processes.count):
        ours = start + processes.index
        parts: Iterator[_Part] = iter(())
        if ours < len(open_batches):
            parts = _run(bound, items, _to_run(items, open_batches[ours]), keep)
        for each in _as_they_come(parts, processes):
            answered, failed = _learnt(items, each)
            for asker, error in failed.items() if keep else ():
                asker.error = error
            yield answered
            if failed and not keep:
                raise next(iter(failed.values()))


def _as_they_come(parts: Iterator[_Part], processes: Processes) -> Iterator[list[_Part]]:
    """What one round gives: part by part; whole, where several processes must learn the same."""
    if processes.count == 1:
        yield from ([part] for part in parts)
    else:
        yield [part for each in processes.gathered(list(parts)) for part in each]


def _learnt(
    items: list[_Item], parts: Sequence[_Part]
) -> tuple[dict[Asker, list[bytes]], dict[Asker, ProxySpexError]]:
    """Which masks these parts have answered, and whose failed."""
    answered: dict[Asker, list[bytes]] = {}
    failed: dict[Asker, ProxySpexError] = {}
    for rows, outputs in parts:
        if isinstance(outputs, ProxySpexError):
            wanted = {asker for row in rows for asker, _, _ in items[row].open}
            failed.update((asker, outputs) for asker in wanted)
            continue
        for asker, own_keys in _taken(items, rows, outputs, failed).items():
            answered.setdefault(asker, []).extend(own_keys)
    return answered, failed


def _batched(bound: BoundInput, items: list[_Item], rows: list[int], keep: bool) -> list[list[int]]:
    """Rows of the group in batches; an asker whose items cannot be divided so has that error."""
    try:
        own = batches(bound, [items[row].item for row in rows])
        return [[rows[place] for place in batch.rows] for batch in own]
    except ProxySpexError as error:
        if not keep:
            raise
        apart = _by_askers(items, rows)
        if len(apart) > 1:
            return [batch for part in apart for batch in _batched(bound, items, part, keep)]
        for row in rows:
            for asker, _, _ in items[row].open:
                asker.error = error
        return []


def _to_run(items: list[_Item], batch: list[int]) -> list[int]:
    """The rows of a batch that are still to be answered. Where some of them were lost, all of the
    batch: in another shape, the last digits of its values would be others."""
    rest = [row for row in batch if items[row].open]
    lost = any(asker.has_lost for row in rest for asker, _, _ in items[row].open)
    return batch if lost else rest


def _run(bound: BoundInput, items: list[_Item], rows: list[int], keep: bool) -> Iterator[_Part]:
    """The outputs of one batch as they come, and the first failure; with ``keep``, each asker's."""
    left = rows
    while left:
        done: set[int] = set()
        try:
            batch = Batch(tuple(left), tuple(items[row].item for row in left))
            for places, outputs in answers(bound, batch.items):
                answered = [left[place] for place in places]
                yield answered, outputs
                done.update(answered)
            return
        except ProxySpexError as error:
            rest = [row for row in left if row not in done]
            losers = {id(asker) for asker, _, _ in items[rest[0]].open}
            yield [rest[0]], _named(error, items[rest[0]])
            if not keep:
                return
            left = [
                row
                for row in rest[1:]
                if any(id(asker) not in losers for asker, _, _ in items[row].open)
            ]


def _named(error: ProxySpexError, item: _Item) -> ProxySpexError:
    """The same failure, with the mask on which it came."""
    if not isinstance(error, ModelError) or not item.askers:
        return error
    named = ModelError(f"{error} It was asked {described(item.askers[0][2])}.")
    named.__cause__ = error.__cause__ or error
    return named


def _by_askers(items: list[_Item], rows: Sequence[int]) -> list[list[int]]:
    """Rows by who asked them, in the order in which they were asked."""
    apart: dict[tuple[int, ...], list[int]] = {}
    for row in rows:
        apart.setdefault(tuple(id(asker) for asker, _, _ in items[row].open), []).append(row)
    return list(apart.values())


def _taken(
    items: list[_Item], rows: list[int], outputs: FloatArray, failed: dict[Asker, ProxySpexError]
) -> dict[Asker, list[bytes]]:
    """Score the outputs for everyone who asked them; whose values cannot be used has failed."""
    wanted: dict[Asker, list[tuple[int, bytes, BoolArray]]] = {}
    for place, row in enumerate(rows):
        for asker, key, mask in items[row].open:
            wanted.setdefault(asker, []).append((place, key, mask))
    learnt: dict[Asker, list[bytes]] = {}
    error: ProxySpexError | None
    for asker, entries in wanted.items():
        places = [place for place, _, _ in entries]
        masks = np.stack([mask for _, _, mask in entries])
        asker.inputs += len(set(places))
        own_keys = [key for _, key, _ in entries]
        try:
            values = asker.bound.score(outputs[places])
            learnt[asker], error = asker.learn(own_keys, values, masks)
        except ProxySpexError as own:
            error = own
        if error is not None:
            failed[asker] = error
    return learnt


#: Masks that are asked again, alone.
_AGAIN = 8


def noise_floor(asker: Asker, masks: BoolArray, wanted: bool | None) -> float | None:
    """Largest difference between the values of a few masks as they were asked and by the pipeline.

    ``wanted`` None measures it where it is to be expected: quantized weights, half precision,
    servers.
    """
    bound = asker.bound
    if wanted is None:
        wanted = bound.remote or is_rounded(bound.model)
    if not wanted:
        return None
    some = masks[np.linspace(0, len(masks) - 1, min(_AGAIN, len(masks)), dtype=int)]
    again = [tried_again(partial(bound.by_pipeline, mask), bound.retry) for mask in some]
    alone = bound.score(np.concatenate(again))
    return float(np.abs(alone - asker.known(packed(some))).max())
