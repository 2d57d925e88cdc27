"""What people give by mistake: each is refused in words that say what came and what to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_factory import review_record
from tiny_models import roberta_pipeline
from tiny_pipelines import embedder

from proxyspex_hf import (
    InputError,
    InteractionExplainer,
    InteractionExplanation,
    ModelError,
    compare,
    explanations_summary,
    push_explanations,
)

EXPLANATION = InteractionExplanation(review_record())
NO_EXPLANATION = r"must be an InteractionExplanation, got 'e.json': of a file, give Interaction"


def sums(masks: np.ndarray) -> np.ndarray:
    return np.asarray(masks.sum(axis=1), dtype=np.float64)


def test_the_name_of_a_file_is_no_explanation() -> None:
    name: Any = "e.json"
    explainer = InteractionExplainer(sums)
    for call in (
        lambda: compare(EXPLANATION, name),
        lambda: compare(name, EXPLANATION),
        lambda: explanations_summary([name]),
        lambda: explainer.ask(name, [[1]]),
        lambda: explainer.refine(name),
        lambda: explainer.check_removal(name),
    ):
        with pytest.raises(InputError, match=NO_EXPLANATION):
            call()
    one: Any = EXPLANATION
    for given, said in ((one, "an InteractionExplanation"), (name, "'e.json'")):
        for many in (explanations_summary, lambda each: push_explanations(each, "me/e")):
            with pytest.raises(InputError, match=f"explanations must be a list of .* got {said}"):
                many(given)


@pytest.mark.parametrize("order", [0, -1, "2", 1.5, True])
def test_an_order_that_there_cannot_be_is_no_finding(order: Any) -> None:
    assert EXPLANATION.top(3, order=2)
    for listing in (EXPLANATION, explanations_summary([EXPLANATION])):
        with pytest.raises(InputError, match="order must be"):
            listing.top(3, order=order)


@pytest.mark.parametrize("k", [-1, "3", 1.5, None])
def test_a_number_of_rows_is_one(k: Any) -> None:
    listings: tuple[Any, ...] = (
        EXPLANATION,
        compare(EXPLANATION, EXPLANATION),
        explanations_summary([EXPLANATION]),
    )
    for listing in listings:
        assert len(listing.top(0)) == 0
        with pytest.raises(InputError, match="k must be"):
            listing.top(k)


@pytest.mark.parametrize("path", [5, None, "", b"e.json"])
def test_a_path_is_a_text_or_a_path(path: Any, tmp_path: Path) -> None:
    wanted = "a file's path must be a text or a Path, got"
    for call in (EXPLANATION.save, EXPLANATION.to_image, InteractionExplanation.load):
        with pytest.raises(InputError, match=wanted):
            call(path)
    if path is not None:
        with pytest.raises(InputError, match=wanted):
            EXPLANATION.to_html(path)
    with pytest.raises(InputError, match=r"scale must be from 0.5 to 8, got '2'"):
        EXPLANATION.to_image(tmp_path / "e.png", scale="2")  # type: ignore[arg-type]


def test_a_mapping_with_a_text_alone_is_that_text() -> None:
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(pipe, progress=False, value="probability")
    text = "It was not bored"
    (said,) = pipe([{"text": text}])  # as the pipeline itself takes it
    for given in ({"text": text}, {"text": text, "text_pair": None}):
        found = explainer(given)
        assert found.text == text
        assert (found.label, found.value) == (said["label"], pytest.approx(said["score"], abs=1e-6))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "a b", "foo": 1}, r"or a pair .*; got \{'text': str, 'foo': int\}"),
        ({"text": ["a b"]}, r"got \{'text': list\}"),
        ({"text": "a b", "text_pair": " "}, "the pair's 'text_pair' is empty"),
        (b"a b", "explains a text .* got bytes"),
    ],
    ids=str,
)
def test_what_is_no_text_is_told_with_its_parts(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionExplainer(roberta_pipeline())(given)


def test_an_embedding_is_of_one_text() -> None:
    wanted = r"a text \(str\), or \{'text': str, 'reference': str\}; got \{'text': str, 'text_pair'"
    with pytest.raises(InputError, match=wanted):
        InteractionExplainer(embedder())({"text": "a film", "text_pair": "not bored"})


@pytest.mark.parametrize(
    "values",
    [lambda m: m.sum(1) * 1j, lambda m: [complex(row.sum()) for row in m]],
    ids=["array", "list"],
)
def test_complex_numbers_are_no_values(values: Any) -> None:
    with pytest.raises(ModelError, match="complex numbers are neither larger nor smaller"):
        InteractionExplainer(values, progress=False)(3)


def test_a_failure_ends_its_sentence() -> None:
    with pytest.raises(ModelError, match=r"failed on 1 input: ValueError: no. It was asked with"):
        InteractionExplainer(failing, progress=False)(3)


def failing(masks: np.ndarray) -> np.ndarray:
    raise ValueError("no")


def test_options_without_a_meaning_are_refused() -> None:
    with pytest.raises(InputError, match="patches has no meaning for text-classification; it has"):
        InteractionExplainer(roberta_pipeline(), patches=(2, 2))("not bored")
    with pytest.raises(InputError, match="max_new_tokens has no meaning for text-classification"):
        InteractionExplainer(roberta_pipeline(), max_new_tokens=3)("not bored")
    wanted = "function_to_apply must be 'sigmoid', 'softmax' or 'none', got 'foo'"
    with pytest.raises(InputError, match=wanted):
        InteractionExplainer(roberta_pipeline(), function_to_apply="foo")


def test_one_is_not_spelled_as_many() -> None:
    assert str(explanations_summary([EXPLANATION])).startswith("1 explanation, effects in ")
