"""A cheaper model is explained first, and the difference to it from few answers of the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import roberta_pipeline

from proxyspex_hf import InteractionExplainer, InteractionExplanation
from proxyspex_hf.beforehand import _asked_alike
from proxyspex_hf.core import Cached, FourierSpectrum, FunctionOfMasks, ProxySPEX, all_masks
from proxyspex_hf.core.attribution import Attribution, attribute
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import plan
from proxyspex_hf.core.shares import at_share
from proxyspex_hf.core.spectrum import weighted_sum
from proxyspex_hf.errors import InputError, ProxySpexError
from proxyspex_hf.record.serialize import record_from_json, record_to_json

N = 12
TEXT = "It could have been great but the plot is dull and it is never funny"
STRENGTH = {"great": 2.0, "dull": -1.5, "funny": 1.0, "plot": 0.3, "could": -0.4}


def game(seed: int, strength: float = 1.0) -> FourierSpectrum:
    """Singles and pairs, some of them large."""
    rng = np.random.default_rng(seed)
    size = strength * rng.exponential(1.0, N)
    terms = {(i,): -float(s) for i, s in enumerate(size)}
    pairs = rng.choice(N * (N - 1) // 2, 20, replace=False)
    left, right = np.triu_indices(N, 1)
    terms |= {
        (int(left[p]), int(right[p])): float(0.5 * rng.normal() * size[left[p]]) for p in pairs
    }
    return FourierSpectrum.from_dict(terms, N)


def explained(truth: FourierSpectrum, alpha: float, seed: int, told: Any = None) -> Attribution:
    function = Cached(FunctionOfMasks(truth.evaluate, N))
    return attribute(function, plan(N, alpha=alpha), ProxySPEX("gaussian", seed=seed, sibling=told))


def error(found: Attribution, truth: FourierSpectrum) -> float:
    values = truth.evaluate_all()
    guess = found.fit.spectrum.evaluate(all_masks(N))
    return float(np.square(guess - values).mean() / values.var())


def said(sibling: FourierSpectrum) -> Sibling:
    found = Sibling.of(sibling, sibling.evaluate_all())
    assert found is not None
    return found


def test_half_of_the_masks_say_as_much_after_a_sibling_that_agrees() -> None:
    alone, told, rho = [], [], []
    for seed in range(2):
        sibling = game(seed)
        truth = weighted_sum([(2.0, sibling), (1.0, game(seed + 50, 0.4))])
        alone.append(error(explained(truth, 1.0, seed), truth))
        found = explained(truth, 0.5, seed, said(sibling))
        told.append(error(found, truth))
        assert found.posterior is not None
        assert found.posterior.rho is not None
        rho.append(found.posterior.rho / said(sibling).scale)
    assert np.mean(told) < 0.5 * np.mean(alone)
    np.testing.assert_allclose(rho, 2.0, atol=0.4)


def test_a_sibling_that_disagrees_costs_nothing() -> None:
    alone, told = [], []
    for seed in range(2):
        truth = game(seed)
        alone.append(error(explained(truth, 1.0, seed), truth))
        told.append(error(explained(truth, 1.0, seed, said(game(seed + 90))), truth))
    assert np.mean(told) < np.mean(alone) + 0.005


def test_intervals_hold_with_a_sibling() -> None:
    held = []
    singles = np.arange(N, dtype=np.int32)[:, None]
    for seed in range(3):
        sibling = game(seed)
        truth = weighted_sum([(0.8, sibling), (1.0, game(seed + 50, 0.6))])
        posterior = explained(truth, 0.75, seed, said(sibling)).posterior
        assert posterior is not None
        found = posterior.derivatives(singles, at_share(1.0))
        without = truth.evaluate(~np.eye(N, dtype=np.bool_))
        effects = truth.evaluate(np.ones((1, N), dtype=np.bool_)) - without
        held += (np.abs(found.mean - effects) <= 1.645 * found.deviation).tolist()
    assert 0.8 <= np.mean(held) <= 1.0


def test_a_sibling_that_never_varies_says_nothing() -> None:
    assert Sibling.of(FourierSpectrum.from_dict({(): 3.0}, N), np.full(10, 3.0)) is None


class Scores:
    """A function of texts that counts what it is asked: words, and one pair of them."""

    def __init__(self, pair: float, noise: float = 0.0) -> None:
        self.pair, self.noise, self.asked = pair, noise, 0

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked += len(texts)
        out = []
        for text in texts:
            words = text.split()
            value = sum(STRENGTH.get(word, 0.0) for word in words)
            value += self.pair * ("never" in words and "funny" in words)
            out.append(value + self.noise * len([w for w in words if w in ("but", "and")]))
        return np.array(out)


@pytest.fixture
def small() -> InteractionExplainer:
    return InteractionExplainer(
        Scores(-2.0), features="words", progress=False, budget=150, proxy="gaussian"
    )


def test_the_sibling_is_asked_many_masks_and_the_model_few(
    small: InteractionExplainer, tmp_path: Path
) -> None:
    big = Scores(-3.0, noise=0.2)
    explainer = InteractionExplainer(
        big, features="words", progress=False, alpha=0.5, sibling=small
    )
    found: InteractionExplanation = explainer(TEXT)
    queries = found.record.queries
    assert big.asked <= len(queries) + 2
    assert small.pipe.asked >= 5 * len(queries)
    (note,) = [note for note in found.record.provenance.notes if "sibling" in note]
    assert note.startswith("The values are explained as")
    mask = np.array([[word != "funny" for word in TEXT.split()]])
    without = float(Scores(-3.0, 0.2)([TEXT.replace("funny", "...")])[0])
    assert float(found.predict(mask)[0]) == pytest.approx(without, abs=0.3)
    again = explainer(TEXT)
    assert again == found
    found.save(tmp_path / "e.json")
    loaded = InteractionExplanation.load(tmp_path / "e.json")
    assert loaded == found
    assert loaded.record.sibling is not None
    refitted = loaded.refit()
    assert refitted.record.spectrum == found.record.spectrum
    asked = small.pipe.asked
    refined = explainer.refine(loaded, alpha=1.0)
    assert small.pipe.asked == asked  # what it said is in the file
    assert any("sibling" in note for note in refined.record.provenance.notes)


def test_an_explanation_can_be_the_sibling(small: InteractionExplainer) -> None:
    explainer = InteractionExplainer(Scores(-3.0), features="words", progress=False, alpha=0.5)
    earlier = small(TEXT)
    asked = small.pipe.asked
    found = explainer(TEXT, sibling=earlier)
    assert small.pipe.asked == asked
    assert found.record.sibling is not None


class Classes(Scores):
    """Three classes of one text."""

    def __call__(self, texts: list[str]) -> np.ndarray:
        found = super().__call__(texts)
        lengths = np.array([len(text) / 40 for text in texts])
        return np.stack([found, -found + lengths, lengths * found], axis=1)


def test_several_labels_share_the_answers_of_a_sibling() -> None:
    small = InteractionExplainer(
        Classes(-2.0), features="words", progress=False, budget=80, proxy="gaussian"
    )
    big = InteractionExplainer(
        Classes(-3.0, noise=0.2), features="words", progress=False, alpha=0.5, sibling=small
    )
    small(TEXT)
    alone = small.pipe.asked
    small.pipe.asked = 0
    found = big(TEXT, target="all")
    assert list(found) == [0, 1, 2]
    assert small.pipe.asked <= alone + 2  # each label asked for itself would be three times that
    mask = np.array([[word != "funny" for word in TEXT.split()]])
    truth = Classes(-3.0, noise=0.2)([TEXT.replace(" funny", "")])[0]
    for label, each in found.items():
        told = each.record.sibling
        assert told is not None
        # Each has what the sibling says of its own label.
        own = small(TEXT, target=label, proxy="lasso", noise=False).record.queries.values
        assert told.scale == pytest.approx(own.std(), rel=0.3)
        assert float(each.predict(mask)[0]) == pytest.approx(truth[label], abs=0.5)


def test_where_every_subset_is_asked_no_sibling_is(small: InteractionExplainer) -> None:
    explainer = InteractionExplainer(Scores(-3.0), features="words", progress=False, sibling=small)
    assert explainer("the plot is dull").record.is_exact
    assert small.pipe.asked == 0


def test_what_cannot_be_a_sibling(small: InteractionExplainer) -> None:
    explainer = InteractionExplainer(Scores(-3.0), features="words", progress=False, alpha=1)
    with pytest.raises(InputError, match="must be the InteractionExplainer of a cheaper model"):
        explainer(TEXT, sibling=Scores(-2.0))
    with pytest.raises(InputError, match="needs proxy='blend' or 'gaussian', got 'lasso'"):
        explainer(TEXT, sibling=small, proxy="lasso")
    other = small("another text of many words that is not the one to be explained at all")
    with pytest.raises(InputError, match="and they are not the same ones"):
        explainer(TEXT, sibling=other)
    with pytest.raises(InputError, match="the sibling cannot explain this input"):
        explainer(TEXT, sibling=InteractionExplainer(Scores(-2.0), budget=3))
    explainer = InteractionExplainer(
        Scores(-3.0), features="words", progress=False, alpha=1, errors="keep"
    )
    broken = InteractionExplainer(Scores(-2.0), budget=3, progress=False)
    first, second = explainer([TEXT, TEXT], sibling=broken)
    assert isinstance(first, InputError)
    assert "sibling cannot explain" in str(second)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_features", 3),
        ("coefficients", [1e300, 1.0]),
        ("relevance", [0.1]),
        ("relevance", [-1.0] * 15),
        ("scale", 0.0),
        ("support", [[], [99]]),
    ],
)
def test_a_stored_sibling_that_is_none_is_refused(
    small: InteractionExplainer, name: str, value: Any
) -> None:
    record = small(TEXT, budget=40).record
    assert record.doubt is not None
    told = Sibling(FourierSpectrum.from_dict({(): 0.1, (2,): 1.0}, 15), np.full(15, 0.2), 2.0)
    kernel = replace(record.doubt.kernel, sibling=told, shared=0.5)
    told_record = replace(record, doubt=replace(record.doubt, kernel=kernel))
    data = record_to_json(told_record)
    assert record_from_json(data) == told_record
    data["doubt"]["sibling"][name] = value
    with pytest.raises(ProxySpexError):
        record_from_json(data)


@pytest.mark.parametrize(("own", "asked"), [(None, "something"), ("<unk>", "<unk>")])
def test_a_sibling_masks_as_the_model_does(own: str | None, asked: str) -> None:
    """With the model's mask token, unless its own explainer was given one."""
    pipe = roberta_pipeline()
    chosen = InteractionExplainer(pipe, mask_token="something").options
    sibling = InteractionExplainer(pipe, mask_token=own)
    function = InteractionExplainer(pipe).value_function("not a bad film")
    options = _asked_alike(sibling, chosen, function)
    assert sibling.value_function("not a bad film", **_of_input(options)).mask_token == asked


def _of_input(options: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k not in ("errors", "budget", "n_coefficients")}
