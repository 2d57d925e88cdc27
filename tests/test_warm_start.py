"""Starting from the kernel of an earlier input of the same model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_models import roberta_pipeline

from proxyspex_hf import InteractionExplainer, InteractionExplanation
from proxyspex_hf.core import (
    Cached,
    FourierSpectrum,
    FunctionOfMasks,
    ProxySPEX,
    all_masks,
)
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.queries import plan
from proxyspex_hf.errors import InputError

TEXTS = [
    "It could have been great but the plot is dull and never funny",
    "A warm and funny film that never once feels false or too long",
]


def steep(n: int, seed: int) -> FourierSpectrum:
    """Functions that vary most near the whole input, alike but for which features matter."""
    rng = np.random.default_rng(seed)
    strength = rng.exponential(1.0, n)
    terms = {(i,): -float(s) for i, s in enumerate(strength)}
    terms |= {(i, i + 1): float(0.5 * strength[i] * strength[i + 1]) for i in range(n - 1)}
    return FourierSpectrum.from_dict(terms, n)


def test_few_masks_say_more_after_a_similar_function() -> None:
    n = 12
    earlier = attribute(
        Cached(FunctionOfMasks(steep(n, 99).evaluate, n)), plan(n, alpha=4), ProxySPEX("gaussian")
    )
    assert earlier.fit.doubt is not None
    start = earlier.fit.doubt.kernel
    cold, warm = [], []
    for seed in range(3):
        game = steep(n, seed)
        truth = game.evaluate_all()
        for errors, kernel in ((cold, None), (warm, start)):
            found = attribute(
                Cached(FunctionOfMasks(game.evaluate, n)),
                plan(n, alpha=0.5),
                ProxySPEX("gaussian", seed=seed, start=kernel),
                start=kernel,
            )
            guess = found.fit.spectrum.evaluate(all_masks(n))
            errors.append(float(np.square(guess - truth).mean() / truth.var()))
    assert np.mean(warm) < np.mean(cold)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return roberta_pipeline()


def test_the_first_of_a_list_starts_the_others(pipe: Any) -> None:
    explainer = InteractionExplainer(pipe, alpha=1, proxy="gaussian", target=1)
    first, second = explainer(TEXTS, warm_start=True)
    assert first == explainer(TEXTS[0])
    assert second == explainer(TEXTS[1], warm_start=first)
    assert second != explainer(TEXTS[1])


def test_what_cannot_be_started_from(pipe: Any) -> None:
    explainer = InteractionExplainer(pipe, alpha=1, proxy="gaussian", target=1)
    exact: InteractionExplanation = explainer("not bad", alpha=None)
    with pytest.raises(InputError, match="has no kernel: it is exact"):
        explainer(TEXTS[0], warm_start=exact)
    with pytest.raises(InputError, match="must be an explanation, a data set's name or True"):
        explainer(TEXTS[0], warm_start=3)
