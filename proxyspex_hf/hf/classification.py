"""text-classification: value = the logit of one label (paper, section 3.1)."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.engine import DEFAULT_BATCH, evaluating, model_device, run_batches
from proxyspex_hf.hf.features import text_features
from proxyspex_hf.hf.masking import MaskedText, resolve_mask_token
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.record import Features, Target

__all__ = ["TextClassification"]


@dataclass(frozen=True)
class TextClassification:
    """The set function of one text under a classification pipeline.

    Calling it with masks (b, n) gives the target label's logit of each masked text, (b,) float64:
    what ``pipe(f.masked_text(mask), top_k=None, function_to_apply="none")`` gives for that label.

    Attributes:
        text: the text explained, cut where the model takes less (then ``notes`` say so).
        features: what the masks switch.
        target: the label.
        notes: what a reader must know of this input.
    """

    text: str
    features: Features
    target: Target
    mask_token: str | None
    notes: tuple[str, ...]
    _pipe: Any
    _masked: MaskedText
    _batch_size: int

    @classmethod
    def of(cls, pipe: Any, text: Any, options: FeatureOptions) -> TextClassification:
        """Bind a pipeline and an input.

        Raises:
            InputError: the input is not a text, is empty, or an option does not fit it.
        """
        if not isinstance(text, str):
            raise InputError(
                f"text-classification explains a text (str), got {type(text).__name__}. Pairs and "
                "other inputs are not supported."
            )
        tokenizer = pipe.tokenizer
        mask_token = resolve_mask_token(tokenizer, options.masking, options.mask_token)
        longest = _longest_input(pipe)
        kept, masked = _fit(tokenizer, text, options, mask_token, longest)
        notes: tuple[str, ...] = ()
        if len(kept) < len(text.rstrip()):
            notes = (
                f"The text was cut: the model takes {longest} tokens, so the last "
                f"{len(text) - len(kept):,} of {len(text):,} characters were not read and are not "
                "explained.",
            )
        bound = cls(
            text=kept,
            features=masked.features,
            target=Target("", 0, "logit", ""),
            mask_token=mask_token,
            notes=notes,
            _pipe=pipe,
            _masked=masked,
            _batch_size=DEFAULT_BATCH if options.batch_size is None else options.batch_size,
        )
        return replace(bound, target=bound._resolve_target(options.target))

    @property
    def n_features(self) -> int:
        return len(self.features)

    @property
    def batch_size(self) -> int:
        return self._batch_size

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """What the model reads under one mask, shape (n,)."""
        return self._masked.masked_text(as_masks(mask, self.n_features, "mask")[0])

    def __call__(self, masks: BoolArray) -> FloatArray:
        return self._logits(masks)[:, self.target.index]

    def _logits(self, masks: BoolArray) -> FloatArray:
        """Every label's logit: (b, n) -> (b, labels)."""
        rows = as_masks(masks, self.n_features)
        return self._forward(self._masked.token_ids(rows), lambda: self._padding_is_neutral)

    def _forward(self, sequences: list[list[int]], may_pad: Callable[[], bool]) -> FloatArray:
        model, tokenizer = self._pipe.model, self._pipe.tokenizer

        def forward(ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(input_ids=ids, attention_mask=attention).logits
            return logits

        # Decoders find their last token by the model's own padding token, not the tokenizer's.
        padded = getattr(model.config, "pad_token_id", None) is not None
        with evaluating(model):
            return run_batches(
                sequences,
                forward,
                device=model_device(model),
                pad_token_id=tokenizer.pad_token_id if padded else None,
                padding_side=tokenizer.padding_side,
                batch_size=self._batch_size,
                may_pad=may_pad,
            )

    @cached_property
    def _padding_is_neutral(self) -> bool:
        """Whether padding leaves this model's output alone, found by trying.

        It does not where positions are counted from a padded left end, or where the last position
        stands for the whole text.
        """
        ids = self._masked.token_ids(np.ones((1, self.n_features), dtype=np.bool_))[0]
        short = ids[: max(1, len(ids) // 2)]
        alone = self._forward([short], lambda: False)[0]
        beside = self._forward([short, ids], lambda: True)[0]
        tolerance = 1e-4 if self._pipe.model.dtype == torch.float32 else 2e-2
        return bool(np.abs(alone - beside).max() <= tolerance * max(1.0, np.abs(alone).max()))

    def _resolve_target(self, wanted: str | int | None) -> Target:
        config = self._pipe.model.config
        labels = {int(i): str(label) for i, label in config.id2label.items()}
        scores = self._logits(np.ones((1, self.n_features), dtype=np.bool_))[0]
        predicted = int(scores.argmax())
        index = predicted if wanted is None else _label_index(labels, wanted)
        return Target(labels[index], index, "logit", labels[predicted])


def _label_index(labels: dict[int, str], wanted: str | int) -> int:
    known = ", ".join(repr(label) for label in list(labels.values())[:20])
    if isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool) and wanted in labels:
        return int(wanted)
    matches = [i for i, label in labels.items() if label == wanted]
    if not matches and isinstance(wanted, str):
        matches = [i for i, label in labels.items() if label.casefold() == wanted.casefold()]
    if len(matches) != 1:
        raise InputError(f"target={wanted!r} is not a label of this model; it has {known}.")
    return matches[0]


def _longest_input(pipe: Any) -> int | None:
    """Tokens the model takes, special ones included; None where neither part states a limit."""
    limits = [pipe.tokenizer.model_max_length]
    limits += [v for k, v in pipe._preprocess_params.items() if k == "max_length"]
    config = pipe.model.config
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa's family counts positions from the padding index on.
        offset = getattr(config, "pad_token_id", None)
        family = config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
        limits.append(positions - (offset or 0) - 1 if family else positions)
    stated = [limit for limit in limits if isinstance(limit, int) and 0 < limit < 10**7]
    return min(stated, default=None)


def _fit(
    tokenizer: Any,
    text: str,
    options: FeatureOptions,
    mask_token: str | None,
    longest: int | None,
) -> tuple[str, MaskedText]:
    """The longest beginning of the text, cut after a feature, that fits in every masked form."""
    if not isinstance(options.features, str):
        # What stands behind the last span of one's own is fixed text: it goes first.
        own = text_features(text, options.features)
        if MaskedText(tokenizer, text, own, options.masking, mask_token).longest() > (
            longest or math.inf
        ):
            text = text[: own.spans[-1][1]]
    while True:
        spans: list[tuple[int, int]] = []
        if isinstance(options.features, str) and options.features == "tokens":
            spans = _token_spans(tokenizer, text)
        features = text_features(text, options.features, spans)
        masked = MaskedText(tokenizer, text, features, options.masking, mask_token)
        length = masked.longest()
        if longest is None or length <= longest:
            return text, masked
        # Cut in proportion, always by at least one feature; a few rounds settle it.
        n = len(features)
        keep = min(n - 1, max(1, int(n * longest / length)))
        if n == 1:
            raise InputError(
                f"the text up to the end of its first feature has {length} tokens, the model "
                f"takes {longest}: use smaller features (words), or a shorter text."
            )
        text = text[: features.spans[keep - 1][1]]
        if not isinstance(options.features, str):
            options = replace(options, features=features.spans[:keep])


def _token_spans(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    if not tokenizer.is_fast:
        raise InputError(
            f"features='tokens' needs a fast tokenizer, {type(tokenizer).__name__} is not one; use "
            "'words' or your own spans."
        )
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    return [(int(start), int(stop)) for start, stop in encoded["offset_mapping"]]
