from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_models import roberta_pipeline

from proxyspex_hf import (
    InputError,
    InteractionExplainer,
    InteractionExplanation,
    ModelError,
    Progress,
    ProxySpexWarning,
)

SIX_WORDS = "The sequel truly elevated the original"


def test_six_words_are_explained_exactly(pipe: Any) -> None:
    explanation = InteractionExplainer(pipe)(SIX_WORDS)
    scores = pipe(SIX_WORDS, top_k=None, function_to_apply="none")
    best = max(scores, key=lambda s: s["score"])
    assert explanation.record.target.label == best["label"]
    assert explanation.record.full_value == pytest.approx(best["score"], abs=1e-5)
    assert len(explanation.record.queries) == 64
    assert explanation.faithfulness == pytest.approx({0.5: 1.0, 0.7: 1.0, 0.9: 1.0})
    masks, values = explanation.record.queries.masks, explanation.record.queries.values
    np.testing.assert_allclose(explanation.predict(masks), values, atol=1e-6)
    assert "All 64 subsets" in explanation.record.provenance.notes[0]
    assert {s.n_masks for s in explanation.scores} == {64}


def test_effects_are_what_the_value_loses_at_the_input(pipe: Any) -> None:
    explanation = InteractionExplainer(pipe)(SIX_WORDS)
    full = np.ones(6, bool)
    alone = {x.members: x for x in explanation.top(1000, order=1, unsure=True)}
    for i in range(6):
        without = full.copy()
        without[i] = False
        loss = explanation.predict(full)[0] - explanation.predict(without)[0]
        assert alone[i,].effect == pytest.approx(loss, abs=1e-9)
        assert alone[i,].interval == (alone[i,].effect, alone[i,].effect)  # all subsets are known
        assert alone[i,].kind == ("alone" if loss >= 0 else "lowers alone")
        assert explanation.removal_effect([i]).effect == pytest.approx(loss, abs=1e-9)
    pair = explanation.top(1, order=2)[0]
    both = explanation.removal_effect(pair.members).effect
    apart = [alone[i,].effect for i in pair.members]
    assert pair.effect == pytest.approx(sum(apart) - both, abs=1e-9)
    assert pair.sentence.count("“") == 2
    sizes = [abs(x.effect) for x in explanation.top(1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert [x.order for x in explanation.top(3, order=2)] == [2, 2, 2]
    frame = explanation.to_dataframe()
    assert frame["effect"].tolist() == [x.effect for x in explanation.top(1000, unsure=True)]
    assert frame["members"][0] == explanation.top(1)[0].members
    assert frame["labels"][0] == " × ".join(explanation.top(1)[0].labels)


def test_a_list_of_texts_gives_a_list(pipe: Any) -> None:
    explainer = InteractionExplainer(pipe)
    one, two = explainer(["good fun", "not good"])
    for each, text in ((one, "good fun"), (two, "not good")):
        alone = explainer(text)
        assert each.text == text
        # Batches are shared, so the last bits may differ.
        np.testing.assert_allclose(
            each.record.queries.values, alone.record.queries.values, atol=1e-5
        )
        assert [x.members for x in each.top(2)] == [x.members for x in alone.top(2)]
    assert explainer(["good fun", "not good"]) == [one, two]
    assert explainer([]) == []


def test_options_reach_what_they_name(pipe: Any, short_text: str) -> None:
    explainer = InteractionExplainer(pipe, budget=40, n_test=10, seed=3)
    negative = explainer(short_text, target="negative")
    positive = explainer(short_text, target=1)
    assert (negative.record.target.label, positive.record.target.label) == ("NEGATIVE", "POSITIVE")
    assert negative.record.queries.n_fit == 40
    assert [s.n_masks for s in negative.scores] == [10, 10, 10]
    assert negative.record.settings.seed == 3
    assert negative.record.settings.alpha is None
    limited = explainer(short_text, max_order=1, n_coefficients=4)
    assert len(limited.spectrum) <= 5
    assert limited.spectrum.orders.max() == 1
    # A call's alpha replaces the explainer's budget.
    assert explainer.plan(short_text, alpha=2).budget == round(2 * 13 * np.log2(13))
    assert explainer.plan(short_text).calls == 70


def test_the_same_seed_gives_the_same_explanation(pipe: Any, short_text: str) -> None:
    first = InteractionExplainer(pipe, alpha=1, seed=1)(short_text)
    again = InteractionExplainer(pipe, alpha=1, seed=1)(short_text)
    other = InteractionExplainer(pipe, alpha=1, seed=2)(short_text)
    assert first == again
    assert first.spectrum == again.spectrum
    assert first != other


def test_the_papers_settings_are_available_by_name(pipe: Any, short_text: str) -> None:
    explanation = InteractionExplainer(
        pipe, proxy="paper", refine="lasso", density="uniform", budget=30, n_test=10
    )(short_text)
    fit = explanation.record.fit
    assert fit.method == "paper"
    assert {row["trees"] for row in fit.cv} == {500, 1000, 5000}
    assert len(fit.cv) == 18
    assert fit.refinement in ("LASSO", "none")
    assert explanation.record.settings.sampling == "uniform"


def test_an_interrupted_call_continues_where_it_stopped(pipe: Any, short_text: str) -> None:
    explainer = InteractionExplainer(pipe, alpha=4)
    done = 0

    def stop(progress: Progress) -> None:
        nonlocal done
        if progress.phase == "model calls" and progress.done >= 64:
            done = progress.done
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explainer(short_text, progress=stop)
    steps: list[Progress] = []
    explainer(
        short_text,
        progress=lambda p: steps.append(p) if p.phase == "model calls" else None,
    )
    whole = explainer.plan(short_text).calls
    assert done >= 64
    assert {step.total for step in steps} == {whole}
    assert max(step.before for step in steps) == done
    assert sum(b.done - a.done for a, b in pairwise(steps) if b.before == a.before) == whole - done
    assert steps[-1].done == whole


def test_a_changed_model_does_not_answer_from_the_cache() -> None:
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(pipe)
    before = explainer("good fun", target=0)
    with torch.no_grad():
        pipe.model.classifier.out_proj.bias += 1.0
    after = explainer("good fun", target=0)
    shift = after.record.queries.values - before.record.queries.values
    np.testing.assert_allclose(shift, 1.0, atol=1e-5)


def test_a_text_that_is_too_long_is_cut_and_says_so() -> None:
    pipe = roberta_pipeline(positions=34)  # 32 tokens
    text = "not bad at all " * 30
    with pytest.warns(ProxySpexWarning, match=r"takes 32 tokens \(its config's .*, so the last"):
        explanation = InteractionExplainer(pipe, features="words", budget=30, n_test=4)(text)
    assert text.startswith(explanation.text)
    assert len(explanation.features) < 120
    note = explanation.record.provenance.notes[0]
    assert f"the last {450 - len(explanation.text)} of 450 characters" in note
    assert note in " ".join(str(explanation).split())
    assert "The text was cut" in explanation.to_html()
    ids = pipe.tokenizer(explanation.text)["input_ids"]
    assert len(ids) <= 32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_model_is_named(value: float) -> None:
    pipe = roberta_pipeline()
    with torch.no_grad():
        pipe.model.classifier.out_proj.weight[1].fill_(value)
    with pytest.raises(ModelError, match="An explanation needs finite values"):
        InteractionExplainer(pipe)("good fun", target=1)


def test_a_model_that_raises_is_an_error_of_ours() -> None:
    pipe = roberta_pipeline()
    pipe.model.config.vocab_size = 1
    pipe.model.roberta.embeddings.word_embeddings = torch.nn.Embedding(3, 32)
    with pytest.raises(
        ModelError, match=r"the model failed on one input of the pipeline: IndexError"
    ):
        InteractionExplainer(pipe)("good fun")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "the text is empty"),
        ("  ", {}, "the text is empty"),
        (None, {}, "explains a text"),
        ({"text": "a", "pair": "b"}, {}, "'text_pair': str}; got {'text': str, 'pair': str}"),
        ("good fun", {"value": "logits"}, "value='logits' is unknown for this task; use 'logit'"),
        ("good fun", {"target": "GREAT"}, "target='GREAT' is not a label of this model; it has"),
        ("good fun", {"target": 7}, "target=7 is not a label"),
        ("good fun", {"budget": 3}, "budget=3 is too small"),
        ("good fun", {"alpha": -1}, "alpha must be a positive number"),
        ("good fun", {"alpha": 1, "budget": 30}, "not both"),
        ("good fun", {"masking": "blur"}, "masking must be 'mask' or 'delete'"),
        ("good fun", {"masking": "delete", "mask_token": "x"}, "mask_token has no meaning"),
        ("good fun", {"mask_token": " "}, "not blank"),
        ("good fun", {"batch_size": 0}, "batch_size must lie between 1 and"),
        ("good fun", {"progress": 7}, "progress must be"),
        ("good fun", {"aplha": 2}, "unknown option 'aplha'; the options are features"),
        ("good fun", {"bugdet": 9}, r"Did you mean budget\?"),
        ("good fun", {"image_masking": "maen"}, "image_masking must be one of 'zero', 'mean'"),
        ("good fun", {"image_masking": "mean"}, "image_masking has no meaning for text-class"),
        ("good fun", {"sibling": print}, "explanation of this input, got a builtin_function"),
    ],
)
def test_bad_input_is_refused(pipe: Any, text: Any, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionExplainer(pipe)(text, **options)


def test_what_is_no_pipeline_is_refused(pipe: Any) -> None:
    with pytest.raises(InputError, match=r"or a function .* got str"):
        InteractionExplainer("distilbert")("good fun")
    other = object.__new__(tf.DepthEstimationPipeline)
    other.task = "depth-estimation"
    for refused in (other, pipe.model, "distilbert"):  # before an input is given
        with pytest.raises(InputError, match=r"not supported; supported: text|transformers pipe"):
            InteractionExplainer(refused)


def test_a_pipeline_is_known_by_its_kind_whatever_its_task_is_called(pipe: Any) -> None:
    class Own(tf.TextClassificationPipeline):
        pass

    parts = {"model": pipe.model, "tokenizer": pipe.tokenizer, "device": "cpu"}
    expected = InteractionExplainer(pipe, value="log-odds")("not bad at all").record
    assert expected.target.other == "NEGATIVE"
    for same in (
        tf.pipeline("sentiment-analysis", **parts),
        tf.TextClassificationPipeline(**parts),
        Own(**parts, task="reviews"),
    ):
        record = InteractionExplainer(same, value="log-odds")("not bad at all").record
        assert (record.task, record.target) == ("text-classification", expected.target)
        assert record.queries.values.tolist() == expected.queries.values.tolist()


def test_a_model_and_its_tokenizer_are_one_pipeline(pipe: Any) -> None:
    with pytest.raises(InputError, match=r"takes one pipeline, got .*transformers\.pipeline"):
        InteractionExplainer(pipe.model, tokenizer=pipe.tokenizer)  # type: ignore[call-arg]


def test_one_feature_is_enough(pipe: Any) -> None:
    explanation = InteractionExplainer(pipe)("terrible")
    assert "1 word, 2 model calls" in repr(explanation)
    only = explanation.top(5)
    assert [x.labels for x in only] == [("terrible",)]
    record = explanation.record
    assert only[0].effect == pytest.approx(record.full_value - record.empty_value)


def test_the_set_function_is_usable_alone(pipe: Any) -> None:
    function = InteractionExplainer(pipe).value_function(SIX_WORDS)
    assert function.n_features == 6
    assert function.features.labels == tuple(SIX_WORDS.split())
    values = function(np.array([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]))
    assert values.dtype == np.float64
    assert values.shape == (2,)
    with pytest.raises(InputError, match="6 columns, got 5"):
        function(np.ones((1, 5), bool))


def test_local_paths_stay_private(pipe: Any) -> None:
    explanation = InteractionExplainer(pipe)("good fun")
    assert explanation.record.provenance.model == "sentiment"
    assert "/" not in explanation.record.provenance.model
    assert isinstance(explanation, InteractionExplanation)
    assert explanation.record.provenance.versions["transformers"]


@pytest.mark.parametrize(
    "text", ["The film is honestly not bad at all", "I said the film is really not bad at all"]
)
def test_short_texts_show_their_pairs(pipe: Any, text: str) -> None:
    explanation = InteractionExplainer(pipe, target="POSITIVE")(text)
    pair = explanation.top(1, order=2)[0]
    assert pair.labels == ("not", "bad")
    assert pair.effect > 0.3
    r2 = explanation.faithfulness[0.5]
    assert r2 is not None
    assert r2 > 0.8


@pytest.mark.parametrize("limits", [{"max_order": 1}, {"n_coefficients": 2}])
def test_a_cut_spectrum_is_not_called_exact(pipe: Any, limits: dict) -> None:
    explanation = InteractionExplainer(pipe, **limits)("The film is not bad at all")
    record = explanation.record
    assert not record.is_exact
    assert record.fit.dropped_energy > 0.01
    assert "the spectrum was cut to" in record.provenance.notes[0]
    assert "so this is not an estimate" not in explanation.to_html().split("<script")[0]
    assert '"exact":false' in explanation.to_html().replace(" ", "")
    assert InteractionExplainer(pipe)("The film is not bad at all").record.is_exact


def test_numpy_numbers_are_numbers(pipe: Any, tmp_path: Any) -> None:
    explanation = InteractionExplainer(pipe)(
        "It is not bad, not bad at all, I think",
        budget=np.int64(60),
        seed=np.int64(3),
        target=np.int64(0),
        density=np.float32(0.6),
        n_test=np.int32(10),
    )
    explanation.save(tmp_path / "e.json")
    assert InteractionExplanation.load(tmp_path / "e.json") == explanation


def test_a_bad_text_in_a_list_is_named_before_any_work(pipe: Any) -> None:
    with pytest.raises(InputError, match=r"inputs\[1\] of 3: the text is empty"):
        InteractionExplainer(pipe)(["It is not bad", "", "good film"])


def test_inputs_of_a_list_share_batches(pipe: Any) -> None:
    texts = ["not so bad", "never that good", "hardly any fun", "quite a dull plot"]
    sizes: list[int] = []
    handle = pipe.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        explanations = InteractionExplainer(pipe, batch_size=16, target="NEGATIVE")(texts)
    finally:
        handle.remove()
    assert [e.text for e in explanations] == texts
    assert [len(e.record.queries) for e in explanations] == [8, 8, 8, 16]
    # 40 masked texts in 16s, but for those that differ in length; alone, they would be 8 and less.
    assert max(sizes) == 16
    for text, explanation in zip(texts, explanations, strict=True):
        scores = pipe(text, top_k=None, function_to_apply="none")
        own = next(s["score"] for s in scores if s["label"] == "NEGATIVE")
        assert explanation.record.full_value == pytest.approx(own, abs=1e-5)


def test_words_that_read_the_same_have_a_number_in_sentences() -> None:
    def both_at_once(masks: np.ndarray) -> np.ndarray:
        return 2.0 * masks[:, 2] - 1.0 * masks[:, 1] + 3.0 * masks[:, 0] * masks[:, 3]

    found = InteractionExplainer(both_at_once, progress=False)(["never", "dull", "never", "never"])
    singles = {each.members: each for each in found.top(order=1)}
    assert singles[2,].sentence.startswith("“never₂” raises it: +2.0")
    assert singles[1,].sentence.startswith("“dull” lowers it: -1.0")
    (pair,) = found.top(order=2)
    assert pair.sentence.startswith("“never₁” and “never₃” work together to raise it: +3.0")
    assert str(pair).endswith("never₁ × never₃")
    assert pair.labels == ("never", "never")  # as they stand there
