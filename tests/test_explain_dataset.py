"""A data set explained row by row: streamed, resumed, pushed as shards; here or by Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from children import Child
from hub_server import HubServer
from hub_server.clients import environment_for, point_to
from inference_server import InferenceServer
from tiny_pipelines import generator

from proxyspex_hf import (
    DEMO_MODEL,
    HubError,
    InputError,
    InteractionExplainer,
    ModelError,
    ServedModel,
    explain_dataset,
    pull_explanations,
)
from proxyspex_hf.cli.main import main
from proxyspex_hf.dataset.finished import Pending
from proxyspex_hf.dataset.sources import Columns, Row, rows_of
from proxyspex_hf.dataset.with_ray import _CARRIED, _Actor, _carried, _ours
from proxyspex_hf.dataset.worker import Worker
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.sharing import read_explanations

REPO = "me/explained"
TEXTS = [f"the film number {i} was not dull at all" for i in range(16)]
QUICK = {"budget": 20, "rounds": 1, "proxy": "lasso", "progress": False}


class Counting:
    """A rule as the model, and which texts it was asked whole."""

    def __init__(self) -> None:
        self.whole: list[str] = []

    def __call__(self, texts: list[str]) -> list[float]:
        self.whole += [text for text in texts if text in TEXTS]
        return [2.0 * ("not" in t) - ("dull" in t) * ("not" in t) + len(t) / 50 for t in texts]


def explainer_of(rule: Any) -> InteractionExplainer:
    return InteractionExplainer(rule, features="words", **QUICK)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    return tmp_path


def lists(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shards of a folder."""
    found = [
        json.loads(line)
        for path in folder.glob("rows/*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return sorted(found, key=lambda row: row["row"])


def test_rows_become_shards_and_bad_rows_carry_their_error(home: Path) -> None:
    rows = [{"text": TEXTS[0], "id": 7}, {"text": None}, {"other": 1}, {"text": ""}, "no row"]
    rows += [{"text": TEXTS[1]}, {"text": TEXTS[0]}]
    rule = Counting()
    out = home / "out"
    run = explain_dataset(rows, "text", explainer_of(rule), out=out, shard_size=3)
    assert (run.rows, run.explained, run.failed, run.known) == (7, 3, 4, 0)
    assert "nothing is there" in run.errors[1]
    assert run.errors[2] == "the row has no column 'text'."
    assert run.errors[3].startswith("the text is empty")
    assert run.errors[4] == "the row is a str, no mapping of columns."
    assert len(run.shards) == 3
    written = lists(out)
    assert [row["row"] for row in written] == list(range(7))
    assert written[3]["error"] == run.errors[3]
    assert written[0]["id"] == written[6]["id"]  # equal inputs, one explanation
    found = {content_id(e.record): e for e in read_explanations(out)}
    assert set(found) == {row["id"] for row in written if "id" in row}
    (own,) = explainer_of(Counting())([TEXTS[1]])
    assert found[written[5]["id"]] == own
    assert not list((home / "home").rglob("finished/*/*.json"))  # sent, so no longer kept


def test_what_was_read_before_the_rows_failed_is_explained(home: Path) -> None:
    def failing() -> Iterator[dict[str, str]]:
        yield from ({"text": text} for text in TEXTS[:3])
        raise ConnectionError("gone")

    rule = Counting()
    call = partial(explain_dataset, column="text", out=home / "out")
    with pytest.raises(ConnectionError, match="gone"):
        call(failing(), explainer=explainer_of(rule))
    assert set(rule.whole) == set(TEXTS[:3])
    rule.whole.clear()
    stream = datasets.Dataset.from_dict({"text": TEXTS[:4]}).to_iterable_dataset()
    assert call(stream, explainer=explainer_of(rule)).explained == 4
    assert set(rule.whole) == {TEXTS[3]}


def test_a_second_start_repeats_no_finished_input(home: Path) -> None:
    rule = Counting()
    call = partial(explain_dataset, column="text", out=home / "out", shard_size=3)
    rows = datasets.Dataset.from_dict({"text": TEXTS[:11], "more": [0] * 11})

    class Stopped(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        call(rows, explainer=explainer_of(rule), progress=stop)
    first = set(rule.whole)
    assert 5 <= len(first) < 11
    rule.whole.clear()
    run = call(rows, explainer=explainer_of(rule))
    # Not the shard that was written, and not what lay finished beside it.
    assert set(rule.whole) == set(TEXTS[:11]) - first
    assert (run.rows, run.known, run.explained) == (11, 3, 8)
    rule.whole.clear()
    again = call(iter(rows), explainer=explainer_of(rule))
    assert (again.known, again.shards, rule.whole) == (11, [], [])
    # Other options are another explanation.
    other = InteractionExplainer(rule, features="words", **{**QUICK, "budget": 22})
    assert call(rows.select([0]), explainer=other).explained == 1


def test_hub_shards_are_one_commit_each_and_resumed_from_the_hub(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Counting()
    rows = [{"text": text} for text in [*TEXTS[:6], ""]]
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, home / "home")
        call = partial(explain_dataset, rows, "text", push_to=REPO, shard_size=2)
        hub.meanwhile("POST", "/commit/", lambda: hub.fail("POST", "/commit/", status=403, times=1))
        with pytest.raises(HubError, match=r"may not write.*Nothing is lost"):
            call(explainer=explainer_of(rule))
        assert len(hub.repo(REPO).log()) == 2  # made, and the first shard
        asked = len(set(rule.whole))
        rule.whole.clear()
        # Another machine: nothing but the Hub tells what is finished.
        monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(home / "elsewhere"))
        run = call(explainer=explainer_of(rule))
        assert (run.known, run.explained, run.failed) == (2, 4, 1)
        assert set(rule.whole) == set(TEXTS[2:6])
        assert asked == 6
        assert len(hub.repo(REPO).log()) == 2 + 3  # the last one holds an error alone
        again = call(explainer=explainer_of(rule))
        assert (again.known, again.failed, again.shards) == (6, 1, [])
        pulled = {e.text for e in pull_explanations(REPO)}
        assert pulled == set(TEXTS[:6])
        names = [path for path in hub.files(REPO) if path.startswith("rows/explanations/")]
        assert len(names) == 4
        hub.put(REPO, {"rows/explanations/x.jsonl": b'{"row": 1, "input": "../../etc"}\n'})
        with pytest.raises(Exception, match="not a key of an input"):
            call(explainer=explainer_of(rule))


def test_who_may_not_push_is_told_before_the_first_row(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Counting()
    rows = [{"text": text} for text in TEXTS[:3]]
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        hub.add_user("hf_reader", "me", can_write=False)
        hub.create("me/there")
        hub.create("you/there")
        point_to(hub, monkeypatch, home / "home")
        call = partial(explain_dataset, rows, "text", explainer_of(rule))
        for place in ("me/there", "me/new"):
            with pytest.raises(HubError, match=rf"push to '{place}': your token may not write"):
                call(push_to=place, token="hf_reader")
        with pytest.raises(HubError, match="push to 'you/there': your token may not write"):
            call(push_to="you/there")
        with pytest.raises(HubError, match="exists and is public, but private=True"):
            call(push_to="me/there", private=True)
        assert not rule.whole
        assert [len(hub.repo(name).log()) for name in ("me/there", "you/there")] == [1, 1]
        # A server that does not know the question is no reason to stop.
        unknown = hub.fail("GET", "/auth-check/write", status=404, times=1)
        assert call(push_to="me/other", revision="draft").explained == 3
        assert unknown.seen == 1
        assert not [path for path in hub.files("me/other") if path.startswith("rows/")]
        assert [path for path in hub.files("me/other", "draft") if path.startswith("rows/")]


def test_what_is_wrong_here_makes_no_data_set_on_the_hub(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = home / "reviews.jsonl"
    lines.write_text(f'{{"text": "{TEXTS[0]}"}}\n')
    explainer = explainer_of(Counting())
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, home / "home")
        call = partial(explain_dataset, push_to="me/new")
        for data in (lines, [{"text": "a b"}], iter([{"text": "a b"}])):
            with pytest.raises(InputError, match="no column 'txet'; it has 'text'"):
                call(data, "txet", explainer)
        with pytest.raises(InputError, match=r"explainer must be .*got int"):
            call(lines, "text", 3)
        with pytest.raises(InputError, match=r"explainer must be .*got int"):
            call(lines, "text", lambda: 3)
        command = ["explain-dataset", str(lines), "--column", "text", "--push", "me/new"]
        assert main([*command, "--model", str(home / "no-model")]) == 2
        assert "no-model" in capsys.readouterr().err
        assert hub.repos == {}
        assert call(lines, "text", explainer).explained == 1
        assert list(hub.repos) == [("datasets", "me/new")]


@pytest.mark.filterwarnings("ignore")  # of Ray's own, at its start and end
def test_what_is_wrong_here_is_told_before_a_cluster_works(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        with HubServer() as hub:
            hub.add_user("hf_me", "me")
            point_to(hub, monkeypatch, home / "home")
            call = partial(explain_dataset, push_to="me/new", engine="ray")
            rows = [{"text": "a b"}]
            for data in (rows, ray.data.from_items(rows)):
                with pytest.raises(InputError, match="no column 'txet'; it has 'text'"):
                    call(data, "txet", partial(explainer_of, Counting()))
            with pytest.raises(InputError, match=r"explainer must be .*got int"):
                call(rows, "text", 3)
            assert hub.repos == {}
    finally:
        ray.shutdown()


def test_files_and_columns(home: Path) -> None:
    folder = home / "data"
    folder.mkdir()
    pq.write_table(pa.table({"story": TEXTS[:2], "q": ["a?", "b?"]}), folder / "a.parquet")
    rule = Counting()
    call = partial(explain_dataset, explainer=explainer_of(rule))
    assert call(folder / "a.parquet", "story", out=home / "1").explained == 2
    with pytest.raises(InputError, match=r"no column 'text'; it has 'story', 'q'"):
        call(folder, "text", out=home / "2")
    lines = home / "b.jsonl"
    lines.write_text(f'{{"text": "{TEXTS[2]}"}}\n\n{{"text": \n{{"text": "{TEXTS[3]}"}}\n')
    run = call(str(lines), "text", out=home / "3")
    assert (run.explained, list(run.errors)) == (2, [1])
    assert "the line is not JSON" in run.errors[1]
    llm = InteractionExplainer(generator(), max_new_tokens=3, **QUICK)
    both = {"context": "story", "question": "q"}
    run = explain_dataset(folder, both, llm, out=home / "4")
    assert run.explained == 2
    assert all("Question: " in e.text for e in read_explanations(home / "4"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "say where the explanations go"),
        ({"out": "x", "push_to": "me/x"}, "say where the explanations go"),
        ({"push_to": "me"}, "push_to must be 'owner/name'"),
        ({"out": "x", "private": True}, "private belongs to push_to"),
        ({"out": "x", "engine": "dask"}, "engine must be one of 'ray'"),
        ({"out": "x", "shard_size": 0}, "shard_size must lie between"),
        ({"out": "x", "config_name": "queries"}, "config_name must be"),
        ({"out": "x", "column": 3}, "column must be the name"),
        ({"out": "x", "dataset": 3}, "dataset must be a datasets.Dataset"),
        ({"out": "x", "dataset": "missing.parquet"}, "no such file: 'missing.parquet'"),
        ({"out": "x", "dataset": "missing"}, "is not a file or folder with Parquet"),
        ({"out": "x", "dataset": datasets.DatasetDict()}, "Choose one of its splits"),
        ({"out": "x", "explainer": lambda: 3}, "explainer must be an InteractionExplainer"),
    ],
)
def test_arguments_that_cannot_be_meant(
    home: Path, given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    defaults = {"dataset": [{"text": "a"}], "column": "text", "explainer": explainer_of(Counting())}
    with pytest.raises(InputError, match=message):
        explain_dataset(**{**defaults, **given})


def test_a_server_that_is_gone_is_no_rows_fault(home: Path) -> None:
    pipe = generator()
    with InferenceServer(pipe, "vllm") as server:
        served = ServedModel(server.url, tokenizer=pipe.tokenizer, patience=0.3)
        explainer = InteractionExplainer(served, target=" so", **QUICK)
        rows = [{"text": text} for text in TEXTS[:3]]
        call = partial(explain_dataset, rows, "text", explainer, out=home / "out")
        _ = served.started
        server.fail("POST", "completions", status=503, times=10_000)
        with pytest.raises(ModelError, match="does not answer: HTTP 503"):
            call()
        assert lists(home / "out") == []
        server.faults.clear()
        assert call().explained == 3


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = home / "reviews.jsonl"
    lines.write_text('{"text": "not a good film"}\n{"text": ""}\n')
    out = home / "out"
    command = ["explain-dataset", str(lines), "--column", "text", "--model", DEMO_MODEL]
    assert main([*command, "--out", str(out), "--no-progress"]) == 3
    printed = capsys.readouterr().out
    assert "2 rows: 1 explained, 1 with an error\nrow 1: the text is empty" in printed
    assert len(read_explanations(out)) == 1
    assert main([*command, "--out", str(out), "--no-progress"]) == 3
    assert "0 explained, 1 with an error, 1 known before" in capsys.readouterr().out
    assert main([*command, "--no-progress"]) == 2
    assert main(["explain-dataset", "x", "--column", "c", "--out", str(out)]) == 2
    assert "name a model" in capsys.readouterr().err


def test_a_mistyped_path_is_not_asked_of_the_network(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["explain-dataset", "data/missing.jsonl", "--column", "text", "--out", str(home)]
    assert main([*command, "--model", DEMO_MODEL]) == 2
    assert "no such file: 'data/missing.jsonl'." in capsys.readouterr().err
    assert main([*command, "--model", DEMO_MODEL, "--data-config", "en"]) == 2
    assert "--data-config belongs to a data set on the Hub" in capsys.readouterr().err


_CARD = """---
configs:
- {config_name: en, data_files: en.jsonl}
- {config_name: fr, data_files: fr.jsonl}
---
"""


def test_the_command_reads_a_data_set_of_the_hub(home: Path) -> None:
    """In a process of its own, as on HF Jobs: torch and `datasets` are both loaded there."""
    command = [sys.executable, "-m", "proxyspex_hf", "explain-dataset", "me/reviews"]
    command += ["--column", "text", "--model", DEMO_MODEL, "--budget", "20", "--no-progress"]
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        hub.put(
            "me/reviews",
            {
                "README.md": _CARD.encode(),
                "en.jsonl": b'{"text": "not a good film"}\n{"text": ""}\n',
                "fr.jsonl": b'{"text": "pas mal"}\n',
            },
        )
        ran = [
            subprocess.Popen(
                [*command, "--out", str(home / name), *more],
                env=environment_for(hub, home / name),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, more in {"en": ["--data-config", "en"], "none": []}.items()
        ]
        (said, complaint), (_, refused) = (process.communicate(timeout=240) for process in ran)
    assert [process.returncode for process in ran] == [3, 2], (complaint, refused)
    assert "2 rows: 1 explained, 1 with an error\nrow 1: the text is empty" in said
    assert [e.text for e in read_explanations(home / "en")] == ["not a good film"]
    assert "Config name is missing" in refused
    assert "['en', 'fr'] Give one as --data-config." in refused


def test_an_actor_takes_rows_that_were_read_here(home: Path) -> None:
    columns = Columns("text")
    make = partial(Worker, partial(explainer_of, Counting()), home / "pending", set(), None)
    actor = _Actor(make, columns)
    rows = list(rows_of([{"text": TEXTS[3]}, {"text": 7}, {}], columns))
    made = [json.loads(actor({_CARRIED: _carried(row)})["done"]) for row in rows]
    assert [each["row"] for each in made] == [0, 1, 2]
    assert Pending(home / "pending").get(made[0]["input"]).text == TEXTS[3]
    assert "no column 'text'" in made[2]["error"]
    assert "input is a text, got 7" in made[1]["error"]
    some = make().some(rows)
    assert [each.row for each in some if each.error is None] == [0]
    with pytest.raises(InputError, match=r"row 5 holds more than texts and numbers"):
        _carried(Row(5, b"picture"))
    told = RuntimeError("of the cluster")
    told.cause = ModelError("the model is gone")  # type: ignore[attr-defined]
    assert str(_ours(told)) == "the model is gone"
    assert "the cluster failed: ValueError: odd" in str(_ours(ValueError("odd")))


class Mortal(Counting):
    """A rule whose process dies at one text, once."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)

    def __call__(self, texts: list[str]) -> list[float]:
        for text in texts:
            if text in TEXTS:
                with (self._folder / f"{TEXTS.index(text)}.asked").open("a") as file:
                    file.write(f"{os.getpid()}\n")
            if text == TEXTS[9] and not (self._folder / "killed").exists():
                (self._folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(texts)


def mortal_explainer(folder: str) -> InteractionExplainer:
    rule = Mortal(folder)
    rule.__name__ = "rule"  # type: ignore[attr-defined]
    return explainer_of(rule)


#: A driver that dies by SIGKILL at the tenth text, once.
_DRIVER = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from huggingface_hub import constants
constants.HF_HOME = {home!r}
from test_explain_dataset import TEXTS, explain_dataset, mortal_explainer
rows = [{{"text": text}} for text in TEXTS]
explainer = mortal_explainer({marks!r})
run = explain_dataset(rows, "text", explainer, out=Path({out!r}), shard_size=6)
print(run.rows, run.known, run.explained, run.failed)
"""


def test_a_killed_driver_repeats_no_finished_input(home: Path) -> None:
    marks = home / "marks"
    marks.mkdir()
    code = _DRIVER.format(
        paths=[p for p in sys.path if p],
        home=str(home / "home"),
        marks=str(marks),
        out=str(home / "out"),
    )
    assert Child(code).wait().returncode == -signal.SIGKILL
    # Eight rows are asked together: six were in a shard, two lay finished beside it.
    assert Child(code).done().split() == ["16", "6", "10", "0"]
    first, second = (int(line) for line in dict.fromkeys((marks / "9.asked").read_text().split()))
    by = {i: set(map(int, (marks / f"{i}.asked").read_text().split())) for i in range(16)}
    assert [i for i in range(16) if by[i] == {first}] == [*range(8)]
    assert [i for i in range(16) if by[i] == {second}] == [*range(10, 16)]
    assert len(lists(home / "out")) == 16


@pytest.mark.filterwarnings("ignore")  # of Ray's own, at its start and end
def test_a_killed_ray_worker_costs_no_explanation(home: Path) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    marks = home / "marks"
    marks.mkdir()
    rows = [{"text": text} for text in TEXTS]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        run = explain_dataset(
            ray.data.from_items(rows, override_num_blocks=4),
            "text",
            partial(mortal_explainer, str(marks)),
            out=home / "ray",
            cache_dir=home / "shared",
            engine="ray",
            workers=2,
        )
        assert (marks / "killed").exists()
        assert (run.rows, run.explained, run.failed) == (16, 16, 0)
        once = Counting()
        once.__name__ = "rule"  # type: ignore[attr-defined]
        explain_dataset(rows, "text", explainer_of(once), out=home / "here")
        # Another function, of which the key of an input tells; the explanations are the same.
        by_ray, by_one = lists(home / "ray"), lists(home / "here")
        assert [(row["row"], row["id"]) for row in by_ray] == [
            (row["row"], row["id"]) for row in by_one
        ]
        ours = {content_id(e.record) for e in read_explanations(home / "ray")}
        assert len(ours) == 16
        pids = {i: (marks / f"{i}.asked").read_text().split() for i in range(16)}
        # Two, and a new one unless the other was through before it had started.
        assert len({pid for each in pids.values() for pid in each}) in (2, 3)
        assert len(set(pids[9])) == 2  # who died at it, and who explained it
        # An explanation asks its whole input a fixed number of times: only the one at which the
        # worker died was begun again.
        usual = min(map(len, pids.values()))
        assert [i for i in pids if len(pids[i]) > usual] == [9]
    finally:
        ray.shutdown()
