"""Remembered answers are those of the very function that is asked now."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from children import Child
from counting import AGAIN, rows_asked
from tiny_models import roberta_pipeline
from tiny_pipelines import audio_classifier, clip, generator, image_classifier, picture

from proxyspex_hf import InteractionExplainer, ModelError, Progress, ProxySpexWarning
from proxyspex_hf.hf.identity import identity_of
from proxyspex_hf.hf.weights import weights_fingerprint

TEXT = "It is not a bad film"


def full(pipe: Any, **options: Any) -> float:
    return InteractionExplainer(pipe, **options)(TEXT).record.full_value


class LowRank(torch.nn.Module):
    """A linear layer with adapters, as peft keeps them: weights of each, and which one is on."""

    def __init__(self, base: torch.nn.Linear) -> None:
        super().__init__()
        self.base = base
        torch.manual_seed(1)
        self.adapters = torch.nn.ModuleDict(
            {name: torch.nn.Linear(base.in_features, base.out_features) for name in ("a", "b")}
        )
        self._active_adapter = ["a"]
        self._disable_adapters = False
        self.scaling = {"a": 1.0, "b": 1.0}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.base(x)
        for name in () if self._disable_adapters else self._active_adapter:
            out = out + self.scaling[name] * self.adapters[name](x)
        return out


def with_adapters() -> Any:
    pipe = roberta_pipeline()
    head = pipe.model.classifier
    head.out_proj = LowRank(head.out_proj)
    return pipe


def half(_module: Any, _args: Any, out: Any) -> Any:
    return out * 0.5 if torch.is_tensor(out) else (out[0] * 0.5, *out[1:])


def swap_rows(pipe: Any) -> None:
    table = pipe.model.roberta.embeddings.word_embeddings.weight
    one, two = (pipe.tokenizer(word)["input_ids"][1] for word in (" bad", " not"))
    with torch.no_grad():
        table[[one, two]] = table[[two, one]]


def negate(pipe: Any) -> None:
    with torch.no_grad():  # an even number of signs: sums of bits must not cancel
        pipe.model.classifier.out_proj.weight.mul_(-1)


CHANGES = {
    "problem type": lambda p: setattr(p.model.config, "problem_type", "multi_label_classification"),
    "hook": lambda p: p.model.roberta.encoder.layer[0].register_forward_hook(half),
    "rows swapped": swap_rows,
    "signs": negate,
    "bias": lambda p: p.model.classifier.out_proj.bias.data[0].add_(0.5),
    "another activation": lambda p: setattr(
        p.model.roberta.encoder.layer[0].intermediate, "intermediate_act_fn", torch.nn.Tanh()
    ),
    "forward replaced": lambda p: setattr(
        p.model.classifier,
        "forward",
        lambda x: type(p.model.classifier).forward(p.model.classifier, 2 * x),
    ),
    "buffer": lambda p: p.model.roberta.embeddings.position_ids.copy_(
        p.model.roberta.embeddings.position_ids.flip(1)
    ),
}
ADAPTERS = {
    "adapter switched": lambda head: setattr(head, "_active_adapter", ["b"]),
    "adapters off": lambda head: setattr(head, "_disable_adapters", True),
    "adapter scaled": lambda head: head.scaling.update(a=2.0),
}


def change(name: str) -> tuple[Any, Any]:
    """A pipeline, and what changes it."""
    if name in ADAPTERS:
        pipe = with_adapters()
        return pipe, lambda: ADAPTERS[name](pipe.model.classifier.out_proj)
    pipe = roberta_pipeline()
    return pipe, lambda: CHANGES[name](pipe)


@pytest.mark.parametrize("name", [*CHANGES, *ADAPTERS])
def test_another_function_is_not_answered_from_the_cache(tmp_path: Path, name: str) -> None:
    pipe, make = change(name)
    options = {"target": "POSITIVE", "value": "log-odds"}
    before = full(pipe, cache_dir=tmp_path, **options)
    assert full(pipe, cache_dir=tmp_path, **options) == before
    assert len(list(tmp_path.glob("*.values"))) == 1
    make()
    fresh = full(pipe, **options)
    if name != "buffer":  # RoBERTa counts its positions itself
        assert abs(fresh - before) > 1e-3
    assert full(pipe, cache_dir=tmp_path, **options) == pytest.approx(fresh, abs=1e-5)
    assert len(list(tmp_path.glob("*.values"))) == 2


def stop_late(progress: Progress) -> None:
    if progress.phase == "model calls" and progress.done >= progress.total > 1:
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", [*CHANGES, *ADAPTERS])
def test_another_function_does_not_continue_an_interrupted_call(name: str) -> None:
    pipe, make = change(name)
    explainer = InteractionExplainer(pipe, target="POSITIVE", value="log-odds")
    with pytest.raises(KeyboardInterrupt):
        explainer(TEXT, progress=stop_late)
    make()
    fresh = full(pipe, target="POSITIVE", value="log-odds")
    assert explainer(TEXT).record.full_value == pytest.approx(fresh, abs=1e-5)


def test_an_interrupted_call_is_continued_after_a_few_masks() -> None:
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(pipe, target="POSITIVE")
    with pytest.raises(KeyboardInterrupt):
        explainer(TEXT, progress=stop_late)
    binding = rows_asked(pipe, lambda: explainer.value_function(TEXT))
    found: list[Any] = []
    asked = rows_asked(pipe, lambda: found.append(explainer(TEXT)))
    assert asked == binding + AGAIN
    assert found[0] == InteractionExplainer(pipe, target="POSITIVE")(TEXT)
    # What was explained is not kept: weights may change without a word.
    assert rows_asked(pipe, lambda: explainer(TEXT)) >= binding + 64


def test_a_sibling_is_not_asked_again_after_an_interruption() -> None:
    pipe, small = roberta_pipeline(), roberta_pipeline()
    texts = [f"{TEXT}, and {more} it was never funny at all" for more in ("then", "perhaps")]
    sibling = InteractionExplainer(small, proxy="gaussian")
    explainer = InteractionExplainer(
        pipe, proxy="gaussian", target="POSITIVE", sibling=sibling, budget=30
    )
    with pytest.raises(KeyboardInterrupt):
        explainer(texts, progress=stop_late)
    binding = sum(rows_asked(small, lambda t=t: sibling.value_function(t)) for t in texts)
    found: list[Any] = []
    assert rows_asked(small, lambda: found.extend(explainer(texts))) == binding + 2 * AGAIN
    fresh = InteractionExplainer(pipe, proxy="gaussian", target="POSITIVE", budget=30)
    assert found == fresh(texts, sibling=InteractionExplainer(small, proxy="gaussian"))
    # What was explained is not kept: weights may change without a word.
    assert rows_asked(small, lambda: explainer(texts[0])) > binding + 100


@pytest.mark.parametrize("masks", ["of a pipeline", "of texts", "of features"])
def test_a_function_that_answers_otherwise_now_is_asked_anew(masks: str) -> None:
    shift = 0.0

    def value(outputs: Any) -> Any:
        return outputs[:, 0] + shift

    def of_texts(texts: list[str]) -> list[float]:
        return [len(text) + shift for text in texts]

    def of_masks(rows: Any) -> Any:
        return rows.sum(1) + shift

    pipe = {"of a pipeline": roberta_pipeline(), "of texts": of_texts, "of features": of_masks}
    explainer = InteractionExplainer(pipe[masks])
    options = {"value": value} if masks == "of a pipeline" else {}
    given: Any = 6 if masks == "of features" else TEXT
    with pytest.raises(KeyboardInterrupt):
        explainer(given, progress=stop_late, **options)
    shift = 1000.0
    with pytest.warns(ProxySpexWarning, match="kept from the interrupted call are not what this"):
        found = explainer(given, **options)
    assert found.record.queries.values.min() > 900


def test_a_function_that_is_gone_is_not_taken_for_another() -> None:
    explainer = InteractionExplainer(roberta_pipeline())
    for shift in range(5):
        with pytest.raises(KeyboardInterrupt):
            explainer(TEXT, progress=stop_late, value=lambda z: z[:, 0])
        found = explainer(TEXT, value=lambda z, add=1000 * shift: add + z[:, 0])
        assert abs(found.record.full_value - 1000 * shift) < 500


class Steered:
    """A hook whose strength no key can see."""

    def __init__(self) -> None:
        self.strength = 1.0

    def __call__(self, _module: Any, _args: Any, output: Any) -> None:
        output.logits.mul_(self.strength)


def test_stored_answers_are_tried_before_they_are_trusted(tmp_path: Path) -> None:
    pipe, steering = roberta_pipeline(), Steered()
    pipe.model.register_forward_hook(steering)
    options = {"cache_dir": tmp_path, "target": 0}
    before = full(pipe, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert full(pipe, **options) == before
    steering.strength = 1.5
    with pytest.warns(ProxySpexWarning, match=r"kept from .*\.values are not what .* it now gives"):
        found = InteractionExplainer(pipe, **options)(TEXT)
    assert found.record.full_value == pytest.approx(1.5 * before, rel=1e-5)
    assert found.record.queries.values == pytest.approx(
        InteractionExplainer(pipe, target=0)(TEXT).record.queries.values, abs=1e-5
    )
    # The file was begun anew: now it holds the answers of today.
    assert full(pipe, **options) == found.record.full_value
    assert len(list(tmp_path.glob("*.values"))) == 1


def test_a_store_is_used_for_a_model_that_fails_now(tmp_path: Path) -> None:
    pipe, steering = roberta_pipeline(), Steered()
    pipe.model.register_forward_hook(steering)
    explainer = InteractionExplainer(pipe, cache_dir=tmp_path, target=0)
    function = explainer.value_function(TEXT)
    assert np.isfinite(function(np.ones((1, 6), bool))).all()
    explainer(TEXT)
    steering.strength = float("nan")
    with (
        pytest.warns(ProxySpexWarning, match="it now gives nan"),
        pytest.raises(ModelError, match="gave nan"),
    ):
        explainer(TEXT)


def masked_tokens() -> dict[str, Any]:
    return {
        "text": (roberta_pipeline, TEXT, {}),
        "prompt": (generator, "Jim is a baker", {"mask_token": "_", "max_new_tokens": 2}),
        "pair": (clip, {"image": picture(48, 48), "text": "a red circle"}, {"patches": 2}),
        "image": (image_classifier, picture(48, 48), {"patches": 4}),
        "sound": (audio_classifier, np.sin(np.arange(1600) / 9).astype("f4"), {"patches": 4}),
    }


@pytest.mark.parametrize("name", masked_tokens())
def test_asking_changes_nothing_of_what_is_asked(name: str) -> None:
    make, given, options = masked_tokens()[name]
    pipe = make()
    before = identity_of(pipe, pipe.model, "task")
    InteractionExplainer(pipe, **options)(given)
    assert identity_of(pipe, pipe.model, "task") == before
    other = make()
    assert identity_of(other, other.model, "task") == before


def test_what_is_set_on_a_pipeline_belongs_to_the_key() -> None:
    def key(**settings: Any) -> dict[str, Any]:
        pipe = generator()
        for name, value in settings.items():
            setattr(pipe, name, value)
        return identity_of(pipe, pipe.model, "text-generation")

    plain = key()
    for settings in (
        {"_preprocess_params": {"add_special_tokens": False}},
        {"_forward_params": {"max_new_tokens": 3}},
        {"_postprocess_params": {"clean_up_tokenization_spaces": True}},
        {"prefix": "Once"},
    ):
        other = key(**settings)
        assert {name for name in plain if plain[name] != other[name]} == {"pipeline"}
    pipe = generator()
    pipe.tokenizer.add_tokens(["<new>"])
    assert identity_of(pipe, pipe.model, "text-generation")["tokenizer"] != plain["tokenizer"]
    pipe = generator()
    pipe.model.generation_config.eos_token_id = [5]
    assert identity_of(pipe, pipe.model, "text-generation")["config"] != plain["config"]


@pytest.mark.filterwarnings("error::proxyspex_hf.ProxySpexWarning")
def test_what_is_applied_to_logits_belongs_to_the_key(tmp_path: Path) -> None:
    """Two functions of one text by turns: neither is answered, nor thrown out, by the other."""
    pipe, text = roberta_pipeline(), "It is not bad"
    explainer = InteractionExplainer(pipe, value="probability", cache_dir=tmp_path, target=1)
    quick = {"budget": 20, "progress": False}
    label = pipe.model.config.id2label[1]
    for applied in ("softmax", "sigmoid", "softmax", "sigmoid", None):
        said = pipe(text, top_k=None, function_to_apply=applied or "softmax")
        score = next(each["score"] for each in said if each["label"] == label)
        found = explainer(text, function_to_apply=applied, **quick)
        assert found.record.full_value == pytest.approx(score, abs=1e-5)
    assert len(list(tmp_path.glob("*.values"))) == 2  # softmax is what the pipeline applies anyway
    bare = InteractionExplainer(pipe).value_function(text)
    named = InteractionExplainer(pipe).value_function(text, function_to_apply="softmax")
    # Nothing is added to the key of what is not chosen: it is that of answers kept before.
    assert bare.fingerprint() == named.fingerprint()
    assert "chosen" not in bare.fingerprint()


@pytest.mark.filterwarnings("ignore:The processor reads the middle")
def test_the_images_of_other_pairs_belong_to_the_key(tmp_path: Path) -> None:
    options = {"patches": (2, 2), "value": "contrastive loss", "budget": 20, "progress": False}
    explainer = InteractionExplainer(clip(), cache_dir=tmp_path, **options)

    def loss(seed: int, explainer: InteractionExplainer) -> float:
        others = [(picture(seed=seed), "a dog")]
        return explainer({"image": picture(), "text": "a cat", "others": others}).record.full_value

    fresh = [loss(seed, InteractionExplainer(clip(), **options)) for seed in (1, 5)]
    assert abs(fresh[0] - fresh[1]) > 0.01
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the answers kept from")
        kept = [loss(seed, explainer) for seed in (1, 5, 1, 5)]
    assert kept == pytest.approx(fresh * 2, abs=1e-5)
    assert len(list(tmp_path.glob("*.values"))) == 2


def test_the_key_is_the_same_in_another_process() -> None:
    """Of another hash seed."""
    child = Child(
        "from tiny_models import roberta_pipeline\n"
        "from proxyspex_hf.hf.identity import as_text, identity_of\n"
        "pipe = roberta_pipeline()\n"
        "print(as_text(identity_of(pipe, pipe.model, 'task')))\n"
    )
    from proxyspex_hf.hf.identity import as_text

    pipe = roberta_pipeline()
    assert child.done().strip() == as_text(identity_of(pipe, pipe.model, "task"))


def test_every_bit_at_its_place() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(300, 700)  # more numbers than one sum takes
    seen = {weights_fingerprint(model)}
    weight = model.weight.data

    def changed() -> None:
        new = weights_fingerprint(model)
        assert new not in seen
        seen.add(new)

    bits = weight.view(torch.int32)
    bits[411, 17] ^= 1  # the last bit of one number
    changed()
    weight[[3, 690]] = weight[[690, 3]]  # two rows
    changed()
    weight[:, [0, 1]] = weight[:, [1, 0]]
    changed()
    weight.neg_()
    changed()
    for dtype in (torch.float64, torch.bfloat16, torch.float16, torch.float8_e4m3fn):
        model.to(dtype)
        changed()
    before = weights_fingerprint(model)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert weights_fingerprint(model) == before
    torch.set_num_threads(threads)


def test_offloaded_weights_are_read_where_they_wait(tmp_path: Path) -> None:
    whole = weights_fingerprint(roberta_pipeline().model)
    for number, offload in enumerate(
        (
            lambda m: accelerate.cpu_offload(m, execution_device="cpu"),
            lambda m: accelerate.disk_offload(m, tmp_path, execution_device="cpu"),
        )
    ):
        model = roberta_pipeline().model
        if number == 0:
            offload(model)
            assert next(model.parameters()).device.type == "meta"
            assert weights_fingerprint(model) == whole
            continue
        with torch.no_grad():
            model.classifier.out_proj.weight[0, 0] += 1
        changed = weights_fingerprint(model)
        offload(model)
        assert weights_fingerprint(model) == changed != whole
    empty = torch.nn.Linear(3, 4, device="meta")  # nothing is there to be read
    assert weights_fingerprint(empty) != weights_fingerprint(torch.nn.Linear(4, 4, device="meta"))
