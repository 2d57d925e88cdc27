"""The study as its users have it: explained, resumed, pruned, judged on other examples."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from children import Child
from tiny_heads import build, edited, examples, judged
from tiny_models import byte_level_tokenizer

from proxyspex_hf import FourierSpectrum, InputError, InteractionExplanation, ModelError, studies
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.studies import Choice, HeadAttribution, Labelled
from proxyspex_hf.studies.heads.pruning import energy_of, random_masks
from proxyspex_hf.viz.verdict import flip, verdict_of
from proxyspex_hf.viz.wording import signed


def either_head(first: tuple[int, int], second: tuple[int, int]) -> Any:
    """A language model that says " great" where one of two heads (layer, head) is kept at least.

    Only these heads write, along a direction that only " great" is read from.
    """
    tokenizer = byte_level_tokenizer(mask=False)
    config = tf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=8,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    model = tf.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.zero_()
        model.model.embed_tokens.weight[:, 0] = 1.0
        for layer, head in (first, second):
            attention = model.model.layers[layer].self_attn
            attention.v_proj.weight[4 * head, 0] = 1.0
            attention.o_proj.weight[1, 4 * head] = 1.0
        (great,) = tokenizer(" great")["input_ids"]
        model.lm_head.weight[great, 1] = 1.0
    return tf.TextGenerationPipeline(model=model, tokenizer=tokenizer, device="cpu")


GREAT = [
    Choice("The plot is", (" dull", " great"), " great"),
    Choice("It was not", (" great", " dull"), 0),
]


@pytest.mark.parametrize(
    ("first", "second", "where"),
    [((0, 1), (2, 3), "across_layers")],
)
def test_two_heads_that_stand_in_for_each_other_are_found(
    first: tuple[int, int], second: tuple[int, int], where: str
) -> None:
    pipe = either_head(first, second)
    study = HeadAttribution(pipe, GREAT, layers=(0, 1, 2), value="accuracy")
    explanation = study.explain(n_test=20)
    assert explanation.record.fit.method != "exact"
    a, b = (4 * layer + head for layer, head in (first, second))
    # f = 1 - (1 - a)(1 - b): its coefficients are 3/4, and -1/4 three times.
    found = explanation.spectrum.top(3).to_dict()
    del found[()]
    assert found == {t: pytest.approx(-0.25, abs=0.03) for t in ((a,), (b,), (a, b))}
    # At the whole model neither is missed alone: either is enough.
    pair = explanation.top(1)[0]
    assert (pair.members, pair.kind) == ((a, b), "either is enough")
    assert pair.effect == pytest.approx(-1.0, abs=0.1)
    assert pair.labels == tuple(f"L{layer} H{head}" for layer, head in (first, second))
    assert explanation.faithfulness[0.5] is not None
    assert explanation.faithfulness[0.5] > 0.95
    shares = study.energy(explanation).shares
    assert shares["linear"] == pytest.approx(2 / 3, abs=0.05)
    assert shares[where] == pytest.approx(1 / 3, abs=0.05)
    # One of the two is enough, and the program knows that the second adds nothing.
    pruned = study.prune(explanation, (1, 2), held_out=GREAT[:1], n_random=3)
    best = {row.kept: row for row in pruned if row.method == "ProxySPEX"}
    assert best[1].heads[0] in (study.labels[a], study.labels[b])
    assert best[1].value == best[1].accuracy == 1.0
    worst = explanation.minimize(exactly=10)
    assert set(worst.removed) == {a, b}
    assert study.scores(worst.mask).accuracy.tolist() == [0.0]


def test_few_heads_are_explained_exactly() -> None:
    pipe, asked = build("distilbert"), examples("distilbert")
    study = HeadAttribution(pipe, asked, layers=[-1])
    explanation = study.explain()
    assert study.labels == ("L2 H0", "L2 H1", "L2 H2", "L2 H3")
    assert explanation.record.fit.method == "exact"
    masks = all_masks(4)
    truth = []
    for mask in masks:
        model = edited("distilbert", pipe, (2,), mask)
        truth.append(np.mean([judged(pipe, model, example)[1] for example in asked]))
    np.testing.assert_allclose(explanation.predict(masks), truth, atol=2e-5)
    record = explanation.record
    assert record.target.label == "log-probability on 4 examples"
    # A mean over examples is no share of any of them, and has no point at which it turns.
    said = verdict_of(record, record.full_value).text
    assert said == f"Log-probability {signed(explanation.value, 2)} for “4 examples”."
    assert flip(record).flips is None
    assert "%" not in str(explanation).split("effect")[0]
    assert record.settings.arguments["layers"] == [2]
    assert record.provenance.model == "DistilBertForSequenceClassification"


def test_an_explanation_of_heads_has_all_the_verbs(tmp_path: Path) -> None:
    study = HeadAttribution(build("llama"), examples("llama"), layers=(1,))
    explanation = study.explain()
    explanation.save(tmp_path / "heads.json")
    again = InteractionExplanation.load(tmp_path / "heads.json")
    assert again == explanation
    assert study.energy(again) == study.energy(explanation)
    assert "L1 H2" in explanation.to_html()
    assert "L1 H2" in str(explanation)
    assert explanation.interactions("SII", order=2).labels == study.labels


class Stop(Exception):
    pass


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_interrupted_study_goes_on_where_it_stopped(on_disk: bool, tmp_path: Path) -> None:
    pipe, asked = build("llama"), examples("llama")
    settings: dict[str, Any] = {"layers": (1, 2), "batch_size": 4}
    options: dict[str, Any] = {"budget": 40, "n_test": 4, "seed": 3, "proxy": "lasso"}
    whole = HeadAttribution(pipe, asked, **settings).explain(**options)

    def stop(progress: Progress) -> None:
        if progress.phase == "model calls" and progress.done >= 20:
            raise Stop

    cache = {"cache_dir": tmp_path} if on_disk else {}
    study = HeadAttribution(pipe, asked, **settings, **cache)
    with pytest.raises(Stop):
        study.explain(**options, progress=stop)
    if on_disk:
        study = HeadAttribution(pipe, asked, **settings, **cache)
    seen: list[Progress] = []
    again = study.explain(**options, progress=seen.append)
    assert again == whole
    calls = [p for p in seen if p.phase == "model calls"]
    assert (calls[0].done, calls[0].before) == (20, 20)
    assert {p.total for p in calls} == {len(whole.record.queries)}
    if on_disk:
        third: list[Progress] = []
        assert HeadAttribution(pipe, asked, **settings, **cache).explain(
            **options, progress=third.append
        ) == (whole)
        assert all(p.done == p.before for p in third if p.phase == "model calls")
        assert len(list(tmp_path.glob("*.values"))) == 1


def test_the_cache_knows_examples_layers_value_and_weights(tmp_path: Path) -> None:
    pipe, asked = build("distilbert"), examples("distilbert")
    common: dict[str, Any] = {"cache_dir": tmp_path}
    HeadAttribution(pipe, asked, layers=(1,), **common).explain()
    HeadAttribution(pipe, asked, layers=(2,), **common).explain()
    HeadAttribution(pipe, asked[:3], layers=(1,), **common).explain()
    HeadAttribution(pipe, asked, layers=(1,), value="accuracy", **common).explain()
    relabelled = [Labelled(asked[0].text, "POSITIVE"), *asked[1:]]
    HeadAttribution(pipe, relabelled, layers=(1,), **common).explain()
    with torch.no_grad():
        pipe.model.classifier.weight.mul_(2.0)
    trained = HeadAttribution(pipe, asked, layers=(1,), **common)
    value = trained.explain().record.full_value
    assert value == pytest.approx(trained.scores(np.ones(4)).log_probability[0], abs=1e-6)
    assert len(list(tmp_path.glob("*.values"))) == 6


def test_other_options_after_the_same_prompt_are_other_examples(tmp_path: Path) -> None:
    pipe = build("llama")
    found = []
    for options in ((" great", " dull"), (" great", " funny")):
        study = HeadAttribution(
            pipe, [Choice("The plot is", options, 0)], layers=(0,), cache_dir=tmp_path
        )
        found.append(study.explain().record.full_value)
        assert found[-1] == pytest.approx(study.scores(np.ones(4)).log_probability[0], abs=1e-6)
    assert abs(found[0] - found[1]) > 1e-3


def test_a_model_trained_on_between_two_calls_is_asked_anew() -> None:
    pipe, asked = build("llama"), examples("llama")
    study = HeadAttribution(pipe, asked, layers=(2,))
    before = study.explain().record.full_value
    with torch.no_grad():
        pipe.model.model.layers[0].mlp.down_proj.weight.mul_(3.0)  # in the part that is run once
    after = study.explain().record.full_value
    fresh = HeadAttribution(pipe, asked, layers=(2,)).explain().record.full_value
    assert after == fresh
    assert abs(after - before) > 1e-4


def test_pruning_is_judged_on_held_out_examples() -> None:
    pipe, asked = build("llama"), examples("llama")
    study = HeadAttribution(pipe, asked[:2], layers=(1,))
    explanation = study.explain()
    rows = study.prune(explanation, (1, 3), held_out=asked[2:], n_random=12, seed=1)
    assert [(row.method, row.kept) for row in rows] == [
        ("all heads", 4),
        *[(method, 1) for method in ("ProxySPEX", "LASSO", "best of 12")],
        *[(method, 3) for method in ("ProxySPEX", "LASSO", "best of 12")],
    ]
    for row in rows:
        assert sum(row.mask) == row.kept == len(row.heads)
        model = edited("llama", pipe, (1,), row.mask)
        truth = np.mean([judged(pipe, model, example) for example in asked[2:]], axis=0)
        assert row.accuracy == truth[0]
        assert row.log_probability == pytest.approx(truth[1], abs=2e-5)
        own = np.mean([judged(pipe, model, example)[1] for example in asked[:2]])
        assert row.value == pytest.approx(own, abs=2e-5)
    # All subsets were asked: the program's sets are the best there are.
    masks = all_masks(4)
    values = study.function(masks)
    for row in rows[1:]:
        if row.method == "ProxySPEX":
            best = values[masks.sum(axis=1) == row.kept].max()
            assert row.value == pytest.approx(best, abs=1e-6)
            assert row.predicted == pytest.approx(best, abs=1e-5)
            assert row.status == "optimal"
    assert study.prune(explanation, (1, 3), held_out=asked[2:], n_random=12, seed=1) == rows
    assert len(study.prune(explanation, 2, held_out=asked[2:], n_random=0)) == 3


def test_energy_adds_up_to_the_variance() -> None:
    terms = {(): 5.0, (0,): 1.0, (3,): 2.0, (0, 1): 3.0, (1, 2): 4.0, (0, 2, 3): 0.5}
    spectrum = FourierSpectrum.from_dict(terms, 4)
    energy = energy_of(spectrum, (7, 7, 9, 9))
    assert (energy.linear, energy.within_layer, energy.across_layers) == (5.0, 9.0, 16.25)
    assert energy.total == spectrum.energy
    assert sum(energy.shares.values()) == pytest.approx(1.0)
    nothing = energy_of(FourierSpectrum.from_dict({(): 1.0}, 4), (7, 7, 9, 9))
    assert set(nothing.shares.values()) == {0.0}


def test_random_masks_keep_what_they_should() -> None:
    masks = random_masks(10, 3, 200, np.random.default_rng(0))
    assert (masks.sum(axis=1) == 3).all()
    assert masks.mean(axis=0).max() < 0.45
    assert random_masks(4, 0, 2, np.random.default_rng(0)).sum() == 0


def test_a_chat_gets_its_template() -> None:
    pipe = build("llama")
    pipe.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    chat = Choice([{"role": "user", "content": "Was it good?"}], ("Yes", "No"), "Yes")
    text = Choice("<user>Was it good?<assistant>", ("Yes", "No"), "Yes")
    found = [
        HeadAttribution(pipe, [each], layers=(0,)).scores(np.ones(4)).log_probability[0]
        for each in (chat, text)
    ]
    assert found[0] == found[1]


def test_tokens_across_the_end_of_the_prompt_are_the_options() -> None:
    pipe = build("llama")
    # "The plot is du" + "ll": the tokenizer joins what it knows as one token.
    example = Choice("The plot is d", ("ull", "umb"), 0)
    tokenizer = pipe.tokenizer
    whole = [tokenizer(example.prompt + o)["input_ids"] for o in example.options]
    prompt = tokenizer(example.prompt)["input_ids"]
    assert whole[0][: len(prompt)] != prompt
    found = HeadAttribution(pipe, [example], layers=(0,)).scores(np.ones(4))
    scores = []
    with torch.no_grad():
        for ids in whole:
            table = pipe.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            # The probability of the whole text: the common beginning cancels.
            scores.append(sum(table[i - 1, ids[i]] for i in range(1, len(ids))))
    truth = torch.stack(scores).log_softmax(0)[0]
    assert found.log_probability[0] == pytest.approx(float(truth), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "answer", "message"),
    [
        ((" a",), 0, "two different texts"),
        ((" a", " a"), 0, "two different texts"),
        (" ab", 0, "two different texts"),
        ((" a", ""), 0, "two different texts"),
        ((" a", " b"), 2, "or its number, got 2"),
        ((" a", " b"), -1, "got -1"),
        ((" a", " b"), "a", "got 'a'"),
        ((" a", " b"), True, "got True"),
        ((" a", " b"), None, "got None"),
    ],
)
def test_questions_that_cannot_be_used(options: Any, answer: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Choice("The plot is", options, answer)


def test_bad_inputs_say_what_to_change() -> None:
    llama, bert = build("llama"), build("bert")
    asked, labelled = examples("llama"), examples("bert")

    def refused(message: str, pipe: Any, given: Any, **options: Any) -> None:
        with pytest.raises(InputError, match=message):
            HeadAttribution(pipe, given, **{"layers": (0,), **options})

    refused("list of Choice for text-generation", llama, labelled)
    refused("list of Labelled for text-classification", bert, asked)
    refused("got none", llama, [])
    refused("list of Choice", llama, asked[0])
    refused("from 0 to 2", llama, asked, layers=(3,))
    refused("from 0 to 2", llama, asked, layers=())
    refused("from 0 to 2", llama, asked, layers=(0, -3))
    refused("from 0 to 2", llama, asked, layers=0)
    refused("value must be", llama, asked, value="loss")
    refused("batch_size", llama, asked, batch_size=0)
    refused("called 'attn.nothing' as asked", llama, asked, projection="attn.nothing")
    refused("example 1: label='GOOD' is none", bert, [labelled[0], Labelled("x", "GOOD")])
    refused("takes 128", llama, [Choice("funny " * 200, (" a", " b"), 0)])
    refused("no chat template", llama, [Choice([{"role": "user", "content": "x"}], ("a", "b"), 0)])
    refused("expected a transformers pipeline", llama.model, asked)
    with pytest.raises(InputError, match="needs a text"):
        Labelled("  ", 0)
    with pytest.raises(InputError, match="must be a text"):
        Choice("", (" a", " b"), 0)
    with pytest.raises(InputError, match="must be a text"):
        Choice(["What?"], (" a", " b"), 0)  # type: ignore[list-item]
    study = HeadAttribution(llama, asked, layers=(0,))
    explanation = study.explain()
    other = HeadAttribution(llama, asked[:2], layers=(0,))
    for verb in (
        lambda: other.energy(explanation),
        lambda: other.prune(explanation, 2, held_out=asked),
    ):
        with pytest.raises(InputError, match="this study's explain"):
            verb()
    with pytest.raises(InputError, match="kept is empty"):
        study.prune(explanation, (), held_out=asked)
    with pytest.raises(InputError, match="kept must lie between 0 and 4"):
        study.prune(explanation, (5,), held_out=asked)
    with pytest.raises(InputError, match="4 columns"):
        study.scores(np.ones((1, 5)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"held_out": []}, "got none"),
        ({"held_out": None}, "got None"),
        ({"held_out": [Labelled("x", 0)]}, "list of Choice for text-generation"),
        ({"seed": -1}, "seed must lie between 0"),
        ({"seed": 0.5}, "seed must be an integer"),
        ({"n_random": -1}, "n_random must lie between 0"),
        ({"time_limit": -1.0}, "time_limit"),
    ],
)
def test_pruning_checks_all_before_it_asks(
    changed: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, asked = build("llama"), examples("llama")
    study = HeadAttribution(pipe, asked, layers=(0,))
    explanation = study.explain()

    def asked_now(*args: Any, **kwargs: Any) -> None:
        pytest.fail("the model was asked")

    monkeypatch.setattr(pipe.model, "forward", asked_now)
    with pytest.raises(InputError, match=message):
        study.prune(explanation, (1, 2), **({"held_out": asked} | changed))


def test_models_whose_heads_are_elsewhere_are_refused() -> None:
    tokenizer = byte_level_tokenizer(mask=True)
    torch.manual_seed(0)
    albert = tf.AlbertForSequenceClassification(
        tf.AlbertConfig(
            vocab_size=len(tokenizer),
            embedding_size=16,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=48,
        )
    ).eval()
    pipe: Any = tf.TextClassificationPipeline(model=albert, tokenizer=tokenizer, device="cpu")
    with pytest.raises(InputError, match=r"one list of 3 layers.*attn\.c_proj \(GPT-2"):
        HeadAttribution(pipe, [Labelled("x", 0), Labelled("y", 1)], layers=(0,))


def test_a_projection_may_be_named() -> None:
    pipe, asked = build("llama"), examples("llama")
    named = HeadAttribution(pipe, asked, layers=(1,), projection="self_attn.o_proj")
    mask = np.array([[1, 0, 1, 1]])
    found = HeadAttribution(pipe, asked, layers=(1,)).scores(mask)
    assert named.scores(mask).log_probability == found.log_probability
    # What is not an output projection is found out by what it is given.
    attention = pipe.model.model.layers[1].self_attn
    attention.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(ModelError, match=r"called \[0\] times"):
        named.scores(mask)


def test_names_load_on_first_use() -> None:
    code = (
        "import sys, proxyspex_hf.studies as s; assert 'proxyspex_hf.studies.heads' not in "
        "sys.modules; s.HeadAttribution; "
        "assert 'proxyspex_hf.studies.data' not in sys.modules; print(dir(s))"
    )
    found = set(ast.literal_eval(Child(code).done()))
    assert {"Choice", "DataAttribution", "HeadAttribution"} <= found
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = studies.nothing
