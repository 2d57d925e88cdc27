"""Every place says the same of combinations: sentences, or that there are none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.viz.picture import render_picture
from proxyspex_hf.viz.static import story


def explained(function: Any) -> Any:
    return InteractionExplainer(function, progress=False)(6).record


def words(markup: str) -> str:
    """The text alone; a picture has an element for each word."""
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
