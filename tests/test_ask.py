"""Asking the model again of an explanation: the same numbers, from what the record holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import roberta_pipeline
from tiny_pipelines import clip, generator, image_classifier, picture, zero_shot

from proxyspex_hf import DEMO_CLIP, InputError, InteractionExplainer, InteractionExplanation
from proxyspex_hf.prompts import context_prompt
from proxyspex_hf.record.inputs import Picture
from proxyspex_hf.viz.code import python_code

TEXT = "It could have been great, but the plot is dull and never funny."
STORY = "Jim is a baker. His dog is called Rex. Ann is a doctor. She has a cat."


def cases() -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Name -> (pipeline, input, options); the options' own way of masking matters in each."""
    image = picture(48, 48)
    return {
        "sentences deleted": (None, f"{TEXT} I slept.", {"features": "sentences"}),
        "words deleted": (None, TEXT, {"masking": "delete", "target": "POSITIVE"}),
        "tokens, margin": (None, TEXT, {"features": "tokens", "value": "margin"}),
        "own spans": (None, TEXT, {"features": [(0, 8), (9, 24), (26, 63)]}),
        "prompt": (
            generator(),
            context_prompt(STORY, "Who is Ann?"),
            {"features": "sentences", "masking": "delete", "target": " Ann is a doctor."},
        ),
        "documents": (
            generator(),
            context_prompt({"A": "Jim is a baker.", "B": "Ann is a doctor."}, "Who is Ann?"),
            {
                "features": "documents",
                "masking": "delete",
                "target": " a doctor",
                "value": "log-probability",
            },
        ),
        "image": (image_classifier(), image, {"patches": (2, 3), "image_masking": "blur"}),
        "superpixels": (image_classifier(), image, {"patches": "superpixels"}),
        "caption": (
            clip(),
            {"image": image, "text": "a red circle"},
            {"patches": (2, 2), "image_masking": "mean", "value": "similarity"},
        ),
    }


@pytest.mark.parametrize("name", list(cases()))
def test_the_model_says_again_what_it_said(name: str, pipe: Any, tmp_path: Path) -> None:
    own, inputs, options = cases()[name]
    explainer = InteractionExplainer(own or pipe)
    explanation = explainer(inputs, **options, budget=40, n_test=4)
    queries = explanation.record.queries
    explanation.save(tmp_path / "e.json")
    read = InteractionExplanation.load(tmp_path / "e.json")
    found = explainer.ask(read, queries.masks)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, queries.values, atol=1e-4)
    # The input itself may be given, and is divided as it was then.
    if "spans" not in name:
        again = explainer.ask(explanation, queries.masks[:5], inputs=inputs)
        np.testing.assert_allclose(again, queries.values[:5], atol=1e-4)
    (check,) = explainer.check_removal(read, [1])
    assert check.full == pytest.approx(read.record.full_value, abs=1e-4)


def test_the_shipped_clip_is_asked_again() -> None:
    from transformers import pipeline

    explainer = InteractionExplainer(
        pipeline("zero-shot-image-classification", model=DEMO_CLIP, device="cpu")
    )
    inputs = {"image": picture(64, 64), "text": "a red circle"}
    explanation = explainer(inputs, patches=(4, 4), budget=60, n_test=4)
    queries = explanation.record.queries
    np.testing.assert_allclose(explainer.ask(explanation, queries.masks), queries.values, atol=1e-4)


def test_what_cannot_be_asked(pipe: Any) -> None:
    explainer = InteractionExplainer(pipe, budget=40, n_test=4)
    explanation = explainer(TEXT)
    record = explanation.record
    n = len(record.features)
    with pytest.raises(InputError, match="13"):
        explainer.ask(explanation, np.ones((2, n + 1), bool))
    with pytest.raises(InputError, match="other features"):
        explainer.ask(explanation, np.ones((1, n), bool), inputs="Another text of some words")
    other = InteractionExplanation(replace(record, task="text-generation"))
    with pytest.raises(InputError, match="this pipeline does text-classification"):
        explainer.ask(other, np.ones((1, n), bool))

    classifier = InteractionExplainer(zero_shot())
    inputs = {"text": "a dull film", "candidate_labels": ["good", "bad"]}
    found = classifier(inputs)
    with pytest.raises(InputError, match="does not hold its whole input: pass inputs="):
        classifier.ask(found, np.ones((1, 3), bool))
    assert classifier.ask(found, np.ones((1, 3), bool), inputs=inputs)[0] == pytest.approx(
        found.record.full_value, abs=1e-5
    )


def test_an_output_is_asked_for_in_the_tokens_it_was_generated_in() -> None:
    """What this model makes up is not a text that a tokenizer would divide so."""
    explainer = InteractionExplainer(generator(), masking="delete", max_new_tokens=3)
    explanation = explainer({"context": "Jim is a baker.", "question": "Who?"})
    record = explanation.record
    tokens = record.settings.arguments["target_tokens"]
    divided = explainer.pipe.tokenizer(record.target.label, add_special_tokens=False)["input_ids"]
    assert divided != tokens
    (value,) = explainer.ask(explanation, np.ones((1, 4), bool))
    assert value == pytest.approx(record.full_value, abs=1e-5)
    for other in ([0, 1, 2], [10**9], ["a"], "abc", [True], []):
        arguments = {**record.settings.arguments, "target_tokens": other}
        changed = replace(record, settings=replace(record.settings, arguments=arguments))
        with pytest.raises(InputError, match="reads as other tokens"):
            explainer.ask(InteractionExplanation(changed), np.ones((1, 4), bool))


def test_documents_are_read_by_their_text_not_their_name() -> None:
    documents = {"Doc A": "Jim is a baker.", "Doc B": "Ann is a doctor."}
    function = InteractionExplainer(generator(), masking="delete").value_function(
        context_prompt(documents, "Who is Ann?"), features="documents", target=" Ann"
    )
    assert function.features.labels == ("Doc A", "Doc B")
    read = function.masked_text(np.array([False, True]))
    assert "Ann is a doctor." in read
    assert "Jim" not in read
    assert function.masked_text(np.ones(2, bool)) == function.text


def test_a_damaged_picture_is_an_error_in_words() -> None:
    explainer = InteractionExplainer(image_classifier())
    record = explainer(picture(48, 48), patches=(2, 2)).record
    assert record.picture is not None
    broken = Picture(record.picture.png[:40], record.picture.width, record.picture.height)
    with pytest.raises(InputError, match="picture of the explanation is damaged"):
        explainer.ask(
            InteractionExplanation(replace(record, picture=broken)), np.ones((1, 4), bool)
        )


def test_options_of_one_call_are_asked_with_again() -> None:
    classifier = InteractionExplainer(roberta_pipeline(), value="probability")
    explained = classifier(TEXT, function_to_apply="sigmoid")
    images = InteractionExplainer(image_classifier(), value="probability", patches=(2, 2))
    seen = images(picture(48, 48), function_to_apply="sigmoid")
    for explainer, explanation in ((classifier, explained), (images, seen)):
        full = np.ones((1, len(explanation.record.features)), bool)
        assert explanation.record.settings.arguments == {"function_to_apply": "sigmoid"}
        (value,) = explainer.ask(explanation, full)
        assert value == pytest.approx(explanation.record.full_value, abs=1e-5)
        assert "function_to_apply='sigmoid'" in python_code(explanation.record)
    labels = InteractionExplainer(zero_shot(), value="probability")
    inputs = {"text": "a dull film", "candidate_labels": ["good", "bad"]}
    several = labels(inputs, multi_label=True, hypothesis_template="It is {}.")
    (value,) = labels.ask(several, np.ones((1, 3), bool), inputs=inputs)
    assert value == pytest.approx(several.record.full_value, abs=1e-5)
    arguments = {"function_to_apply": 3}
    changed = replace(
        explained.record, settings=replace(explained.record.settings, arguments=arguments)
    )
    with pytest.raises(InputError, match="function_to_apply is not a str: 3"):
        classifier.ask(InteractionExplanation(changed), np.ones((1, 13), bool))


def test_an_option_that_a_task_has_not_is_refused() -> None:
    with pytest.raises(InputError, match="multi_label has no meaning for text-classification"):
        InteractionExplainer(roberta_pipeline()).value_function(TEXT, multi_label=True)
