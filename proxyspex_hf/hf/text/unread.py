"""What of a text the pipeline leaves out of what it gives its model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.hf.text.masking import MaskedText

#: Runs of features that a note names.
_NAMED = 3


def unread_notes(masked: MaskedText) -> tuple[str, ...]:
    """A note where features of the whole text are not read, by what the pipeline makes of it."""
    whole = np.ones(len(masked.features.spans), dtype=np.bool_)
    read, every = masked.official_tokens(whole), masked.plain_tokens(whole)
    if read is None or np.array_equal(read, every):
        return ()
    missing = _unread(masked, read, fewer=len(read) < len(every))
    if missing:
        labels, n = masked.features.labels, len(whole)
        runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
        named = [
            f"{labels[run[0]]!r}" + (f" to {labels[run[-1]]!r}" if len(run) > 1 else "")
            for run in runs[:_NAMED]
        ]
        more = ", …" if len(runs) > _NAMED else ""
        them = "1 feature" if len(missing) == 1 else f"{len(missing)} features"
        return (
            f"Of {n} features, the model does not read {them}: {', '.join(named)}{more}. The "
            "pipeline leaves out that part of the text, so masking it has no effect while the rest "
            "is kept.",
        )
    if _is_part(read, every):
        return (
            f"The model reads only {len(read)} of the text's {len(every)} tokens: the pipeline "
            "leaves out the rest.",
        )
    return ()


def _unread(masked: MaskedText, read: NDArray[np.int64], *, fewer: bool) -> list[int]:
    """The features whose masking does not change what is read of the whole text.

    Those at the ends of each text are found in few steps: that is where pipelines cut. Where none
    is there but ``fewer`` tokens are read, all are looked through.
    """
    spans = masked.features.spans

    def changes(group: Sequence[int]) -> bool:
        mask = np.ones(len(spans), dtype=np.bool_)
        mask[list(group)] = False
        without = masked.official_tokens(mask)
        return without is None or not np.array_equal(without, read)

    # One that is masked by what stands there itself changes nothing, read or not.
    may = [
        i
        for i, instead in enumerate(masked.replacements)
        if instead is None or masked.text[slice(*spans[i])] != instead
    ]
    found: set[int] = set()
    for start, stop in masked.halves:
        inside = [i for i in may if start <= spans[i][0] < stop]
        for ordered in (inside, inside[::-1]):
            found.update(_first_without(changes, ordered))
    groups = [may] if may and fewer and not found else []
    while groups:
        group = groups.pop()
        if not changes(group):
            found.update(group)
        elif len(group) > 1:
            middle = len(group) // 2
            groups += [group[middle:], group[:middle]]
    return sorted(found)


def _first_without(changes: Callable[[Sequence[int]], bool], ordered: list[int]) -> list[int]:
    """The longest beginning that changes nothing; all longer ones change something."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high + 1) // 2
        if changes(ordered[:middle]):
            high = middle - 1
        else:
            low = middle
    return ordered[:low]


def _is_part(read: NDArray[np.int64], every: NDArray[np.int64]) -> bool:
    """Whether tokens are the beginning or the end of others, with special ones at both ends."""
    if not 0 < len(read) < len(every):
        return False
    shared = np.flatnonzero(read != every[: len(read)])
    begin = int(shared[0]) if len(shared) else len(read)
    shared = np.flatnonzero(read[::-1] != every[::-1][: len(read)])
    end = int(shared[0]) if len(shared) else len(read)
    return begin + end >= len(read)
