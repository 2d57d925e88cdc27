"""Masking a text without tokenizing it again for every mask.

The masked text is the definition: ``masked_text(mask)`` is a string, and a mask's value is what
the model gives for that string. Where the tokenizer composes (the tokens of the masked text are
the pieces' tokens side by side), the token ids are put together from pieces that were tokenized
once. Whether it does is checked on masks in which every piece meets its neighbours in all four
combinations of kept and masked; where it does not, each masked text is tokenized on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.text.masked_spans import MaskedSpans
from proxyspex_hf.record import Features

__all__ = ["TYPE_BIT", "MaskedText", "Masking", "resolve_mask_token", "token_arrays"]

Masking = Literal["mask", "delete"]
Ids = list[int]

#: A token's type (0 or 1, of the first or the second text) rides in the bits above its id.
TYPE_BIT = 40


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
    """Token ids of the text's parts in reading order, each feature's kept before its masked ones.

    ``ids``, ``owner`` and ``state`` are (t,): a token is there where its owner's mask equals its
    state, or always where the owner is n (fixed text).
    """

    ids: NDArray[np.int64]
    owner: NDArray[np.int64]
    state: NDArray[np.bool_]

    def present(self, masks: BoolArray) -> BoolArray:
        """Which tokens stand in each masked text: (b, n) -> (b, t)."""
        always = np.ones((len(masks), 1), dtype=np.bool_)
        kept = np.concatenate([masks, always], axis=1)[:, self.owner]
        found: BoolArray = kept == self.state
        return found


class MaskedText:
    """One text, its features, and how they are masked.

    Args:
        tokenizer: a transformers tokenizer (it is only called, never changed).
        text: the text as the model reads it.
        features: the maskable pieces (of an input with an image, only those in the text).
        masking: ``"mask"`` puts ``mask_token`` in place of a feature, once a token of the feature
            where it is one of the tokenizer's own tokens (so the other tokens stay where they
            are), else once; ``"delete"`` takes the feature away, with the space before it.
        mask_token: see :func:`resolve_mask_token`.
        halves: the two ranges of ``text`` that are tokenized as a pair; None for one text.
        settings: further arguments of each call of the tokenizer.

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
        *,
        halves: tuple[tuple[int, int], tuple[int, int]] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._settings = dict(settings or {})
        self.text = text
        self.features = features
        self.halves = halves or ((0, len(text)),)
        self._n = len(features.spans)
        # A document's label is its name: what stands in the text is the span.
        self._kept = tuple(text[start:stop] for start, stop in features.spans)
        self._replacements = _replacements(tokenizer, self._kept, masking, mask_token)
        # Tokenizers differ in whether a masked word leaves the space before it as a token.
        ways = (self._tokenized(with_space) for with_space in (True, False))
        self._pieces = next((way for way in ways if way is not None and self._agrees(way)), None)
        self.composes = self._pieces is not None

    def masked_texts(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        """What the model reads under one mask, shape (n,): one text, or the two of a pair."""
        return tuple(self._masked(mask, start, stop) for start, stop in self.halves)

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The whole masked text, pairs in one."""
        return self._masked(mask, 0, len(self.text))

    def _masked(self, mask: NDArray[np.bool_], start: int, stop: int) -> str:
        spans = MaskedSpans(self.text, self.features.spans, self._replacements)
        return spans.masked(mask, start, stop)

    def items(self, masks: BoolArray) -> list[bytes]:
        """Token ids (and types) of each masked text as bytes: (b, n) -> b items."""
        if not self.composes or self._pieces is None:
            return self._retokenized(masks)
        present = self._pieces.present(masks)
        stops = 8 * np.cumsum(present.sum(axis=1))
        tokens = np.broadcast_to(self._pieces.ids, present.shape)[present].tobytes()
        starts = [0, *stops[:-1].tolist()]
        return [tokens[a:b] for a, b in zip(starts, stops.tolist(), strict=True)]

    def positions(self, masks: BoolArray, character: int) -> NDArray[np.int64]:
        """Where the token that holds a character of the text stands in each masked text, (b,).

        Raises:
            InputError: the tokenizer does not compose on this text, so tokens cannot be followed.
        """
        if not self.composes or self._pieces is None:
            raise InputError(
                "this tokenizer reads the words of this text differently beside masked ones, so "
                "one of its tokens cannot be followed: choose features='words' with a fast "
                "tokenizer, or another mask_token."
            )
        kept, masked = self._site(character)
        before = np.cumsum(self._pieces.present(masks), axis=1)
        here = before[:, kept] - 1
        if masked is None:
            return here
        owner = int(self._pieces.owner[kept])
        return np.where(masks[:, owner], here, before[:, masked] - 1)

    def _site(self, character: int) -> tuple[int, int | None]:
        """Index of a character's token among the pieces, and of the one that replaces it."""
        whole = self._encode([self._whole()], return_offsets_mapping=True)
        offsets = whole["offset_mapping"][0]
        token = next(
            i
            for i, (start, stop) in enumerate(offsets)
            if start < stop and start <= character < stop
        )
        pieces = self._pieces
        if pieces is None:
            raise InputError("the tokenizer gives no character offsets.")
        everything = np.ones((1, self._n), dtype=np.bool_)
        kept = int(np.flatnonzero(pieces.present(everything)[0])[token])
        owner = int(pieces.owner[kept])
        if owner == self._n:
            return kept, None
        own = np.flatnonzero((pieces.owner == owner) & pieces.state)
        replaced = np.flatnonzero((pieces.owner == owner) & ~pieces.state)
        if len(replaced) == 0:
            raise InputError(
                "with masking='delete' the explained word itself would be gone: use masking='mask'."
            )
        return kept, int(replaced[min(kept - own[0], len(replaced) - 1)])

    def fixed_start(self) -> int:
        """Tokens at the start that stand in every masked text; at least one other follows them."""
        if not self.composes or self._pieces is None:
            return self._seen_start()
        changing = np.flatnonzero(self._pieces.owner != self._n)
        fixed = len(self._pieces.ids) - len(changing)
        first = int(changing[0]) if len(changing) else fixed
        return max(0, min(first, fixed - 1))

    def _seen_start(self) -> int:
        """The same as far as a few masks show; the caller checks each masked text."""
        rng = np.random.default_rng(0)
        ends = np.stack([np.ones(self._n, bool), np.zeros(self._n, bool)])
        some = np.concatenate([ends, rng.random((14, self._n)) < 0.5])
        rows = [np.frombuffer(item, dtype=np.int64) for item in self.items(some)]
        shortest = min(map(len, rows))
        same = (np.stack([row[:shortest] for row in rows]) == rows[0][:shortest]).all(axis=0)
        return min(int(np.argmin(same)) if not same.all() else shortest, shortest - 1)

    def longest(self) -> int:
        """Tokens of the longest masked text (exact where the tokenizer composes)."""
        if self.composes and self._pieces is not None:
            pieces = self._pieces
            kept = np.bincount(pieces.owner[pieces.state], minlength=self._n + 1)
            masked = np.bincount(pieces.owner[~pieces.state], minlength=self._n + 1)
            return int(np.maximum(kept, masked).sum())
        ends = np.stack([np.ones(self._n, bool), np.zeros(self._n, bool)])
        return max(len(item) // 8 for item in self.items(ends))

    def _whole(self) -> tuple[str, ...]:
        return tuple(self.text[start:stop] for start, stop in self.halves)

    def _encode(self, texts: Sequence[tuple[str, ...]], **more: Any) -> Any:
        """The tokenizer's own answer for texts, or for pairs of texts."""
        columns = [list(column) for column in zip(*texts, strict=True)]
        return self._tokenizer(*columns, **self._settings, **more)

    def _retokenized(self, masks: BoolArray) -> list[bytes]:
        encoded = self._encode([self.masked_texts(mask) for mask in masks])
        return [ids.tobytes() for ids in _with_types(encoded)]

    def _tokenized(self, with_space: bool) -> _Pieces | None:
        """Split the tokens of the whole text at the features; None without character offsets."""
        if not getattr(self._tokenizer, "is_fast", False):
            return None
        whole = self._encode(
            [self._whole()], return_offsets_mapping=True, return_special_tokens_mask=True
        )
        n, spans = self._n, self.features.spans
        stops = [stop for _, stop in spans]
        gaps: list[Ids] = [[] for _ in range(n + 1)]
        kept: list[Ids] = [[] for _ in range(n)]
        types = [0] * n
        leads = [""] * n
        seen = self.halves[0][0]
        after = [int(np.searchsorted(stops, stop)) for _, stop in self.halves]
        after[-1] = n
        gap = 0
        for token, (start, stop), special, half in zip(
            _with_types(whole)[0].tolist(),
            whole["offset_mapping"][0],
            whole["special_tokens_mask"][0],
            whole.sequence_ids(0),
            strict=True,
        ):
            if half is None or (special and start == stop):
                gaps[gap].append(token)
                continue
            # A token belongs to where its last character lies (it may begin with a space).
            last = stop - 1 + self.halves[half][0]
            seen = max(seen, self.halves[half][0])
            feature = int(np.searchsorted(stops, last, side="right"))
            if feature < n and spans[feature][0] <= last:
                if not kept[feature]:  # the space before it that is no token of its own
                    leads[feature] = self.text[seen : spans[feature][0]]
                kept[feature].append(token)
                types[feature] = token >> TYPE_BIT
            else:
                gaps[min(feature, n)].append(token)
            gap = after[half]
            seen = last + 1
        masked: list[Ids] = [
            []
            if replacement is None
            else [
                token | (kind << TYPE_BIT)
                for token in self._tokenizer(
                    lead + replacement if with_space else replacement, add_special_tokens=False
                )["input_ids"]
            ]
            for replacement, kind, lead in zip(self._replacements, types, leads, strict=True)
        ]
        blocks: list[tuple[Ids, int, bool]] = [(gaps[0], n, True)]
        for i in range(n):
            blocks += [(kept[i], i, True), (masked[i], i, False), (gaps[i + 1], n, True)]
        lengths = [len(ids) for ids, _, _ in blocks]
        return _Pieces(
            ids=np.array([token for ids, _, _ in blocks for token in ids], dtype=np.int64),
            owner=np.repeat([owner for _, owner, _ in blocks], lengths),
            state=np.repeat([state for _, _, state in blocks], lengths),
        )

    def _agrees(self, pieces: _Pieces) -> bool:
        n = self._n
        rng = np.random.default_rng(0)
        even = np.arange(n) % 2 == 0
        fixed = np.stack([np.ones(n, bool), np.zeros(n, bool), even, ~even])
        trials = np.concatenate([fixed, rng.random((28, n)) < rng.random((28, 1))])
        actual = _with_types(self._encode([self.masked_texts(mask) for mask in trials]))
        return all(
            np.array_equal(pieces.ids[present], ids)
            for present, ids in zip(pieces.present(trials), actual, strict=True)
        )


def token_arrays(items: Sequence[bytes]) -> tuple[list[NDArray[np.int64]], bool]:
    """The token ids of items, and whether any carries a type above 0 (then in the high bits)."""
    rows = [np.frombuffer(item, dtype=np.int64) for item in items]
    return rows, any(int(row.max(initial=0)) >> TYPE_BIT for row in rows)


def _with_types(encoded: Any) -> list[NDArray[np.int64]]:
    ids = [np.array(row, dtype=np.int64) for row in encoded["input_ids"]]
    types = encoded.get("token_type_ids")
    if types is None:
        return ids
    return [
        row | (np.array(kind, np.int64) << TYPE_BIT) for row, kind in zip(ids, types, strict=True)
    ]


def _replacements(
    tokenizer: Any, labels: Sequence[str], masking: Masking, mask_token: str | None
) -> Sequence[str | None]:
    """What stands in each masked feature's place; None where it is deleted."""
    if masking == "delete" or mask_token is None:
        return [None] * len(labels)
    if mask_token not in tokenizer.get_added_vocab() and mask_token not in (
        tokenizer.all_special_tokens
    ):
        return [mask_token] * len(labels)
    if not labels:
        return []
    encoded = tokenizer(list(labels), add_special_tokens=False)["input_ids"]
    return [mask_token * max(1, len(ids)) for ids in encoded]
