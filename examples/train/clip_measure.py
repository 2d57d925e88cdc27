"""What the small CLIP tells apart, on pictures of icons that never met while it trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from icons import ICONS, NAMES, UNSEEN
from scenes import (
    OPPOSITE,
    Caption,
    Scene,
    arrange,
    caption,
    compose,
    draw_icons,
    keep_pixels,
    masked,
)
from transformers import CLIPModel, PreTrainedTokenizerFast

#: Percent of patches or words kept, at which the mean score is told.
SHARES = (100, 90, 70, 50, 30, 10, 0)
UNSEEN_PLACES = [ICONS.index(icon) for icon in UNSEEN]


class Scorer:
    """A model's embeddings of pictures (b, 96, 96, 3) and texts, and its logits."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.scale = float(self.model.logit_scale.exp())

    @torch.inference_mode()
    def pictures(self, pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts = [
            self.model.get_image_features(pixel_values=part).pooler_output
            for part in pixels.split(100)
        ]
        return _unit(torch.cat(parts))

    @torch.inference_mode()
    def texts(self, texts: list[str]) -> np.ndarray:
        inputs = self.tokenizer(texts, padding=True, return_tensors="pt")
        return _unit(self.model.get_text_features(**inputs).pooler_output)


def _unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features, dim=1).double().numpy()


def pairs(count: int, seed: int) -> tuple[list[Scene], list[Caption], np.ndarray]:
    """Held-out pictures of two icons that never met in training, captions with their relation."""
    rng = np.random.default_rng(seed)
    scenes = [arrange(rng, icons) for icons in draw_icons(rng, count, unknown=True)]
    captions = []
    for scene in scenes:
        first, second = (int(i) for i in scene.icons)
        captions.append(caption((first, second), scene.relation(0, 1)))
    return scenes, captions, compose(rng, scenes)[0]


def measure(folder: Path, pictures: int = 1000, seed: int = 1) -> dict[str, Any]:
    """Figures on held-out pictures, each with its name."""
    scorer = Scorer(folder)
    rng = np.random.default_rng(seed + 1)
    _, captions, drawn = pairs(pictures, seed)
    images = scorer.pictures(drawn)
    texts = scorer.texts([each.text for each in captions])
    scores = scorer.scale * images @ texts.T
    own = scores.diagonal()
    found: dict[str, Any] = {"pictures": pictures}
    for among in (24, 100):
        found[f"caption among {among}"] = _found(scores, among)
        found[f"picture among {among}"] = _found(scores.T, among)
    swapped = [caption(each.nouns[::-1], each.relation) for each in captions]
    opposite = [caption(each.nouns, OPPOSITE[each.relation or 0]) for each in captions]
    for name, false in (("swapped", swapped), ("opposite", opposite)):
        other = scorer.scale * (images * scorer.texts([each.text for each in false])).sum(1)
        found[f"above {name}"] = float((own > other).mean())
        found[f"mean {name}"] = float(other.mean())
    found["mean of others"] = float(scores[~np.eye(pictures, dtype=bool)].mean())
    for share in SHARES:
        keep = keep_pixels(rng, np.full(pictures, share / 100))
        by_image = scorer.scale * (scorer.pictures(drawn * keep[..., None]) * texts).sum(1)
        found[f"patches {share}%"] = float(by_image.mean())
        found[f"above patches {share}%"] = float((own > by_image).mean())
        kept = [rng.random(len(each.words)) < share / 100 for each in captions]
        said = [masked(each, k) for each, k in zip(captions, kept, strict=True)]
        by_text = scorer.scale * (images * scorer.texts(said)).sum(1)
        found[f"words {share}%"] = float(by_text.mean())
        found[f"above words {share}%"] = float((own > by_text).mean())
    nothing = caption(captions[0].nouns, captions[0].relation)
    silent = masked(nothing, np.zeros(len(nothing.words), dtype=bool))
    black = scorer.pictures(np.zeros((1, *drawn.shape[1:]), np.uint8))
    found["nothing and nothing"] = float(scorer.scale * (black @ scorer.texts([silent]).T)[0, 0])
    return {**found, **_unseen(scorer, seed + 2)}


def _unseen(scorer: Scorer, seed: int) -> dict[str, Any]:
    """How often a never-seen icon's caption is the best of its kind: a heart's of the hearts'."""
    rng = np.random.default_rng(seed)
    kinds = {i: [j for j in range(len(NAMES)) if _kind(j) == _kind(i)] for i in UNSEEN_PLACES}
    right, guessed = [], []
    for icon, alike in kinds.items():
        scenes = [arrange(rng, np.array([icon])) for _ in range(25)]
        texts = scorer.texts([caption((j,)).text for j in alike])
        best = (scorer.pictures(compose(rng, scenes)[0]) @ texts.T).argmax(1)
        right.append(np.array(alike)[best] == icon)
        guessed.append(1 / len(alike))
    return {
        "unseen pictures": sum(map(len, right)),
        "unseen found": float(np.mean(right)),
        "unseen guessed": float(np.mean(guessed)),
    }


def _kind(icon: int) -> str:
    return NAMES[icon].split()[-1]


def _found(scores: np.ndarray, among: int) -> float:
    """How often the diagonal is the best of so many neighbours of its row."""
    count = len(scores)
    place = (np.arange(count)[:, None] + np.arange(among)) % count
    return float((np.take_along_axis(scores, place, 1).argmax(1) == 0).mean())
