"""Masking a text without tokenizing it again for every mask.

The masked text is the definition: ``masked_text(mask)`` is a string, and a mask's value is what
the model gives for that string. Where the tokenizer composes (the tokens of the masked text are
the pieces' tokens side by side), the token ids are put together from pieces that were tokenized
once. Whether it does is checked on masks in which every piece meets its neighbours in all four
combinations of kept and masked; where it does not, each masked text is tokenized on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.record import Features

__all__ = ["MaskedText", "Masking", "resolve_mask_token"]

Masking = Literal["mask", "delete"]
Ids = list[int]


def resolve_mask_token(tokenizer: Any, masking: Masking, mask_token: str | None) -> str | None:
    """The text that stands for a masked feature; None where features are deleted.

    Raises:
        InputError: the tokenizer has no mask token and none was given, or the options contradict.
    """
    if masking == "delete":
        if mask_token is not None:
            raise InputError("mask_token has no meaning with masking='delete': give one of them.")
        return None
    if masking != "mask":
        raise InputError(f"masking must be 'mask' or 'delete', got {masking!r}.")
    if mask_token is not None:
        printable = isinstance(mask_token, str) and mask_token.isprintable()
        if not printable or not mask_token.strip():
            raise InputError(
                f"mask_token must be a printable text that is not blank, got {mask_token!r}."
            )
        return mask_token
    for token in (tokenizer.mask_token, tokenizer.unk_token):
        # Some tokenizers reuse the end-of-text token as unknown: that would end the text.
        if token is not None and token != tokenizer.eos_token:
            return str(token)
    raise InputError(
        f"{type(tokenizer).__name__} has no mask or unknown token: pass mask_token='...' (the text "
        "that replaces a masked feature) or masking='delete'."
    )


@dataclass(frozen=True)
class _Pieces:
    """Token ids of the text's parts: fixed gaps around n features, kept or masked."""

    gaps: tuple[Ids, ...]  # n + 1; the first and last carry the special tokens
    kept: tuple[Ids, ...]
    masked: tuple[Ids, ...]

    def join(self, mask: NDArray[np.bool_]) -> Ids:
        ids = list(self.gaps[0])
        for i, keep in enumerate(mask):
            ids += self.kept[i] if keep else self.masked[i]
            ids += self.gaps[i + 1]
        return ids


class MaskedText:
    """One text, its features, and how they are masked.

    Args:
        tokenizer: a transformers tokenizer (it is only called, never changed).
        text: the text as the model reads it.
        features: the maskable pieces.
        masking: ``"mask"`` puts ``mask_token`` in place of a feature, once a token of the feature
            where it is one of the tokenizer's own tokens (so the other tokens stay where they
            are), else once; ``"delete"`` takes the feature away, with the space before it.
        mask_token: see :func:`resolve_mask_token`.

    Attributes:
        composes: whether masks are applied to token ids directly.
    """

    def __init__(
        self,
        tokenizer: Any,
        text: str,
        features: Features,
        masking: Masking,
        mask_token: str | None,
    ) -> None:
        self._tokenizer = tokenizer
        self.text = text
        self.features = features
        self._gaps, self._replacements = _texts(tokenizer, text, features, masking, mask_token)
        self._pieces = self._tokenized()
        self.composes = self._pieces is not None and self._agrees(self._pieces)

    @property
    def n_features(self) -> int:
        return len(self.features)

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,)."""
        parts = [self._gaps[0]]
        for i, keep in enumerate(mask):
            gap, label = self._gaps[i + 1], self.features.labels[i]
            if keep:
                parts += [label, gap]
            elif self._replacements[i] is not None:
                parts += [self._replacements[i] or "", gap]
            else:  # deleted: one of the two gaps around it goes as well, if it is only space
                if parts[-1].isspace():
                    parts.pop()
                elif not any(parts) and gap.isspace():
                    gap = ""
                parts.append(gap)
        return "".join(parts)

    def token_ids(self, masks: BoolArray) -> list[Ids]:
        """Token ids of each masked text, special tokens included: (b, n) -> b lists."""
        if self.composes and self._pieces is not None:
            return [self._pieces.join(mask) for mask in masks]
        texts = [self.masked_text(mask) for mask in masks]
        return [list(ids) for ids in self._tokenizer(texts)["input_ids"]]

    def longest(self) -> int:
        """Tokens of the longest masked text (exact where the tokenizer composes)."""
        if self.composes and self._pieces is not None:
            fixed = sum(map(len, self._pieces.gaps))
            return fixed + sum(
                max(len(kept), len(masked))
                for kept, masked in zip(self._pieces.kept, self._pieces.masked, strict=True)
            )
        ends = np.stack([np.ones(self.n_features, bool), np.zeros(self.n_features, bool)])
        return max(map(len, self.token_ids(ends)))

    def _tokenized(self) -> _Pieces | None:
        """Split the tokens of the whole text at the features; None without character offsets."""
        if not getattr(self._tokenizer, "is_fast", False):
            return None
        whole = self._tokenizer(
            self.text, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        n = self.n_features
        stops = [stop for _, stop in self.features.spans]
        gaps: list[Ids] = [[] for _ in range(n + 1)]
        kept: list[Ids] = [[] for _ in range(n)]
        seen_text = False
        for token, (_, stop), special in zip(
            whole["input_ids"], whole["offset_mapping"], whole["special_tokens_mask"], strict=True
        ):
            if special:
                (gaps[n] if seen_text else gaps[0]).append(token)
                continue
            seen_text = True
            # A token belongs to where its last character lies (it may begin with a space).
            feature = int(np.searchsorted(stops, stop - 1, side="right"))
            inside = feature < n and self.features.spans[feature][0] <= stop - 1
            (kept[feature] if inside else gaps[min(feature, n)]).append(token)
        masked = [
            []
            if replacement is None
            else list(self._tokenizer(replacement, add_special_tokens=False)["input_ids"])
            for replacement in self._replacements
        ]
        return _Pieces(tuple(gaps), tuple(kept), tuple(masked))

    def _agrees(self, pieces: _Pieces) -> bool:
        n = self.n_features
        rng = np.random.default_rng(0)
        even = np.arange(n) % 2 == 0
        fixed = np.stack([np.ones(n, bool), np.zeros(n, bool), even, ~even])
        trials = np.concatenate([fixed, rng.random((28, n)) < rng.random((28, 1))])
        texts = [self.masked_text(mask) for mask in trials]
        actual = self._tokenizer(texts)["input_ids"]
        return all(pieces.join(mask) == list(ids) for mask, ids in zip(trials, actual, strict=True))


def _texts(
    tokenizer: Any, text: str, features: Features, masking: Masking, mask_token: str | None
) -> tuple[list[str], Sequence[str | None]]:
    """The fixed text around the features (n + 1 gaps) and each feature's replacement."""
    edges = [0, *(edge for span in features.spans for edge in span), len(text)]
    gaps = [text[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]
    if masking == "delete" or mask_token is None:
        return gaps, [None] * len(features)
    if mask_token not in tokenizer.get_added_vocab() and mask_token not in (
        tokenizer.all_special_tokens
    ):
        return gaps, [mask_token] * len(features)
    lengths = [
        max(1, len(ids))
        for ids in tokenizer(list(features.labels), add_special_tokens=False)["input_ids"]
    ]
    return gaps, [mask_token * length for length in lengths]
