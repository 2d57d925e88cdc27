"""A served model in the place of a pipeline: the same values, the same verbs, in each dialect."""

from __future__ import annotations

import ast
import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counting import AGAIN
from inference_server import InferenceServer
from inference_server.answers import Answers
from tiny_models import LABELS, roberta_pipeline
from tiny_pipelines import generator

from proxyspex_hf import (
    InputError,
    InteractionExplainer,
    InteractionExplanation,
    ModelError,
    ProxySpexWarning,
    ServedModel,
    context_prompt,
)
from proxyspex_hf.app.jobs import Job, cost_of
from proxyspex_hf.app.models import SHIPPED, Models
from proxyspex_hf.app.settings import Limits
from proxyspex_hf.cli.main import main
from proxyspex_hf.prompts import drop_prompt, hotpotqa_prompt
from proxyspex_hf.viz.code import python_code

TEXT = "It could have been great, but the plot is dull and never funny."
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Was the film dull, or was it not?"},
]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} </{{ m.role }}> {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: What float32 in other shapes makes of a log-perplexity of this model.
ROUNDING = 1e-5
QUICK = {"budget": 30, "rounds": 1, "proxy": "lasso", "progress": False, "max_new_tokens": 5}
KINDS = {"vllm": "completions", "sglang": "sglang", "llama-cpp": "completions-text"}


@pytest.fixture(scope="module")
def pipe() -> Any:
    made = generator()
    made.tokenizer.chat_template = TEMPLATE
    return made


def served_by(server: InferenceServer, **more: Any) -> ServedModel:
    given = {"tokenizer": server.answers.tokenizer, "patience": 20.0, **more}
    return ServedModel(server.url, **given)


def some_masks(n: int, count: int = 30, seed: int = 1) -> Any:
    return np.random.default_rng(seed).random((count, n)) < 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_pipeline(pipe: Any, kind: str) -> None:
    inputs = [TEXT, {"messages": CHAT, "mask": "all"}, drop_prompt("A. B is old.", "How old?")]
    with InferenceServer(pipe, kind) as server:
        served = served_by(server, reference=pipe)
        for given in inputs if kind != "llama-cpp" else inputs[1:2]:
            # Rendered with a space at its end, a text and an output never meet in one token.
            options = {"max_new_tokens": 5} if kind != "llama-cpp" else {"target": " bored"}
            own = InteractionExplainer(pipe, **options).value_function(given)
            far = InteractionExplainer(served, **options).value_function(given)
            assert (far.target, far.text, far.features) == (own.target, own.text, own.features)
            masks = some_masks(own.n_features)
            np.testing.assert_allclose(far(masks), own(masks), atol=ROUNDING)
            assert far.masked_text(masks[0]) == own.masked_text(masks[0])
        assert served.dialect.name == KINDS[kind]
        assert served.started.from_reference is not None
        assert served.started.from_reference < ROUNDING
        assert served.started.noise < ROUNDING
        assert served.started.requests <= 20
        assert 1 < server.most_in_flight <= 16
        ids = [body.get("prompt", body.get("input_ids")) for _, body in server.asked if body]
        sent_texts = [isinstance(each, str) for each in ids[1:]]
        assert all(sent_texts) if kind == "llama-cpp" else not any(sent_texts)


def test_masking_away_presets_and_documents(pipe: Any) -> None:
    documents = {"One": "Jim has a dog. It is old.", "Two": "Rex means king."}
    hotpot = hotpotqa_prompt([("Dogs", "A dog is old. It barks.")], "How old?")
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server)
        for given, features in (
            (context_prompt(documents, question="Who is old?"), "documents"),
            (hotpot, "sentences"),
        ):
            options = {"masking": "delete", "features": features, "max_new_tokens": 4}
            own = InteractionExplainer(pipe, **options).value_function(given)
            far = InteractionExplainer(served, **options).value_function(given)
            every = np.array([[i >> k & 1 for k in range(2)] for i in range(4)], dtype=bool)
            np.testing.assert_allclose(far(every), own(every), atol=ROUNDING)
            assert far.features == own.features


def test_an_explanation_its_record_and_its_verbs(pipe: Any, tmp_path: Path) -> None:
    with InferenceServer(pipe, "vllm", name="/models/tiny-lm", token="s3cret") as server:
        explainer = InteractionExplainer(served_by(server, token="s3cret"), **QUICK)
        found = explainer(CHAT)
        local = InteractionExplainer(pipe, **QUICK)(CHAT)
        made = found.record.provenance
        assert (made.model, made.dtype) == ("tiny-lm", "as served")
        assert made.device == f"{server.url} (dialect completions)"
        assert made.versions["server"] == "0.32.0"
        assert made.noise_floor is not None
        assert made.noise_floor < ROUNDING
        assert found.record.task == "text-generation"
        assert found.record.target == local.record.target
        np.testing.assert_allclose(
            found.record.queries.values, local.record.queries.values, atol=ROUNDING
        )
        found.save(tmp_path / "e.json")
        again = InteractionExplanation.load(tmp_path / "e.json")
        assert again == found
        assert "s3cret" not in (tmp_path / "e.json").read_text()
        code = python_code(found.record)
        ast.parse(code)
        assert f"pipe = ServedModel(\n    {server.url!r}, model='tiny-lm'" in code
        assert "dialect='completions'" in code
        assert "transformers" not in code
        # The verbs that ask the model need nothing but the explanation.
        masks = some_masks(len(found.record.features), 5)
        np.testing.assert_allclose(
            explainer.ask(again, masks), InteractionExplainer(pipe).ask(local, masks), atol=ROUNDING
        )
        (check,) = explainer.check_removal(again, ks=[1])
        assert check.full == pytest.approx(found.record.full_value, abs=ROUNDING)
        asked = server.scored
        better = explainer.refine(again, budget=50, rounds=2)
        assert len(better.record.queries) == 50
        # The whole input once, the masks that are new, a few for the noise, the looks between.
        assert server.scored - asked <= 1 + 20 + 8 + 25


def test_several_inputs_share_the_requests_in_flight(pipe: Any) -> None:
    texts = ["Not a bad film at all", "The plot is dull", "I was never once bored by it"]
    with InferenceServer(pipe, "vllm") as server:
        server.delay = 0.005
        explainer = InteractionExplainer(served_by(server, concurrency=5), **QUICK, errors="keep")
        many = explainer([*texts, "", "word " * 300])
        assert server.most_in_flight == 5
        for text, found in zip(texts, many, strict=False):
            own = InteractionExplainer(pipe, **QUICK)(text)
            np.testing.assert_allclose(
                found.record.queries.values, own.record.queries.values, atol=ROUNDING
            )
        assert "the text is empty" in str(many[3])
        assert "the model takes 199" in str(many[4])


def test_kept_answers_belong_to_what_the_server_says(pipe: Any, tmp_path: Path) -> None:
    options = {**QUICK, "cache_dir": tmp_path, "target": " bored"}
    with InferenceServer(pipe, "vllm") as server:
        first = InteractionExplainer(served_by(server), **options)(TEXT)
        other_address = served_by(server)
        _ = other_address.started
        asked = server.scored
        second = InteractionExplainer(other_address, **options)(TEXT)
        assert second.record.queries == first.record.queries
        # The stored masks that are asked again, and those for the noise floor.
        assert server.scored - asked == AGAIN + 8
        assert len(list(tmp_path.glob("*.values"))) == 1
        server.answers.name = "tiny-2"
        InteractionExplainer(served_by(server), **options)(TEXT)
        assert len(list(tmp_path.glob("*.values"))) == 2
    # Other weights under the same name: the stored masks that are asked again tell.
    wider = generator(width=64)
    wider.tokenizer.chat_template = TEMPLATE
    with InferenceServer(wider, "vllm") as server:
        other = InteractionExplainer(served_by(server), **options)
        with pytest.warns(ProxySpexWarning, match="are not what this model gives"):
            third = other(TEXT)
        assert np.abs(third.record.queries.values - first.record.queries.values).max() > 0.01


class _Enough(Exception):
    pass


def test_progress_cancel_and_resume(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        served = served_by(server, concurrency=4)
        explainer = InteractionExplainer(served, **{**QUICK, "budget": 110})

        def stop(progress: Any) -> None:
            if progress.phase == "model calls" and progress.done >= 40:
                raise _Enough

        with pytest.raises(_Enough):
            explainer(TEXT, progress=stop)
        kept = explainer._memory._left
        answered = len(next(iter(kept.values())))
        assert 40 <= answered < 110
        asked = server.scored
        done = explainer(TEXT)
        assert len(done.record.queries) == 110
        # Output, masks asked again and for the noise; the model is looked at now and then.
        assert server.scored - asked <= 110 - answered + 1 + AGAIN + 8 + 8


def test_nothing_that_is_sent_is_logged(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with InferenceServer(pipe, "vllm", token="s3cret") as server:
        served = served_by(server, token="s3cret")
        server.fail("POST", "completions", status=500, message=f"cannot read {TEXT}")
        server.fail("POST", "completions", action="cut")
        function = InteractionExplainer(served).value_function(TEXT, max_new_tokens=3)
        function(some_masks(function.n_features, 3))
        with pytest.raises(ModelError, match=r"HTTP 401.*Pass token=") as raised:
            _ = served_by(server, token="wrong-s3cret").started
    assert served.servers.tally.retries == 1  # the other met the look for what is taken
    told = caplog.text + repr(served) + str(raised.value)
    assert "s3cret" not in told
    assert "funny" not in told
    assert "asked again" in caplog.text


def test_a_copy_asks_the_same(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm", token="s3cret") as server:
        served = served_by(server, token="s3cret", model="tiny")
        masks = some_masks(13, 4)
        expected = InteractionExplainer(served).value_function(TEXT, target=" bored")(masks)
        for other in (pickle.loads(pickle.dumps(served)), copy.deepcopy(served)):
            found = InteractionExplainer(other).value_function(TEXT, target=" bored")(masks)
            np.testing.assert_allclose(found, expected, atol=ROUNDING)


@pytest.mark.parametrize("kind", ["classify", "endpoint"])
def test_classifiers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    pipe = roberta_pipeline()
    quick = {"budget": 30, "rounds": 1, "proxy": "lasso", "progress": False}
    with InferenceServer(pipe, kind, token="hf_x") as server:
        served = served_by(
            server,
            task="text-classification",
            labels=list(LABELS.values()),
            reference=pipe,
            token="hf_x",
        )
        own = InteractionExplainer(pipe, **quick)
        far = InteractionExplainer(served, **quick)
        expected, found = own(TEXT), far(TEXT)
        assert found.record.target == expected.record.target
        np.testing.assert_allclose(
            found.record.queries.values, expected.record.queries.values, atol=1e-4
        )
        assert served.dialect.name == kind
        assert served.started.from_reference is not None
        assert served.started.from_reference < 1e-4
        for value in ("probability", "margin"):
            masks = some_masks(len(found.record.features), 6)
            np.testing.assert_allclose(
                far.value_function(TEXT, value=value)(masks),
                own.value_function(TEXT, value=value)(masks),
                atol=1e-4,
            )
        # Labels share their requests.
        asked = server.scored
        every = far(TEXT, target="all", noise=False)
        assert sorted(every) == sorted(LABELS.values())
        assert server.scored - asked <= 30 + 2 + 5
        (check,) = far.check_removal(found, ks=[2])
        assert np.isfinite(check.actual)
        with pytest.raises(InputError, match="explains a text"):
            far({"text": "a", "text_pair": "b"})
    close_session()


def test_labels_without_names_and_probabilities_in_place_of_scores() -> None:
    pipe = roberta_pipeline()
    with InferenceServer(pipe, "classify") as server:
        served = served_by(server, task="text-classification")
        found = InteractionExplainer(served).value_function(TEXT)
        assert found.target.label in ("LABEL_0", "LABEL_1", "LABEL_2")
        few = served_by(server, task="text-classification", labels=["a", "b"])
        with pytest.raises(ModelError, match="3 scores per text, but 2 labels"):
            _ = few.started

        def softened(path: str, answer: Any) -> Any:
            for row in answer.get("data", []):
                if "probs" in row:
                    scores = np.exp(np.array(row["probs"]))
                    row["probs"] = (scores / scores.sum()).tolist()
            return answer

        server.twist = softened
        with pytest.raises(ModelError, match="gives probabilities where raw scores"):
            _ = served_by(server, task="text-classification").started


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url": "host:8000"}, "address must be like"),
        ({"url": "ftp://host/v1"}, "address must be like"),
        ({"url": "http://me:pw@host/v1"}, "neither a name, a password"),
        ({"url": "http://host/v1?key=1"}, "neither a name, a password"),
        ({"url": []}, "empty list"),
        ({"url": 7}, "url must be a list"),
        ({"task": "fill-mask"}, "task must be one of"),
        ({"dialect": "classify"}, "dialect must be one of 'completions'"),
        ({"concurrency": 0}, "concurrency must lie between"),
        ({"patience": -1}, "patience must be a positive number"),
        ({"timeout": "long"}, "timeout must be a positive number"),
        ({"token": "a\nb"}, "token must be a printable text"),
        ({"model": ""}, "model must be a printable text"),
    ],
)
def test_arguments_that_cannot_be_meant(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        ServedModel(**{"url": "http://host:8000/v1", **given})
    assert "a\nb" not in str(raised.value)


def test_options_that_a_server_decides(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        explainer = InteractionExplainer(served_by(server))
        with pytest.raises(InputError, match=r"batch_size has no meaning.*concurrency=\.\.\."):
            explainer(TEXT, batch_size=4)
        with pytest.raises(InputError, match="value='logit' is unknown for this task"):
            explainer(TEXT, value="logit")
        with pytest.raises(InputError, match="target must be the text"):
            explainer(TEXT, target=" ")
        with pytest.raises(ModelError, match=r"serves 'tiny': .* not 'other'"):
            _ = served_by(server, model="other").started
        with pytest.raises(InputError, match=r"cannot load the tokenizer 'no/such'.*tokenizer="):
            _ = served_by(server, tokenizer="no/such").started


def test_a_text_that_merges_with_the_output_is_refused(pipe: Any) -> None:
    with InferenceServer(pipe, "llama-cpp") as server:
        function = InteractionExplainer(served_by(server)).value_function(
            "It was a film that bor", target="ed", masking="delete"
        )
        with pytest.raises(ModelError, match="read as one token"):
            function(np.ones((1, function.n_features), dtype=bool))
        assert Answers(pipe, "vllm", "x").get("/version") == {"version": "0.32.0"}


def test_the_command_line(pipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "tokenizer"
    pipe.tokenizer.save_pretrained(place)
    out = tmp_path / "e.json"
    with InferenceServer(pipe, "vllm", token="s3cret") as server:
        command = ["explain", TEXT, "--server", server.url, "--no-progress", "--budget", "30"]
        more = ["--tokenizer", str(place), "--server-token", "s3cret", "--rounds", "1"]
        assert main([*command, *more, "--max-new-tokens", "4", "--out", str(out)]) == 0
        found = InteractionExplanation.load(out)
        assert len(found.record.settings.arguments["target_tokens"]) == 4
        assert "served" not in capsys.readouterr().err
        assert main([*command, "--tokenizer", str(place), "--server-token", "no"]) == 1
        assert "HTTP 401" in capsys.readouterr().err
        assert main([*command, "--device", "cuda"]) == 2
        assert "--device has no meaning with --server" in capsys.readouterr().err
    assert main(["explain", TEXT, "--model", "m", "--patience", "3"]) == 2
    assert "--patience only makes sense with --server" in capsys.readouterr().err


def test_the_app_offers_it_beside_the_list(pipe: Any) -> None:
    with InferenceServer(pipe, "vllm") as server:
        models = Models(SHIPPED)
        models.offer_served(served_by(server))
        choice = models.find("tiny (served)", "text-generation")
        job = Job(choice, text="Rex is a dog.", question="Who is Rex?", alpha=1.0)
        cost = cost_of(job, models, Limits())
        assert cost.n_features == 4
        assert cost.exact
        explainer = InteractionExplainer(models.pipeline(choice))
        found = explainer(job.inputs, **{**job.options, "max_new_tokens": 4}, progress=False)
        assert models.of(found.record) == choice
        value = models.ask(found, [0])
        keeps = np.array([[False, True, True, True]])
        assert value == pytest.approx(explainer.ask(found, keeps)[0], abs=ROUNDING)
        assert server.most_in_flight <= 16
