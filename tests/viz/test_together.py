"""Every place says the same of combinations: sentences, or that there are none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from record_factory import from_effects, make_record, with_doubt

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.viz import render_html, render_svg, render_text
from proxyspex_hf.viz.picture import render_picture
from proxyspex_hf.viz.static import story
from proxyspex_hf.viz.together import told_together


def explained(function: Any) -> Any:
    return InteractionExplainer(function, progress=False)(6).record


def words(markup: str) -> str:
    """The text alone; a picture has an element for each word."""
    markup = re.sub(r"<(script|style)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", markup).split())


@pytest.mark.parametrize("shown", [story, render_picture])
def test_what_adds_up_is_said_to_and_nothing_is_listed(shown: Any) -> None:
    record = explained(lambda masks: masks @ np.arange(1.0, 7.0))
    assert "No combination matters" in words(shown(record))
    assert "work together" not in words(shown(record))


@pytest.mark.parametrize("shown", [story, render_picture])
def test_what_works_together_is_said_to(shown: Any) -> None:
    record = explained(lambda masks: masks[:, 0] + 3.0 * masks[:, 1] * masks[:, 2])
    assert "work together" in words(shown(record))
    assert "No combination matters" not in words(shown(record))


def parity(masks: np.ndarray) -> np.ndarray:
    return (masks[:, 0] ^ masks[:, 1]).astype(np.float64)


NAMES = [f"x{i}" for i in range(12)]
SHOWN = [render_text, render_svg, render_html, story, render_picture]


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("options", [{"max_order": 1}, {"proxy": "lasso", "seed": 3}], ids=str)
def test_what_was_not_looked_for_is_not_said_to_be_missing(
    shown: Any, options: dict[str, Any]
) -> None:
    def mostly_parity(masks: np.ndarray) -> np.ndarray:
        return 3.0 * masks[:, 2] + parity(masks)

    record = InteractionExplainer(mostly_parity, progress=False)(NAMES, **options).record
    said = words(shown(record))
    assert "Combinations were not looked for, only what single features do." in said
    assert "add up" not in said


@pytest.mark.parametrize("shown", SHOWN)
def test_too_few_masks_do_not_show_that_features_add_up(shown: Any) -> None:
    noise = np.random.default_rng(0).normal(size=2**12)
    power = 2 ** np.arange(12)

    def mostly_noise(masks: np.ndarray) -> np.ndarray:
        return 4.0 * masks[:, 2] + noise[masks @ power]

    # Masks near the input, which later rounds ask, would tell what some combinations do there.
    options = {"budget": 60, "rounds": 1, "density": 0.5}
    record = InteractionExplainer(mostly_noise, progress=False)(NAMES, **options).record
    assert [effect.members for effect in record.effects if effect.is_sure] == [(2,)]
    said = words(shown(record))
    assert "No combination can be told from zero; the features need not add up." in said
    assert "No combination matters" not in said


@pytest.mark.parametrize("shown", SHOWN)
def test_one_feature_does_not_add_up(shown: Any) -> None:
    record = InteractionExplainer(lambda masks: masks.sum(axis=1), progress=False)(1).record
    said = words(shown(record))
    assert "There is only one feature, and nothing for it to combine with." in said
    assert "No combination" not in said


def test_where_there_is_nothing_at_all_the_story_says_no_more() -> None:
    record = with_doubt(make_record("one two three", from_effects({(): 1.0}, 3)))
    assert told_together(record) == [
        [("text", "No effect of a word or of a combination can be told from zero.")]
    ]
