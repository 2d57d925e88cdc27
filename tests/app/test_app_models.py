"""Models as the app keeps them, and what it says where they cannot be had."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from tiny_pipelines import clip, generator, image_classifier, picture

from proxyspex_hf import (
    DEMO_CLIP,
    DEMO_MODEL,
    HubError,
    InputError,
    InteractionExplainer,
    InteractionExplanation,
    ModelError,
)
from proxyspex_hf.app import Limits, Settings
from proxyspex_hf.app import models as module
from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.form import form
from proxyspex_hf.app.jobs import Found, Job, Step, checked, cost_of, explain
from proxyspex_hf.app.models import PUBLIC, SHIPPED, Choice, Models
from proxyspex_hf.app.state import Runs
from proxyspex_hf.core import budget_for
from proxyspex_hf.record.serialize import dumps, record_from_json

STORY = "Jim is a baker. His dog is called Rex. Ann is a doctor. She has a cat."


@pytest.mark.parametrize("name", ["review", "caption"])
def test_the_examples_are_asked_of_the_model_that_ships(name: str) -> None:
    models, explanation = Models(SHIPPED), load_example(name)
    record = explanation.record
    assert models.reason(record) is None
    few = [row for row in range(len(record.queries)) if (~record.queries.masks[row]).sum() <= 12]
    for row in few[:4]:
        removed = np.flatnonzero(~record.queries.masks[row]).tolist()
        assert models.ask(explanation, removed) == pytest.approx(
            record.queries.values[row], abs=1e-3
        )


def test_another_model_of_the_same_name_is_noticed() -> None:
    record = load_example("review").record
    values = record.queries.values.copy() + 0.5
    other = replace(record, queries=replace(record.queries, values=values))
    with pytest.raises(InputError, match="this is another model, another version of it, or"):
        Models(SHIPPED).ask(InteractionExplanation(other), [0])
    unknown = replace(record, provenance=replace(record.provenance, model="acme/unknown"))
    assert "cannot ask 'acme/unknown'" in str(Models(SHIPPED).reason(unknown))
    # Even where any model may be chosen, a file cannot have one loaded.
    for place in ("/etc", "../x", "acme/unknown"):
        named = replace(record, provenance=replace(record.provenance, model=place))
        assert Models(SHIPPED, any_model=True).reason(named) is not None


def test_only_the_list_unless_any_is_allowed() -> None:
    with pytest.raises(InputError, match="not on this app's list"):
        Models(SHIPPED).find("acme/unknown", "text-classification")
    models = Models(SHIPPED, any_model=True)
    assert models.find(" acme/unknown ", "text-generation").name == "acme/unknown"
    with pytest.raises(InputError, match="choose one of them"):
        models.find("acme/unknown", "audio-classification")
    with pytest.raises(InputError, match="no model was chosen"):
        models.find("  ", "text-classification")


def test_each_is_loaded_once_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    real = module.load_pipeline

    def load(name: str, **how: Any) -> Any:
        loaded.append(name)
        return real(name, **how)

    monkeypatch.setattr(module, "load_pipeline", load)
    choices = (*SHIPPED, Choice("a second one", "text-classification", DEMO_MODEL))
    models = Models(choices, most=2)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(models.pipeline(SHIPPED[0]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [DEMO_MODEL]
    assert len({id(pipe.model) for pipe in found}) == 1
    assert len({id(pipe.tokenizer) for pipe in found}) == 4  # not safe to share
    models.pipeline(choices[1])
    models.pipeline(choices[0])
    models.pipeline(choices[2])
    assert [models.is_loaded(choice) for choice in choices] == [True, False, True]
    assert loaded == [DEMO_MODEL, DEMO_CLIP, DEMO_MODEL]


def test_a_directory_is_offered_first() -> None:
    models = Models(())
    models.offer(DEMO_MODEL)
    (choice,) = models.choices
    assert (choice.name, choice.task) == ("sentiment", "text-classification")
    assert models.is_loaded(choice)
    assert models.reason(load_example("review").record) is None


def test_directories_of_one_name_are_all_offered(tmp_path: Path) -> None:
    models = Models(SHIPPED)
    places = [tmp_path / run / "checkpoint-500" for run in "abc"]
    pipe = Models(SHIPPED).pipeline(SHIPPED[0])
    explanations = []
    for place in places:
        with torch.no_grad():
            pipe.model.classifier.bias += 0.5  # each another model
        pipe.save_pretrained(place)
        models.offer(str(place))
        explanations.append(InteractionExplainer(models.pipeline(models.choices[0]))("not bad"))
    assert [c.name.split("/")[0] for c in models.choices[:3]] == ["c", "b", "a"]
    assert len({round(e.record.full_value, 2) for e in explanations}) == 3
    models.offer(f"{places[1]}/")  # again: it comes first
    names = ["b/checkpoint-500", "c/checkpoint-500", "a/checkpoint-500"]
    assert [choice.name for choice in models.choices] == [*names, *(c.name for c in SHIPPED)]
    assert all(models.is_loaded(choice) for choice in models.choices[:3])
    for explanation in explanations:  # each is asked of its own
        assert explanation.record.provenance.model == "checkpoint-500"
        value = models.ask(explanation, [0, 1])
        assert value == pytest.approx(explanation.record.queries.values[1], abs=1e-3)


def answered(
    status: int, kind: type[HfHubHTTPError] = HfHubHTTPError, method: str = "GET"
) -> HfHubHTTPError:
    request = httpx2.Request(method, "https://huggingface.co/x")
    return kind("no", response=httpx2.Response(status, request=request))


def raised(cause: BaseException, error: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (answered(403, GatedRepoError), "This model is gated"),
        (answered(404, RepositoryNotFoundError), "no such model on the Hub"),
        (answered(401), "the token of this machine is not valid"),
        (answered(503), r"The Hub has trouble \(HTTP 503\)"),
        (OfflineModeIsEnabled("off"), "not on this machine, and the Hub cannot be reached"),
        (torch.cuda.OutOfMemoryError("x"), "does not fit into the memory"),
        (MemoryError(), "does not fit into the memory"),
    ],
)
def test_what_goes_wrong_with_a_model_is_said_with_the_next_step(
    cause: BaseException, said: str
) -> None:
    wrapped = raised(raised(cause, OSError("x")), InputError("cannot load '/srv/models/x'"))
    text = in_words(wrapped)
    assert re.search(said, text)
    assert "/srv" not in text
    assert re.search("Take|Ask|Check|Log in|choose|Try", text)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (answered(403, GatedRepoError), "This data set is gated"),
        (answered(403), "There is no such data set on the Hub, or it is private"),
        (answered(403, method="POST"), "You may not write there"),
        (answered(404, RepositoryNotFoundError), "There is no such data set on the Hub"),
    ],
)
def test_who_only_looks_at_a_data_set_is_not_told_of_writing(
    cause: HfHubHTTPError, said: str
) -> None:
    assert in_words(raised(cause, HubError("cannot list 'a/b'"))).startswith(said)


def test_no_path_and_no_traceback_is_told() -> None:
    text = in_words(ModelError("cannot read /srv/app/models/x.bin of https://hf.co/a/b: no"))
    assert text == "Cannot read … of https://hf.co/a/b: no"
    kept = raised(HubError("cannot push to 'a/b': no."), HubError("It lies in /tmp/x/y."))
    assert in_words(kept) == "Cannot push to 'a/b': no."
    kept = raised(InputError("repo_id is not a name."), InputError("`proxyspex-hf push` sends it."))
    assert in_words(kept) == "Repo_id is not a name."
    unknown = in_words(ZeroDivisionError("secret /srv/x/y"))
    assert "secret" not in unknown
    assert "ZeroDivisionError" in unknown


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("cannot read:/root/secret/model", "Cannot read:…"),
        ("cannot read file:///root/secret/a: no", "Cannot read …"),
        ("cannot load '/models'", "Cannot load '…'"),
        ("cannot load '/srv/my models/x y/config.json': no", "Cannot load '…': no"),
        ("no space in /home/Jane Doe/.cache/huggingface now", "No space in … now"),
        ("no file C:/Users/x/secret here", "No file … here"),
        (r"no file C:\Users\Jane Doe\secret here", "No file … here"),
        ("no file ~/secret/a here", "No file … here"),
        ("see https://hf.co/a/b or http://[::1]:80/(c)/d/e", None),
        ("write owner/name, not '../x', 1/2 and/or 3", None),
        ("'https://huggingface.co/a/b' is gone", None),
        ("cannot push to 'me/x': HTTP 500", None),
    ],
)
def test_paths_are_told_to_nobody(said: str, told: str | None) -> None:
    text = in_words(InputError(said))
    if told is None:
        assert text == said[:1].upper() + said[1:]
    else:
        assert text.startswith(told)
        assert not re.search("secret|Jane|Doe|models|root", text)


def test_known_places_are_told_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "my secret place"
    home.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(home))
    assert in_words(InputError(f"no file {home}/hub/x here")) == "No file … here"
    assert in_words(InputError(f"no file {Path.cwd()} here")) == "No file … here"


def test_a_model_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real client, offline as all tests are."""
    with pytest.raises(InputError) as caught:
        Models(SHIPPED, any_model=True).pipeline(Choice("acme/unknown", "text-classification"))
    assert "the Hub cannot be reached" in in_words(caught.value)


def png() -> bytes:
    stream = io.BytesIO()
    picture(48, 48).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("task", "make", "given", "n"),
    [
        ("text-generation", generator, {"text": STORY, "question": "Who is Ann?"}, 4),
        ("zero-shot-image-classification", clip, {"text": "a red dot", "picture": png()}, 9),
        ("image-classification", image_classifier, {"picture": png()}, 6),
    ],
)
def test_each_task_is_counted_explained_and_asked_again(
    task: str, make: Any, given: dict[str, Any], n: int, tmp_path: Path
) -> None:
    pipe = make()
    choice = Choice("tiny", task, recorded=type(pipe.model).__name__)
    models = Models((choice,))
    models.keep(choice, pipe)
    features: Any = "sentences" if task == "text-generation" else "words"
    target = " a doctor" if task == "text-generation" else ""
    job = Job(choice, **given, features=features, patches=6, target=target)
    cost = cost_of(job, models, Limits())
    assert cost.n_features == n
    steps = list(explain(job, models, tmp_path, Limits()))
    assert isinstance(steps[-1], Found)
    assert {step.phase for step in steps[:-1] if isinstance(step, Step)} >= {"loading the model"}
    found = InteractionExplanation(record_from_json(json.loads(steps[-1].text)))
    assert len(found.features) == n
    assert len(found.record.queries) <= cost.calls
    mask = found.record.queries.masks[2]
    value = models.ask(found, np.flatnonzero(~mask).tolist())
    assert value == pytest.approx(found.record.queries.values[2], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": ""}, "there is no text yet"),
        ({"text": "x" * 6_001}, "has 6,001 characters, this app takes 6,000: shorten it"),
        ({"alpha": float("nan")}, "alpha must lie between"),
        ({"alpha": 99.0}, "alpha must lie between"),
        ({"patches": 0}, "patches must lie between"),
        ({"seed": -1}, "the seed must be a whole number"),
        ({"target": "x" * 7_000}, "the target is longer than"),
        ({"model": PUBLIC[1]}, "there is no question yet"),
        ({"model": SHIPPED[1]}, "there is no picture yet"),
    ],
)
def test_a_form_that_cannot_be_begun_says_what_to_change(
    changes: dict[str, Any], said: str
) -> None:
    job = replace(Job(SHIPPED[0], text="not a bad film"), **changes)
    with pytest.raises(InputError, match=said):
        checked(job, Limits())


def test_what_the_form_says_of_the_effort_is_what_is_asked() -> None:
    job = Job(SHIPPED[0], text=STORY)
    cost = cost_of(job, Models(SHIPPED), Limits())
    assert cost.calls == budget_for(cost.n_features, job.alpha)
    with gr.Blocks():
        says = form(Settings(Models(SHIPPED))).alpha.info
    assert says == "α·n·log₂(n) model calls for n features; from α = 2 on, all subsets of up to 8."


def test_spaces_around_a_label_are_not_a_part_of_it() -> None:
    assert Job(SHIPPED[0], target=" POSITIVE ").options["target"] == "POSITIVE"
    assert Job(PUBLIC[3], target=" cat").options["target"] == "cat"
    assert Job(PUBLIC[1], target=" a doctor").options["target"] == " a doctor"
    assert "target" not in Job(PUBLIC[1], target="  ").options


def test_what_goes_wrong_on_zero_gpu_is_told_in_words() -> None:
    def gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """As ``spaces`` does: of an error in its process, only the class comes back."""

        def called(*args: Any) -> Any:
            try:
                return function(*args)
            except Exception as error:  # noqa: BLE001
                raise RuntimeError("ZeroGPU worker error", type(error).__name__) from None

        return called

    runs = Runs.of(Settings(Models(SHIPPED), Limits(features=3), gpu=gpu))
    with pytest.raises(InputError) as caught:
        runs.cost(Job(SHIPPED[0], text="one two three four five"))
    assert "5 words, this app takes 3: shorten it" in in_words(caught.value)
    record = load_example("review").record
    values = record.queries.values.copy() + 0.5
    other = replace(record, queries=replace(record.queries, values=values))
    with pytest.raises(InputError, match="this is another model"):
        runs.ask(dumps(other), (0,))
    assert runs.cost(Job(SHIPPED[0], text="not bad")).n_features == 2
    assert np.isfinite(runs.ask(dumps(record), (0,)))
