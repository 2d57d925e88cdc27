"""Where a word of a text stands in the text's masked forms, and which tokens stand for it.

A masked word is where its mask token is. This is known by construction: of each character of a
masked text, it is known for which part of the text it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.hf.text.masking import MaskedText

Span = tuple[int, int]
#: Where tokens stand in a masked text, (k,), and the word that each stands for, (k,).
Places = tuple[NDArray[np.int64], NDArray[np.int64]]


class Site:
    """One word or several in a row, followed through all masked forms of a text.

    Args:
        masked: the text (no pair) and its masked forms.
        tokenizer: its tokenizer.
        mask_token: what replaces a feature; None where features are deleted.
        words: (start, stop) character ranges of the text, in order.
    """

    def __init__(
        self, masked: MaskedText, tokenizer: Any, mask_token: str | None, words: Sequence[Span]
    ) -> None:
        self.words = tuple(words)
        self._masked = masked
        self._tokenizer = tokenizer
        self._mask_token = mask_token
        # A space that is a token of its own belongs to no word, though it may hold its character.
        space = tokenizer.convert_tokens_to_ids("\u2581")
        alone = space is not None and tokenizer.convert_ids_to_tokens(space) == "\u2581"
        self._space = int(space) if alone else -1
        self._instead = [
            {
                feature: self._stands_for(feature, word)
                for feature, span in enumerate(masked.features.spans)
                if overlap(span, word)
            }
            for word in self.words
        ]

    def _stands_for(self, feature: int, word: Span) -> Span:
        """The characters of a feature's replacement that stand for a word there: of a mask token
        for each of the feature's tokens, those of the word's; else all."""
        replacement = self._masked.replacements[feature]
        if replacement is None or self._mask_token is None:
            return 0, 0
        start, stop = self._masked.features.spans[feature]
        encoded = self._tokenizer(
            self._masked.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        tokens = [
            (token, (a, b))
            for token, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
            if a < b and start < b <= stop
        ]
        count, width = len(replacement) // len(self._mask_token), len(self._mask_token)
        wanted = [
            place
            for place, (token, held) in enumerate(tokens)
            if overlap(held, word) and token != self._space
        ]
        if not wanted or count != len(tokens):
            return 0, len(replacement)
        return wanted[0] * width, (wanted[-1] + 1) * width

    def images(self, mask: NDArray[np.bool_]) -> list[Span]:
        """The characters that stand for each word in the text under one mask, shape (n,)."""
        parts = self._masked.parts(mask)
        begins = [0, *accumulate(map(len, parts))]
        edges = [0, *(edge for span in self._masked.features.spans for edge in span)]
        edges.append(len(self._masked.text))
        found = []
        for word, instead in zip(self.words, self._instead, strict=True):
            held: list[Span] = []
            for place, part in enumerate(parts):
                source = (edges[place], edges[place + 1])
                if not part or not overlap(source, word):
                    continue
                if place % 2 and not mask[place // 2]:
                    start, stop = instead[place // 2]
                else:
                    start, stop = max(source[0], word[0]), min(source[1], word[1])
                    start, stop = start - source[0], stop - source[0]
                held.append((begins[place] + start, begins[place] + stop))
            found.append((held[0][0], held[-1][1]) if held else (0, 0))
        return found

    def among(
        self, mask: NDArray[np.bool_], tokens: NDArray[np.int64], held: NDArray[np.int64]
    ) -> Places:
        """The tokens of a masked text that stand for the words.

        Args:
            mask: (n,).
            tokens: their ids, (t,).
            held: the characters of the masked text that each holds, (t, 2).
        """
        words = np.full(len(tokens), -1, dtype=np.int64)
        usable = tokens != self._space
        for word, image in enumerate(self.images(mask)):
            words[(words < 0) & usable & _holding(held, image)] = word
        places = np.flatnonzero(words >= 0)
        return places, words[places]

    def composed(self, masks: BoolArray) -> list[Places]:
        """The same for many masks, (b, n), of a text that composes."""
        pieces = self._masked.pieces
        if pieces is None:
            return []
        words = np.full(len(pieces.ids), -1, dtype=np.int64)
        usable = pieces.ids != self._space
        for word, (span, instead) in enumerate(zip(self.words, self._instead, strict=True)):
            here = pieces.state & _holding(pieces.held, span)
            for feature, image in instead.items():
                own = (pieces.owner == feature) & ~pieces.state
                here |= own & _holding(pieces.held, image)
            words[(words < 0) & usable & here] = word
        columns = np.flatnonzero(words >= 0)
        present = pieces.present(masks)
        places = np.cumsum(present, axis=1)[:, columns] - 1
        there = present[:, columns]
        return [
            (row[own].astype(np.int64), words[columns][own])
            for row, own in zip(places, there, strict=True)
        ]


def overlap(one: Span, other: Span) -> bool:
    """Whether two ranges share a character."""
    return max(one[0], other[0]) < min(one[1], other[1])


def _holding(held: NDArray[np.int64], span: Span) -> NDArray[np.bool_]:
    """Which tokens hold a character of a range: (t, 2) -> (t,)."""
    found: NDArray[np.bool_] = np.maximum(held[:, 0], span[0]) < np.minimum(held[:, 1], span[1])
    return found
