"""Finding the word of a text that a user means."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import regex

from proxyspex_hf.errors import InputError

#: What joins its neighbour into one word; scripts that are written without spaces do not.
_JOINS = regex.compile(
    r"[[\w\p{M}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]]",
    regex.V1,
)


def named_word(text: str, word: Any) -> tuple[int, int]:
    """The characters of a word, given as itself or as its (start, stop).

    Raises:
        InputError: it does not stand in the text as a whole word, or more than once.
    """
    if not isinstance(word, str):
        return _range(text, word)
    wanted = word.strip()
    if not wanted:
        raise InputError(f"'word' must be a word of the text, got {word!r}.")
    found: list[tuple[int, int]] = []
    inside: list[tuple[int, int]] = []
    start = text.find(wanted)
    while start >= 0:
        stop = start + len(wanted)
        whole = not _joined(text, start) and not _joined(text, stop)
        (found if whole else inside).append((start, stop))
        start = text.find(wanted, start + 1)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"the word {wanted!r} stands in the text {len(found)} times: give 'word' as its "
            f"(start, stop), one of {_listed(found)}."
        )
    if inside:
        raise InputError(
            f"{wanted!r} stands in the text only inside of other words: give the whole word, or "
            f"its (start, stop), such as {_listed(inside[:3])}."
        )
    raise InputError(f"the word {wanted!r} does not stand in the text.")


def word_around(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The whole word (or words) of which a range holds a part."""
    start, stop = span
    while _joined(text, start):
        start -= 1
    while _joined(text, stop):
        stop += 1
    return start, stop


def _joined(text: str, edge: int) -> bool:
    """Whether one word continues across a place between two characters."""
    around = text[max(0, edge - 1) : edge + 1]
    return 0 < edge < len(text) and all(_JOINS.fullmatch(character) for character in around)


def _range(text: str, word: Any) -> tuple[int, int]:
    pair = word if isinstance(word, Sequence) and len(word) == 2 else ()
    if not pair or any(not isinstance(x, numbers.Integral) or isinstance(x, bool) for x in pair):
        raise InputError(
            f"'word' must be a word (str) or its (start, stop) characters in the text, got "
            f"{word!r:.60}."
        )
    start, stop = int(pair[0]), int(pair[1])
    if not 0 <= start < stop <= len(text) or not text[start:stop].strip():
        raise InputError(
            f"'word' ({start}, {stop}) lies outside the text of {len(text)} characters, or holds "
            "no word."
        )
    held = text[start:stop]
    return start + len(held) - len(held.lstrip()), start + len(held.rstrip())


def _listed(spans: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"({start}, {stop})" for start, stop in spans)
