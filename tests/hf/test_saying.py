"""The output that is explained is the pipeline's own, and its likelihood that under the pipeline,
whatever is set on it; the references step through the model by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_vision_language as tiny
import torch
import transformers as tf
from tiny_pipelines import generator, picture, vision_language

from proxyspex_hf import InputError, InteractionExplainer, ModelError

TEXT = "It could have been great but the plot is dull"
QUESTION = "what is it"
SHORT = {"do_sample": False, "max_new_tokens": 5}


def bind(pipe: Any, text: str = QUESTION, **options: Any) -> Any:
    explainer = InteractionExplainer(pipe, patches=(2, 2), **{"max_new_tokens": 5, **options})
    return explainer.value_function({"image": picture(), "text": text})


def some_masks(n: int) -> np.ndarray:
    masks = np.ones((3, n), dtype=bool)
    masks[1, : n // 2] = masks[2] = False
    return masks


def answer(pipe: Any, text: str) -> str:
    made = pipe(images=picture(), text=text, generate_kwargs=SHORT, return_full_text=False)
    return str(made[0]["generated_text"])


def log_perplexity(logits: torch.Tensor, target: Any) -> float:
    """Of logits (t, vocabulary), one row before each token of the target."""
    found = logits.double().log_softmax(-1).gather(1, torch.tensor(target)[:, None])
    return -found.mean().item()


# transformers' processor of PaliGemma compares pictures as arrays.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
@pytest.mark.parametrize("make", [tiny.paligemma, tiny.blip2, tiny.florence2])
def test_a_text_that_the_pipeline_answers_is_explained_as_it_is(make: Any) -> None:
    pipe = make()
    function = bind(pipe)
    everything = np.ones(function.n_features, dtype=bool)
    assert function.text == function.masked_input(everything)["text"] == QUESTION
    assert function.target.label == answer(pipe, QUESTION)
    assert not [note for note in function.notes if "<image>" in note]


def test_an_images_place_is_added_only_where_the_pipeline_needs_it() -> None:
    pipe = vision_language()
    with pytest.raises(ValueError, match="image"):
        answer(pipe, QUESTION)
    function = bind(pipe)
    assert function.text == f"<image>\n{QUESTION}"
    assert function.target.label == answer(pipe, function.text)
    (note,) = (note for note in function.notes if "cannot answer" in note)
    assert "it is asked with '<image>' and a new line before it" in note
    own = bind(pipe, f"{QUESTION} <image>")
    assert own.text == f"{QUESTION} <image>"
    assert own.target.label == answer(pipe, own.text)
    assert not [note for note in own.notes if "cannot answer" in note]


def read_by_florence(inputs: Any) -> tuple[dict[str, Any], list[int]]:
    return {name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values")}, [2]


def read_by_pix2struct(inputs: Any) -> tuple[dict[str, Any], list[int]]:
    encoder = {name: inputs[name] for name in ("flattened_patches", "attention_mask")}
    return encoder, [1, *inputs["decoder_input_ids"][0].tolist()]


@pytest.mark.parametrize(
    ("make", "read"),
    [(tiny.florence2, read_by_florence), (tiny.pix2struct, read_by_pix2struct)],
)
def test_what_a_decoder_begins_with_is_no_output(make: Any, read: Callable[..., Any]) -> None:
    pipe = make()
    function = bind(pipe)
    masks = some_masks(function.n_features)
    with torch.inference_mode():
        encoder, begin = read(pipe.preprocess(function.masked_input(masks[0])))
        said: list[int] = []
        for _ in range(5):
            ids = torch.tensor([begin + said])
            said.append(int(pipe.model(**encoder, decoder_input_ids=ids).logits[0, -1].argmax()))
        assert 2 not in said
        assert function.target_ids.tolist() == said
        assert function.target.label == pipe.tokenizer.decode(said)
        for mask, value in zip(masks, function(masks), strict=True):
            encoder, begin = read(pipe.preprocess(function.masked_input(mask)))
            ids = torch.tensor([begin + said[:-1]])
            logits = pipe.model(**encoder, decoder_input_ids=ids).logits[0, len(begin) - 1 :]
            assert value == pytest.approx(log_perplexity(logits, said), rel=1e-4)


class Inverted(tf.ImageTextToTextPipeline):
    """For a model that was trained on negatives."""

    def _forward(self, model_inputs: Any, generate_kwargs: Any = None) -> Any:
        pixels = -model_inputs["pixel_values"]
        return super()._forward({**model_inputs, "pixel_values": pixels}, generate_kwargs)


class Deaf(tf.ImageTextToTextPipeline):
    """Says what it likes."""

    def _forward(self, model_inputs: Any, generate_kwargs: Any = None) -> Any:
        ids = model_inputs["input_ids"]
        said = torch.cat([ids, torch.tensor([[40, 41]])], dim=1)
        return {"generated_sequence": said, "prompt_text": "", "input_ids": ids}


class Twice(tf.ImageTextToTextPipeline):
    """Generates a draft first."""

    def _forward(self, model_inputs: Any, generate_kwargs: Any = None) -> Any:
        super()._forward(dict(model_inputs), generate_kwargs)
        return super()._forward(model_inputs, generate_kwargs)


class Brief(tf.ImageTextToTextPipeline):
    """Has settings of its own."""

    def _forward(self, model_inputs: Any, generate_kwargs: Any = None) -> Any:
        return super()._forward(model_inputs, {"max_new_tokens": 3, "do_sample": False})


def of(kind: Any, **settings: Any) -> Any:
    made = vision_language()
    return kind(model=made.model, processor=made.processor, device="cpu", **settings)


def test_what_a_pipeline_gives_its_model_counts_for_output_and_value() -> None:
    pipe = of(Inverted, task="image-text-to-text")
    question = f"<image>\n{QUESTION}"
    function = bind(pipe, question)
    assert function.target.label == answer(pipe, question)
    target = function.target_ids.tolist()
    masks = some_masks(function.n_features)
    for mask, value in zip(masks, function(masks), strict=True):
        inputs = pipe.preprocess(function.masked_input(mask))
        ids = torch.tensor([inputs["input_ids"][0].tolist() + target])
        with torch.inference_mode():
            made = pipe.model(input_ids=ids, pixel_values=-inputs["pixel_values"])
        logits = made.logits[0, -len(target) - 1 : -1]
        assert value == pytest.approx(log_perplexity(logits, target), rel=1e-4)
    assert function.way == "pipeline"
    assert "generate" not in vars(pipe.model)  # what forces it stays apart


def test_settings_in_a_pipelines_own_forward_count() -> None:
    pipe = of(Brief, task="image-text-to-text")
    question = f"<image>\n{QUESTION}"
    function = bind(pipe, question)
    assert len(function.target_ids) == 3
    assert function.target.label == answer(pipe, question)
    target = torch.from_numpy(function.target_ids)[None]
    inputs = pipe.preprocess(function.masked_input(np.ones(4, dtype=bool)))
    ids = torch.cat([inputs["input_ids"], target], dim=1)
    with torch.inference_mode():
        logits = pipe.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -4:-1]
    expected = log_perplexity(logits, function.target_ids.tolist())
    assert function(np.ones((1, 4), dtype=bool))[0] == pytest.approx(expected, rel=1e-4)


def test_a_pipeline_that_cannot_be_made_to_say_a_text_is_refused() -> None:
    question = f"<image>\n{QUESTION}"
    deaf = of(Deaf, task="image-text-to-text")
    with pytest.raises(ModelError, match="Deaf does not ask its model's generate"):
        bind(deaf, question)
    ones = np.ones((1, 4), dtype=bool)
    with pytest.raises(ModelError, match="Deaf called its model's generate 0 times"):
        bind(deaf, question, target=" great")(ones)
    with pytest.raises(ModelError, match="Twice called its model's generate 2 times"):
        bind(of(Twice, task="image-text-to-text"), question)(ones)


def generating(**settings: Any) -> Any:
    made = generator()
    return tf.TextGenerationPipeline(
        model=made.model, tokenizer=made.tokenizer, device="cpu", **settings
    )


def explained(pipe: Any, **options: Any) -> Any:
    return InteractionExplainer(pipe, masking="delete", **options).value_function(TEXT)


def own_answer(pipe: Any) -> list[int]:
    """The new tokens of what a text-generation pipeline says without sampling."""
    made = pipe(TEXT, do_sample=False, return_tensors=True)[0]["generated_token_ids"]
    return list(made[len(pipe.tokenizer(TEXT)["input_ids"]) :])


def check_values(pipe: Any, function: Any) -> None:
    target = function.target_ids.tolist()
    masks = some_masks(function.n_features)[:2]
    for mask, value in zip(masks, function(masks), strict=True):
        prompt = pipe.tokenizer(function.masked_input(mask))["input_ids"]
        with torch.inference_mode():
            logits = pipe.model(input_ids=torch.tensor([prompt + target])).logits[0]
        expected = log_perplexity(logits[len(prompt) - 1 : -1], target)
        assert value == pytest.approx(expected, rel=1e-4)


#: Before transformers 5.20 a pipeline takes no configuration where it is made.
TAKES_CONFIG = hasattr(generator(), "_generate_kwargs")


def test_a_configuration_that_a_pipeline_was_made_with_counts() -> None:
    if not TAKES_CONFIG:
        return
    third = int(own_answer(generating(max_new_tokens=6))[3])
    config = tf.GenerationConfig(max_new_tokens=6, eos_token_id=third, do_sample=False)
    function = explained(generating(generation_config=config))
    assert function.target_ids.tolist() == own_answer(generating(max_new_tokens=6))[:3]
    assert not function.asides  # it does not sample
    config = tf.GenerationConfig(max_new_tokens=4, num_beams=3)
    pipe = generating(generation_config=config)
    function = explained(pipe)
    assert function.target_ids.tolist() == own_answer(pipe)
    assert len(function.target_ids) == 4
    assert "found with 3 beams" in function.notes[0]
    assert "samples by default" in function.asides[0]
    check_values(pipe, function)


@pytest.mark.parametrize("nested", [False, True])
def test_a_configuration_counts_for_images_and_text(nested: bool) -> None:
    if not TAKES_CONFIG:
        return
    config = {"generation_config": tf.GenerationConfig(max_new_tokens=4, do_sample=False)}
    settings = {"generate_kwargs": config} if nested else config
    pipe = of(tf.ImageTextToTextPipeline, **settings)
    question = f"<image>\n{QUESTION}"
    function = bind(pipe, question, max_new_tokens=None)
    (made,) = pipe(images=picture(), text=question, return_tensors=True)
    assert function.target_ids.tolist() == made["generated_token_ids"][-4:].tolist()
    assert not function.asides


class OnlyHigh(tf.LogitsProcessor):
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.clone()
        scores[:, :200] = -torch.inf
        return scores


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"prompt_lookup_num_tokens": 2}, None),
        ({"assistant_model": "itself"}, None),
        ({"max_time": 60.0}, None),
        ({"exponential_decay_length_penalty": (2, 1.5)}, "exponential_decay_length_penalty chose"),
        ({"logits_processor": tf.LogitsProcessorList([OnlyHigh()])}, "logits_processor chose"),
        ({"watermarking_config": tf.WatermarkingConfig()}, "watermarking_config chose"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_choose_or_hurry(settings: dict[str, Any], note: str | None) -> None:
    if "assistant_model" in settings:
        settings = {"assistant_model": generator().model}
    pipe = generating(max_new_tokens=8, **settings)
    function = explained(pipe)
    said = own_answer(pipe)
    assert function.target_ids.tolist() == said[: len(function.target_ids)]
    assert set(said[len(function.target_ids) :]) <= {0}  # the end
    assert (note is None) == (not function.notes)
    assert note is None or note in function.notes[0]
    check_values(pipe, function)


def test_a_users_streamer_shows_nothing_of_an_explanation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    streamer = tf.TextStreamer(generator().tokenizer)
    pipe = generating(max_new_tokens=4, streamer=streamer)
    function = explained(pipe)
    check_values(pipe, function)
    assert capsys.readouterr().out == ""
    assert function.target_ids.tolist() == own_answer(pipe)
    assert TEXT in capsys.readouterr().out


def test_a_target_of_an_image_ends_its_output_at_once() -> None:
    pipe = vision_language()
    first = int(bind(pipe).target_ids[0])
    pipe.model.generation_config.eos_token_id = first
    with pytest.raises(InputError, match="ends its output at once"):
        bind(pipe)
