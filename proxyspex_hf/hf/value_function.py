"""One input under one model as a set function: what every task implements, and how it is asked.

The pipeline is the definition: a mask's value is the score of what the pipeline's own stages give
for the masked input, one mask at a time. A task may say how to get the same faster, in batches
of *items* (bytes; equal items are equal model inputs). That fast path is taken for an input only
where a trial on this very input gave the same outputs; a trial that fails costs speed, never truth.

Batches are formed from the items alone, never from a clock: the same items make the same batches,
so that values repeat bit for bit, in one process or in several.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.core.values import checked_values
from proxyspex_hf.errors import InputError, ModelError, ProxySpexError
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.failures import Retry, is_out_of_memory, tried_again
from proxyspex_hf.hf.halving import Halving, too_large
from proxyspex_hf.hf.loading import quantization_of
from proxyspex_hf.hf.model_inputs import digest
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.record.inputs import Features, ImageMasking, Part, Picture
from proxyspex_hf.record.record import Target

#: How an input is asked: items of any size in one batch, only of equal size, each alone, or by the
#: pipeline's own stages.
Way = Literal["together", "equal sizes", "alone", "pipeline"]


#: What a pipeline answers for one input, and the same made of its model's outputs: two sequences of
#: (name, number), to be compared in order.
Claims = tuple[Sequence[Any], Sequence[Any]]


class Unread(Exception):  # noqa: N818
    """Carries a pipeline's own answer, in a form of which a task can read no numbers."""


class BoundInput(ABC):
    """The set function of one input: masks (b, n), 1 = kept, in; (b,) float64 out.

    A task says ``masked_input``, ``read`` and ``score``; with ``items`` and ``outputs`` it also has
    a fast path, and with ``claims`` its values are compared with the pipeline's own answers.

    Attributes:
        text: the text explained, cut where the model takes less (then ``notes`` say so).
        features: what the masks switch.
        target: the number that is explained.
        targets: all of them by key, where several labels were asked for.
        chosen: what else decides the values, and is neither on the pipeline nor in ``arguments``.
        mask_token: the text that replaces a feature; None where features are deleted.
        picture, parts, image_masking, arguments: see :class:`proxyspex_hf.record.record`.
        notes: what a reader must know of this input.
        asides: what else belongs into the record, and needs no warning.
        stages: the pipeline's own stages; None where no pipeline is asked.
        model: the module that answers; None where it is not a torch model.
        batch_size: items in one forward pass; None lets the engine choose.
        retry: when a batch that failed is asked again; None is never.
        remote: whether a server answers, whose rounding is not known.
        logits_size: of outputs that are log-probabilities, the size of the logits that they are
            differences of: half precision rounds these.
        called: who answers, in messages.
    """

    features: Features
    target: Target
    targets: Mapping[str | int, Target] = {}
    chosen: Mapping[str, Any] = {}
    text: str = ""
    mask_token: str | None = None
    picture: Picture | None = None
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    image_masking: ImageMasking | None = None
    arguments: Mapping[str, Any] = {}
    stages: Stages | None = None
    model: Any = None
    batch_size: int | None = None
    retry: Retry | None = None
    remote: bool = False
    logits_size: float = 0.0
    called: str = "the model"

    @property
    def n_features(self) -> int:
        return len(self.features)

    @abstractmethod
    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        """What one would give the pipeline to get the value of one mask, shape (n,)."""

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:  # noqa: ARG002
        """One row of raw numbers, (1, …), of what the pipeline's ``forward`` gave for inputs."""
        raise ModelError(f"{type(self).__name__} has no pipeline to ask.")

    @abstractmethod
    def score(self, outputs: FloatArray) -> FloatArray:
        """The explained number of each row of outputs: (b, …) float64 -> (b,) float64."""

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:  # noqa: ARG002
        """What the pipeline itself answers for one mask's input, and the same made of
        :meth:`outputs_of` it; None where the task has no number in the pipeline's answer.

        Raises:
            Unread: the answer has a form of its own.
        """
        return None

    def outputs_of(self, mask: NDArray[np.bool_]) -> FloatArray:
        """The pipeline's outputs for one mask, (1, …): :attr:`whole` is not asked for twice."""
        return self.whole if mask.all() else _within_memory(self.by_pipeline, mask)

    def items(self, masks: BoolArray) -> list[bytes]:
        """The model input of each mask, for the fast path: (b, n) -> b items."""
        return packed(as_masks(masks, self.n_features))

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor | FloatArray:
        """The rows that :meth:`read` would give, for one batch, (b, …); by the fast path."""
        rows = [self.by_pipeline(mask) for mask in unpacked(items, self.n_features)]
        return np.concatenate(rows)

    def variants(self) -> Sequence[Callable[[], None]]:
        """Settings of the fast path, the fastest first: each call switches to one of them."""
        return (lambda: None,)

    def size(self, _item: bytes) -> int:
        """How large an item is for the model, in tokens or the like."""
        return 1

    def by_pipeline(self, mask: NDArray[np.bool_]) -> FloatArray:
        """The outputs of one mask, (1, …) float64, by the pipeline's own stages.

        Raises:
            ModelError: the pipeline cannot answer the masked input.
        """
        with evaluating(self.model):
            if self.stages is None:
                return _as_floats(self.outputs(self.items(mask[None])))
            inputs = self.stages.inputs(self.masked_input(mask))
            return _as_floats(self.read(self.stages.run(inputs), inputs))

    @cached_property
    def whole(self) -> FloatArray:
        """The pipeline's outputs for the whole input, (1, …)."""
        return _within_memory(self.by_pipeline, np.ones(self.n_features, dtype=np.bool_))

    @cached_property
    def way(self) -> Way:
        """How this input is asked, found by a trial when it is first asked."""
        if self.stages is None:
            return "together"
        return _proven_way(self)

    @cached_property
    def halving(self) -> Halving:
        """The fast path, in batches as large as the model takes."""
        return Halving(self._by_outputs, self.size, self.retry)

    def answered(self, items: Sequence[bytes]) -> Iterator[tuple[Sequence[int], FloatArray]]:
        """Places among the items of one batch and their rows, as they come; where one fails, what
        could be answered comes first, and the failure is of the first item without rows."""
        yield from self.halving.parts(items)

    def _by_outputs(self, items: Sequence[bytes]) -> FloatArray:
        with evaluating(self.model):
            return _as_floats(self.outputs(items))

    @property
    def sharing(self) -> Hashable:
        """Inputs with equal ``sharing`` may be asked in one batch, by the outputs of either."""
        return id(self)

    def fingerprint(self) -> dict[str, Any]:
        """All of the input that decides its values, as JSON data; the target not among it."""
        n = self.n_features
        ends = np.stack([np.ones(n, np.bool_), np.zeros(n, np.bool_), np.arange(n) % 2 == 0])
        return {
            # Only where there is any, so that answers stored without it keep their key.
            **({"chosen": dict(self.chosen)} if self.chosen else {}),
            "text": self.text,
            "spans": self.features.spans,
            "regions": self.features.regions,
            "mask_token": self.mask_token,
            "image_masking": self.image_masking,
            "arguments": dict(self.arguments),
            "picture": None
            if self.picture is None
            else hashlib.sha256(self.picture.png).hexdigest(),
            "read_as": self.read_as(ends),
        }

    def read_as(self, masks: BoolArray) -> list[str]:
        """Hashes of what the model reads under each mask, (b, n) -> b."""
        return [hashlib.sha256(item).hexdigest() for item in self.items(masks)]

    def _read_by_pipeline(self, masks: BoolArray) -> list[str]:
        """The same of the model inputs that the pipeline makes."""
        if self.stages is None:
            return BoundInput.read_as(self, masks)
        return [digest(self.stages.inputs(self.masked_input(mask))) for mask in masks]

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,)."""
        return str(self.masked_input(mask))

    def __call__(self, masks: Any) -> FloatArray:
        return ask(self, as_masks(masks, self.n_features))


def packed(masks: BoolArray) -> list[bytes]:
    """Each mask as an item of its own."""
    return [row.tobytes() for row in np.packbits(masks, axis=1)]


def unpacked(items: Sequence[bytes], n_features: int) -> BoolArray:
    """The masks that :func:`packed` packed, (b, n)."""
    rows = np.stack([np.frombuffer(item, dtype=np.uint8) for item in items])
    return np.unpackbits(rows, axis=1)[:, :n_features].astype(np.bool_)


#: Tokens (or the like) in one forward pass where no batch size is given: enough to keep the
#: machine busy, little enough to stay in its caches.
_CPU_TOKENS, _GPU_TOKENS = 2048, 16_384
_MOST_ROWS = 256


@dataclass(frozen=True)
class Batch:
    """Distinct items of one input for one forward pass; ``rows`` are their places in the list."""

    rows: tuple[int, ...]
    items: tuple[bytes, ...]


def batches(bound: BoundInput, items: Sequence[bytes]) -> list[Batch]:
    """Divide distinct items into batches, the smallest items first."""
    sizes = [1 if bound.way == "pipeline" else bound.size(item) for item in items]
    order = sorted(range(len(items)), key=sizes.__getitem__)
    out: list[Batch] = []
    start = 0
    while start < len(order):
        stop = _stop(bound, sizes, order, start)
        if bound.way in ("alone", "pipeline"):
            stop = start + 1
        elif bound.way == "equal sizes":
            smallest = sizes[order[start]]
            larger = (i for i in range(start, stop) if sizes[order[i]] != smallest)
            stop = next(larger, stop)
        rows = tuple(order[start:stop])
        out.append(Batch(rows, tuple(items[row] for row in rows)))
        start = stop
    return out


def _stop(bound: BoundInput, sizes: Sequence[int], order: Sequence[int], start: int) -> int:
    """Where the batch that begins at ``start`` ends."""
    if bound.batch_size is not None:
        return min(len(order), start + bound.batch_size)
    device = None if bound.model is None else model_device(bound.model)
    room = _CPU_TOKENS if device is None or device.type == "cpu" else _GPU_TOKENS
    stop = start + 1
    while (
        stop < len(order)
        and stop - start < _MOST_ROWS
        and sizes[order[stop]] * (stop - start + 1) <= room
    ):
        stop += 1
    return stop


def items_of(bound: BoundInput, masks: BoolArray) -> list[bytes]:
    """What :func:`answer` takes for each mask, (b, n) -> b items."""
    return packed(masks) if bound.way == "pipeline" else bound.items(masks)


def answer(bound: BoundInput, items: Sequence[bytes]) -> FloatArray:
    """The model's outputs for one batch of :func:`items_of`, (b, …) float64.

    Raises:
        ModelError: the model failed, or one item alone does not fit into memory.
    """
    parts = list(answers(bound, items))
    places = np.concatenate([places for places, _ in parts])
    return np.asarray(np.concatenate([outputs for _, outputs in parts])[np.argsort(places)])


def answers(
    bound: BoundInput, items: Sequence[bytes]
) -> Iterator[tuple[Sequence[int], FloatArray]]:
    """The same as they come: places among the items, and their outputs.

    Raises:
        ModelError: the model fails on the first item that has no outputs.
    """
    if bound.way != "pipeline":
        yield from bound.answered(items)
        return
    for place, mask in enumerate(unpacked(items, bound.n_features)):
        one = partial(_within_memory, bound.by_pipeline, mask)
        yield [place], tried_again(one, bound.retry)


def _within_memory(
    function: Callable[[NDArray[np.bool_]], FloatArray], mask: NDArray[np.bool_]
) -> FloatArray:
    try:
        return function(mask)
    except Exception as error:
        if is_out_of_memory(error):
            raise too_large(error) from error
        raise


def _as_floats(outputs: torch.Tensor | FloatArray) -> FloatArray:
    if isinstance(outputs, torch.Tensor):
        outputs = outputs.to(torch.float64).cpu().numpy()
    return np.asarray(outputs, dtype=np.float64)


def ask(bound: BoundInput, masks: BoolArray) -> FloatArray:
    """The value of each mask, (b, n) -> (b,): one process, nothing remembered."""
    if bound.batch_size is not None and bound.batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {bound.batch_size}.")
    items = items_of(bound, masks)
    distinct: dict[bytes, int] = {}
    place = [distinct.setdefault(item, len(distinct)) for item in items]
    values = np.empty(len(distinct))
    for batch in batches(bound, list(distinct)):
        values[list(batch.rows)] = bound.score(answer(bound, batch.items))
    found, _, error = checked_values(values[place], masks, bound.called)
    if error is not None:
        raise error
    return found


#: Masks from which the trial takes the shortest and the longest form, and a few at random.
_CANDIDATES, _RANDOM = 48, 4
#: What counts as rounding, relative to the spread of the outputs over the trial and to their size.
#: float32: what other kernels for other shapes change; half precision and quantized weights: what a
#: batch changes in bfloat16 (measured: tests/bench/architectures.py).
_EXACT, _ROUNDED = (1e-4, 1e-5), (5e-2, 4e-3)


def is_rounded(model: Any) -> bool:
    """Whether a model computes in half precision or with quantized weights."""
    half = getattr(model, "dtype", torch.float32) in (torch.float16, torch.bfloat16)
    return half or quantization_of(model) is not None


def close(bound: BoundInput, found: FloatArray, expected: FloatArray) -> bool:
    """Whether outputs (b, …) are the expected ones but for rounding."""
    finite = found.shape == expected.shape and np.isfinite(found).all()
    if not finite or not np.isfinite(expected).all():
        return False
    rounded = is_rounded(bound.model)
    of_spread, of_size = _ROUNDED if rounded else _EXACT
    spread = float(np.ptp(expected, axis=0).max(initial=0.0))
    size = float(np.abs(expected).max(initial=bound.logits_size if rounded else 0.0))
    return bool(np.abs(found - expected).max(initial=0.0) <= of_spread * spread + of_size * size)


def _proven_way(bound: BoundInput) -> Way:
    """The fastest way that gives what the pipeline gives, on the full and the empty mask, the
    shortest form beside the longest, and a few random ones."""
    if type(bound).outputs is BoundInput.outputs:
        return "pipeline"
    try:
        masks = _trial_masks(bound)
        items = bound.items(masks)
        expected = np.concatenate([_within_memory(bound.by_pipeline, mask) for mask in masks])
    except ProxySpexError:
        return "pipeline"  # what fails, fails in its own words when it is asked
    ways: tuple[Way, ...] = ("together", "equal sizes", "alone")
    for way in ways:
        for switch in bound.variants():
            switch()
            try:
                found = _by_fast_path_in(bound, items, way)
            except ProxySpexError:
                continue
            if close(bound, found, expected):
                return way
    return "pipeline"


def _trial_masks(bound: BoundInput) -> BoolArray:
    n = bound.n_features
    rng = np.random.default_rng(0)
    some = rng.random((_CANDIDATES, n)) < rng.uniform(0.1, 0.9, (_CANDIDATES, 1))
    sizes = [bound.size(item) for item in bound.items(some)]
    ends = np.stack([np.ones(n, np.bool_), np.zeros(n, np.bool_)])
    chosen = some[[int(np.argmin(sizes)), int(np.argmax(sizes)), *range(_RANDOM)]]
    masks: BoolArray = np.unique(np.concatenate([ends, chosen]), axis=0)
    return masks


def _by_fast_path_in(bound: BoundInput, items: Sequence[bytes], way: Way) -> FloatArray:
    """The rows of the trial's items, in batches as ``way`` forms them."""
    if way == "together":
        return bound.halving.whole(items)
    groups: dict[int, list[int]] = {}
    for row, item in enumerate(items):
        groups.setdefault(bound.size(item) if way == "equal sizes" else row, []).append(row)
    found: dict[int, FloatArray] = {}
    for rows in groups.values():
        outputs = bound.halving.whole([items[row] for row in rows])
        found.update(zip(rows, outputs, strict=True))
    return np.stack([found[row] for row in range(len(items))])
