"""Tasks that read tokens: one masked text (or pair), padded into batches for an encoder's forward.

A task derives from :class:`TokenInput`, says what the model's outputs are (``read``) and which
number is explained (``score``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import padded
from proxyspex_hf.hf.text.masking import token_arrays
from proxyspex_hf.hf.text.prepared import Words
from proxyspex_hf.hf.value_function import BoundInput, answer, model_device

__all__ = ["TokenInput"]


class TokenInput(BoundInput):
    """A masked text under a model that takes token ids.

    Args:
        pipe: the pipeline, for its model and tokenizer.
        words: the text, see :func:`read_words`.
        options: the user's choices.
    """

    def __init__(self, pipe: Any, words: Words, options: FeatureOptions) -> None:
        self.model = pipe.model
        self.tokenizer = pipe.tokenizer
        self.text = words.text
        self.features = words.features
        self.mask_token = words.mask_token
        self.notes = words.notes
        self.parts = words.parts
        self.batch_size = options.batch_size
        self._masked = words.masked

    @abstractmethod
    def read(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The model's outputs for padded inputs (b, t): input_ids, attention_mask, …"""

    def items(self, masks: BoolArray) -> list[bytes]:
        return self._masked.items(as_masks(masks, self.n_features))

    def size(self, item: bytes) -> int:
        return len(item) // 8

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        rows, typed = token_arrays(items)
        if self._pad_token is not None:
            return self.read(self._inputs(rows, typed))
        # Models without a padding token refuse batches.
        return torch.cat([self.read(self._inputs([row], typed)) for row in rows])

    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        row = as_masks(mask, self.n_features, "mask")[0]
        texts = self._masked.masked_texts(row)
        return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,)."""
        return self._masked.masked_text(as_masks(mask, self.n_features, "mask")[0])

    @property
    def sharing(self) -> Hashable:
        return (type(self), id(self.model), id(self.tokenizer), self.batch_size)

    def may_mix(self) -> bool:
        return self._padding_is_neutral

    @property
    def _pad_token(self) -> int | None:
        # Decoders find their last token by the model's own padding token, not the tokenizer's.
        if getattr(self.model.config, "pad_token_id", None) is None:
            return None
        token: int | None = self.tokenizer.pad_token_id
        return token

    @cached_property
    def _padding_is_neutral(self) -> bool:
        """Whether padding leaves this model's output alone, found by trying.

        It does not where positions are counted from a padded left end, or where the last position
        stands for the whole text.
        """
        if self._pad_token is None:
            return False
        item = self.items(np.ones((1, self.n_features), dtype=np.bool_))[0]
        short = self.shortened(item)
        alone, beside = answer(self, [short])[0], answer(self, [short, item])[0]
        tolerance = 1e-4 if self.model.dtype == torch.float32 else 2e-2
        return bool(np.abs(alone - beside).max() <= tolerance * max(1.0, np.abs(alone).max()))

    def shortened(self, item: bytes) -> bytes:
        """An item with the first half of its tokens."""
        return item[: 8 * max(1, len(item) // 16)]

    def _inputs(self, rows: list[NDArray[np.int64]], typed: bool) -> dict[str, torch.Tensor]:
        return padded(
            rows,
            self._pad_token or 0,
            self.tokenizer.padding_side,
            model_device(self.model),
            types=typed,
        )
