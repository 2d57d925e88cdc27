"""The value of a mask is that of a model whose weights were edited; the user's model is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_heads import FURTHER, MAIN, PLACES, build, edited, examples, judged

from proxyspex_hf import ModelError
from proxyspex_hf.studies import HeadAttribution

MASKS = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 0, 1],
        [1, 1, 0, 1, 0, 0, 0, 1],
    ],
    dtype=bool,
)


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        *((kind, layers) for kind in MAIN for layers in ((0, 1), (1, 2), (0, 2))),
        *((kind, (1, 2)) for kind in FURTHER),
    ],
)
def test_values_are_those_of_edited_weights(kind: str, layers: tuple[int, ...]) -> None:
    pipe, asked = build(kind), examples(kind)
    study = HeadAttribution(pipe, asked, layers=layers)
    found = study.scores(MASKS)
    for row, mask in enumerate(MASKS):
        model = edited(kind, pipe, layers, mask)
        truth = np.array([judged(pipe, model, example) for example in asked])
        assert found.accuracy[row] == truth[:, 0].mean()
        assert found.log_probability[row] == pytest.approx(truth[:, 1].mean(), abs=2e-5)
    assert np.ptp(found.log_probability) > 1e-2  # the heads matter
    np.testing.assert_allclose(study.function(MASKS), found.log_probability, atol=1e-6)
    accuracy = HeadAttribution(pipe, asked, layers=layers, value="accuracy")
    np.testing.assert_array_equal(accuracy.function(MASKS), found.accuracy)


@pytest.mark.parametrize(
    "kind", [k for k in MAIN if k != "gpt2_classifier"]
)  # that one takes single rows
def test_earlier_layers_are_run_once(kind: str) -> None:
    pipe = build(kind)
    study = HeadAttribution(pipe, examples(kind), layers=(2,), batch_size=1)
    path, _ = PLACES[kind]
    runs = [0, 0, 0]

    def count(layer: int) -> Any:
        def hook(*_: Any) -> None:
            runs[layer] += 1

        return hook

    for layer in range(3):
        pipe.model.get_submodule(f"{path}.{layer}").register_forward_hook(count(layer))
    masks = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0]], dtype=bool)
    study.function(masks)
    groups = len(study.function.examples.groups)
    # One pass to keep the states of each group, and two to try whether that works.
    assert runs[0] == runs[1] == groups + 2
    assert runs[2] == groups + 3 + 3 * groups


def fingerprint(pipe: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor, list[int]]:
    state = {name: tensor.clone() for name, tensor in pipe.model.state_dict().items()}
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        output = pipe.model(input_ids=ids).logits
    hooks = [
        len(hooks)
        for module in pipe.model.modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
    ]
    return state, output, hooks


def assert_unchanged(pipe: Any, before: Any) -> None:
    state, output, hooks = fingerprint(pipe)
    assert state.keys() == before[0].keys()
    assert all(torch.equal(state[name], before[0][name]) for name in state)
    assert torch.equal(output, before[1])
    assert sum(hooks) == sum(before[2]) == 0


@pytest.mark.parametrize("kind", MAIN)
def test_the_model_is_unchanged(kind: str) -> None:
    pipe = build(kind)
    attributes = [set(vars(module)) for module in pipe.model.modules()]
    before = fingerprint(pipe)
    HeadAttribution(pipe, examples(kind), layers=(1, 2)).function(MASKS)
    assert_unchanged(pipe, before)
    assert [set(vars(module)) for module in pipe.model.modules()] == attributes
    assert not pipe.model.training


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("layers", [(0,), (2,)])
def test_hooks_are_gone_after_an_exception(error: BaseException, layers: tuple[int, ...]) -> None:
    pipe = build("llama")
    before = fingerprint(pipe)
    study = HeadAttribution(pipe, examples("llama"), layers=layers)
    calls = 0

    def fails(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls >= 3:
            raise error

    handle = pipe.model.model.layers[2].mlp.register_forward_pre_hook(fails)
    expected = ModelError if isinstance(error, RuntimeError) else KeyboardInterrupt
    with pytest.raises(expected):
        study.function(np.ones((2, 4), dtype=bool))
    assert calls >= 3
    handle.remove()
    assert_unchanged(pipe, before)


def test_training_mode_is_put_back() -> None:
    pipe = build("bert")
    pipe.model.train()
    study = HeadAttribution(pipe, examples("bert"), layers=(1,))
    mask = np.ones((1, 4), dtype=bool)
    assert study.function(mask) == study.function(mask)  # no dropout inside
    assert all(module.training for module in pipe.model.modules())


@pytest.mark.parametrize("kind", ["llama", "distilbert"])
def test_neither_batch_nor_order_matters(kind: str) -> None:
    pipe, asked = build(kind), examples(kind)
    masks = np.random.default_rng(0).random((12, 8)) < 0.5
    whole = HeadAttribution(pipe, asked, layers=(1, 2)).function(masks)
    alone = HeadAttribution(pipe, asked, layers=(1, 2), batch_size=1).function(masks[::-1])
    np.testing.assert_allclose(whole, alone[::-1], atol=1e-6)
    backwards = HeadAttribution(pipe, asked[::-1], layers=(1, 2)).function(masks)
    np.testing.assert_allclose(whole, backwards, atol=1e-6)


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = build("llama")
    study = HeadAttribution(pipe, examples("llama"), layers=(1,))
    masks = np.random.default_rng(0).random((6, 4)) < 0.5
    truth = study.function(masks)
    forward = type(study.function)._forward
    sizes = []

    def small(self: Any, rows: Any, scales: torch.Tensor, states: Any) -> torch.Tensor:
        sizes.append(len(scales))
        if len(scales) > 2:
            raise torch.cuda.OutOfMemoryError("no room")
        return forward(self, rows, scales, states)

    monkeypatch.setattr(type(study.function), "_forward", small)
    np.testing.assert_allclose(study.function(masks), truth, atol=1e-6)
    assert max(sizes) > 2 >= min(sizes)


def test_a_layer_that_hands_on_more_than_states_is_run_whole() -> None:
    pipe, asked = build("llama"), examples("llama")
    plain = HeadAttribution(pipe, asked, layers=(2,)).function(MASKS[:, :4])
    study = HeadAttribution(pipe, asked, layers=(2,))
    seen: list[Any] = []
    # The last layer takes something from the first one past the hidden states.
    first, last = pipe.model.model.layers[0], pipe.model.model.layers[2]
    first.register_forward_hook(lambda _m, _a, output: seen.append(output.mean(-1, keepdim=True)))
    last.register_forward_hook(lambda _m, _a, output: output + seen.pop())
    whole = study.function(MASKS[:, :4])
    assert study.function._tail_works is False
    assert np.abs(whole - plain).max() > 1e-4


def test_options_of_one_token_share_a_row() -> None:
    pipe = build("llama")
    study = HeadAttribution(pipe, examples("llama"), layers=(0,))
    own = study.function.examples
    by_example = np.diff(own.starts)
    assert by_example.tolist() == [3, 2, 4, 2]
    assert len(own.rows) < by_example.sum()
