"""The small CLIP that ships: held-out pictures find their captions, and masks lower the score."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, InteractionExplainer

EXAMPLES = Path(__file__).parents[1] / "examples"
GRID = (6, 6)


@pytest.fixture(scope="module")
def pairs() -> Iterator[list[tuple[Any, str]]]:
    """The held-out pictures of the examples, with their captions."""
    sys.path.insert(0, str(EXAMPLES))
    yield import_module("03_clip").pairs()
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def clip() -> Any:
    return pipeline("zero-shot-image-classification", model=DEMO_CLIP, device="cpu")


@pytest.fixture(scope="module")
def logits(clip: Any, pairs: list[tuple[Any, str]]) -> np.ndarray:
    """Of each picture (rows) with each caption, up to what they have in common."""
    texts = [text for _, text in pairs]
    found = clip([image for image, _ in pairs], candidate_labels=texts, hypothesis_template="{}")
    places = {text: i for i, text in enumerate(texts)}
    assert len(places) == len(texts)
    out = np.full((len(pairs), len(texts)), np.nan)
    for row, answer in zip(out, found, strict=True):
        for each in answer:
            row[places[each["label"]]] = np.log(max(each["score"], 1e-30))
    return out


def test_held_out_pictures_find_their_captions(logits: np.ndarray) -> None:
    count = len(logits)
    assert count == 96
    assert (logits.argmax(1) == np.arange(count)).mean() > 0.9
    assert (logits.argmax(0) == np.arange(count)).mean() > 0.9


def test_a_match_scores_the_less_the_more_is_masked(
    clip: Any, pairs: list[tuple[Any, str]]
) -> None:
    explainer = InteractionExplainer(clip, patches=GRID, progress=False)
    rng = np.random.default_rng(0)
    shares = (1.0, 0.75, 0.5, 0.25, 0.0)
    by_patches, by_words, nothing = [], [], []
    for image, text in pairs[:12]:
        function = explainer.value_function({"image": image, "text": text})
        split = function.features.text_start
        assert split == GRID[0] * GRID[1]
        draws = rng.random((4, function.n_features))
        masks = np.concatenate([draws < share for share in shares])
        patches, words = masks.copy(), masks.copy()
        patches[:, split:] = words[:, :split] = True
        values = function(np.concatenate([patches, words, masks[-1:]]))
        by_patches.append(values[:20].reshape(5, 4).mean(1))
        by_words.append(values[20:40].reshape(5, 4).mean(1))
        nothing.append(values[-1])
    for found in (np.array(by_patches), np.array(by_words)):
        assert (np.diff(found.mean(0)) < 0).all()
        assert (found[:, 0] > found[:, -1] + 3).all()  # all masked: clearly below
        assert (found[:, 0] > found[:, 2]).mean() > 0.9
    assert np.mean(nothing) < np.mean(by_patches, 0)[2]
