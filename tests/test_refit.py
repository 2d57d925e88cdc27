"""Fitting again to stored queries: the same where nothing changes, and never a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from record_factory import make_record

from proxyspex_hf import InputError, InteractionExplainer, InteractionExplanation
from proxyspex_hf.core.faithfulness import r2_score


@pytest.fixture(scope="module")
def explanation(pipe: Any, short_text: str) -> InteractionExplanation:
    return InteractionExplainer(pipe, budget=80, n_test=20, n_coefficients=40)(short_text)


def test_the_same_fit_is_the_same_explanation(explanation: InteractionExplanation) -> None:
    again = explanation.refit()
    assert again.spectrum == explanation.spectrum
    assert again.scores == explanation.scores
    assert again.record.fit == explanation.record.fit
    assert again.record.queries is explanation.record.queries
    assert again.record.settings == explanation.record.settings
    assert again.record.provenance.model == explanation.record.provenance.model
    assert again.record.provenance.notes[-1] == (
        "Fitted again to the stored queries, without asking the model: proxy blend, refine "
        "project, seed 0."
    )


def test_a_fit_has_its_own_notes_and_not_those_of_the_fit_before() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 6))
    exact = InteractionExplainer(lambda m: np.tanh(m @ weights.T).sum(axis=1))(list("abcdef"))
    (note,) = exact.record.provenance.notes
    assert note.startswith("All 64 subsets of the 6 features were asked: the spectrum is exact,")
    cut = exact.refit(max_order=1)
    told, again = cut.record.provenance.notes
    assert "the spectrum was cut to 6 coefficients of order 1 at most" in told
    assert not cut.record.is_exact
    whole = cut.refit()
    assert whole.record.provenance.notes == (note, again)
    assert whole.record.is_exact

    sampled = InteractionExplainer(lambda m: m @ np.arange(70.0), budget=150, proxy="network")
    estimated = sampled([f"w{i}" for i in range(70)])
    assert "has no exact spectrum" in estimated.record.provenance.notes[0]
    (again,) = estimated.refit(proxy="lasso").record.provenance.notes
    assert again.startswith("Fitted again")


def test_another_proxy_is_tested_on_the_same_masks(explanation: InteractionExplanation) -> None:
    linear = explanation.refit(proxy="lasso", refine="none", n_coefficients=14, seed=0)
    assert linear.record.fit.method == "lasso"
    assert linear.spectrum.orders.max() == 1
    # The additive baseline of every explanation is this very fit.
    for score, before in zip(linear.scores, explanation.scores, strict=True):
        assert score.linear_r2 == before.linear_r2
        assert score.n_masks == before.n_masks
        assert score.r2 == pytest.approx(before.linear_r2, abs=0.02)
    queries = linear.record.queries
    rows = np.flatnonzero(queries.densities[queries.n_fit :] == 0.9) + queries.n_fit
    predicted = linear.predict(queries.masks[rows])
    assert linear.faithfulness[0.9] == r2_score(queries.values[rows], predicted)


def test_size_and_order_can_change(explanation: InteractionExplanation) -> None:
    small = explanation.refit(n_coefficients=5, max_order=2, seed=3)
    assert len(small.spectrum) <= 6
    assert small.spectrum.orders.max() <= 2
    assert small.record.settings.n_coefficients == 5
    assert small.record.settings.max_order == 2
    assert small.refit(n_coefficients=5, max_order=2, seed=3).spectrum == small.spectrum


def test_an_exact_explanation_stays_exact(pipe: Any) -> None:
    exact = InteractionExplainer(pipe)("It is not a bad film")
    again = exact.refit()
    assert again.record.is_exact
    assert again.spectrum == exact.spectrum
    assert again.scores == exact.scores
    cut = exact.refit(n_coefficients=3)
    assert len(cut.spectrum) == 4
    assert not cut.record.is_exact


def test_what_cannot_be_fitted_is_told() -> None:
    explanation = InteractionExplanation(make_record("not a bad film"))
    with pytest.raises(InputError, match="unknown proxy 'magic'"):
        explanation.refit(proxy="magic")
    with pytest.raises(InputError, match="n_coefficients must lie between"):
        explanation.refit(n_coefficients=0)
