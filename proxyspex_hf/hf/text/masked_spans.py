"""A text with some of its spans replaced or taken away: strings alone, no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


class MaskedSpans:
    """One text and what becomes of its spans.

    Args:
        text: the text.
        spans: (n,) ordered, disjoint character ranges.
        replacements: (n,) what stands in each masked span's place; None takes the span away, with
            the space before it (at the start of the text, the space after it).
    """

    def __init__(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        replacements: Sequence[str | None],
    ) -> None:
        self._text = text
        self._spans = spans
        self._replacements = replacements

    def masked(self, mask: NDArray[np.bool_], start: int = 0, stop: int | None = None) -> str:
        """The text, or its part from ``start`` to ``stop``, under one mask, shape (n,)."""
        return "".join(self.parts(mask, start, stop))

    def parts(self, mask: NDArray[np.bool_], start: int = 0, stop: int | None = None) -> list[str]:
        """The same in parts: what stands before the first span of that part, in its place, between
        it and the next, …; any may be empty."""
        stop = len(self._text) if stop is None else stop
        inside = [i for i, span in enumerate(self._spans) if start <= span[0] < stop]
        edges = [start, *(edge for i in inside for edge in self._spans[i]), stop]
        parts = [self._text[a:b] for a, b in pairwise(edges)]
        for place, i in zip(range(1, len(parts), 2), inside, strict=True):
            if mask[i]:
                continue
            replacement = self._replacements[i]
            parts[place] = replacement or ""
            if replacement is None:  # one of the two gaps around it goes too, if it is only space
                if parts[place - 1].isspace():
                    parts[place - 1] = ""
                elif not any(parts[:place]) and parts[place + 1].isspace():
                    parts[place + 1] = ""
        return parts
