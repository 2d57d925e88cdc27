"""Masking a text without tokenizing it again for every mask.

The masked text is the definition: ``masked_text(mask)`` is a string, and its tokens are those that
the pipeline's ``preprocess`` makes of it. Where the tokenizer composes (the tokens of the masked
text are the pieces' tokens side by side), they are put together from pieces that were tokenized
once. Whether it does is checked on masks in which every piece meets its neighbours in all four
combinations of kept and masked; where it does not, the masked texts are tokenized in batches if
that gives the same, and else each is read by the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.text.mask_token import Masking, replacements_of, tokens_of
from proxyspex_hf.hf.text.masked_spans import MaskedSpans
from proxyspex_hf.hf.text.tokens import TYPE_BIT, with_types
from proxyspex_hf.record.inputs import Features

#: Tokens with the characters that they hold, (id, start, stop).
_Held = list[tuple[int, int, int]]

#: Masks on which ways of tokenizing are compared, beside the four that show every neighbourhood.
_TRIALS = 44
#: From a mask, (n,), to the tokens of the masked text as the pipeline reads it, with their types;
#: None where the model reads more than tokens and their types.
Official = Callable[[NDArray[np.bool_]], "NDArray[np.int64] | None"]


@dataclass(frozen=True)
class Pieces:
    """Token ids of the text's parts in reading order, each feature's kept before its masked ones.

    ``ids``, ``owner`` and ``state`` are (t,): a token is there where its owner's mask equals its
    state, or always where the owner is n (fixed text). ``held``, (t, 2), are the characters of
    each: of the text, or, of a masked token, of what stands in the feature's place; (0, 0) where a
    token holds none.
    """

    ids: NDArray[np.int64]
    owner: NDArray[np.int64]
    state: NDArray[np.bool_]
    held: NDArray[np.int64]

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
        blocks: ranges of ``text`` that are masked each on its own, such as messages of a chat, so
            that one begins and ends with a space only where it always does: templates differ in
            whether they would strip it. All features lie in blocks; none for the whole text.
        settings: further arguments of each call of the tokenizer.
        official: how the pipeline reads the text under a mask; default the tokenizer's own way.

    Attributes:
        reading: how masked texts become tokens: ``"composed"`` of pieces, ``"tokenized"`` in
            batches, or ``"official"``, each by ``official``.
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
        blocks: Sequence[tuple[int, int]] = (),
        settings: Mapping[str, Any] | None = None,
        official: Official | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._settings = dict(settings or {})
        self._official = official
        self.text = text
        self.features = features
        self.halves = halves or ((0, len(text)),)
        self._blocks = tuple(blocks)
        self._n = len(features.spans)
        # A document's label is its name: what stands in the text is the span.
        self._kept = tuple(text[start:stop] for start, stop in features.spans)
        self._deletes = masking == "delete"
        counts = tokens_of(tokenizer, text, self.halves, features.spans)
        self.replacements = replacements_of(tokenizer, counts, masking, mask_token)
        self._spans = MaskedSpans(text, features.spans, self.replacements)

    @cached_property
    def reading(self) -> Literal["composed", "tokenized", "official"]:
        if self.reads_more:
            return "official"
        if self.pieces is not None:
            return "composed"
        if self._official is None or _same(self._retokenized(self._trials), self._expected):
            return "tokenized"
        return "official"

    @property
    def composes(self) -> bool:
        """Whether masks are applied to token ids directly."""
        return self.reading == "composed"

    @cached_property
    def _trials(self) -> BoolArray:
        n = self._n
        rng = np.random.default_rng(0)
        even = np.arange(n) % 2 == 0
        fixed = np.stack([np.ones(n, bool), np.zeros(n, bool), even, ~even])
        some = rng.random((_TRIALS, n)) < rng.random((_TRIALS, 1))
        return np.concatenate([fixed, some])

    @cached_property
    def _expected(self) -> list[NDArray[np.int64]]:
        """The tokens of the trials."""
        if self._official is None or self.reads_more:
            return self._retokenized(self._trials)
        return [self._read(mask) for mask in self._trials]

    @cached_property
    def pieces(self) -> Pieces | None:
        """The text's tokens by feature, where they compose."""
        if self.reads_more or (self._deletes and not self._apart()):
            return None
        # Tokenizers differ in whether a masked word leaves the space before it as a token.
        ways = (self._tokenized(with_space) for with_space in (True, False))
        return next((way for way in ways if way is not None and self._agrees(way)), None)

    def _apart(self) -> bool:
        """Whether space stands between all features: where one is deleted, what stood around it
        may else become one word, for any of more runs of masks than can be tried."""
        spans = self.features.spans
        gaps = [self.text[a[1] : b[0]] for a, b in pairwise(spans)]
        return all(gap[:1].isspace() or gap[-1:].isspace() for gap in gaps)

    @cached_property
    def reads_more(self) -> bool:
        """Whether the pipeline gives its model more than tokens and their types, such as positions:
        then it has to be asked itself."""
        whole = np.ones(self._n, dtype=np.bool_)
        return self._official is not None and self._official(whole) is None

    def _read(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        tokens = self.official_tokens(mask)
        if tokens is None:
            raise ModelError("the pipeline gives its model more than tokens and their types.")
        return tokens

    def official_tokens(self, mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """What the pipeline reads under one mask, shape (n,); None where that is more than tokens,
        or where it is not known how it reads."""
        return None if self._official is None else self._official(mask)

    def plain_tokens(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The tokens of the masked text, none cut away and none added to pad it; mask (n,)."""
        return with_types(self._encode([self.masked_texts(mask)], padding=False))[0]

    def masked_texts(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        """What the model reads under one mask, shape (n,): one text, or the two of a pair."""
        return tuple(self.masked_range(mask, start, stop) for start, stop in self.halves)

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The whole masked text, pairs in one."""
        return self.masked_range(mask, 0, len(self.text))

    def masked_range(self, mask: NDArray[np.bool_], start: int, stop: int) -> str:
        """A range of the text that cuts through no feature and no block, under one mask."""
        parts, position = [], start
        for block in self._blocks:
            if start <= block[0] < stop:
                whole, found = self.text[slice(*block)], self._masked(mask, *block)
                if None in self.replacements:
                    found = found if whole[:1].isspace() else found.lstrip()
                    found = found if whole[-1:].isspace() else found.rstrip()
                parts += [self.text[position : block[0]], found]
                position = block[1]
        rest = self.text[position:stop] if self._blocks else self._masked(mask, start, stop)
        return "".join([*parts, rest])

    def _masked(self, mask: NDArray[np.bool_], start: int, stop: int) -> str:
        return self._spans.masked(mask, start, stop)

    def parts(self, mask: NDArray[np.bool_]) -> list[str]:
        """The masked text in 2n + 1 parts: what stands before the first feature, in its place,
        between it and the next, …; any may be empty."""
        return self._spans.parts(mask)

    def items(self, masks: BoolArray) -> list[bytes]:
        """Token ids (and types) of each masked text as bytes: (b, n) -> b items.

        Raises:
            ModelError: the pipeline's model reads more than that, or cannot read a masked text.
        """
        if self.pieces is None:
            if self.reading == "tokenized":
                return [row.tobytes() for row in self._retokenized(masks)]
            return [self._read(mask).tobytes() for mask in masks]
        present = self.pieces.present(masks)
        stops = 8 * np.cumsum(present.sum(axis=1))
        tokens = np.broadcast_to(self.pieces.ids, present.shape)[present].tobytes()
        starts = [0, *stops[:-1].tolist()]
        return [tokens[a:b] for a, b in zip(starts, stops.tolist(), strict=True)]

    def fixed_start(self) -> int:
        """Tokens at the start that stand in every masked text; at least one other follows them."""
        if self.pieces is None:
            return self._seen_start()
        changing = np.flatnonzero(self.pieces.owner != self._n)
        fixed = len(self.pieces.ids) - len(changing)
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
        """Tokens of the longest masked text: exact where it composes, else of those tried."""
        if self.pieces is not None:
            return int(np.maximum(*self._counts(self.pieces)).sum())
        return max(map(len, self._expected))

    def shortest(self) -> int:
        """The same of the shortest."""
        if self.pieces is not None:
            kept, masked = self._counts(self.pieces)
            masked[-1] = kept[-1]  # what belongs to no feature stands in every text
            return int(np.minimum(kept, masked).sum())
        return min(map(len, self._expected))

    def _counts(self, pieces: Pieces) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens of each feature kept, and masked, (n + 1,); the last are of none."""
        kept = np.bincount(pieces.owner[pieces.state], minlength=self._n + 1)
        return kept, np.bincount(pieces.owner[~pieces.state], minlength=self._n + 1)

    def _whole(self) -> tuple[str, ...]:
        return tuple(self.text[start:stop] for start, stop in self.halves)

    def _encode(self, texts: Sequence[tuple[str, ...]], **more: Any) -> Any:
        """The tokenizer's own answer for texts, or for pairs of texts."""
        columns = [list(column) for column in zip(*texts, strict=True)]
        return self._tokenizer(*columns, **{**self._settings, **more})

    def _retokenized(self, masks: BoolArray) -> list[NDArray[np.int64]]:
        return with_types(self._encode([self.masked_texts(mask) for mask in masks]))

    def _tokenized(self, with_space: bool) -> Pieces | None:
        """Split the tokens of the whole text at the features; None without character offsets."""
        if not getattr(self._tokenizer, "is_fast", False):
            return None
        whole = self._encode(
            [self._whole()], return_offsets_mapping=True, return_special_tokens_mask=True
        )
        n, spans = self._n, self.features.spans
        stops = [stop for _, stop in spans]
        gaps: list[_Held] = [[] for _ in range(n + 1)]
        kept: list[_Held] = [[] for _ in range(n)]
        types = [0] * n
        leads = [""] * n
        seen = self.halves[0][0]
        after = [int(np.searchsorted(stops, stop)) for _, stop in self.halves]
        after[-1] = n
        gap = 0
        for token, (start, stop), special, half in zip(
            with_types(whole)[0].tolist(),
            whole["offset_mapping"][0],
            whole["special_tokens_mask"][0],
            whole.sequence_ids(0),
            strict=True,
        ):
            if half is None or (special and start == stop):
                gaps[gap].append((token, 0, 0))
                continue
            offset = self.halves[half][0]
            held = (token, start + offset, stop + offset)
            # A token belongs to where its last character lies (it may begin with a space).
            last = stop - 1 + offset
            seen = max(seen, offset)
            feature = int(np.searchsorted(stops, last, side="right"))
            if feature < n and spans[feature][0] <= last:
                if not kept[feature]:  # the space before it that is not a token of its own
                    leads[feature] = self.text[seen : spans[feature][0]]
                kept[feature].append(held)
                types[feature] = token >> TYPE_BIT
            else:
                gaps[min(feature, n)].append(held)
            gap = after[half]
            seen = last + 1
        masked = [
            [] if new is None else self._replacing(new, lead if with_space else "", kind)
            for new, kind, lead in zip(self.replacements, types, leads, strict=True)
        ]
        blocks: list[tuple[_Held, int, bool]] = [(gaps[0], n, True)]
        for i in range(n):
            blocks += [(kept[i], i, True), (masked[i], i, False), (gaps[i + 1], n, True)]
        lengths = [len(block) for block, _, _ in blocks]
        every = np.array([held for block, _, _ in blocks for held in block], dtype=np.int64)
        every = every.reshape(-1, 3)
        return Pieces(
            ids=np.ascontiguousarray(every[:, 0]),
            owner=np.repeat([owner for _, owner, _ in blocks], lengths),
            state=np.repeat([state for _, _, state in blocks], lengths),
            held=every[:, 1:],
        )

    def _replacing(self, replacement: str, lead: str, kind: int) -> _Held:
        """The tokens that stand for a masked feature, behind the space before it or without."""
        made = self._tokenizer(
            lead + replacement, add_special_tokens=False, return_offsets_mapping=True
        )
        return [
            (token | (kind << TYPE_BIT), start - len(lead), stop - len(lead))
            for token, (start, stop) in zip(made["input_ids"], made["offset_mapping"], strict=True)
        ]

    def _agrees(self, pieces: Pieces) -> bool:
        present = pieces.present(self._trials)
        return _same([pieces.ids[row] for row in present], self._expected)


def _same(some: Sequence[NDArray[np.int64]], others: Sequence[NDArray[np.int64]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))
