"""A text with some of its spans replaced or taken away: strings alone, no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["MaskedSpans"]


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
        stop = len(self._text) if stop is None else stop
        spans = self._spans
        inside = [i for i in range(len(spans)) if start <= spans[i][0] < stop]
        edges = [start, *(edge for i in inside for edge in spans[i]), stop]
        gaps = [self._text[edges[k] : edges[k + 1]] for k in range(0, len(edges), 2)]
        parts = [gaps[0]]
        for i, gap in zip(inside, gaps[1:], strict=True):
            if mask[i]:
                parts += [self._text[slice(*spans[i])], gap]
            elif self._replacements[i] is not None:
                parts += [self._replacements[i] or "", gap]
            else:  # deleted: one of the two gaps around it goes as well, if it is only space
                if parts[-1].isspace():
                    parts.pop()
                elif not any(parts) and gap.isspace():
                    gap = ""
                parts.append(gap)
        return "".join(parts)
