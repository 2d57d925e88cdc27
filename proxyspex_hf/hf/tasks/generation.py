"""text-generation: how readily the model says its output, with parts of the prompt masked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.utils.chat_template_utils import Chat

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import SEQUENCE_VALUES, Continuations, own_output, sequence_score
from proxyspex_hf.hf.targets import value_name
from proxyspex_hf.hf.text.masking import resolve_mask_token
from proxyspex_hf.hf.text.prepared import longest_input
from proxyspex_hf.hf.text.prompt import read_prompt
from proxyspex_hf.hf.value_function import BoundInput, answer, evaluating
from proxyspex_hf.record import Target

__all__ = ["TextGeneration"]

#: A shorter beginning is not worth keeping.
_SHORTEST_PREFIX = 8


class TextGeneration(BoundInput):
    """The set function of one prompt under a text-generation pipeline.

    The value is the log-perplexity of the model's own (greedy) output for the whole prompt, or of
    ``target``: minus the mean log-probability of its tokens after the masked prompt.

    Attributes:
        target_ids: the tokens of the explained output.

    Raises:
        InputError: no prompt, one that is too long, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.tokenizer = pipe.model, pipe.tokenizer
        self.batch_size = options.batch_size
        self._value = options.value
        kind = value_name(options.value, SEQUENCE_VALUES)
        self._read = read_prompt(pipe, value, options)
        self.text, self.features = self._read.text, self._read.features
        self.parts, self.notes = self._read.parts, self._read.notes
        self.mask_token = resolve_mask_token(self.tokenizer, options.masking, options.mask_token)
        self._masked = self._read.masked(self.tokenizer, options, self.mask_token)
        self._pipe, self._alike = pipe, self._read.agrees(self._masked)
        whole = np.ones((1, self.n_features), dtype=np.bool_)
        ids = np.frombuffer(self._masked.items(whole)[0], dtype=np.int64)
        with evaluating(self.model):
            self.target_ids, label = own_output(self.model, self.tokenizer, ids, options)
        self.target = Target(label, None, kind, None if options.target is not None else label)
        self.arguments = {**self._read.arguments, "target_tokens": self.target_ids.tolist()}
        if not self._alike:  # the text alone does not tell what masked messages are read as
            self.arguments["blocks"] = None
        longest, length = longest_input(pipe), self._masked.longest() + len(self.target_ids)
        if longest is not None and length > longest:
            raise InputError(
                f"prompt and output have up to {length} tokens, the model takes {longest}: give a "
                "shorter prompt or a smaller max_new_tokens."
            )
        self._prefix = self._working_prefix()

    def items(self, masks: BoolArray) -> list[bytes]:
        rows = as_masks(masks, self.n_features)
        if self._alike:
            return self._masked.items(rows)
        settings = {**self._pipe._preprocess_params, **self._read.call}
        return [
            self._pipe.preprocess(Chat(self.masked_input(mask)), **settings)["input_ids"][0]
            .numpy()
            .tobytes()
            for mask in rows
        ]

    def size(self, item: bytes) -> int:
        return len(item) // 8 and len(item) // 8 - self._prefix + len(self.target_ids)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        rows = [np.frombuffer(item, dtype=np.int64) for item in items]
        kept = self._continuations
        if all(kept.begins(row) for row in rows):
            return kept([row[self._prefix :] for row in rows])
        nothing = np.zeros(0, dtype=np.int64)
        return Continuations(self.model, nothing, self.target_ids, kept.pad)(rows)

    def score(self, outputs: FloatArray) -> FloatArray:
        return sequence_score(outputs, self._value)

    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        row = as_masks(mask, self.n_features, "mask")[0]
        return self._read.pipeline_input(row, self._masked)

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        row = as_masks(mask, self.n_features, "mask")[0]
        return self._read.masked_text(row, self._masked)

    def may_mix(self) -> bool:
        return self._padding_is_neutral

    @cached_property
    def _padding_is_neutral(self) -> bool:
        """Whether padding before shorter prompts leaves their values alone, found by trying."""
        item = self.items(np.ones((1, self.n_features), dtype=np.bool_))[0]
        short = item[:-8]
        if len(short) <= 8 * self._prefix:
            return False
        alone, beside = answer(self, [short])[0], answer(self, [short, item])[0]
        tolerance = 1e-4 if self.model.dtype == torch.float32 else 2e-2
        return bool(np.abs(alone - beside).max() <= tolerance * max(1.0, np.abs(alone).max()))

    @cached_property
    def _continuations(self) -> Continuations:
        whole = np.ones((1, self.n_features), dtype=np.bool_)
        ids = np.frombuffer(self.items(whole)[0], dtype=np.int64)
        pad = self.tokenizer.pad_token_id or 0
        return Continuations(self.model, ids[: self._prefix].copy(), self.target_ids, pad)

    def _working_prefix(self) -> int:
        """Tokens at the start that no mask changes, if the model gives the same with them kept."""
        shared = self._masked.fixed_start()
        if shared < _SHORTEST_PREFIX:
            return 0
        ends = np.stack([np.ones(self.n_features, np.bool_), np.zeros(self.n_features, np.bool_)])
        items = self.items(ends)
        self._prefix = 0
        plain = np.concatenate([answer(self, [item]) for item in items])
        self._prefix = shared
        del self._continuations
        try:
            kept = np.concatenate([answer(self, [item]) for item in items])
        except ModelError:  # a cache of another kind, such as a recurrent state
            kept = np.full_like(plain, np.inf)
        tolerance = 1e-4 if self.model.dtype == torch.float32 else 2e-2
        if np.abs(kept - plain).max() <= tolerance * max(1.0, np.abs(plain).max()):
            return shared
        del self._continuations
        return 0
