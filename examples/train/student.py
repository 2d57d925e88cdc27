"""The student: a small DistilBERT from scratch, taught by labels and by the teacher."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from batches import Corpus
from hardware import Hardware, optimise
from measure import score
from reviews import Review
from teacher import Teacher
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import nn
from torch.nn import functional as fn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

POSITIONS = 512
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


class Stage(NamedTuple):
    """A part of the training with a schedule of its own."""

    epochs: int
    crop: int  # tokens of a labelled text, at most
    rate: float


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Learn a lower-case WordPiece vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=5,
        limit_alphabet=100,
        special_tokens=list(SPECIAL.values()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(SPECIAL[name], tokenizer.token_to_id(SPECIAL[name])) for name in ("sep", "cls")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name, token in SPECIAL.items()},
    )


def new_student(
    args: argparse.Namespace, tokenizer: PreTrainedTokenizerBase
) -> DistilBertForSequenceClassification:
    """Make the model, its weights drawn at random; its heads are 32 wide."""
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        dim=args.dim,
        n_layers=args.layers,
        n_heads=args.dim // 32,
        hidden_dim=4 * args.dim,
        activation="relu",  # a fifth faster than GELU on a CPU
        dropout=args.dropout,
        attention_dropout=0.0,
        attn_implementation="eager",  # the faster one in bfloat16 on a CPU; not saved
        seq_classif_dropout=0.2,
        pad_token_id=tokenizer.pad_token_id,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
    )
    return DistilBertForSequenceClassification(config)


@torch.inference_mode()
def teacher_words(teacher: Teacher, tokenizer: PreTrainedTokenizerBase, dim: int) -> torch.Tensor:
    """Describe each token of the student by the main axes of the teacher's word embeddings."""
    table = teacher.encoder.embeddings.word_embeddings.weight.float().cpu()
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    own = teacher.tokenizer.get_vocab()
    rows = []
    for piece in pieces:
        known = [own[piece]] if piece in own else None
        plain = piece.removeprefix("##")
        ids = known or teacher.tokenizer(plain, add_special_tokens=False)["input_ids"]
        rows.append(table[ids].mean(0))
    words = torch.stack(rows)
    words = words - words.mean(0)
    _, _, axes = torch.linalg.svd(words, full_matrices=False)
    words = words @ axes[:dim].T
    return words / words.std()


def train_words(
    corpus: Corpus, words: torch.Tensor, epochs: int, hw: Hardware, rng: np.random.Generator
) -> torch.Tensor:
    """Adapt word embeddings until their mean over half of the words of a text tells its label."""
    bag = nn.EmbeddingBag.from_pretrained(words * 0.1, freeze=False, mode="mean").to(hw.device)
    head = nn.Linear(words.shape[1], 1).to(hw.device)
    size = 128
    steps = epochs * math.ceil(len(corpus.starts) / size)
    optimizer, schedule = optimise(nn.ModuleList([bag, head]), 1e-2, 1e-2, max(1, steps))
    for epoch in range(epochs):
        total = 0.0
        order = rng.permutation(len(corpus.starts))
        for rows in np.array_split(order, math.ceil(len(order) / size)):
            texts = [corpus.tokens[corpus.starts[i] : corpus.ends[i]] for i in rows]
            texts = [ids[rng.random(len(ids)) < 0.5] for ids in texts]
            offsets = np.cumsum([0, *map(len, texts[:-1])])
            flat = torch.from_numpy(np.concatenate(texts)).long().to(hw.device)
            mean = bag(flat, torch.from_numpy(offsets).to(hw.device))
            labels = torch.from_numpy(corpus.targets[rows]).to(hw.device)
            margins = head(fn.dropout(mean, 0.2))[:, 0]
            loss = fn.binary_cross_entropy_with_logits(margins, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"words {epoch + 1}/{epochs}: loss {total / len(order):.4f}", flush=True)
    return bag.weight.detach()


def train_student(
    model: DistilBertForSequenceClassification,
    labelled: Corpus,
    taught: Corpus,
    validation: Sequence[Review],
    tokenizer: PreTrainedTokenizerBase,
    args: argparse.Namespace,
    stage: Stage,
    hw: Hardware,
    rng: np.random.Generator,
) -> DistilBertForSequenceClassification:
    """Learn the labels of crops of the reviews and the teacher's margins of sentences, mixed.

    Returns the running average of the weights.
    """
    plan = []
    for _ in range(stage.epochs):
        crops = labelled.crops(rng, stage.crop // 4, stage.crop, args.head)
        plan.append(
            (
                labelled.groups(crops, args.batch, args.budget, rng),
                taught.groups(taught.whole(), args.batch, args.budget, rng),
            )
        )
    steps = sum(len(groups) for both in plan for groups in both)
    optimizer, schedule = optimise(model, stage.rate, args.decay, steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(args.average))
    start = time.perf_counter()
    for epoch, (crops, texts) in enumerate(plan):
        model.train()
        streams = (
            labelled.batches(crops, args.masked, rng),
            taught.batches(texts, 0.0, rng),
        )
        total, count = np.zeros(2), np.zeros(2)
        for kind in rng.permutation([0] * len(crops) + [1] * len(texts)):
            batch = next(streams[kind]).to(hw.device)
            with hw.autocast():
                logits = model(batch.input_ids, batch.attention_mask).logits.float()
            margins = logits[:, 1] - logits[:, 0]
            if kind == 0:
                soft = args.smoothing + (1 - 2 * args.smoothing) * batch.targets
                loss = fn.binary_cross_entropy_with_logits(margins, soft)
            else:
                loss = args.teach * fn.mse_loss(margins, batch.targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            total[kind] += loss.item()
            count[kind] += 1
        scores = score(average.module, tokenizer, validation, hw)
        labels, teacher = total / count
        print(
            f"student {epoch + 1}/{stage.epochs}: labels {labels:.4f}, teacher {teacher:.4f}, "
            f"validation {', '.join(map(str, scores))}, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    return average.module
