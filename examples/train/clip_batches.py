"""What the small CLIP is shown: batches of pictures and captions, whole and masked."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
from icons import ICONS
from scenes import (
    EDGE,
    OPPOSITE,
    RELATIONS,
    Caption,
    arrange,
    compose,
    describe,
    draw_icons,
    keep_pixels,
    masked,
    seen,
    spoiled,
    told,
)

#: Edge in pixels of the patches that the model reads.
PATCH = 16
#: A patch with less of an icon's ink than this does not show it.
_LITTLE = 0.02


def kept_words(rng: np.random.Generator, captions: list[Caption], shares: np.ndarray) -> list:
    return [
        rng.random(len(each.words)) < share for each, share in zip(captions, shares, strict=True)
    ]


class Batch(NamedTuple):
    """Pictures (p, 3, 96, 96) in -1 to 1, captions, and how much of each caption is seen in each.

    ``shown`` (p, f), ``patches`` (p, patches, f) and ``named`` (captions, f) say which of f facts
    hold of each. Each icon has five: it is there, left of, right of, above and below another.
    """

    pixels: torch.Tensor
    texts: list[str]
    labels: torch.Tensor
    shown: torch.Tensor
    patches: torch.Tensor
    named: torch.Tensor


def batch(rng: np.random.Generator, size: int, *, whole: bool) -> Batch:
    """``whole``: of pictures with one icon, and nothing masked; else each picture and each caption
    lightly and heavily masked, and each caption made false as well."""
    scenes = [arrange(rng, icons) for icons in draw_icons(rng, size, alone=whole)]
    pictures, ink = compose(rng, scenes)
    captions = [describe(rng, scene) for scene in scenes]
    every, kept = captions, kept_words(rng, captions, np.ones(size))
    keep = np.ones(ink[:, 0].shape, dtype=bool)
    if not whole:
        keep = np.concatenate([keep_pixels(rng, share) for share in _two_shares(rng, size)])
        false = [spoiled(rng, each, scene) for each, scene in zip(captions, scenes, strict=True)]
        kept = [
            each for share in _two_shares(rng, size) for each in kept_words(rng, captions, share)
        ]
        kept += kept_words(rng, false, np.ones(size))
        every = [*captions, *captions, *false]
    times = len(keep) // size
    parts = np.split(keep, times)
    visible = np.concatenate([np.einsum("bihw,bhw->bi", ink, part) for part in parts])
    facts = np.zeros((len(keep), 4, 1 + len(RELATIONS), len(ICONS)), np.float32)
    for row, scene, part in zip(facts, scenes * times, visible, strict=True):
        for i, icon in enumerate(scene.icons):
            row[i, 0, icon] = part[i]
        for i, j in permutations(range(len(scene.icons)), 2):
            relation = scene.relation(i, j)
            if relation is not None:
                row[i, 1 + relation, scene.icons[i]] = min(part[i], part[j])
    named = np.zeros((len(every), 1 + len(RELATIONS), len(ICONS)), np.float32)
    for row, each, words in zip(named, every, kept, strict=True):
        nouns, relation = told(each, words)
        row[0, list(each.nouns)] = nouns
        if each.relation is not None and relation:
            row[1 + each.relation, each.nouns[0]] = nouns.min()
            row[1 + OPPOSITE[each.relation], each.nouns[1]] = nouns.min()
    pixels = torch.from_numpy(np.concatenate([pictures] * times) * keep[..., None])
    return Batch(
        pixels.permute(0, 3, 1, 2).float() / 127.5 - 1,
        [masked(each, words) for each, words in zip(every, kept, strict=True)],
        torch.from_numpy(seen(scenes * times, visible, every, kept)).float(),
        torch.from_numpy(facts.max(1)).flatten(1),
        torch.from_numpy(
            np.stack([f[i] for f, i in zip(facts, _shown_by(ink, parts), strict=True)])
        ).flatten(2),
        torch.from_numpy(named).flatten(1),
    )


def _two_shares(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What is kept of each picture or caption, lightly and heavily masked."""
    light = np.where(rng.random(size) < 0.5, 1.0, rng.uniform(0.5, 1.0, size))
    heavy = np.where(rng.random(size) < 0.15, 0.0, rng.uniform(0.0, 0.8, size))
    return light, heavy


def _shown_by(ink: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    """Which icon of its picture each of the model's patches shows, (p, patches); 3: none."""
    cells = EDGE // PATCH
    found = []
    for part in parts:
        inked = (ink * part[:, None]).reshape(len(ink), 3, cells, PATCH, cells, PATCH)
        share = inked.sum((3, 5)).reshape(len(ink), 3, -1)
        found.append(np.where(share.max(1) > _LITTLE, share.argmax(1), 3))
    return np.concatenate(found)
