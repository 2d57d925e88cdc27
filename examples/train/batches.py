"""Texts as tokens, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

MOST_MASKED = 0.9  # of the words of a text


class Batch(NamedTuple):
    """Padded tokens with their attention mask, and the target of every row."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Bring it to a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Corpus:
    """Texts as one flat array of tokens, from which batches of spans are cut."""

    def __init__(
        self, texts: Sequence[str], targets: np.ndarray, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        """Tokenize every text once, without special tokens and without truncation."""
        encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
        rows = [np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]
        self.tokens = np.concatenate(rows)
        self.ends = np.cumsum([len(row) for row in rows])
        self.starts = self.ends - [len(row) for row in rows]
        self.targets = targets.astype(np.float32)
        special = ("cls_token_id", "sep_token_id", "pad_token_id", "mask_token_id")
        self.cls, self.sep, self.pad, self.mask = (getattr(tokenizer, name) for name in special)
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self.continues = np.asarray([piece.startswith("##") for piece in pieces])

    def whole(self) -> np.ndarray:
        """Every text in full: (text, start, end)."""
        return np.stack([np.arange(len(self.starts)), self.starts, self.ends], axis=1)

    def crops(self, rng: np.random.Generator, low: int, high: int, head: float) -> np.ndarray:
        """One span of every text: (text, start, end).

        The length is log-uniform from `low` to `high` tokens; a share `head` of the texts gives
        its first `high` tokens instead, which is what a truncating pipeline will read.
        """
        size = np.exp(rng.uniform(np.log(low), np.log(high), len(self.starts))).astype(int)
        at_head = rng.random(len(size)) < head
        size = np.minimum(np.where(at_head, high, size), self.ends - self.starts)
        slack = self.ends - self.starts - size
        offset = np.where(at_head, 0, (rng.random(len(size)) * (slack + 1)).astype(int))
        start = self.starts + offset
        return np.stack([np.arange(len(size)), start, start + size], axis=1)

    def mask_words(self, ids: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """Replace about this share of the words, each by one [MASK] however many pieces it has."""
        first = ~self.continues[ids]
        first[0] = True
        word = np.cumsum(first) - 1
        hit = (rng.random(word[-1] + 1) < share)[word]
        return np.where(hit, self.mask, ids)[~hit | first]

    def groups(
        self, spans: np.ndarray, size: int, budget: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Rows of like length together: at most `size` rows and `budget` tokens in a batch."""
        length = spans[:, 2] - spans[:, 1] + 2
        groups: list[list[int]] = [[]]
        for row in np.argsort(length + rng.uniform(0, 8, len(length)), kind="stable"):
            if len(groups[-1]) >= size or (len(groups[-1]) + 1) * (length[row] + 8) > budget:
                groups.append([])
            groups[-1].append(row)
        return [spans[groups[g]] for g in rng.permutation(len(groups))]

    def batches(
        self, groups: Sequence[np.ndarray], masked: float, rng: np.random.Generator
    ) -> Iterator[Batch]:
        """Make the batches; in a share `masked` of the rows, words are replaced by [MASK]."""
        for spans in groups:
            rows = []
            for _, start, end in spans:
                ids = self.tokens[start:end]
                if len(ids) and rng.random() < masked:
                    ids = self.mask_words(ids, rng.uniform(0, MOST_MASKED), rng)
                rows.append([self.cls, *ids.tolist(), self.sep])
            width = max(map(len, rows))
            ids = torch.tensor([row + [self.pad] * (width - len(row)) for row in rows])
            targets = torch.from_numpy(self.targets[spans[:, 0]])
            yield Batch(ids, (ids != self.pad).long(), targets)
