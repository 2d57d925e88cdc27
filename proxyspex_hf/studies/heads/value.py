"""How well a model does without some of its heads: the set function (paper, equations 6 and 14)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.hf.evaluating import model_device
from proxyspex_hf.hf.failures import is_out_of_memory
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import Target
from proxyspex_hf.studies.heads.examples import Examples
from proxyspex_hf.studies.heads.sites import HeadSites, ablated
from proxyspex_hf.studies.heads.tail import Tail

HeadValue = Literal["log-probability", "accuracy"]
HEAD_VALUES: tuple[HeadValue, ...] = ("log-probability", "accuracy")

#: Tokens in one forward pass, where several examples could share it.
_CPU_TOKENS, _GPU_TOKENS = 2048, 16_384
#: Bytes of hidden states that are kept between batches; what is beyond is computed again.
_KEPT_BYTES = 2**30


class HeadMasks(BoundInput):
    """f(S): the mean over examples, with the heads outside S ablated.

    Args:
        model: a transformers model; it is only called, with hooks that are gone afterwards.
        sites: which heads the masks switch.
        examples: what it is judged on.
        value: ``"log-probability"`` of the right answer among the options, or ``"accuracy"``.
        batch_size: masks in one batch; default as the device takes.
    """

    def __init__(
        self,
        model: Any,
        sites: HeadSites,
        examples: Examples,
        value: HeadValue = "log-probability",
        batch_size: int | None = None,
    ) -> None:
        self.model = model
        self.sites = sites
        self.examples = examples
        self.batch_size = batch_size
        self.features = Features(sites.labels, (), "features")
        self._column = 1 if value == "log-probability" else 0
        self.target = Target(f"{value} on {len(examples)} examples", None, value, None)
        data = json.dumps(examples.fingerprint()).encode()
        self.arguments = {
            "study": "attention heads",
            "layers": list(sites.layers),
            "projection": sites.name,
            "examples": len(examples),
            "examples_sha256": hashlib.sha256(data).hexdigest(),
        }
        self._tail = Tail(model, sites)
        self._tail_works: bool | None = None
        self._states: dict[tuple[int, ...], torch.Tensor] = {}

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        """Tokens of the mean group of examples: that many masks fill a forward pass."""
        tokens = sum(len(row) for row in self.examples.rows)
        return max(1, tokens // len(self.examples.groups))

    def score(self, outputs: FloatArray) -> FloatArray:
        mean: FloatArray = outputs[:, :, self._column].mean(axis=1)
        return mean

    def masked_input(self, mask: NDArray[np.bool_]) -> list[str]:
        """The names of the heads that are kept."""
        row = as_masks(mask, self.n_features, "mask")[0]
        return [name for name, keep in zip(self.features.labels, row, strict=True) if keep]

    def outputs(self, items: Sequence[bytes]) -> FloatArray:
        """(b, examples, 2): whether each example is answered right, and the log-probability."""
        scales = self.sites.scales(unpacked(items, self.n_features))
        scores = np.empty((len(items), int(self.examples.starts[-1])))
        for group in self.examples.groups:
            for rows in self._chunks(group, len(items)):
                options, found = self.examples.read(self._logits(rows, scales), rows)
                scores[:, options] = found.cpu().numpy()
        return self.examples.judged(scores)

    def release(self) -> None:
        """Forget what was kept of the model: it may change from here on."""
        self._states.clear()
        self._tail_works = None

    def _chunks(self, group: tuple[int, ...], masks: int) -> list[tuple[int, ...]]:
        """Rows of one length, as many at once as fill a forward pass beside ``masks`` masks."""
        room = _CPU_TOKENS if model_device(self.model).type == "cpu" else _GPU_TOKENS
        step = max(1, room // (masks * len(self.examples.rows[group[0]])))
        return [group[start : start + step] for start in range(0, len(group), step)]

    def _logits(self, rows: tuple[int, ...], scales: torch.Tensor) -> torch.Tensor:
        """(b, rows, …): every mask with every row of ``rows``."""
        if self._tail_works is None:
            self._tail_works = self._tail.possible and self._same_by_tail()
        states = self._kept_states(rows) if self._tail_works else None
        return self._forward(rows, scales, states)

    def _forward(
        self, rows: tuple[int, ...], scales: torch.Tensor, states: torch.Tensor | None
    ) -> torch.Tensor:
        if self.examples.alone and len(scales) * len(rows) > 1:
            each = [
                self._forward((row,), scale[None], None if states is None else states[i : i + 1])
                for scale in scales
                for i, row in enumerate(rows)
            ]
            return torch.cat(each).reshape(len(scales), len(rows), *each[0].shape[2:])
        masks, device = len(scales), model_device(self.model)
        inputs = self.examples.inputs(rows, device)
        repeated = {name: tensor.repeat(masks, 1) for name, tensor in inputs.items()}
        model = self.model
        if states is not None:
            model = self._tail.resumed(states.repeat(masks, *[1] * (states.ndim - 1)))
        with ablated(self.sites, scales.repeat_interleave(len(rows), dim=0)):
            logits = model(**repeated, **self.examples.arguments(rows, device)).logits
        found: torch.Tensor = logits.reshape(masks, len(rows), *logits.shape[1:])
        return found

    def _kept_states(self, rows: tuple[int, ...]) -> torch.Tensor | None:
        if rows in self._states:
            return self._states[rows]
        states = self._tail.states(self._all_inputs(rows))
        held = sum(kept.nbytes for kept in self._states.values())
        if states is not None and held + states.nbytes <= _KEPT_BYTES:
            self._states[rows] = states
        return states

    def _same_by_tail(self) -> bool:
        """Whether running only the later layers gives what the whole model gives: by trying."""
        rows = self.examples.groups[0][:1]
        masks = np.ones((2, self.n_features), dtype=np.bool_)
        masks[1, ::2] = False
        scales = self.sites.scales(masks)
        whole = self._forward(rows, scales, None)
        try:
            states = self._tail.states(self._all_inputs(rows))
            if states is None:
                return False
            late = self._forward(rows, scales, states)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            return False
        tolerance = 1e-4 if whole.dtype == torch.float32 else 2e-2
        largest = max(1.0, float(whole.abs().max()))
        return bool((late - whole).abs().max() <= tolerance * largest)

    def _all_inputs(self, rows: tuple[int, ...]) -> Mapping[str, Any]:
        device = model_device(self.model)
        return {**self.examples.inputs(rows, device), **self.examples.arguments(rows, device)}
