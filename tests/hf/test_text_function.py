"""A function of texts is explained as a pipeline is: what users of LIME and SHAP bring along."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tiny_models import roberta_pipeline

from proxyspex_hf import InputError, InteractionExplainer, InteractionExplanation, ModelError
from proxyspex_hf.hub.rows import record_from_rows, rows_of
from proxyspex_hf.viz.code import python_code

TEXT = "a good film, not  a bad plot"


def votes(texts: list[str]) -> np.ndarray:
    """Classes: calm, glad (not bad is good), long."""
    if not isinstance(texts, list) or not all(type(text) is str for text in texts):
        raise TypeError("a list of texts is wanted")
    rows = []
    for text in texts:
        words = text.replace(",", "").split()
        glad = words.count("good") - words.count("bad") * (1 - 2 * ("not" in words))
        rows.append([0.5, float(glad), 0.01 * len(words)])
    return np.array(rows)


def glad(texts: list[str]) -> list[float]:
    return votes(texts)[:, 1].tolist()


def test_each_value_is_what_the_function_says_of_the_masked_text() -> None:
    explainer = InteractionExplainer(votes)
    explanation = explainer(TEXT)
    record = explanation.record
    target = record.target
    assert (target.label, target.index, target.kind) == ("votes[1]", 1, "value")
    assert (record.task, record.text, record.features.kind) == ("function", TEXT, "words")
    assert record.provenance.model == "votes"
    assert (record.settings.masking, record.settings.mask_token) == ("delete", None)
    function = explainer.value_function(TEXT)
    texts = [function.masked_text(mask) for mask in record.queries.masks]
    np.testing.assert_array_equal(votes(texts)[:, 1], record.queries.values)
    assert function.masked_text(np.array([0, 1, 1, 0, 1, 1, 1], bool)) == "good film,  a bad plot"
    assert function.masked_text(np.zeros(7, bool)) == ""
    pair = explanation.interactions("moebius").of_order(2).top(1)[0]
    assert pair[1] == pytest.approx(2.0)
    assert {explanation.features.labels[i] for i in pair[0]} == {"not", "bad"}


def test_equal_texts_are_asked_once() -> None:
    asked: list[str] = []

    def counts(texts: list[str]) -> list[int]:
        asked.extend(texts)
        return [len(text) for text in texts]

    InteractionExplainer(counts)("so so so good")
    # Once more at binding, to see what the function gives.
    assert sorted(asked[1:]) == sorted(set(asked))
    assert len(asked) == 1 + 2 * 4


def test_one_number_a_text_and_a_mask_token() -> None:
    explainer = InteractionExplainer(glad, mask_token="_")
    explanation = explainer(TEXT, features=[(2, 6), (13, 16), (20, 23)])
    record = explanation.record
    assert (record.target.label, record.target.index) == ("glad", None)
    assert (record.settings.masking, record.settings.mask_token) == ("mask", "_")
    function = explainer.value_function(TEXT, features=[(2, 6), (13, 16), (20, 23)])
    assert function.masked_text(np.zeros(3, bool)) == "a _ film, _  a _ plot"
    assert record.full_value == 2.0
    assert record.empty_value == 0.0


def test_values_and_classes_are_chosen() -> None:
    explainer = InteractionExplainer(votes)
    assert explainer(TEXT, target=2).record.full_value == pytest.approx(0.07)
    own = explainer(TEXT, value=lambda rows: rows[:, 1] - rows[:, 0])
    assert own.record.full_value == 1.5
    assert own.record.target.kind == "<lambda>"
    assert len(explainer("Good. Bad.", features="sentences").features) == 2
    asked: list[int] = []

    def counted(texts: list[str]) -> np.ndarray:
        asked.append(len(texts))
        return votes(texts)

    explainer = InteractionExplainer(counted)
    one = explainer(TEXT, target=1)
    rows, asked[:] = sum(asked), []
    every = explainer(TEXT, target="all")
    assert sum(asked) == rows
    assert list(every) == [0, 1, 2]
    assert every[1] == one


def test_lists_of_texts_are_named_so_by_features() -> None:
    explainer = InteractionExplainer(glad, features="words")
    texts = ["good and good", "not a bad plot"]
    for column in (texts, pd.Series(texts), np.array(texts), iter(texts)):
        assert [e.record.full_value for e in explainer(column)] == [2.0, 1.0]
    kept = explainer(["good", None, "bad"], errors="keep")
    assert isinstance(kept[1], InputError)
    assert [kept[i].record.full_value for i in (0, 2)] == [1.0, -1.0]
    # Without, a list of texts is what it was: the names of a function of masks.
    names = InteractionExplainer(lambda masks: masks.sum(1))(pd.Index(["age", "rent", "debt"]))
    assert names.features.labels == ("age", "rent", "debt")


def test_a_text_that_the_function_fails_on_costs_no_other() -> None:
    def picky(texts: list[str]) -> list[float]:
        if any(text == "bad plot" for text in texts):
            raise ZeroDivisionError("no plot")
        return [float("nan") if text == "odd film" else len(text) for text in texts]

    explainer = InteractionExplainer(picky, features="words", errors="keep")
    found = explainer(["good film", "so bad plot", "quite odd film", "dull"])
    assert [type(each) for each in found] == [
        InteractionExplanation,
        ModelError,
        ModelError,
        InteractionExplanation,
    ]
    assert str(found[1]).startswith("inputs[1] of 4: the function 'picky' failed on")
    assert "ZeroDivisionError: no plot" in str(found[1])
    assert "inputs[2] of 4: the function 'picky' gave nan for 1 of" in str(found[2])
    assert found[0].record.full_value == 9.0


@pytest.mark.parametrize("target", [None, 0])
def test_the_record_is_enough_to_ask_again(tmp_path: Path, target: int | None) -> None:
    explainer = InteractionExplainer(votes)
    explanation = explainer(TEXT, target=target)
    explanation.save(tmp_path / "e.json")
    read = InteractionExplanation.load(tmp_path / "e.json")
    assert read == explanation
    assert record_from_rows(*rows_of(explanation.record)) == explanation.record
    queries = read.record.queries
    np.testing.assert_array_equal(explainer.ask(read, queries.masks), queries.values)
    np.testing.assert_array_equal(explainer.ask(read, queries.masks, inputs=TEXT), queries.values)
    (check,) = explainer.check_removal(read, [2])
    assert check.actual == pytest.approx(check.solution.predicted, abs=1e-9)
    page = explanation.to_html()
    assert "votes[" in page
    assert "film," in page
    assert "votes[" in str(explanation)
    code = python_code(explanation.record)
    assert f"    {TEXT!r}," in code
    assert "a list of texts to numbers" in code
    assert ("target=0" in code) == (target == 0)


def test_what_sklearn_users_have() -> None:
    texts = ["good film", "bad film", "good plot", "bad plot", "great fun", "dull bore"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0, 1, 0])
    explanation = InteractionExplainer(model.predict_proba)(TEXT, target=1)
    assert explanation.record.full_value == pytest.approx(model.predict_proba([TEXT])[0, 1])
    assert explanation.record.target.label == "predict_proba[1]"
    with pytest.raises(InputError, match=r"got Pipeline: pass its method, .*predict_proba\)"):
        InteractionExplainer(model)(TEXT)


def test_models_without_a_pipeline() -> None:
    pipe = roberta_pipeline()
    with pytest.raises(InputError, match=r"got RobertaFor.*: make a pipeline with transformers"):
        InteractionExplainer(pipe.model)(TEXT)
    with pytest.raises(InputError, match=r"takes one pipeline, got RobertaFor.*tokenizer=token"):
        InteractionExplainer(pipe.model, pipe.tokenizer)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda texts: 1 / 0, "'<lambda>' failed on 1 input: ZeroDivisionError: division by zero"),
        (lambda texts: None, "gave None for 1 input, which is not an array of numbers"),
        (lambda texts: [None for _ in texts], r"gave \[None\] for 1 input"),
        (lambda texts: ["x" for _ in texts], "could not convert string to float"),
        (lambda texts: [[1, 2], [3]], "is not an array of numbers"),
        (lambda texts: 0.5, r"gave shape \(\) for 1 texts; expected \(1,\), or \(1, classes\)"),
        (lambda texts: [1.0, 2.0], r"gave shape \(2,\) for 1 texts"),
        (lambda texts: np.zeros((len(texts), 2, 2)), r"gave shape \(1, 2, 2\)"),
        (lambda texts: np.zeros((len(texts), 0)), r"gave shape \(1, 0\)"),
        (lambda texts: [float("inf")] * len(texts), "gave inf for 16 of 16 masked inputs"),
        (lambda texts: np.zeros((len(texts), len(texts))), r"expected \(16, 1\)"),
        (functools.partial(glad, 3), "the function 'glad' failed on 1 input: TypeError"),
    ],
)
def test_functions_that_cannot_be_used_are_named(function: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        InteractionExplainer(function)("one two three four")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 3}, "target=3 is not a label"),
        ({"target": "glad"}, "target='glad' is not a label"),
        ({"value": "probability"}, "value='probability' is unknown for this task; use 'value'"),
        ({"features": "tokens"}, "no meaning for a function of texts"),
        ({"masking": "delete", "mask_token": "_"}, "mask_token has no meaning"),
        ({"cache_dir": "anywhere"}, "cache_dir cannot be used with a user-supplied function"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionExplainer(votes)(TEXT, **options)
    with pytest.raises(InputError, match="gives one number per text, so there is no target"):
        InteractionExplainer(glad)(TEXT, target=0)


def test_torch_answers_are_numbers() -> None:
    def scores(texts: list[str]) -> torch.Tensor:
        return torch.tensor(votes(texts), requires_grad=True, dtype=torch.bfloat16)

    assert InteractionExplainer(scores)(TEXT).record.full_value == 2.0
