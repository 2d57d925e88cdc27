"""The pipeline is the definition: as its user set it up, subclasses and odd models included."""

from __future__ import annotations

import inspect
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_models import LABELS, byte_level_tokenizer, metaspace_tokenizer, roberta_pipeline
from tiny_pipelines import (
    audio_classifier,
    clip,
    embedder,
    filler,
    generator,
    image_classifier,
    picture,
    zero_shot,
)
from tokenizers import AddedToken

from proxyspex_hf import InputError, InteractionExplainer, ProxySpexWarning
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.prompts import Prompt, PromptPart
from proxyspex_hf.viz.verdict import verdict_of

TEXT = "It could have been great, but the plot is dull and never funny."


def masks_of(n: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


def classifier(
    pipeline: type = tf.TextClassificationPipeline,
    tokenizer: Any = None,
    config: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    made = roberta_pipeline(tokenizer)
    for name, value in (config or {}).items():
        setattr(made.model.config, name, value)
    return pipeline(
        model=made.model, tokenizer=made.tokenizer, device="cpu",
        task="text-classification", **settings,
    )  # fmt: skip


def scores(pipe: Any, function: Any, masks: np.ndarray, **call: Any) -> np.ndarray:
    """The pipeline's own score of the explained label for each masked input."""
    found = []
    for mask in masks:
        said = pipe(function.masked_input(mask), top_k=None, **call)
        found.append(next(s["score"] for s in said if s["label"] == function.target.label))
    return np.array(found)


class Shouting(tf.TextClassificationPipeline):
    def preprocess(self, inputs: Any, **parameters: Any) -> Any:
        return super().preprocess("query: " + inputs.upper(), **parameters)


class Tempered(tf.TextClassificationPipeline):
    def _forward(self, model_inputs: Any) -> Any:
        outputs = super()._forward(model_inputs)
        outputs["logits"] = outputs["logits"] / 2.5
        return outputs


class Doubting(tf.TextClassificationPipeline):
    def postprocess(self, *args: Any, **parameters: Any) -> Any:
        return [{**s, "score": 0.5 * s["score"]} for s in super().postprocess(*args, **parameters)]


class Prefixing(tf.TextClassificationPipeline):
    def __call__(self, inputs: Any, **parameters: Any) -> Any:
        return super().__call__("Dull, never funny: " + inputs, **parameters)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"function_to_apply": "sigmoid"},
    {"config": {"problem_type": "multi_label_classification"}},
    {"config": {"function_to_apply": "sigmoid"}},
    {"add_special_tokens": False},
    {"padding": "max_length", "truncation": True, "max_length": 40},
    {"pipeline": Shouting},
    {"pipeline": Tempered},
    {"pipeline": Shouting, "tokenizer": metaspace_tokenizer},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_what_is_set_on_a_classifier_counts(settings: dict[str, Any], masking: str) -> None:
    settings = dict(settings)
    if "tokenizer" in settings:
        settings["tokenizer"] = settings["tokenizer"]()
    pipe = classifier(**settings)
    for value, call in (("probability", {}), ("logit", {"function_to_apply": "none"})):
        function = bind(pipe, TEXT, value=value, target=0, masking=masking)
        masks = masks_of(function.n_features)
        if not settings.get("add_special_tokens", True) and masking == "delete":
            masks = masks[masks.any(axis=1)]  # an empty text has no tokens at all
        np.testing.assert_allclose(
            function(masks), scores(pipe, function, masks, **call), atol=1e-4
        )


def test_function_to_apply_is_an_option_too() -> None:
    pipe = classifier()
    function = bind(pipe, TEXT, value="probability", function_to_apply="sigmoid", target=1)
    masks = masks_of(function.n_features)
    expected = scores(pipe, function, masks, function_to_apply="sigmoid")
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    with pytest.raises(InputError, match=r"function_to_apply must be .* got 'softplus'"):
        bind(pipe, TEXT, function_to_apply="softplus")


@pytest.mark.parametrize("settings", [{"function_to_apply": "sigmoid"}, {}], ids=str)
def test_a_margin_leads_a_label_only_where_there_is_one_to_lead(settings: dict[str, Any]) -> None:
    pipe = classifier(**settings)
    found = InteractionExplainer(pipe, value="margin", progress=False, budget=40)(TEXT).record
    logits = pipe.model(**pipe.tokenizer(TEXT, return_tensors="pt")).logits[0].tolist()
    said = verdict_of(found, found.full_value).text
    own, others = max(logits), sorted(logits)[:-1]
    if settings:  # each label a yes or no of its own, so that its margin is the log-odds
        assert found.full_value == pytest.approx(own, abs=1e-4)
        (score,) = pipe(TEXT)
        assert said.startswith(f"{round(100 * score['score'])}% {score['label']}")
    else:
        assert found.full_value == pytest.approx(own - others[-1], abs=1e-4)
        assert "leads the next label by" in said


@pytest.mark.parametrize("value", ["probability", "log-odds", "margin"])
def test_a_regression_has_no_probability(value: str) -> None:
    pipe = classifier(config={"problem_type": "regression"})
    with pytest.raises(InputError, match=f"value='{value}' has no meaning here: the pipeline"):
        bind(pipe, TEXT, value=value)
    function = bind(pipe, TEXT)
    masks = masks_of(function.n_features)
    np.testing.assert_allclose(function(masks), scores(pipe, function, masks), atol=1e-4)


@pytest.mark.parametrize("pipeline", [Doubting, Prefixing])
def test_a_pipeline_that_answers_otherwise_than_its_model_is_refused(pipeline: type) -> None:
    with pytest.raises(InputError, match=f"{pipeline.__name__} itself answers .* but its model"):
        bind(classifier(pipeline), TEXT)


class Calibrated(tf.TextClassificationPipeline):
    """One answer, not a list of one, and softer than the model's outputs."""

    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        outputs = {**model_outputs, "logits": model_outputs["logits"] / 3}
        said = super().postprocess(outputs, **parameters)
        return max(said, key=lambda each: each["score"])


class ByLabel(tf.TextClassificationPipeline):
    softer = 1.0

    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        outputs = {**model_outputs, "logits": model_outputs["logits"] / self.softer}
        said = super().postprocess(outputs, **parameters)
        return {each["label"]: each["score"] for each in said}


class Softer(ByLabel):
    softer = 3.0


class Capitals(tf.TextClassificationPipeline):
    """Makes of a mask token what it is not, and of a text in capitals what it is."""

    def __call__(self, inputs: Any, **parameters: Any) -> Any:
        return super().__call__(inputs.upper(), **parameters)


@pytest.mark.parametrize("pipeline", [Calibrated, Softer])
def test_another_answer_in_a_form_of_its_own_is_refused_too(pipeline: type) -> None:
    with pytest.raises(InputError, match=f"{pipeline.__name__} itself answers .* for this input,"):
        bind(classifier(pipeline), TEXT)


class Best(tf.TextClassificationPipeline):
    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        said = super().postprocess(model_outputs, **parameters)
        return max(said, key=lambda each: each["score"])


class Stars(tf.TextClassificationPipeline):
    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        return "*" * (1 + int(model_outputs["logits"].argmax()))


@pytest.mark.parametrize("pipeline", [Best, ByLabel])
def test_the_same_answer_in_a_form_of_its_own_is_explained(pipeline: type) -> None:
    pipe = classifier(pipeline)
    function = bind(pipe, TEXT, value="probability")
    assert function.notes == ()
    said = pipe(TEXT, top_k=None)
    score = said["score"] if pipeline is Best else said[function.target.label]
    whole = np.ones((1, function.n_features), bool)
    assert function(whole)[0] == pytest.approx(score, abs=1e-5)


def test_an_answer_that_cannot_be_read_is_told() -> None:
    explainer = InteractionExplainer(classifier(Stars), progress=False, budget=20)
    with pytest.warns(ProxySpexWarning, match=r"Stars answers in a form of its own \('\*+'\)"):
        found = explainer("It is dull")
    assert any("could not be compared" in note for note in found.record.provenance.notes)


def test_what_a_pipeline_changes_of_masked_inputs_alone_is_found() -> None:
    pipe = classifier(Capitals)
    text = "THE PLOT IS DULL"
    mask = np.arange(bind(classifier(), text).n_features) % 2 == 1
    masked = bind(classifier(), text).masked_input(mask)
    assert pipe(text, top_k=None) == classifier()(text, top_k=None)
    assert masked != masked.upper()
    with pytest.raises(InputError, match=r"Capitals itself .* with every other feature masked"):
        bind(pipe, text, masking="mask")
    assert bind(pipe, text, masking="delete").n_features == len(mask)


def test_a_pipelines_subclass_knows_its_task() -> None:
    made = roberta_pipeline()
    pipe = Tempered(model=made.model, tokenizer=made.tokenizer, device="cpu")
    function = bind(pipe, TEXT)
    masks = masks_of(function.n_features)
    expected = scores(pipe, function, masks, function_to_apply="none")
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_truncating_pipelines_own_part_is_explained(side: str) -> None:
    pipe = classifier(truncation=True, max_length=14)
    pipe.tokenizer.truncation_side = side
    text = "good great " * 10 + "dull never funny."
    function = bind(pipe, text)
    assert text.startswith(function.text) if side == "right" else text.endswith(function.text)
    (note,) = function.notes
    assert (
        f"the pipeline truncates it at 14 tokens, so the {'last' if side == 'right' else 'first'}"
        in note
    )
    whole = {s["label"]: s["score"] for s in pipe(text, top_k=None, function_to_apply="none")}
    masks = masks_of(function.n_features)
    values = function(masks)
    assert values[0] == pytest.approx(whole[function.target.label], abs=1e-5)
    expected = scores(pipe, function, masks, function_to_apply="none")
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_why_a_text_was_cut() -> None:
    text = " ".join(["great", "dull"] * 18)
    pipe = roberta_pipeline()
    assert not bind(pipe, text).notes
    (note,) = bind(pipe, text, mask_token="a longer phrase here").notes
    tokens = len(pipe.tokenizer(text)["input_ids"])
    assert f"it has only {tokens} tokens, but with its features replaced by 'a longer" in note


def test_a_model_in_train_mode_is_asked_without_dropout_by_every_thread() -> None:
    pipe = roberta_pipeline()
    pipe.model.config.hidden_dropout_prob = 0.5
    function = bind(pipe, TEXT, batch_size=2)
    masks = masks_of(function.n_features, 40)
    expected = function(masks)
    pipe.model.train()
    for module in pipe.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    modes = [module.training for module in pipe.model.modules()]
    found: dict[int, np.ndarray] = {}

    def ask(thread: int) -> None:
        for _ in range(3):
            found[thread] = bind(pipe, TEXT, batch_size=2)(masks)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for values in found.values():
        np.testing.assert_allclose(values, expected, atol=1e-4)  # float32, in other batches
    assert len(found) == 8
    assert [module.training for module in pipe.model.modules()] == modes


class Pooling(torch.nn.Module):
    """Averages over every position: it ignores the attention mask."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model

    def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
        states = self.inner.roberta(input_ids).last_hidden_state.mean(1)
        head = self.inner.classifier
        logits = head.out_proj(torch.tanh(head.dense(states)))
        return tf.modeling_outputs.SequenceClassifierOutput(logits=logits)


def test_a_model_that_ignores_its_attention_mask_is_not_padded() -> None:
    pipe = roberta_pipeline()
    pooling = Pooling(pipe.model)
    pipe.model.forward = pooling.forward
    function = bind(pipe, TEXT, mask_token="...")
    masks = masks_of(function.n_features)
    expected = scores(pipe, function, masks, function_to_apply="none")
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    assert function.way == "equal sizes"


class Jumbling(tf.RobertaForSequenceClassification):
    """Each row's output depends on the others of its batch."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super().forward(*args, **kwargs)
        outputs["logits"] = outputs["logits"] + outputs["logits"].sum(0) - outputs["logits"]
        return outputs


def test_a_model_that_mixes_the_rows_of_a_batch_is_asked_alone() -> None:
    pipe = roberta_pipeline()
    pipe.model.__class__ = Jumbling
    function = bind(pipe, TEXT)
    masks = masks_of(function.n_features)
    expected = scores(pipe, function, masks, function_to_apply="none")
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    assert function.way == "alone"


def test_a_fast_path_that_raises_costs_speed_only() -> None:
    pipe = roberta_pipeline()
    plain = pipe.model.forward

    def one_row(*args: Any, **kwargs: Any) -> Any:
        if len(kwargs["input_ids"]) > 1:
            raise RuntimeError("one at a time, please")
        return plain(*args, **kwargs)

    pipe.model.forward = one_row
    function = bind(pipe, TEXT)
    masks = masks_of(function.n_features)
    expected = scores(pipe, function, masks, function_to_apply="none")
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    assert function.way == "alone"


@pytest.mark.parametrize("family", ["bart", "t5"])
@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_classifiers_that_look_for_the_end_token(family: str, masking: str) -> None:
    torch.manual_seed(0)
    if family == "bart":
        tokenizer = byte_level_tokenizer(mask=True)
        config: Any = tf.BartConfig(
            vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
            decoder_ffn_dim=32, max_position_embeddings=130, pad_token_id=1, bos_token_id=0,
            eos_token_id=2, decoder_start_token_id=2, init_std=0.5, id2label=LABELS,
            label2id={v: k for k, v in LABELS.items()},
        )  # fmt: skip
        model: Any = tf.BartForSequenceClassification(config)
    else:
        tokenizer = metaspace_tokenizer()
        end = tokenizer("dull")["input_ids"][-1]
        config = tf.T5Config(
            vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=end, initializer_factor=2.0,
            decoder_start_token_id=tokenizer.pad_token_id, id2label=LABELS,
            label2id={v: k for k, v in LABELS.items()},
        )  # fmt: skip
        model = tf.T5ForSequenceClassification(config)
    pipe = tf.TextClassificationPipeline(model=model.eval(), tokenizer=tokenizer, device="cpu")
    function = bind(pipe, TEXT, masking=masking)
    masks = masks_of(function.n_features)
    expected = scores(pipe, function, masks, function_to_apply="none")
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    assert function.way != "pipeline"


def said(pipe: Any, text: str) -> str:
    return str(pipe(text, return_full_text=False, do_sample=False)[0]["generated_text"])


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"max_new_tokens": 5}, None),
        ({"max_new_tokens": 8, "min_new_tokens": 8}, None),
        ({"max_new_tokens": 8, "repetition_penalty": 3.0}, "repetition_penalty chose the"),
        ({"max_new_tokens": 8, "num_beams": 4}, "found with 4 beams"),
        ({"max_new_tokens": 8, "prefix": "Once upon a time. "}, None),
        ({"max_new_tokens": 4, "do_sample": True}, "The pipeline samples; explained is"),
        ({"max_new_tokens": 4, "add_special_tokens": True}, None),
    ],
    ids=str,
)
def test_what_is_set_on_a_generator_counts(settings: dict[str, Any], note: str | None) -> None:
    made = generator()
    pipe = tf.TextGenerationPipeline(
        model=made.model, tokenizer=made.tokenizer, device="cpu", **settings
    )
    function = bind(pipe, TEXT, masking="delete")
    assert function.target.label == said(pipe, TEXT)
    if "do_sample" in settings and not hasattr(pipe, "_generate_kwargs"):
        note = None  # before transformers 5.20 it cannot be told from the task's default
    assert (note is None) == (not function.notes)
    assert note is None or note in function.notes[0]
    masks = masks_of(function.n_features)
    np.testing.assert_allclose(
        function(masks), [plainly(pipe, function, mask) for mask in masks], atol=1e-4
    )


@pytest.mark.parametrize("made", [generator, partial(generator, "gpt2")], ids=["llama", "gpt2"])
def test_that_a_pipeline_samples_by_default_is_told(made: Any) -> None:
    pipe = made()
    pipe.model.generation_config.max_new_tokens = 6
    torch.manual_seed(0)
    answers = {pipe(TEXT, return_full_text=False)[0]["generated_text"] for _ in range(5)}
    told = "The pipeline samples by default"
    notes = explained_notes(pipe)
    assert len(answers) > 1
    assert [note for note in notes if told in note]
    # Who asks for a likelihood of a given text, or set it, needs not be told.
    assert not [note for note in explained_notes(pipe, target=" great") if told in note]
    pipe.model.generation_config.do_sample = False
    assert not [note for note in explained_notes(pipe) if told in note]


def explained_notes(pipe: Any, **options: Any) -> tuple[str, ...]:
    explainer = InteractionExplainer(pipe, masking="delete", progress=False, budget=40)
    return explainer(TEXT, **options).record.provenance.notes


def plainly(pipe: Any, function: Any, mask: np.ndarray) -> float:
    """The log-perplexity of the target after what the pipeline's preprocess makes of a prompt."""
    prompt = pipe.preprocess(function.masked_input(mask), **pipe._preprocess_params)["input_ids"]
    if not prompt.shape[1]:
        prompt = torch.tensor([[pipe.model.generation_config.bos_token_id]])
    target = torch.from_numpy(function.target_ids)[None]
    with torch.inference_mode():
        ids = torch.cat([prompt, target], dim=1)
        logits = pipe.model(input_ids=ids, use_cache=False).logits[0, prompt.shape[1] - 1 : -1]
    found = logits.double().log_softmax(-1).gather(1, target[0][:, None])
    return -found.mean().item()


def test_an_own_output_ends_at_any_stop_token_of_the_model() -> None:
    made = generator()
    whole = bind(made, TEXT, masking="delete", max_new_tokens=12).target_ids

    def stopping_at(token: int) -> Any:
        made.model.generation_config.eos_token_id = [0, token]
        return tf.TextGenerationPipeline(model=made.model, tokenizer=made.tokenizer, device="cpu")

    function = bind(stopping_at(int(whole[3])), TEXT, masking="delete", max_new_tokens=12)
    assert function.target_ids.tolist() == whole[:3].tolist()
    with pytest.raises(InputError, match="ends its output at once"):
        bind(stopping_at(int(whole[0])), TEXT, masking="delete", max_new_tokens=12)


def half_precise(largest: float) -> Any:
    """A generator in bfloat16 whose largest logits are near a size."""
    tokenizer = byte_level_tokenizer(mask=False)
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=128, pad_token_id=0, bos_token_id=0,
        eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    model = tf.LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(largest / 10)
    made = model.to(torch.bfloat16).eval()
    return tf.TextGenerationPipeline(model=made, tokenizer=tokenizer, device="cpu")


def by_generating(function: Any, masks: np.ndarray) -> np.ndarray:
    rows = [function._by_generating(function._inputs(mask)) for mask in masks]
    return function.score(np.concatenate(rows))


@pytest.mark.parametrize("largest", [10.0, 30.0, 45.0])
def test_large_logits_in_half_precision_are_read_in_batches(largest: float) -> None:
    function = bind(half_precise(largest), TEXT, masking="delete", max_new_tokens=12)
    masks = masks_of(function.n_features)
    values = function(masks)
    assert function.way == "together"
    assert function.logits_size == pytest.approx(largest, rel=0.2)
    step = torch.finfo(torch.bfloat16).eps * function.logits_size
    np.testing.assert_allclose(values, by_generating(function, masks), atol=step)


def test_a_cache_that_changes_what_is_said_is_noticed_in_half_precision() -> None:
    pipe = half_precise(30.0)
    forward = pipe.model.forward

    def forgetting(*args: Any, past_key_values: Any = None, **given: Any) -> Any:
        made = forward(*args, past_key_values=past_key_values, **given)
        if past_key_values is not None and made.logits.shape[1] == 1:
            made.logits = made.logits * 0.9
        return made

    forgetting.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    pipe.model.forward = forgetting
    function = bind(pipe, TEXT, masking="delete", max_new_tokens=12)
    masks = masks_of(function.n_features)
    assert function.way == "pipeline"
    np.testing.assert_array_equal(function(masks), by_generating(function, masks))


@pytest.mark.parametrize("family", ["mistral", "gemma2", "phi3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_sliding_window_shorter_than_the_kept_prefix(family: str, dtype: torch.dtype) -> None:
    tokenizer = byte_level_tokenizer(mask=False)
    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
        "sliding_window": 24, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
        "initializer_range": 0.3,
    }  # fmt: skip
    config, model = {
        "mistral": (tf.MistralConfig, tf.MistralForCausalLM),
        "gemma2": (tf.Gemma2Config, tf.Gemma2ForCausalLM),
        "phi3": (tf.Phi3Config, tf.Phi3ForCausalLM),
    }[family]
    torch.manual_seed(0)
    made = model(config(**sizes, **({"head_dim": 16} if family != "phi3" else {})))
    pipe = tf.TextGenerationPipeline(model=made.to(dtype).eval(), tokenizer=tokenizer, device="cpu")
    prompt = Prompt(
        (
            PromptPart("The sequel was not once dull, but great fun. " * 3, "start"),
            PromptPart(TEXT, "context", masked=True),
        ),
        chat=False,
    )
    function = bind(pipe, prompt, masking="delete", target=" great but never funny")
    masks = masks_of(function.n_features, 20)
    values = function(masks)
    assert function._prefix > 24
    expected = np.array([plainly(pipe, function, mask) for mask in masks])
    tolerance = 1e-4 if dtype == torch.float32 else 0.06 * float(np.ptp(expected))
    np.testing.assert_allclose(values, expected, atol=tolerance)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_empty_prompt_begins_as_the_pipeline_begins_it(family: str) -> None:
    pipe = generator(family)
    function = bind(pipe, "good bad", masking="delete", target=" funny")
    empty = np.zeros((1, 2), bool)
    assert function.masked_input(empty[0]) == ""
    assert function(empty)[0] == pytest.approx(plainly(pipe, function, empty[0]), abs=1e-5)


def test_tokens_that_would_merge_are_not_put_together() -> None:
    pipe = roberta_pipeline()
    text = "great/never\\dull+funny"
    function = bind(pipe, text, features="tokens", masking="delete")
    rng = np.random.default_rng(0)
    masks = rng.random((400, function.n_features)) < 0.6
    items = [np.frombuffer(item, np.int64).tolist() for item in function.items(masks)]
    assert items == pipe.tokenizer([function.masked_input(m) for m in masks])["input_ids"]


def test_a_mask_token_is_never_the_end_of_a_text() -> None:
    """Byte-level tokenizers name another token their unknown one, such as the end of a text."""
    pipe = generator()
    pipe.tokenizer.unk_token, pipe.tokenizer.eos_token = "<s>", "</s>"
    assert bind(pipe, TEXT, target=" great").mask_token == "..."
    assert bind(roberta_pipeline(), TEXT).mask_token == "<mask>"
    assert bind(roberta_pipeline(metaspace_tokenizer()), TEXT).mask_token in ("<mask>", "<unk>")


def test_a_features_mask_tokens_are_as_many_as_its_tokens_in_the_text() -> None:
    pipe = roberta_pipeline()
    mask = AddedToken("<mask>", lstrip=True, special=True)  # as RoBERTa's takes the space before it
    pipe.tokenizer.add_special_tokens({"mask_token": mask})
    function = bind(pipe, TEXT)
    whole = pipe.tokenizer(TEXT)["input_ids"]
    lengths = {len(item) // 8 for item in function.items(masks_of(function.n_features, 50))}
    assert lengths == {len(whole)}


def test_an_embedding_is_that_of_the_pipelines_own_stages() -> None:
    class Scaled(tf.FeatureExtractionPipeline):
        def _forward(self, model_inputs: Any) -> Any:
            outputs = super()._forward(model_inputs)
            weights = torch.linspace(0, 2, outputs["last_hidden_state"].shape[-1])
            outputs["last_hidden_state"] = outputs["last_hidden_state"] * weights
            return outputs

    made = embedder()
    pipe = Scaled(
        model=made.model, tokenizer=made.tokenizer, device="cpu", task="feature-extraction"
    )
    function = bind(pipe, TEXT)
    masks = masks_of(function.n_features)
    whole = np.array(pipe(TEXT)[0]).mean(0)
    for mask, value in zip(masks, function(masks), strict=True):
        own = np.array(pipe(function.masked_input(mask))[0]).mean(0)
        cosine = own @ whole / np.linalg.norm(own) / np.linalg.norm(whole)
        assert value == pytest.approx(cosine, abs=1e-5)
    assert function.way == "pipeline"


def test_every_task_says_what_a_value_is() -> None:
    assert BoundInput.__abstractmethods__ == {"masked_input", "score"}


WAVE = np.sin(np.arange(6000) / 7).astype(np.float32)
CLAIMED: list[tuple[Any, Any, dict[str, Any]]] = [
    (embedder, TEXT, {}),
    (filler, "It <mask> a bad film", {}),
    (zero_shot, {"text": TEXT, "candidate_labels": ["a film", "food"]}, {}),
    (zero_shot, {"text": TEXT, "candidate_labels": ["a film", "food"]}, {"value": "probability"}),
    (image_classifier, picture(), {"patches": (2, 2)}),
    (
        clip,
        {"image": picture(), "candidate_labels": ["not bad", "a dull film"]},
        {"patches": (2, 2)},
    ),
    (audio_classifier, WAVE, {"patches": 5}),
]


@pytest.mark.parametrize("case", CLAIMED, ids=range(len(CLAIMED)))
def test_a_masked_input_is_compared_under_every_task_with_an_answer(case: Any) -> None:
    make, value, options = case
    function = bind(make(), value, **options)
    mask = np.arange(function.n_features) % 2 == 1
    said, made = function.claims(mask)
    whole, _ = function.claims(np.ones_like(mask))
    assert [name for name, _ in said] == [name for name, _ in made]
    masked = [number for _, number in said]
    assert masked == pytest.approx([number for _, number in made], abs=1e-5)
    assert masked != pytest.approx([number for _, number in whole], abs=1e-4)
