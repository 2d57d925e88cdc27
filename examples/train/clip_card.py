"""The model card of the small CLIP: every figure in it is a measured one."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clip_measure import SHARES
from icons import ICONS, NAMES, UNSEEN, name_of

TEMPLATE = """---
license: apache-2.0
language: en
pipeline_tag: zero-shot-image-classification
library_name: transformers
tags:
- clip
- proxyspex
- interpretability
---

# A small CLIP for pictures of icons

It tells which caption, such as "a dog and a bicycle", fits a picture of one to three icons, and
is {megabytes:.1f} MB in size. It ships with `proxyspex_hf` so that demonstrations and tests have a
real, trained image-text model that needs no download: it is something to explain, not something
to rely on.

```python
from transformers import pipeline

classify = pipeline("zero-shot-image-classification", model="DIR")
classify(image, candidate_labels=["a dog", "a cat", "a red circle"], hypothesis_template="{{}}")
```

## Data

Pictures of 96 by 96 pixels, composed while it trained: one to three icons of 32, 48 or 64 pixels,
on a lattice of 16, on plain, shaded, striped, chequered and cloudy backgrounds. The icons are
{icons} of Noto Color Emoji (Debian's `fonts-noto-color-emoji`; the font is under the SIL Open Font
License 1.1, its images under Apache 2.0). Captions are made of their names in Unicode and of "and",
"left of", "right of", "above" and "below", some after "this is a photo of", "a picture of" or
"there is".

One of ten pairs of icons never met in training; the figures below are of such pairs. Never seen at
all were {unseen}: other things of their colours were, and
others of their kinds.

## Training

First come pictures of one icon with nothing masked. Then each picture is shown twice, lightly and
heavily blackened by patches of a grid, and each caption is read three times: lightly and heavily
masked by words, and made false (the two icons swapped, the relation turned round, or another icon).
The loss is that of SigLIP over all pictures and captions of a batch, with labels between 0 and 1:
the share of what a caption could say that it still tells and that can still be seen, less what it
tells wrongly of where icons lie. So a match scores high, what is masked scores less, and with
nothing to see or nothing told there is no match. Beside it, and less and less, each tower learns by
itself to name the icons and how they lie. The scale of the logits is fixed at {scale:g}; the loss's
bias ({bias:.1f} in the end) is no part of the model.

The last run: {steps:,} steps of {batch} pictures at a rate of {rate:g}, {whole} of them of single
icons, seed {seed}; {minutes:.0f} minutes on one core of a shared machine, {cpu_minutes:.0f} of
processor time; torch {torch}.{note}

    python examples/train/clip.py --out DIR

## Held out

{pictures:,} pictures of two icons that never met in training, with captions that tell how one lies
to the other ("a dog left of a bicycle"):

| what | measured |
|---|---|
| the right caption is the best of 24 | {caption among 24:.3f} |
| the right caption is the best of 100 | {caption among 100:.3f} |
| the right picture is the best of 24 | {picture among 24:.3f} |
| the right picture is the best of 100 | {picture among 100:.3f} |
| the caption scores above itself with its icons swapped | {above swapped:.3f} |
| … with the relation turned round | {above opposite:.3f} |
| … than beside its own picture, all black | {above patches 0%:.3f} |
| … beside its own picture, half of the patches black | {above patches 50%:.3f} |
| … with every word masked | {above words 0%:.3f} |
| … with half of the words masked | {above words 50%:.3f} |
| mean logit of a match | {patches 100%:.1f} |
| of the picture with the swapped caption | {mean swapped:.1f} |
| of other pairs of picture and caption | {mean of others:.1f} |
| of a black picture and a caption of masks | {nothing and nothing:.1f} |

Mean logit by the share of patches or of words kept:

| kept | {head} |
|---|{rule}
| patches | {patches} |
| words | {words} |

A never-seen icon whose words were seen, alone in a picture: its caption was the best of those of
its kind (hearts, circles, squares, books) in {unseen found:.3f} of {unseen pictures} pictures;
guessing finds {unseen guessed:.3f}.

    python examples/train/clip.py --evaluate DIR

## Limits

It does not read where an icon lies: between a caption and the same with its icons swapped it
chooses hardly better than a coin ({above swapped:.3f}; 0.5 is chance), so "left of" means little
more than "and" to it. It knows {words_known} words of {icons} icons, drawn as Noto draws them,
apart from each other, on its lattice. Photos, other drawings, other sizes and other words give
answers without meaning: an icon that it was never trained on is taken for one that looks like it,
and a word that it does not know is read as nothing in particular.
"""


def write_card(args: argparse.Namespace, found: dict[str, Any], run: dict[str, float]) -> None:
    """Fill the card with what was measured and write it beside the weights."""
    folder: Path = args.out
    text = TEMPLATE.format(
        **found,
        **run,
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        icons=len(ICONS),
        unseen=", ".join(f"the {name_of(icon)}" for icon in UNSEEN),
        steps=args.steps,
        whole=args.whole,
        batch=args.batch,
        rate=args.rate,
        note=args.note and f" {args.note}",
        seed=args.seed,
        torch=version("torch"),
        head=" | ".join(f"{share}%" for share in SHARES),
        rule="---|" * len(SHARES),
        **{
            what: " | ".join(f"{found[f'{what} {share}%']:.1f}" for share in SHARES)
            for what in ("patches", "words")
        },
        words_known=len({word for name in NAMES for word in name.split()}),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
