"""What a server is asked once: how likely an output is after a prompt; and the same as bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.hf.text.tokens import TYPE_BIT


@dataclass(frozen=True)
class Question:
    """One prompt and one output.

    Attributes:
        prompt: token ids, or the text for a server that takes nothing else.
        target: token ids of the output, (t,).
        said: the output's text.
        count: tokens of both together, as our tokenizer counts them.
    """

    prompt: tuple[int, ...] | str
    target: tuple[int, ...]
    said: str
    count: int

    def item(self) -> bytes:
        """As bytes, equal where the questions are."""
        if isinstance(self.prompt, str):
            return json.dumps([self.prompt, self.target, self.said, self.count]).encode()
        row = np.array([len(self.target), *self.target, *self.prompt], dtype="<i8")
        return b"\x00" + row.tobytes()

    @property
    def ids(self) -> list[int]:
        """All token ids that are sent, where ids are."""
        return [*map(int, self.prompt), *self.target]


def question_of(item: bytes) -> Question:
    """The question that :meth:`Question.item` wrote; where ids were written, without ``said``."""
    if item[:1] != b"\x00":
        prompt, target, said, count = json.loads(item)
        return Question(prompt, tuple(target), said, count)
    row = np.frombuffer(item[1:], dtype="<i8").tolist()
    stop = 1 + row[0]
    return Question(tuple(row[stop:]), tuple(row[1:stop]), "", len(row) - 1)


def tokens_of_item(item: bytes) -> list[int]:
    """The ids of an item of a masked text, without their types."""
    ids: Sequence[int] = (np.frombuffer(item, dtype=np.int64) & ((1 << TYPE_BIT) - 1)).tolist()
    return list(ids)
