"""Going on from an explanation: more masks, chosen by all answers so far; and its intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import rows_asked
from tiny_models import roberta_pipeline
from tiny_pipelines import generator

from proxyspex_hf import Goal, InteractionExplainer, InteractionExplanation, context_prompt
from proxyspex_hf.core import all_masks
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.errors import InputError

TEXT = "It could have been great but the plot is dull and never funny"
N = 13


@pytest.fixture(scope="module")
def pipe() -> Any:
    return roberta_pipeline()


@pytest.fixture(scope="module")
def explainer(pipe: Any) -> InteractionExplainer:
    return InteractionExplainer(pipe, proxy="gaussian", target=1)


@pytest.fixture(scope="module")
def first(explainer: InteractionExplainer) -> InteractionExplanation:
    return explainer(TEXT, alpha=1)


def test_no_mask_is_asked_twice(
    pipe: Any, explainer: InteractionExplainer, first: InteractionExplanation, tmp_path: Path
) -> None:
    before = first.record.queries
    whole = explainer.plan(TEXT, alpha=3).budget
    made: list[InteractionExplanation] = []
    fresh = InteractionExplainer(pipe, proxy="gaussian", target=1)
    asked = rows_asked(pipe, lambda: made.append(fresh.refine(first, alpha=3)))
    after = made[0].record.queries
    assert len(before) < len(after) == after.n_fit == whole
    np.testing.assert_array_equal(after.masks[: len(before)], before.masks)
    np.testing.assert_array_equal(after.values[: len(before)], before.values)
    assert len(np.unique(after.masks, axis=0)) == whole
    # Beside the new masks: the trial of the fast path, and the whole input.
    assert whole - len(before) <= asked <= whole - len(before) + 40
    # An explanation read from a file goes on just as the one that was saved.
    first.save(tmp_path / "e.json")
    loaded = InteractionExplanation.load(tmp_path / "e.json")
    assert explainer.refine(loaded, alpha=3) == made[0]
    others = np.random.default_rng(1).random((300, len(first.features))) < 0.5
    values = explainer.value_function(TEXT)(others)
    worse, better = (r2_score(values, e.spectrum.evaluate(others)) for e in (first, made[0]))
    assert worse is not None
    assert better is not None
    assert better > worse


@pytest.mark.parametrize("options", [{"rounds": 1}, {"density": "uniform"}])
def test_more_masks_are_drawn_where_all_are(options: dict[str, Any]) -> None:
    explainer = InteractionExplainer(
        lambda masks: masks[:, 0] - 2.0 * masks[:, 1] * masks[:, 2], proxy="lasso", **options
    )
    first = explainer(12, budget=60)
    after = explainer.refine(first, budget=120, inputs=12).record.queries
    assert (len(first.record.queries), len(after)) == (60, 120)
    assert len(np.unique(after.masks, axis=0)) == 120
    assert (after.densities[2:] > 0.0).all()
    if "density" in options:
        assert set(after.densities[2:]) == {0.5}


def test_until_a_goal_is_met(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    found = explainer.refine(first, budget="auto", goal=Goal(r2=0.5))
    assert len(found.record.queries) > len(first.record.queries)
    met = all(score.r2 is not None and score.r2 >= 0.5 for score in found.scores)
    how = "until a goal was met" if met else "for a goal that was not met"
    assert how in found.record.settings.sampling


def test_what_cannot_be_refined(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    with pytest.raises(InputError, match="48 masks were asked, and this would be 48 in all"):
        explainer.refine(first, alpha=1)
    with pytest.raises(InputError, match="masking belongs to the input"):
        explainer.refine(first, alpha=3, masking="delete")
    exact = explainer("bad film", target=1)
    with pytest.raises(InputError, match="every subset was asked already"):
        explainer.refine(exact, alpha=3)
    other = roberta_pipeline()
    with torch.no_grad():
        other.model.classifier.out_proj.bias += 1.0
    with pytest.raises(InputError, match="it is another model, or set up differently"):
        InteractionExplainer(other).refine(first, alpha=3)


def test_predictions_lie_in_their_intervals_nine_times_in_ten(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    masks = all_masks(N)[1::13]
    intervals = first.predict_interval(masks)
    truth = explainer.ask(first, masks)
    shown = first.predict(masks)
    assert (intervals[:, 0] <= shown).all()
    assert (shown <= intervals[:, 1]).all()
    held = (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])
    assert held.mean() > 0.75


def test_a_removal_has_an_interval(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    found = first.removal_effect([9, 3, 3])
    assert found.members == (3, 9)
    assert found.interval is not None
    assert found.interval[0] <= found.effect <= found.interval[1]
    mask = np.ones((2, N), bool)
    mask[1, [3, 9]] = False
    full, left = first.predict(mask)
    assert found.effect == pytest.approx(full - left)
    solution = first.removal(2)
    assert solution.interval is not None
    assert solution.interval[0] <= solution.change <= solution.interval[1]
    with pytest.raises(InputError, match="each of features must lie between 0 and 12"):
        first.removal_effect([13])
    indices = first.interactions("shapley")
    assert indices.intervals is not None
    low, high = indices.interval(0) or (1.0, 0.0)
    assert low < high
    assert {"low", "high"} <= set(indices.to_dataframe().columns)
    whole = explainer("not bad at all", target=1)
    assert np.ptp(whole.predict_interval(np.ones(4, bool))) == 0.0


def of_input(explanation: InteractionExplanation) -> list[Any]:
    """What a record tells of the input, and of the number."""
    record, asked = explanation.record, explanation.record.settings
    return [
        *(record.text, record.picture, record.parts, record.features, record.target),
        *(asked.features, asked.masking, asked.mask_token, asked.image_masking, asked.arguments),
    ]


def chat_generator() -> Any:
    pipe = generator()
    pipe.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}<assistant>"
    )
    return pipe


CHAT = [{"role": "user", "content": "Which animal sings at night? I think it is a bird."}]
DOCUMENTS = context_prompt(
    {f"Doc {i}": f"A bird sings at night {i}." for i in range(8)}, question="Who sings?"
)
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "deleting": (roberta_pipeline, TEXT, {"masking": "delete"}),
    "a mask token": (roberta_pipeline, TEXT, {"mask_token": "something"}),
    "sigmoid": (roberta_pipeline, TEXT, {"function_to_apply": "sigmoid", "value": "probability"}),
    "sentences": (roberta_pipeline, "It is bad. " * 10, {"features": "sentences"}),
    "tokens": (roberta_pipeline, TEXT, {"features": "tokens"}),
    "a chat": (chat_generator, CHAT, {"max_new_tokens": 3}),
    "documents": (
        generator,
        DOCUMENTS,
        {"features": "documents", "target": " a bird", "masking": "delete"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refined_stays_of_its_input(kind: str) -> None:
    """Whatever the reader's own options: twice, the values are of one set function."""
    make, value, options = KINDS[kind]
    pipe = make()
    first = InteractionExplainer(pipe, proxy="lasso", budget=30, **options)(value)
    reader = InteractionExplainer(pipe, proxy="lasso")
    again = reader.refine(first, budget=40)
    twice = reader.refine(again, budget=50)
    assert of_input(again) == of_input(twice) == of_input(first)
    assert set(first.record.provenance.notes) <= set(twice.record.provenance.notes)
    queries = twice.record.queries
    truth = InteractionExplainer(pipe, **options).value_function(value)(queries.masks)
    np.testing.assert_allclose(queries.values, truth, atol=2e-5 * max(1.0, np.ptp(truth)))


def test_a_readers_own_option_gives_no_other_number(pipe: Any) -> None:
    first = InteractionExplainer(pipe, proxy="lasso", value="probability", budget=30)(TEXT)
    reader = InteractionExplainer(pipe, proxy="lasso", function_to_apply="sigmoid")
    whole = np.ones((1, N), dtype=np.bool_)
    assert reader.ask(first, whole)[0] == pytest.approx(first.value, abs=1e-6)
    assert reader.refine(first, budget=40).value == first.value


def test_a_fit_notes_its_own_sibling_alone(pipe: Any) -> None:
    small = InteractionExplainer(roberta_pipeline(), proxy="gaussian", target=1, budget=60)
    explainer = InteractionExplainer(pipe, proxy="gaussian", target=1)
    first = explainer(TEXT, budget=30, sibling=small)
    again = explainer.refine(first, budget=45)
    for explanation in (first, again, explainer.refine(again, budget=60)):
        notes = explanation.record.provenance.notes
        assert sum("sibling (" in note for note in notes) == 1


@pytest.mark.parametrize("cached", [True, False])
def test_what_was_answered_before_an_interruption_is_not_asked_again(
    pipe: Any, first: InteractionExplanation, tmp_path: Path, *, cached: bool
) -> None:
    kept = {"cache_dir": tmp_path} if cached else {}
    explainer = InteractionExplainer(pipe, proxy="lasso", target=1, batch_size=8, **kept)
    whole = 48 + 96
    seen = 0

    def stop(module: Any, _args: Any, output: Any) -> None:
        nonlocal seen
        seen += len(output.logits) if module is pipe.model else 0
        if seen > 90:
            raise KeyboardInterrupt

    # Beside the model, whose hooks belong to its key.
    handle = torch.nn.modules.module.register_module_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        explainer.refine(first, budget=whole)
    handle.remove()
    made: list[InteractionExplanation] = []
    rest = rows_asked(pipe, lambda: made.append(explainer.refine(first, budget=whole)))
    fresh = InteractionExplainer(pipe, proxy="lasso", target=1, batch_size=8)
    assert made[0].record.queries == fresh.refine(first, budget=whole).record.queries
    assert rest < 96
    if cached:  # also what was explained: nothing but the masks that are tried again
        values: list[Any] = []
        masks = made[0].record.queries.masks
        assert rows_asked(pipe, lambda: values.append(explainer.ask(made[0], masks))) <= 48 + 40
        np.testing.assert_allclose(values[0], made[0].record.queries.values, atol=1e-4)
