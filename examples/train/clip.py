"""Train the small CLIP that ships with proxyspex_hf, or measure it again.

    pip install torch transformers easy-vqa pillow
    python examples/train/clip.py --out DIR          # train, measure, write DIR
    python examples/train/clip.py --evaluate DIR     # measure the held-out accuracy again

The data are the 5,000 images of easy-vqa: one shape of one colour, anywhere in 64 x 64 pixels. What
the shape and its colour are follows from the questions and answers; the caption says both. Some
patches are blackened and some words masked while it learns, since an explainer will do just that: a
caption with a masked colour then belongs to every image of its shape.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from easy_vqa import (
    get_test_image_paths,
    get_test_questions,
    get_train_image_paths,
    get_train_questions,
)
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
)

COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")
TEMPLATES = (
    "a {color} {shape}",
    "{color} {shape}",
    "the {shape} is {color}",
    "there is a {color} {shape} in the image",
    "this is a photo of a {color} {shape}",
    "an image of the {color} {shape}",
)
SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[BOS]", "[EOS]")
EDGE, PATCH = 64, 8
HELD_OUT = "a {color} {shape}"


def load(paths: dict[int, str], questions: tuple[list[str], ...]) -> tuple[torch.Tensor, ...]:
    """Images (m, 3, 64, 64) in 0 to 255, colours (m,) and shapes (m,) of one split."""
    facts: dict[int, dict[str, int]] = {i: {} for i in paths}
    for _, answer, image in zip(*questions, strict=True):
        if answer in COLORS:
            facts[image]["color"] = COLORS.index(answer)
        elif answer in SHAPES:
            facts[image]["shape"] = SHAPES.index(answer)
    # A question that gives both away was asked of most images, not of all.
    whole = [i for i, fact in facts.items() if len(fact) == 2]
    pixels = np.stack([np.asarray(Image.open(paths[i]).convert("RGB")) for i in whole])
    return (
        torch.from_numpy(pixels).permute(0, 3, 1, 2),
        torch.tensor([facts[i]["color"] for i in whole]),
        torch.tensor([facts[i]["shape"] for i in whole]),
    )


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the captions."""
    words = sorted({w for t in TEMPLATES for w in t.split() if "{" not in w})
    vocabulary = {w: i for i, w in enumerate((*SPECIALS, *words, *COLORS, *SHAPES))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[BOS] $A [EOS]", special_tokens=[("[BOS]", 3), ("[EOS]", 4)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        model_max_length=24,
        model_input_names=["input_ids", "attention_mask"],
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """A quarter of a million weights a tower."""
    tower = {"hidden_size": 96, "intermediate_size": 192, "num_attention_heads": 4}
    return CLIPModel(
        CLIPConfig(
            vision_config={
                **tower,
                "num_hidden_layers": 3,
                "image_size": EDGE,
                "patch_size": PATCH,
            },
            text_config={
                **tower,
                "num_hidden_layers": 2,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": 24,
                "pad_token_id": 0,
                "bos_token_id": 3,
                "eos_token_id": 4,
            },
            projection_dim=64,
        )
    )


def captions(
    colors: Sequence[int], shapes: Sequence[int], rng: np.random.Generator
) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """A caption each, and the colour and shape it still tells (-1: masked)."""
    texts, told_color, told_shape = [], [], []
    for color, shape in zip(colors, shapes, strict=True):
        template = TEMPLATES[rng.integers(len(TEMPLATES))]
        words = template.split()
        share = rng.choice([0.0, 0.0, 0.3, 0.5])
        kept = rng.random(len(words)) >= share
        told_color.append(color if kept[words.index("{color}")] else -1)
        told_shape.append(shape if kept[words.index("{shape}")] else -1)
        masked = " ".join(w if k else "[MASK]" for w, k in zip(words, kept, strict=True))
        texts.append(masked.format(color=COLORS[color], shape=SHAPES[shape]))
    return texts, torch.tensor(told_color), torch.tensor(told_shape)


def blackened(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Half of the images with a share of their patches black, all flipped at random."""
    grid = EDGE // PATCH
    share = torch.from_numpy(rng.choice([0.0, 0.0, 0.3, 0.5], len(pixels)))
    keep = torch.from_numpy(rng.random((len(pixels), grid, grid))) >= share[:, None, None]
    keep = keep.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)
    pixels = pixels * keep[:, None]
    for axis in (2, 3):
        if rng.random() < 0.5:
            pixels = pixels.flip(axis)
    return pixels


def matching_loss(logits: torch.Tensor, matches: torch.Tensor) -> torch.Tensor:
    """Contrastive loss where several captions may be right: minus log of their share."""
    loss = torch.zeros(())
    for scores, right in ((logits, matches), (logits.T, matches.T)):
        hits = scores.masked_fill(~right, -torch.inf).logsumexp(1)
        loss = loss + (scores.logsumexp(1) - hits).mean() / 2
    return loss


def train(args: argparse.Namespace) -> tuple[CLIPModel, PreTrainedTokenizerFast, float]:
    """The trained model, its tokenizer, and the minutes it took."""
    start = time.monotonic()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    pixels, colors, shapes = load(get_train_image_paths(), get_train_questions())
    tokenizer = new_tokenizer()
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.05)
    steps = args.epochs * (len(pixels) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=steps)
    model.train()
    for epoch in range(args.epochs):
        order = rng.permutation(len(pixels))
        total = 0.0
        for first in range(0, len(order) - args.batch + 1, args.batch):
            rows = order[first : first + args.batch]
            texts, told_color, told_shape = captions(
                colors[rows].tolist(), shapes[rows].tolist(), rng
            )
            inputs = tokenizer(texts, padding=True, return_tensors="pt")
            images = blackened(pixels[rows], rng).float() / 127.5 - 1
            logits = model(pixel_values=images, **inputs).logits_per_image
            matches = (told_color[None] == -1) | (colors[rows][:, None] == told_color[None])
            matches &= (told_shape[None] == -1) | (shapes[rows][:, None] == told_shape[None])
            loss = matching_loss(logits, matches)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / (len(order) // args.batch):.3f}", flush=True)
    return model.eval(), tokenizer, (time.monotonic() - start) / 60


@torch.inference_mode()
def evaluate(directory: Path) -> dict[str, float]:
    """Retrieval on the 1,000 held-out images: which of the 24 captions fits each best."""
    model = CLIPModel.from_pretrained(directory).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    pixels, colors, shapes = load(get_test_image_paths(), get_test_questions())
    texts = [HELD_OUT.format(color=c, shape=s) for c in COLORS for s in SHAPES]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    best = torch.cat(
        [
            model(pixel_values=part.float() / 127.5 - 1, **inputs).logits_per_image.argmax(1)
            for part in pixels.split(200)
        ]
    )
    color, shape = best // len(SHAPES), best % len(SHAPES)
    return {
        "images": float(len(pixels)),
        "both": float(((color == colors) & (shape == shapes)).float().mean()),
        "color": float((color == colors).float().mean()),
        "shape": float((shape == shapes).float().mean()),
    }


CARD = """---
license: apache-2.0
language: en
pipeline_tag: zero-shot-image-classification
library_name: transformers
tags:
- clip
- proxyspex
- interpretability
---

# A small CLIP for coloured shapes

It tells which caption, such as "a red circle", fits an image of one coloured shape, and is
{megabytes:.1f} MB in size. It ships with `proxyspex_hf` so that demonstrations and tests have a
real, trained image-text model that needs no download: it is something to explain, not something
to rely on.

```python
from transformers import pipeline

classify = pipeline("zero-shot-image-classification", model="DIR")
classify(image, candidate_labels=["red circle", "blue circle"], hypothesis_template="a {{}}")
```

## Data and training

{images_train:,} training images of the package easy-vqa (MIT): those
whose questions tell both colour and shape; 64 by 64 pixels, one shape each: {shapes}; {colors}.
Captions are made of six templates. Some patches
are blackened and some words masked. {epochs} epochs of {batch} pairs, seed {seed}, {minutes:.0f}
minutes on one core of a shared machine:

    python examples/train/clip.py --out DIR

## Held-out retrieval

On the {images:,} test images of easy-vqa whose questions tell both, the best of all 24 captions
"a COLOUR SHAPE":

| right | share |
|---|---|
| colour and shape | {both:.3f} |
| colour | {color:.3f} |
| shape | {shape:.3f} |

    python examples/train/clip.py --evaluate DIR

## Limits

It knows {words} words, eight colours, three shapes and one shape an image. Other images, words or
several shapes give answers without meaning.
"""


def write(
    args: argparse.Namespace, model: CLIPModel, tokenizer: PreTrainedTokenizerFast, minutes: float
) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    CLIPImageProcessor(
        size={"shortest_edge": EDGE},
        crop_size={"height": EDGE, "width": EDGE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(args.out)
    found = evaluate(args.out)
    print(json.dumps(found))
    card = CARD.format(
        **{**found, "images": int(found["images"])},
        megabytes=(args.out / "model.safetensors").stat().st_size / 1e6,
        images_train=len(load(get_train_image_paths(), get_train_questions())[0]),
        shapes=", ".join(SHAPES),
        colors=", ".join(COLORS),
        epochs=args.epochs,
        batch=args.batch,
        seed=args.seed,
        minutes=minutes,
        words=len(tokenizer) - len(SPECIALS),
    )
    (args.out / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--out", type=Path)
    group.add_argument("--evaluate", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.evaluate:
        print(json.dumps(evaluate(args.evaluate)))
    else:
        write(args, *train(args))


if __name__ == "__main__":
    main()
