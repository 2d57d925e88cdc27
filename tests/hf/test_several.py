"""Several inputs and several labels at once: any container, one forward pass for all labels."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import transformers as tf
from tiny_models import LABELS, roberta_pipeline
from tiny_pipelines import SIZES, audio_classifier, clip, generator, image_classifier, picture
from tiny_pipelines import zero_shot as zero_shot_classifier

from proxyspex_hf import (
    InputError,
    InteractionExplainer,
    InteractionExplanation,
    ModelError,
    ProxySpexError,
)

TEXTS = ["It is not bad", "The plot is dull", "I was bored"]


@pytest.fixture(scope="module")
def roberta() -> Any:
    return roberta_pipeline()


def rows_of(pipe: Any, run: Any) -> tuple[Any, int]:
    """What a call gives, and how many rows its model was given."""
    rows: list[int] = []
    handle = pipe.model.register_forward_pre_hook(
        lambda _module, _args, given: rows.append(len(next(iter(given.values())))), with_kwargs=True
    )
    try:
        return run(), sum(rows)
    finally:
        handle.remove()


COLUMNS = {
    "list": list,
    "tuple": tuple,
    "pandas": lambda texts: pd.Series(texts, index=[7, 3, 7]),
    "pandas index": pd.Index,
    "numpy": np.array,
    "numpy objects": lambda texts: np.array(texts, dtype=object),
    "datasets": lambda texts: datasets.Dataset.from_dict({"text": texts})["text"],
    "generator": iter,
    "dict view": lambda texts: dict.fromkeys(texts).keys(),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_is_a_list(roberta: Any, kind: str) -> None:
    explainer = InteractionExplainer(roberta)
    found = explainer(COLUMNS[kind](TEXTS))
    assert found == explainer(TEXTS)
    assert [type(each.text) for each in found] == [str] * 3
    assert [each.text for each in found] == TEXTS


def test_what_is_one_input(roberta: Any) -> None:
    explainer = InteractionExplainer(roberta)
    assert explainer(np.array(TEXTS)[0]).text == TEXTS[0]
    assert explainer([]) == explainer(pd.Series([], dtype=str)) == explainer(iter(())) == []
    pair = explainer({"text": TEXTS[0], "text_pair": TEXTS[1]})
    assert [part.name for part in pair.record.parts] == ["text", "text_pair"]
    rows = datasets.Dataset.from_dict({"text": TEXTS, "text_pair": TEXTS[::-1]})
    assert [e.record.parts[1].name for e in explainer(rows)] == ["text_pair"] * 3
    with pytest.raises(InputError, match="a DataFrame is a table: give one of its columns"):
        explainer(pd.DataFrame({"text": TEXTS}))
    with pytest.raises(InputError, match=r"a frozenset has no order: give a list.*sorted"):
        explainer(frozenset(TEXTS))
    with pytest.raises(InputError, match=r"explains a text .* got bytes"):
        explainer(b"It is bad")


def test_images_and_sounds_are_arrays_not_lists() -> None:
    options = {"patches": 2, "progress": False}
    sound = np.sin(np.arange(1600) / 9).astype(np.float32)
    explainer = InteractionExplainer(audio_classifier(), **options)
    one = explainer(sound)
    assert isinstance(one, InteractionExplanation)
    assert explainer([sound, sound]) == [one, one]
    explainer = InteractionExplainer(image_classifier(), **options)
    assert isinstance(explainer(picture(48, 48)), InteractionExplanation)
    assert [len(e.features) for e in explainer((picture(48, 48), picture(48, 48)))] == [2, 2]


def test_a_chat_is_one_input_in_any_container() -> None:
    pipe = generator()
    pipe.tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}[a]"
    chat = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Name a film"}]
    explainer = InteractionExplainer(pipe, masking="delete", max_new_tokens=3)
    one = explainer(chat)
    assert len(one.features) == 3
    assert explainer(tuple(chat)) == explainer(np.array(chat, dtype=object)) == one
    assert [e.text for e in explainer(pd.Series([chat, chat]))] == [one.text] * 2


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_a_missing_text_is_named(roberta: Any, missing: Any) -> None:
    explainer = InteractionExplainer(roberta, budget=10, progress=False)
    with pytest.raises(InputError, match=r"inputs\[1\] of 3: nothing is .* give errors='keep'"):
        explainer(["good fun", missing, "not good"])
    told = str(explainer(["good fun", missing, "not good"], errors="keep")[1])
    assert told.startswith("inputs[1] of 3: nothing is there")
    assert told.endswith("leave it out.")  # not what was done already


def test_bad_inputs_cost_no_other(roberta: Any) -> None:
    explainer = InteractionExplainer(roberta, errors="keep")
    texts = ["good fun", None, "", "not good", 3]
    found = explainer(texts)
    good = [found[0], found[3]]
    assert good == InteractionExplainer(roberta)(["good fun", "not good"])
    assert [type(found[i]) for i in (1, 2, 4)] == [InputError] * 3
    assert str(found[2]) == "inputs[2] of 5: " + str(found[2].__cause__)
    assert "the text is empty" in str(found[2])
    # Without: the first one is raised. One input alone is raised in any case.
    with pytest.raises(InputError, match=r"inputs\[1\] of 5"):
        explainer(texts, errors="raise")
    with pytest.raises(InputError, match="the text is empty"):
        explainer("")
    with pytest.raises(InputError, match="errors must be 'raise' or 'keep', got 'ignore'"):
        explainer("good fun", errors="ignore")
    # What no input can be explained with becomes the error of each.
    assert [type(e) for e in explainer(TEXTS, budget=3)] == [InputError] * 3


@pytest.mark.parametrize("failure", ["raises", "nan"])
def test_an_input_that_the_model_fails_on_costs_no_other(failure: str) -> None:
    pipe = roberta_pipeline()
    bad = pipe.tokenizer(" dull")["input_ids"][1]
    masked: list[int] = []

    def fails(_module: Any, _args: Any, given: Any, output: Any) -> None:
        rows = (given["input_ids"] == bad).any(1) & (
            given["input_ids"] == pipe.tokenizer.mask_token_id
        ).any(1)
        masked.append(len(rows))
        if rows.any() and failure == "raises":
            raise RuntimeError("a bad word")
        output.logits[rows] = float("nan")

    texts = ["not good", "so dull here", "quite good", "never"]
    expected = InteractionExplainer(pipe, target=1)([texts[0], texts[2], texts[3]])
    pipe.model.register_forward_hook(fails, with_kwargs=True)
    explainer = InteractionExplainer(pipe, target=1, errors="keep")
    found = explainer(texts)
    assert isinstance(found[1], ModelError)
    assert "inputs[1] of 4: " in str(found[1])
    assert {"raises": "a bad word", "nan": "gave nan for"}[failure] in str(found[1])
    for own, alone in zip([found[0], found[2], found[3]], expected, strict=True):
        np.testing.assert_allclose(
            own.record.queries.values, alone.record.queries.values, atol=1e-5
        )
    # Raised, nothing that was computed is lost: the good ones are not asked again.
    with pytest.raises(ModelError):
        explainer(texts, errors="raise")
    before = len(masked)
    continued = explainer([texts[0]])
    assert continued[0] == found[0]
    assert len(masked) > before


def test_labels_share_their_forward_passes(roberta: Any) -> None:
    text = "It could have been great but the plot is dull and never funny"
    explainer = InteractionExplainer(roberta, budget=60, n_test=10, proxy="lasso")
    alone, rows_alone = rows_of(roberta, lambda: explainer(text, target=1))
    found, rows = rows_of(roberta, lambda: explainer(text, target="all"))
    assert rows == rows_alone
    assert list(found) == list(LABELS.values())
    assert found["NEUTRAL"].record.target == alone.record.target
    for index, (label, explanation) in enumerate(found.items()):
        assert (explanation.record.target.label, explanation.record.target.index) == (label, index)
        queries = explanation.record.queries
        np.testing.assert_array_equal(queries.masks, found["NEUTRAL"].record.queries.masks)
        asked = explainer.ask(explanation, queries.masks)
        np.testing.assert_allclose(queries.values, asked, atol=1e-4)
    scores = {s["label"]: s["score"] for s in roberta(text, top_k=None, function_to_apply="none")}
    full = {label: e.record.full_value for label, e in found.items()}
    assert full == pytest.approx(scores, abs=1e-4)
    some = explainer([text, "not bad"], target=np.array(["POSITIVE", "negative"]))
    assert [list(each) for each in some] == [["POSITIVE", "NEGATIVE"]] * 2
    first, second = (e.record.queries for e in some[0].values())
    np.testing.assert_array_equal(first.masks, second.masks)
    assert first.values[0] == pytest.approx(found["POSITIVE"].record.full_value, abs=1e-4)
    assert explainer.plan(text, target="all").calls == explainer.plan(text).calls


def test_images_share_their_forward_passes_too() -> None:
    pipe = image_classifier()
    explainer = InteractionExplainer(pipe, patches=(2, 2))
    alone, rows_alone = rows_of(pipe, lambda: explainer(picture(48, 48), target="dog"))
    found, rows = rows_of(pipe, lambda: explainer(picture(48, 48), target=["dog", "cat"]))
    assert rows == rows_alone
    assert list(found) == ["dog", "cat"]
    assert found["dog"] == alone
    image = {"image": picture(48, 48), "candidate_labels": ["a cat", "a dog"]}
    explainer = InteractionExplainer(clip(), patches=(2, 2))
    labels = explainer(image, target="all")
    assert {k: e.record.target.index for k, e in labels.items()} == {"a cat": 0, "a dog": 1}
    assert labels["a dog"] == explainer(image, target=1)
    with pytest.raises(InputError, match="target has no meaning with a caption"):
        explainer({"image": picture(48, 48), "text": "a cat"}, target=["a", "b"])


@pytest.mark.parametrize("value", [None, "probability"])
def test_candidate_labels_are_labels(value: str | None) -> None:
    explainer = InteractionExplainer(zero_shot_classifier(), value=value)
    text = {"text": "a dull film", "candidate_labels": ["good", "bad", "dull"]}
    found = explainer(text, target="all")
    assert list(found) == ["good", "bad", "dull"]
    for label, explanation in found.items():
        single = explainer(text, target=label).record.queries
        np.testing.assert_allclose(explanation.record.queries.values, single.values, atol=1e-6)
    if value is not None:
        total = sum(e.record.full_value for e in found.values())
        assert total == pytest.approx(1.0, abs=1e-5)


def test_several_outputs_of_a_generator() -> None:
    explainer = InteractionExplainer(generator(), masking="delete")
    prompt = {"context": "Jim is a baker.", "question": "Who?"}
    found = explainer(prompt, target=[" Jim", " a baker"])
    assert list(found) == [" Jim", " a baker"]
    assert found[" Jim"] == explainer(prompt, target=" Jim")
    # "all" is a text like any other.
    assert explainer(prompt, target="all").record.target.label == "all"


def named(labels: dict[int, str], outputs: int | None = None) -> Any:
    base = roberta_pipeline()
    torch.manual_seed(0)
    config = tf.RobertaConfig(
        **SIZES,
        vocab_size=len(base.tokenizer),
        max_position_embeddings=130,
        pad_token_id=1,
        initializer_range=0.5,
        id2label=labels,
    )
    model = tf.RobertaForSequenceClassification(config).eval()
    if outputs is not None:
        model.classifier.out_proj = torch.nn.Linear(32, outputs)
    return tf.TextClassificationPipeline(model=model, tokenizer=base.tokenizer, device="cpu")


def test_labels_of_one_name_are_told_by_index() -> None:
    pipe = named({0: "other", 1: "good", 2: "other"})
    text = TEXTS[0]
    logits = pipe.model(**pipe.tokenizer(text, return_tensors="pt")).logits[0].tolist()
    explainer = InteractionExplainer(pipe)
    found = explainer(text, target="all")
    assert list(found) == [0, "good", 2]
    for index, explanation in enumerate(found.values()):
        assert explanation.record.full_value == pytest.approx(logits[index], abs=1e-4)
        (check,) = explainer.check_removal(explanation, [1])
        assert check.full == pytest.approx(logits[index], abs=1e-4)
        again = explainer.ask(explanation, explanation.record.queries.masks)
        np.testing.assert_allclose(again, explanation.record.queries.values, atol=1e-4)
    for name in ("other", "OTHER"):
        with pytest.raises(InputError, match=r"the name of 2 labels .* 0 \('other'\), 2 \('other'"):
            explainer(text, target=name)
    cases = InteractionExplainer(named({0: "Positive", 1: "positive"}))
    assert list(cases(text, target="all")) == ["Positive", "positive"]
    assert cases(text, target="positive").record.target.index == 1
    with pytest.raises(InputError, match=r"0 \('Positive'\), 1 \('positive'\)"):
        cases(text, target="POSITIVE")


def test_a_label_called_all_goes_before_all_labels() -> None:
    explainer = InteractionExplainer(named({0: "none", 1: "all"}))
    assert explainer(TEXTS[0], target="all").record.target.index == 1
    assert list(explainer(TEXTS[0], target=[0, 1])) == ["none", "all"]


def test_outputs_without_a_name() -> None:
    pipe = named({0: "a", 1: "b"}, outputs=5)
    explainer = InteractionExplainer(pipe)
    function = explainer.value_function(TEXTS[0], target=4)
    assert (function.target.label, function.target.index) == ("LABEL_4", 4)
    logits = pipe.model(**pipe.tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    full = function(np.ones((1, function.n_features), bool))[0]
    assert full == pytest.approx(float(logits[4].detach()), abs=1e-5)
    assert explainer.value_function(TEXTS[0], target="LABEL_3").target.index == 3


def test_another_models_label_is_not_asked_for() -> None:
    text = TEXTS[0]
    explanation = InteractionExplainer(named({0: "a", 1: "b"}))(text, target="b")
    other = InteractionExplainer(named({0: "a", 1: "c"}))
    with pytest.raises(InputError, match="of the label 'b', but at its index this model has 'c'"):
        other.check_removal(explanation, [1])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([], "target is an empty list"),
        (["POSITIVE", "GREAT"], "'GREAT' is not a label"),
        ([7], "target=7 is not a label"),
    ],
)
def test_bad_targets_are_refused(roberta: Any, target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionExplainer(roberta)(TEXTS[0], target=target)


def test_one_label_is_wanted_of_a_value_function(roberta: Any) -> None:
    with pytest.raises(InputError, match="that of one label"):
        InteractionExplainer(roberta).value_function(TEXTS[0], target=[0, 1])
    many = named({i: f"label {i}" for i in range(30)})
    with pytest.raises(ProxySpexError, match=r"'label 19', … \(30 in all\)"):
        InteractionExplainer(many).value_function(TEXTS[0], target="nope")
