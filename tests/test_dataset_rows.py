"""Data sets: what is a row's fault and what is not, which inputs are the same, and odd rows."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from inference_server import InferenceServer
from inference_server.answers import Answers, Refused
from PIL import Image
from tiny_models import roberta_pipeline
from tiny_pipelines import generator

from proxyspex_hf import (
    InputError,
    InteractionExplainer,
    ModelError,
    ServedModel,
    explain_dataset,
)
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.dataset import explain, finished
from proxyspex_hf.dataset.explain import _Collected
from proxyspex_hf.dataset.finished import (
    Done,
    Pending,
    explainer_key,
    input_key,
    lines_of,
    read_lines,
    short_error,
)
from proxyspex_hf.dataset.shards import Folder
from proxyspex_hf.dataset.sources import Columns, rows_of
from proxyspex_hf.dataset.with_ray import _Actor
from proxyspex_hf.dataset.worker import Worker
from proxyspex_hf.sharing import read_explanations

TEXTS = [f"the film number {i} was not dull" for i in range(12)]
ROWS = [{"text": text} for text in TEXTS]
QUICK: dict[str, Any] = {"budget": 20, "rounds": 1, "proxy": "lasso", "progress": False}
TEMPLATE = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    return tmp_path


def lists(folder: Path) -> list[dict[str, Any]]:
    paths = folder.glob("rows/*/*.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def length(texts: list[str]) -> list[float]:
    return [len(text) + 3.0 * ("not" in text and "dull" in text) for text in texts]


def of_words(rule: Callable[..., Any] = length, **more: Any) -> InteractionExplainer:
    return InteractionExplainer(rule, features="words", **{**QUICK, **more})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model", "serves another model now"),
        ("token", "HTTP 401"),
        ("page", "something that is not JSON|no JSON object"),
    ],
)
def test_a_server_that_has_changed_is_no_rows_fault(home: Path, change: str, message: str) -> None:
    pipe = generator()
    with InferenceServer(pipe, "vllm") as server:
        served = ServedModel(server.url, tokenizer=pipe.tokenizer, patience=5.0)
        explainer = InteractionExplainer(served, max_new_tokens=2, **QUICK)
        call = partial(explain_dataset, ROWS, "text", explainer, out=home / "out", shard_size=4)

        def changed(progress: Any) -> None:
            if progress.done != 8:
                return
            if change == "model":
                server.answers = Answers(generator(width=64), "vllm", "tiny")
            elif change == "token":
                server.token = "new"
            else:
                server.twist = lambda path, answer: ["Please log in"]

        with pytest.raises(ModelError, match=message):
            call(progress=changed)
        assert [row.get("error") for row in lists(home / "out")] == [None] * 8
        server.answers, server.token, server.twist = Answers(pipe, "vllm", "tiny"), None, None
        run = call(progress=False)
        assert (run.known, run.explained, run.failed) == (8, 4, 0)


@pytest.mark.parametrize("status", [400, 500])
def test_a_row_that_the_server_always_fails_at_is_the_rows_fault(home: Path, status: int) -> None:
    pipe = generator()
    with InferenceServer(pipe, "vllm") as server:
        served = ServedModel(server.url, tokenizer=pipe.tokenizer, patience=2.0)
        bad = served.tokenizer(TEXTS[1])["input_ids"]
        answer = server.answers.post

        def refusing(path: str, body: dict[str, Any]) -> Any:
            if body["prompt"][: len(bad)] == bad:
                raise Refused(status, "not this one")
            return answer(path, body)

        server.answers.post = refusing  # type: ignore[method-assign]
        explainer = InteractionExplainer(served, max_new_tokens=2, **QUICK)
        run = explain_dataset(ROWS[:3], "text", explainer, out=home / "out", progress=False)
        assert (run.explained, run.failed) == (2, 1)
        assert f"HTTP {status}" in run.errors[1]
        # Where the server is gone before it could be asked, nobody knows whose fault it was.
        server.kill()
        with pytest.raises(ModelError, match="no server answers a question of the start-up test"):
            served.check()


def test_a_full_disk_is_no_rows_fault(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proxyspex_hf.hf.store import ValueStore

    def full(*_: Any) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        raise InputError(f"cannot write the answers: {error.strerror}.") from error

    explainer = InteractionExplainer(roberta_pipeline(), **QUICK)
    call = partial(
        explain_dataset, ROWS[:3], "text", explainer, out=home / "out", cache_dir=home / "answers"
    )
    with monkeypatch.context() as disk:
        disk.setattr(ValueStore, "add", full)
        with pytest.raises(InputError, match="No space left on device"):
            call(progress=False)
    assert lists(home / "out") == []
    assert call(progress=False).explained == 3


@pytest.mark.parametrize("where", ["model", "fit"])
def test_a_row_that_memory_had_no_room_for_is_asked_again(
    home: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, full = f"{TEXTS[1]} and long", [True]

    def rule(texts: list[str]) -> list[float]:
        if where == "model" and full and any("long" in text for text in texts):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return length(texts)

    fit = ProxySPEX.fit

    def fitted(self: Any, masks: Any, values: Any, **more: Any) -> Any:
        if where == "fit" and full and masks.shape[1] == len(long.split()):
            raise MemoryError("no room")
        return fit(self, masks, values, **more)

    monkeypatch.setattr(ProxySPEX, "fit", fitted)
    rows = [{"text": text} for text in (TEXTS[0], long, "", TEXTS[2])]
    call = partial(explain_dataset, rows, "text", of_words(rule), out=home / "out", shard_size=2)
    first = call()
    assert (first.explained, first.failed) == (2, 2)
    assert "does not fit into memory" in first.errors[1]
    assert sorted(row["row"] for row in lists(home / "out")) == [0, 2, 3]
    assert call().errors[1] == first.errors[1]  # still too long
    full.clear()
    later = call()
    assert (later.known, later.explained, list(later.errors)) == (2, 1, [2])
    assert sorted(row["row"] for row in lists(home / "out")) == [0, 1, 2, 3]
    assert {e.text for e in read_explanations(home / "out")} == {TEXTS[0], long, TEXTS[2]}


def test_a_list_is_never_longer_than_what_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of 500 letters that take three or four bytes each, and half a character."""
    errors = ["错" * 500, "🎬" * 500, "half \ud83c", "\u2028 \x00 \n"]
    done = [Done(i, f"{i:032x}", error=short_error(error)) for i, error in enumerate(errors)]
    data = lines_of(done)
    assert len(data) < 3 * 500 + 4 * 500 + 400
    assert list(read_lines(data, "x")) == done
    assert [each.error for each in done] == [*errors[:2], "half \\ud83c", errors[3]]
    for module in (finished, explain):
        monkeypatch.setattr(module, "LONGEST_LIST", 4000)
    place = Folder(home / "out", "explanations")
    collected = _Collected(place, Pending(home / "p"), 100_000, set(), [], writes=True)
    many = [Done(i, f"{i:032x}", error="错" * 500) for i in range(7)]
    for each in many:
        collected.take(each)
    collected.close()
    assert len(collected.run.shards) == 4
    assert sorted(place.finished(), key=lambda each: each.row) == many


@pytest.mark.parametrize("out", ["a" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have(home: Path, out: str) -> None:
    with pytest.raises(InputError, match=r"^out='.*cannot be a folder: (File name|embedded null)"):
        explain_dataset(ROWS, "text", of_words(), out=str(home / out))


def test_a_value_of_ones_own_keeps_no_answers(home: Path) -> None:
    explainer = InteractionExplainer(roberta_pipeline(), value=lambda out: out[:, 0], **QUICK)
    run = explain_dataset(
        ROWS[:2], "text", explainer, out=home / "out", cache_dir=home / "answers", progress=False
    )
    assert (run.explained, run.failed) == (2, 0)


def test_rows_that_look_like_one_input_side_by_side(home: Path) -> None:
    # Messages are not one chat.
    llm = generator()
    llm.tokenizer.chat_template = TEMPLATE
    rows = [{"who": "user", "what": text} for text in TEXTS[:3]]
    run = explain_dataset(
        rows,
        {"role": "who", "content": "what"},
        InteractionExplainer(llm, max_new_tokens=2, **QUICK),
        out=home / "chat",
        progress=False,
    )
    assert (run.explained, run.failed) == (0, 3)
    assert "explains a text, a chat (a list of messages" in run.errors[0]
    # Texts are not the names of one input's features.
    run = explain_dataset(
        ROWS[:3], "text", InteractionExplainer(length, **QUICK), out=home / "texts", progress=False
    )
    assert run.explained == 3
    assert {e.text for e in read_explanations(home / "texts")} == set(TEXTS[:3])
    # And the first row decides for no other.
    rows = [{"names": None}, {"names": ["a", "b"]}, {"names": ["a", "c"]}]
    run = explain_dataset(
        rows,
        "names",
        InteractionExplainer(lambda masks: masks.sum(axis=1), **QUICK),
        out=home / "names",
        progress=False,
    )
    assert (run.explained, list(run.errors)) == (2, [0])
    assert run.errors[0].startswith("nothing is there (None)")


def test_what_is_no_data_set_of_rows_is_refused_at_once(home: Path) -> None:
    with pytest.raises(InputError, match=r"a DataFrame gives columns.*Dataset\.from_pandas"):
        explain_dataset(pd.DataFrame(ROWS), "text", of_words(), out=home / "out")
    (home / "rows.json").write_text(json.dumps(ROWS, indent=1))
    with pytest.raises(InputError, match=r"rows\.json holds one JSON list, not JSON Lines"):
        explain_dataset(home / "rows.json", "text", of_words(), out=home / "out")
    twice = pa.Table.from_arrays([pa.array(TEXTS), pa.array(TEXTS)], names=["text", "text"])
    pq.write_table(twice, home / "twice.parquet")
    with pytest.raises(InputError, match="has 2 columns named 'text'"):
        explain_dataset(home / "twice.parquet", "text", of_words(), out=home / "out")
    with pytest.raises(InputError, match="workers and num_gpus belong to an engine"):
        explain_dataset(ROWS, "text", of_words(), out=home / "out", workers=8)
    assert lists(home / "out") == []


def test_different_inputs_have_different_keys_however_deep() -> None:
    def chat(number: int) -> list[Any]:
        call = {"function": {"arguments": {"where": {"on": {"page": number}}}}}
        return [{"role": "user", "content": "Look.", "tool_calls": [call]}]

    assert input_key("", chat(1)) != input_key("", chat(2))
    assert input_key("", chat(1)) == input_key("", chat(1))
    listed = [{"role": "user", "content": "Was it dull?"}]
    kept = np.array(listed, dtype=object)
    other = np.array([{"role": "user", "content": "Was it good?"}], dtype=object)
    assert input_key("", kept) == input_key("", listed)  # of what it holds, not of where it lies
    assert input_key("", kept) != input_key("", other)
    sounds = np.zeros(4), np.ones(4)
    assert input_key("", sounds[0]) != input_key("", sounds[1])
    # As they always were: what is finished stays so.
    assert input_key("k", "not bad") == "15d9097d9b55ce2b04543d0891f369f9"
    nested = {"b": ["x", 1.5, None], "a": b"q"}
    assert input_key("k", nested) == "f5b80d95fa3451e2b58cee45549f3f20"


def test_images_that_are_read_otherwise_have_other_keys() -> None:
    """The colours of a palette, and which way up a camera was held, are not among the pixels."""
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 2

    def of_palette(colours: list[int]) -> Image.Image:
        made = Image.fromarray(indices).convert("P")
        made.putpalette(colours)
        return made

    red, blue = of_palette([255, 255, 255, 255, 0, 0]), of_palette([0, 0, 0, 0, 0, 255])
    assert red.tobytes() == blue.tobytes()
    assert input_key("", red) != input_key("", blue)
    assert input_key("", red) == input_key("", red.copy())
    plain = Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3))

    def held(way: int | None) -> Image.Image:
        exif, file = Image.Exif(), io.BytesIO()
        if way is not None:
            exif[0x0112] = way
        plain.save(file, "PNG", exif=exif)
        return Image.open(file)

    assert len({input_key("", held(way)) for way in range(1, 9)}) == 8
    pairs = [[{"image": image}] for image in (red, blue)]  # however deep
    assert input_key("", pairs[0]) != input_key("", pairs[1])
    # What is read as its pixels say keeps the key that it always had.
    assert input_key("k", held(1)) == input_key("k", held(None)) == input_key("k", plain)
    known = {
        "RGB": "f60b073c99021d1dcdb53eb75c25acc1",
        "L": "cb8d06b7eb6a44a6765b36f247121c24",
        "RGBA": "f1b61e48de9e1b046bb787540f428c83",
        "CMYK": "88ff2999b131650ce5d80749d0277c57",
        "1": "224417966fb65001bab1b73d3fac7836",
    }
    assert {mode: input_key("k", plain.convert(mode)) for mode in known} == known


def test_lists_of_a_ray_data_set_are_lists(home: Path) -> None:
    llm = generator()
    llm.tokenizer.chat_template = TEMPLATE
    explainer = InteractionExplainer(llm, max_new_tokens=2, **QUICK)
    make = partial(Worker, explainer, home / "pending", set(), None)
    actor = _Actor(make, Columns("chat"))
    chat = [{"role": "user", "content": TEXTS[0]}]
    made = json.loads(actor({"chat": np.array(chat, dtype=object)})["done"])
    assert made["error"] is None
    assert made["input"] == input_key(explainer_key(explainer), chat)
    sound = np.zeros(5)
    assert Columns("a").input_of(0, {"a": sound}).value is sound


def test_another_function_of_the_same_name_is_another_model(home: Path) -> None:
    def rules(strength: float) -> Callable[..., Any]:
        if strength > 1:
            return lambda texts: [2.0 * len(text) for text in texts]
        return lambda texts: [1.0 * len(text) for text in texts]

    assert explainer_key(of_words(rules(1))) == explainer_key(of_words(rules(0)))
    assert explainer_key(of_words(rules(1))) != explainer_key(of_words(rules(2)))
    assert explainer_key(of_words(partial(rules(1)))) != explainer_key(of_words(partial(rules(2))))
    classifier = roberta_pipeline()
    values = [
        InteractionExplainer(classifier, value=lambda out: out[:, 0]),
        InteractionExplainer(classifier, value=lambda out: out[:, 1]),
    ]
    assert len({explainer_key(each) for each in values}) == 2
    for strength, found in ((1, 1.0), (2, 2.0)):
        explain_dataset(ROWS[:1], "text", of_words(rules(strength)), out=home / "out")
        values_of = {e.value for e in read_explanations(home / "out")}
        assert found * len(TEXTS[0]) in values_of


def test_two_calls_that_share_a_place(home: Path) -> None:
    call = partial(explain_dataset, ROWS, "text", of_words(), out=home / "out", shard_size=12)
    inner = []

    def meanwhile(progress: Any) -> None:
        if progress.done == 9:  # two batches of eight lie finished, none is sent
            inner.append(call(progress=False))

    run = call(progress=meanwhile)
    assert inner[0].explained == run.explained == 12
    assert {e.text for e in read_explanations(home / "out")} == set(TEXTS)
    assert call(progress=False).known == 12


def test_a_call_that_shares_a_place_sends_while_this_one_looks(home: Path) -> None:
    rows = [{"text": text} for text in TEXTS[:2]]
    folder = Folder(home / "out", "explanations")
    pending = Pending(home / "finished")
    worker = Worker(of_words(), pending.folder, set(), None)
    done = list(worker.all(rows_of(rows, Columns("text"))))

    def send(each: Done) -> None:
        record = pending.get(each.input)
        folder.add([record] if record else [], [each])
        pending.drop([each.input])

    class Sending(Folder):
        """Just after the lists were read, the other call sends the second explanation."""

        def finished(self) -> list[Done]:
            found = super().finished()
            if len(found) == 1:
                send(done[1])
            return found

    send(done[0])
    place = Sending(folder.folder, folder.config)
    collected = _Collected(place, pending, 2, set(), [], writes=True)
    for each in done:
        collected.take(each)
    assert len(collected.run.shards) == 1
    assert {e.text for e in read_explanations(home / "out")} == set(TEXTS[:2])


def test_a_file_of_explanations_is_written_whole_or_not_at_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while a shard is written, then other sizes of shards: what lies there
    can be read."""
    real = pq.ParquetWriter.close

    def full(writer: Any) -> None:
        real(writer)
        raise OSError(errno.ENOSPC, "No space left on device")

    def call(size: int) -> Any:
        out = home / "out"
        return explain_dataset(
            ROWS[:4], "text", of_words(), out=out, shard_size=size, progress=False
        )

    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    with pytest.raises(InputError, match="No space left on device"):
        call(3)
    monkeypatch.setattr(pq.ParquetWriter, "close", real)
    assert [path for path in (home / "out").rglob("*") if path.is_file()] == []
    assert call(2).explained == 4
    assert {e.text for e in read_explanations(home / "out")} == set(TEXTS[:4])


def test_what_was_interrupted_lists_what_an_undisturbed_run_does(home: Path) -> None:
    """Rows that stand twice, and rows with an error, lie on both sides of the interruption."""
    rows = [{"text": text} for text in [*TEXTS[:4], "", TEXTS[0], "", TEXTS[4], TEXTS[1]]]

    def call(out: str, progress: Any) -> Any:
        return explain_dataset(
            rows, "text", of_words(), out=home / out, shard_size=2, progress=progress
        )

    def stop(progress: Any) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    whole = call("whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        call("parts", stop)
    resumed = call("parts", progress=False)
    assert resumed.known > 0
    for run in (whole, resumed, call("parts", progress=False)):
        assert (run.explained + run.known, run.failed, set(run.errors)) == (7, 2, {4, 6})
    whole_list, parts = (
        sorted(lists(home / out), key=itemgetter("row")) for out in ("whole", "parts")
    )
    assert whole_list == parts
    assert [line["row"] for line in parts] == list(range(len(rows)))
