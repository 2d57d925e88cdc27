"""Served models: what would be a wrong number without an error, and is none."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as tf
from inference_server import InferenceServer
from inference_server.answers import Answers
from tiny_models import LABELS, byte_level_tokenizer, roberta_pipeline
from tiny_pipelines import generator
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from proxyspex_hf import (
    InputError,
    InteractionExplainer,
    ModelError,
    ProxySpexWarning,
    ServedModel,
)

TEXT = "It could have been great, but the plot is dull and never funny."
ROUNDING = 1e-5
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} </{{ m.role }}> {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return generator()


def served_by(server: InferenceServer, **more: Any) -> ServedModel:
    return ServedModel(
        server.url, **{"tokenizer": server.answers.tokenizer, "patience": 10.0, **more}
    )


def with_begin(template: str) -> Any:
    """A generator whose tokenizer puts a token before every text, as Llama's do."""
    pipe = generator()
    tokenizer = pipe.tokenizer
    tokenizer.bos_token = begin = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A",
        pair=f"{begin} $A {begin} $B",
        special_tokens=[(begin, tokenizer.bos_token_id)],
    )
    tokenizer.chat_template = template
    return pipe


def test_texts_are_read_as_the_model_reads_the_prompt_or_refused() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Was it dull?"}]
    masks = np.random.default_rng(0).random((6, 3)) < 0.6
    pipe = with_begin("{{ bos_token }}" + TEMPLATE)
    with InferenceServer(pipe, "llama-cpp") as server:
        own = InteractionExplainer(pipe, target=" bored").value_function(chat)
        far = InteractionExplainer(served_by(server), target=" bored").value_function(chat)
        np.testing.assert_allclose(far(masks), own(masks), atol=ROUNDING)
    # The template writes none, the server puts one before it: another number, without an error.
    pipe = with_begin(TEMPLATE)
    with InferenceServer(pipe, "llama-cpp") as server:
        explainer = InteractionExplainer(served_by(server))
        far = explainer.value_function(chat, target=" bored")
        with pytest.raises(ModelError, match=r"reads this prompt as 61 tokens where .* read 60"):
            far(masks)
        with pytest.raises(ModelError, match="before every text, which the chat template"):
            explainer.value_function(chat)


def test_the_tokenizer_of_another_model_is_refused(pipe: Any) -> None:
    # Its ids are ids there, too, and of the same number.
    other = byte_level_tokenizer(mask=True)
    with (
        InferenceServer(pipe, "vllm") as server,
        pytest.raises(ModelError, match=r"that it reads as .*, and the tokenizer here as .*: give"),
    ):
        _ = served_by(server, tokenizer=other).started


def test_an_output_ends_before_the_token_at_which_the_model_stops() -> None:
    pipe = generator()
    tokenizer = pipe.tokenizer
    # As Phi-3's <|end|>: special, but under no name; its generation config stops there.
    tokenizer.add_tokens([AddedToken("<|end|>", special=True)])
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    pipe.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    assert end not in tokenizer.all_special_ids
    said = [*tokenizer(" bored", add_special_tokens=False)["input_ids"], end]
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server)
        _ = served.started
        server.answers._generated = lambda ids, most: said[:most]  # type: ignore[method-assign]
        explainer = InteractionExplainer(served)
        stopped = explainer.value_function(TEXT, max_new_tokens=9)
        assert stopped.target.label == " bored"
        assert stopped.arguments["target_tokens"] == said[:-1]
        # Cut there by the number of tokens, it may be any other.
        cut = explainer.value_function(TEXT, max_new_tokens=len(said))
        assert cut.target.label == " bored<|end|>"


def test_an_output_is_no_longer_than_was_asked_for(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server)
        _ = served.started
        own = server.answers._generated
        server.answers._generated = lambda ids, most: own(ids, 20)  # type: ignore[method-assign]
        explainer = InteractionExplainer(served, max_new_tokens=3)
        with pytest.raises(ModelError, match="generated 20 tokens where 3 at most"):
            explainer.value_function(TEXT)

        def no_ids(path: str, answer: Any) -> Any:
            for choice in answer.get("choices", []):
                choice |= {"text": " bored", "token_ids": []}
            return answer

        server.twist = no_ids
        assert explainer.value_function(TEXT).target.label == " bored"


def once(value: float) -> Any:
    """Another log-probability for the last token of the next output."""
    left = [value]

    def twist(path: str, answer: Any) -> Any:
        for choice in answer.get("choices", []):
            if "logprobs" in choice and left:
                choice["logprobs"]["token_logprobs"][-2] = left.pop()
        return answer

    return twist


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-9999.0, "stands for minus infinity: the model never says"),
        (-(10**400), "gave -inf for a log-probability"),
        (10**400, "gave inf for a log-probability"),
    ],
    ids=["-9999", "below all floats", "beyond all floats"],
)
def test_infinities_of_all_kinds(pipe: Any, value: float, message: str) -> None:
    with InferenceServer(pipe, "vllm") as server:
        function = InteractionExplainer(served_by(server), target=" so").value_function(TEXT)
        server.twist = once(value)
        with pytest.raises(ModelError, match=message):
            function(np.ones((1, function.n_features), dtype=bool))


def scores_of(change: Any) -> Any:
    def twist(path: str, answer: Any) -> Any:
        for row in answer.get("data", []) if isinstance(answer, dict) else []:
            if "probs" in row:
                row["probs"] = [change(value) for value in row["probs"]]
        return answer

    return twist


def test_scores_that_may_be_probabilities_are_told() -> None:
    classifier = roberta_pipeline()
    with InferenceServer(classifier, "classify") as server:
        more = {"task": "text-classification", "labels": list(LABELS.values())}
        server.twist = scores_of(lambda value: 10**400)
        with pytest.raises(ModelError, match="an infinite score of a label"):
            _ = served_by(server, **more).started
        # As an old version does with a classifier of labels that do not exclude each other.
        server.twist = scores_of(lambda value: 1 / (1 + math.exp(-value)))
        served = served_by(server, **more)
        with pytest.warns(ProxySpexWarning, match="between 0 and 1.*reference=pipe"):
            InteractionExplainer(served, budget=20, rounds=1, progress=False, noise=False)(TEXT)
        with pytest.raises(ModelError, match="differs from the pipeline given as reference"):
            _ = served_by(server, **more, reference=classifier).started
        broken = copy.deepcopy(classifier)
        broken.model.classifier.out_proj.bias.data.fill_(math.nan)
        server.twist = None
        with pytest.raises(ModelError, match=r"differs from the pipeline .* by nan"):
            _ = served_by(server, **more, reference=broken).started


def test_an_endpoint_names_its_labels_itself(tmp_path: Path) -> None:
    classifier = roberta_pipeline()
    # A tokenizer of a base model, whose config knows LABEL_0, LABEL_1, LABEL_2.
    classifier.tokenizer.save_pretrained(tmp_path / "base")
    tf.RobertaConfig(num_labels=3).save_pretrained(tmp_path / "base")
    with InferenceServer(classifier, "endpoint") as server:
        more = {"task": "text-classification", "tokenizer": str(tmp_path / "base")}
        served = served_by(server, **more)
        found = InteractionExplainer(served).value_function(TEXT)
        own = InteractionExplainer(classifier).value_function(TEXT)
        assert found.target.label == own.target.label
        assert served.labels == tuple(sorted(LABELS.values()))
        classifier.model.config.save_pretrained(tmp_path / "base")
        served = served_by(server, **more)
        assert served.started.noise < ROUNDING
        assert served.labels == tuple(LABELS.values())  # in the config's order, if it is the same
        few = served_by(server, **more, labels=["a", "b", "c"])
        with pytest.raises(
            ModelError, match=r"gave scores of 3 labels \('NEGATIVE', .*expected .* \('a', 'b', 'c'"
        ):
            _ = few.started


def test_a_classifier_takes_as_many_tokens_as_the_server_says(pipe: Any) -> None:
    classifier = roberta_pipeline()
    with InferenceServer(classifier, "classify") as server:
        task = "text-classification"
        assert served_by(server, task=task, labels=list(LABELS.values())).longest == 200
    with InferenceServer(pipe, "vllm") as server:
        assert served_by(server).longest == 199  # one is generated


def noisy(scale: float, seed: int = 0) -> Any:
    """Answers of a server whose batches change its numbers by some hundredths."""
    rng = np.random.default_rng(seed)

    def twist(path: str, answer: Any) -> Any:
        for choice in answer.get("choices", []):
            if "logprobs" in choice:
                values = choice["logprobs"]["token_logprobs"]
                values[1:] = [min(0.0, value + scale * rng.normal()) for value in values[1:]]
        return answer

    return twist


def test_noise_that_comes_with_load_is_no_other_model(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server)
        function = InteractionExplainer(served, target=" bored").value_function(TEXT)
        masks = np.unique(np.random.default_rng(0).random((300, 13)) < 0.6, axis=0)[:130]
        expected = function(masks)
        assert served.started.noise < ROUNDING
        server.twist = noisy(0.03)
        np.testing.assert_allclose(function(masks), expected, atol=0.15)
        # Another model is as far each time, whatever the noise.
        server.answers = Answers(generator(width=64), "vllm", "tiny")
        with pytest.raises(ModelError, match="serves another model now"):
            function(masks)


@pytest.mark.parametrize("known", ["reference", "config"])
@pytest.mark.parametrize("kind", ["classify", "endpoint"])
def test_several_labels_at_once_are_probabilities_of_their_own(
    kind: str, known: str, tmp_path: Path
) -> None:
    classifier = roberta_pipeline()
    classifier.model.config.problem_type = "multi_label_classification"
    classifier.save_pretrained(tmp_path)
    whose = {"reference": classifier} if known == "reference" else {"tokenizer": str(tmp_path)}
    with InferenceServer(classifier, kind) as server:
        served = served_by(server, task="text-classification", **whose)
        values = [
            InteractionExplainer(each, value="probability", progress=False).value_function(TEXT)
            for each in (classifier, served)
        ]
        whole = [np.ones((1, function.n_features), bool) for function in values]
        own, asked = (function(mask)[0] for function, mask in zip(values, whole, strict=True))
    said = {each["label"]: each["score"] for each in classifier(TEXT, top_k=None)}
    assert values[0].target == values[1].target
    assert own == pytest.approx(said[values[0].target.label], abs=1e-6)
    assert asked == pytest.approx(own, abs=1e-5)


def test_a_regression_has_no_probability_where_it_is_served_either(tmp_path: Path) -> None:
    classifier = roberta_pipeline()
    classifier.model.config.problem_type = "regression"
    classifier.save_pretrained(tmp_path)
    with InferenceServer(classifier, "classify") as server:
        served = served_by(server, task="text-classification", tokenizer=str(tmp_path))
        for each in (classifier, served):
            with pytest.raises(InputError, match="has no meaning here"):
                InteractionExplainer(each, value="probability").value_function(TEXT)
