"""Copied code, run as it stands, makes the explanation again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from record_factory import captioned_record, make_record, random_spectrum, with_doubt

from proxyspex_hf import context_prompt
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.demo import DEMO_CLIP
from proxyspex_hf.errors import InputError
from proxyspex_hf.explainer import InteractionExplainer
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.code import python_code

TEXT = 'It is not a bad film, but the second half "drags" and it\'s\nnever funny.'


def run(code: str) -> InteractionExplanation:
    names: dict[str, Any] = {}
    exec(compile(code, "copied", "exec"), names)
    made = names["explanation"]
    assert isinstance(made, InteractionExplanation)
    return made


@pytest.mark.parametrize(
    "options",
    [
        {"budget": 40, "n_test": 20},
        {"budget": 40, "density": "uniform", "target": "NEGATIVE", "seed": 3, "n_test": 20},
        {"budget": 40, "masking": "delete", "value": "probability", "max_order": 2, "n_test": 15},
        {"alpha": 1, "proxy": "lasso", "features": "tokens", "n_test": 15, "mask_token": "film"},
        {"features": [(0, 10), (10, 20), (30, 41)], "density": (0.5, 0.8), "n_coefficients": 7},
    ],
)
def test_a_text_is_explained_again(pipe: Any, options: dict[str, Any]) -> None:
    explanation = InteractionExplainer(pipe, progress=False)(TEXT, **options)
    assert run(python_code(explanation.record)) == explanation


def test_an_image_with_its_caption_is_explained_again() -> None:
    from transformers import pipeline

    clip = pipeline("zero-shot-image-classification", model=DEMO_CLIP)
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((10, 10, 44, 44), fill="red")
    explainer = InteractionExplainer(clip, progress=False, patches=(3, 2), n_test=20)
    with_caption = explainer({"image": image, "text": "a red circle"}, budget=40)
    assert run(python_code(with_caption.record)) == with_caption
    labels = {"image": image, "candidate_labels": ["red", "blue"]}
    among = explainer(labels, image_masking="mean", target="blue")  # 6 patches: exact
    assert run(python_code(among.record)) == among


@pytest.mark.parametrize(
    "record",
    [
        make_record("one two three", task="function"),
        make_record("one two three", task="audio-classification"),
        captioned_record(),
    ],
)
def test_what_a_record_does_not_hold_is_named_where_it_belongs(record: ExplanationRecord) -> None:
    code = python_code(record)
    compile(code, "copied", "exec")
    assert "..." in code
    assert "  # " in code


NAMES = ["candidate_labels", "target_tokens", "others", "word", "question", "reference"]
TASKS = ["text-generation", "fill-mask", "image-classification", "zero-shot-image-classification"]
VALUES = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=2)


@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES), st.text(max_size=20), st.sampled_from(TASKS)
)
@settings(max_examples=200, deadline=None)
def test_code_of_any_record_can_be_read_by_python(
    arguments: dict[str, Any], sampling: str, task: str
) -> None:
    for record in (make_record("one two"), captioned_record()):
        asked = replace(record.settings, arguments=arguments, sampling=sampling)
        code = python_code(replace(record, task=task, settings=asked))
        compile(code, "copied", "exec")


def chatting() -> Any:
    """A generator whose template writes the first token, which its tokenizer adds, too."""
    from tiny_pipelines import generator
    from tokenizers.processors import TemplateProcessing

    pipe = generator()
    tokenizer = pipe.tokenizer
    first = tokenizer.convert_ids_to_tokens(0)
    tokenizer.bos_token = first
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A", special_tokens=[(first, 0)]
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return pipe


CHAT = [
    {"role": "user", "content": "Who is Jim?"},
    {"role": "assistant", "content": "A baker."},
    {"role": "user", "content": "Where does he live? Does he like it?"},
]
DOCUMENTS = {"Doc A": "Jim bakes. Rex barks.", "Doc B": "Rex is a dog."}


@pytest.mark.parametrize(
    ("templated", "prompt"),
    [
        (True, CHAT),
        (True, context_prompt(DOCUMENTS, "Who?")),
        (False, context_prompt(DOCUMENTS, "Who?", system="You are kind.")),
        (False, "Jim bakes. Rex barks."),
    ],
)
def test_a_prompt_is_read_again_as_the_model_read_it(templated: bool, prompt: Any) -> None:
    pipe = chatting()
    if not templated:
        pipe.tokenizer.chat_template = None
    explainer = InteractionExplainer(pipe, progress=False, target=" a dog", masking="delete")
    explanation = explainer(prompt, features="sentences")
    assert explanation.record.is_chat == templated
    code = python_code(explanation.record)
    names: dict[str, Any] = {"pipe": pipe}
    exec("from proxyspex_hf import InteractionExplainer, Prompt, PromptPart\n", names)
    exec(code[code.index("\n", code.index("pipe = ")) :], names)
    again = names["explanation"].record
    queries = explanation.record.queries
    np.testing.assert_allclose(again.queries.values, queries.values, atol=1e-6)
    assert again.features == explanation.features
    asked = explainer.ask(explanation, queries.masks)
    np.testing.assert_allclose(asked, queries.values, atol=1e-6)


def test_a_value_of_one_s_own_is_asked_again_and_named_in_the_code(pipe: Any) -> None:
    def probability(logits: Any) -> Any:
        return 100.0 + logits[:, 0]

    explainer = InteractionExplainer(pipe, progress=False, value=probability)
    explanation = explainer("dull but not bad")
    assert explanation.record.target.kind == "probability (own)"
    asked = explainer.ask(explanation, np.ones((1, 4), dtype=bool))
    assert asked[0] == pytest.approx(explanation.record.full_value)
    with pytest.raises(InputError, match=r"'probability \(own\)' is unknown"):
        InteractionExplainer(pipe).ask(explanation, np.ones((1, 4), dtype=bool))
    code = python_code(explanation.record)
    compile(code, "copied", "exec")
    assert "value = ...  # your own function, 'probability (own)'" in code
    assert "value=value" in code


def test_a_caption_s_similarity_is_named() -> None:
    assert "value='similarity'" in python_code(captioned_record())


def test_code_says_that_a_sibling_came_first() -> None:
    record = make_record("one two three four", random_spectrum(4, 6))
    assert "sibling" not in python_code(with_doubt(record))
    told = with_doubt(record, sibling=Sibling(random_spectrum(4, 6)))
    assert "# A sibling was explained first" in python_code(told)


WAVE = np.sin(np.arange(8000, dtype=np.float32) / 20)
AGAIN: list[tuple[str, Any, dict[str, Any]]] = [
    ("audio_classifier", WAVE, {"patches": 4}),
    ("token_classifier", "Jim lives in Oslo.", {}),
    ("token_classifier", {"text": "Jim saw Jim.", "word": (8, 11)}, {"target": "LOC"}),
    ("token_classifier", "Jim lives in Oslo.", {"aggregation_strategy": "simple"}),
    ("zero_shot", {"text": "Never a bad film", "candidate_labels": ["a", "b"]}, {"target": "b"}),
    ("zero_shot", {"text": "Never bad", "candidate_labels": ["a", "b"]}, {"multi_label": True}),
    ("filler", "The plot is <mask> and dull.", {"value": "probability"}),
    ("embedder", "The plot is dull.", {}),
    ("embedder", {"text": "The plot is dull.", "reference": "a film"}, {}),
    (
        "vision_language",
        {"image": Image.new("RGB", (32, 32), "red"), "text": "<image> a film", "mask_text": True},
        {"patches": (2, 2), "max_new_tokens": 3},
    ),
]


@pytest.mark.filterwarnings("ignore:Explained is the class of")
@pytest.mark.parametrize(("make", "value", "options"), AGAIN, ids=range(len(AGAIN)))
def test_an_input_of_any_task_is_explained_again(
    make: str, value: Any, options: dict[str, Any]
) -> None:
    import tiny_pipelines

    pipe = getattr(tiny_pipelines, make)()
    explanation = InteractionExplainer(pipe, progress=False)(value, **options)
    code = python_code(explanation.record)
    code = code[: code.index("pipe = ")] + code[code.index("\n", code.index("pipe = ")) :]
    code = code.replace("sound = ...", "sound = value")
    names: dict[str, Any] = {"pipe": pipe, "value": value}
    exec(compile(code, "copied", "exec"), names)
    again = names["explanation"].record
    assert (again.features, again.target) == (explanation.features, explanation.record.target)
    assert again.settings.arguments == explanation.record.settings.arguments
    np.testing.assert_array_equal(again.queries.values, explanation.record.queries.values)
    if value is WAVE:  # divided as it was, whatever this explainer would do
        queries = explanation.record.queries
        asked = InteractionExplainer(pipe).ask(explanation, queries.masks, inputs=value)
        np.testing.assert_allclose(asked, queries.values, atol=1e-6)


@pytest.mark.parametrize("older", [{"masking": "delete"}, {"mask_token": "film"}])
def test_what_an_older_file_says_of_words_is_left_out_where_there_are_none(
    older: dict[str, Any],
) -> None:
    from tiny_pipelines import audio_classifier

    pipe = audio_classifier()
    record = InteractionExplainer(pipe, progress=False)(WAVE, patches=4).record
    code = python_code(replace(record, settings=replace(record.settings, **older)))
    assert "mask" not in code
    assert "patches=4" in code
