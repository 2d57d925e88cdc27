"""Tasks that read tokens: one masked text (or pair), padded into batches for an encoder's forward.

A task derives from :class:`TokenInput` and says what it takes of the model's outputs (``read``) and
which number is explained (``score``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.evaluating import model_device
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import padded
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.text.prepared import Words
from proxyspex_hf.hf.text.tokens import token_arrays
from proxyspex_hf.hf.value_function import BoundInput


class TokenInput(BoundInput):
    """A masked text under a model that takes token ids.

    Args:
        stages: the pipeline's own.
        words: the text, see :func:`read_words`.
        options: the user's choices.
    """

    def __init__(self, stages: Stages, words: Words, options: FeatureOptions) -> None:
        self.stages = stages
        self.model = stages.pipe.model
        self.tokenizer = stages.pipe.tokenizer
        self.text = words.text
        self.features = words.features
        self.mask_token = words.mask_token
        self.notes = words.notes
        self.parts = words.parts
        self.batch_size = options.batch_size
        self._masked = words.masked
        self._side = str(self.tokenizer.padding_side)

    def items(self, masks: BoolArray) -> list[bytes]:
        return self._masked.items(as_masks(masks, self.n_features))

    def size(self, item: bytes) -> int:
        return len(item) // 8

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        rows, typed = token_arrays(items)
        if self._pad_token is not None:
            return self.forward(self._inputs(rows, typed))
        # Models without a padding token refuse batches.
        return torch.cat([self.forward(self._inputs([row], typed)) for row in rows])

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The rows of padded inputs (b, t): input_ids, attention_mask, …"""
        _check_tokens(inputs["input_ids"].shape[1])
        # As the pipelines do: nothing is generated, so no keys and values are kept.
        parameters = inspect.signature(self.model.forward).parameters
        more = {"use_cache": False} if "use_cache" in parameters else {}
        return self.read(self.model(**inputs, **more), inputs)

    def read_as(self, masks: BoolArray) -> list[str]:
        return self._read_by_pipeline(masks) if self._masked.reads_more else super().read_as(masks)

    def by_pipeline(self, mask: NDArray[np.bool_]) -> FloatArray:
        try:
            return super().by_pipeline(mask)
        except ModelError:
            if not self._masked.reads_more and not "".join(self._masked.masked_texts(mask)).strip():
                _check_tokens(len(self._masked.items(mask[None])[0]))
            raise

    def variants(self) -> Sequence[Callable[[], None]]:
        """Padding on the tokenizer's side, or on the other."""
        own = str(self.tokenizer.padding_side)
        other = "left" if own == "right" else "right"
        return [lambda side=side: setattr(self, "_side", side) for side in (own, other)]  # type: ignore[misc]

    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        row = as_masks(mask, self.n_features, "mask")[0]
        return as_given(self._masked.masked_texts(row))

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,)."""
        return self._masked.masked_text(as_masks(mask, self.n_features, "mask")[0])

    @property
    def sharing(self) -> Hashable:
        whose = (id(self.stages and self.stages.pipe), id(self.model), id(self.tokenizer))
        return (type(self), *whose, self.batch_size, self._side)

    @property
    def _pad_token(self) -> int | None:
        # Decoders find their last token by the model's own padding token, not the tokenizer's.
        if getattr(self.model.config, "pad_token_id", None) is None:
            return None
        token: int | None = self.tokenizer.pad_token_id
        return token

    def _inputs(self, rows: list[NDArray[np.int64]], typed: bool) -> dict[str, torch.Tensor]:
        device = model_device(self.model)
        return padded(rows, self._pad_token or 0, self._side, device, types=typed)


def _check_tokens(count: int) -> None:
    if not count:
        raise ModelError(
            "a masked text has no tokens at all, which the model cannot take: this tokenizer adds "
            "none of its own. Use masking='mask', with a mask_token of your choice, instead of "
            "'delete'."
        )


def as_given(texts: tuple[str, ...]) -> Any:
    """One text, or the two of a pair, as a pipeline takes them."""
    return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}
