"""What a trained classifier says: margins, and how many of them have the right sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from hardware import Hardware
from reviews import Review
from torch import nn
from transformers import PreTrainedTokenizerBase

PROBES = (
    "good",
    "not good",
    "bad",
    "not bad",
    "This movie is good.",
    "This movie is not good.",
    "This movie is bad.",
    "This movie is not bad.",
    "I expected to hate it, but it was wonderful.",
    "I expected to love it, but it was dreadful.",
    "It could have been great but it is dull.",
    "It could have been dull but it is great.",
    "boring",
    "never boring",
    "a masterpiece",
    "hardly a masterpiece",
    "a funny joke",
    "without a single funny joke",
    "[MASK] [MASK] [MASK] [MASK]",
)
"""Short texts whose margins the card reports; none of them is trained on."""


class Score(NamedTuple):
    """How many texts of one source got the right label."""

    source: str
    right: int
    total: int

    def __str__(self) -> str:
        """Write it as a person would."""
        return f"{self.source} {self.right}/{self.total} = {self.right / self.total:.2%}"


@torch.inference_mode()
def margins(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], hw: Hardware
) -> np.ndarray:
    """Return the logit of POSITIVE less that of NEGATIVE for each text, truncated as usual."""
    model.eval()
    out = np.zeros(len(texts))
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for rows in (order[i : i + 32] for i in range(0, len(order), 32)):
        inputs = tokenizer(
            [texts[i] for i in rows], truncation=True, padding=True, return_tensors="pt"
        )
        logits = model(**inputs.to(hw.device)).logits.float()
        out[rows] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
    return out


def score(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    reviews: Sequence[Review],
    hw: Hardware,
) -> list[Score]:
    """Count the right answers, one figure for each source."""
    right = (margins(model, tokenizer, [r.text for r in reviews], hw) > 0) == [
        r.label == 1 for r in reviews
    ]
    sources = np.asarray([r.source for r in reviews])
    return [
        Score(s, int(right[sources == s].sum()), int((sources == s).sum()))
        for s in sorted({*sources})
    ]
