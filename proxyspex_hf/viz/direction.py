"""Words of a line in the order in which they are read, where some run from right to left.

Word by word: what is inside of one is drawn by the font's own rules.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Word(NamedTuple):
    """A word as it stands in its line while all run from left to right.

    Attributes:
        text: its characters.
        left, width: where it begins, and how wide it is.
        group: words of different groups never run on together, as in a quotation of its own.
    """

    text: str
    left: float
    width: float
    group: int = 0


def runs_left(text: str) -> bool | None:
    """Whether the first letter of a script that has a direction runs to the left; None without."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return kind != "L"
    return None


def places(words: Sequence[Word], *, leftwards: bool, right: float) -> list[float]:
    """Where each word of one line begins.

    Args:
        words: in the order of the text.
        leftwards: whether the text as a whole runs to the left, and ends its lines at ``right``.
    """
    if not words:
        return []
    ways = _ways(words, leftwards)
    order = list(range(len(words)))
    gaps = [other.left - one.left - one.width for one, other in pairwise(words)]
    if leftwards:
        order.reverse()
        gaps.reverse()
    start = 0
    while start < len(order):
        end = start + 1
        if ways[order[start]] != leftwards:
            while end < len(order) and _goes_on(words, ways, order[end - 1], order[end]):
                end += 1
            order[start:end] = reversed(order[start:end])
            gaps[start : end - 1] = reversed(gaps[start : end - 1])
        start = end
    x = words[0].left
    if leftwards:
        x = right - sum(word.width for word in words) - sum(gaps)
    found = [0.0] * len(words)
    for i, gap in zip(order, [*gaps, 0.0], strict=True):
        found[i] = x
        x += words[i].width + gap
    return found


def _goes_on(words: Sequence[Word], ways: Sequence[bool], one: int, other: int) -> bool:
    return ways[one] == ways[other] and words[one].group == words[other].group


def _ways(words: Sequence[Word], leftwards: bool) -> list[bool]:
    """Of words without letters, such as numbers: as both neighbours run, else as the text does."""
    own = [runs_left(word.text) for word in words]
    found = []
    for i, way in enumerate(own):
        if way is None:
            before = _nearest(words, own, i, range(i - 1, -1, -1))
            after = _nearest(words, own, i, range(i + 1, len(words)))
            way = before if before is not None and before == after else leftwards
        found.append(way)
    return found


def _nearest(
    words: Sequence[Word], own: Sequence[bool | None], i: int, others: range
) -> bool | None:
    for j in others:
        if words[j].group != words[i].group:
            return None
        if own[j] is not None:
            return own[j]
    return None
