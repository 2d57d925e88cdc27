"""Each thing that goes wrong on the way: what the user is told, what the repository holds after."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

from proxyspex_hf import (
    HubError,
    InteractionExplanation,
    SchemaError,
    hub_summary,
    pull_explanations,
    push_explanations,
)
from proxyspex_hf.hub import faults, repository
from proxyspex_hf.sharing import read_explanations

REPO = "me/explanations"
API = f"/api/datasets/{REPO}"

#: Faults after which trying again helps: request, and what happens to it.
PASSING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "the repository cannot be looked up": ("GET", rf"{API}$", {"status": 500}),
    "nor its files": ("GET", f"{API}/tree", {"status": 502}),
    "it cannot be made": ("POST", "/api/repos/create", {"status": 503}),
    "making it is cut": ("POST", "/api/repos/create", {"action": "cut"}),
    "the card is not checked": ("POST", "/api/validate-yaml", {"status": 504}),
    "uploads are not planned": ("POST", f"{API}/preupload", {"status": 500}),
    "uploads are not agreed": ("POST", "objects/batch", {"status": 500}),
    "an upload fails": ("PUT", "/lfs/", {"status": 500}),
    "an upload is cut": ("PUT", "/lfs/", {"action": "cut"}),
    "the answer to an upload is lost": ("PUT", "/lfs/", {"action": "lost"}),
    "too many requests": (
        "POST",
        f"{API}/commit",
        {"status": 429, "headers": {"Retry-After": "3"}},
    ),
    "the commit fails": ("POST", f"{API}/commit", {"status": 500}),
    "the commit is cut": ("POST", f"{API}/commit", {"action": "cut"}),
    "the commit is refused as stale": ("POST", f"{API}/commit", {"status": 412}),
    "the commit conflicts": ("POST", f"{API}/commit", {"status": 409}),
    "the commit is made, its answer lost": ("POST", f"{API}/commit", {"action": "lost"}),
    "the commit is made, its answer cut": ("POST", f"{API}/commit", {"action": "truncate"}),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again(
    name: str, hub: HubServer, several: list[InteractionExplanation], outbox: Path
) -> None:
    method, path, how = PASSING[name]
    fault = hub.fail(method, path, **how)
    done = push_explanations(several, REPO)
    assert fault.seen == 1
    assert len(done.ids) == 5
    # Once, whatever became of the answer.
    assert [c.message for c in hub.repo(REPO).log()] == ["Add 5 explanations", "initial commit"]
    assert len(list(pull_explanations(REPO))) == 5
    assert list(outbox.iterdir()) == []


#: Faults that stay: what is ordered, and what the user is told.
LASTING: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "401": ("GET", API, {"status": 401}, r"no valid token.*hf auth login.*token="),
    "403": ("POST", "/commit/", {"status": 403}, r"may not write there.*create_pr=True"),
    "409": ("POST", "/commit/", {"status": 409}, r"others keep changing it.*Try again in a minute"),
    "413": ("POST", "/commit/", {"status": 413}, r"too large. Push fewer"),
    "422": ("POST", "/commit/", {"status": 422}, r"refused with HTTP 422: .*this was ordered"),
    "429": (
        "GET",
        API,
        {"status": 429, "headers": {"Retry-After": "1000"}},
        r"too many requests from you. Try again in 1000 s",
    ),
    "429 as the Hub says it": (
        "GET",
        API,
        {"status": 429, "headers": {"RateLimit": '"api";r=0;t=271'}},
        r"too many requests from you. Try again in 271 s",
    ),
    "a reason on two lines": (
        "POST",
        "/commit/",
        {"status": 403, "headers": {"X-Error-Message": "storage is full"}, "message": "upgrade"},
        r"may not write there.*The Hub says: storage is full upgrade\. Nothing is lost",
    ),
    "500": ("POST", "/commit/", {"status": 500}, r"HTTP 500\). Try again in a few minutes"),
    "upload 500": ("PUT", "/lfs/", {"status": 500}, r"HTTP 500\). Try again in a few minutes"),
    "upload cut": ("PUT", "/lfs/", {"action": "cut"}, r"connection failed .*Check the network"),
    "commit cut": ("POST", "/commit/", {"action": "cut"}, r"connection failed .*HF_ENDPOINT"),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_told_and_nothing_is_lost(
    name: str, hub: HubServer, several: list[InteractionExplanation], outbox: Path
) -> None:
    several[0].push_to_hub(REPO)
    before = hub.files(REPO)
    method, path, how, message = LASTING[name]
    fault = hub.fail(method, path, times=10_000, **how)
    with pytest.raises(HubError, match=message) as caught:
        push_explanations(several[1:], REPO)
    assert f"cannot push to '{REPO}'" in str(caught.value)
    assert fault.seen <= 30
    assert hub.files(REPO) == before  # all or nothing: nothing
    (kept,) = outbox.iterdir()
    assert f"is kept in {kept}." in str(caught.value)
    waiting = read_explanations(kept)
    assert len(waiting) == 4
    assert all(e in several[1:] for e in waiting)
    hub.faults.clear()
    push_explanations(waiting, REPO)
    assert len(InteractionExplanation.list_hub(REPO)) == 5
    assert list(outbox.iterdir()) == []


def test_nobody_answers(
    hub: HubServer, several: list[InteractionExplanation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"connection failed \(ConnectError: .*Nothing is lost"):
        several[0].push_to_hub(REPO)
    with pytest.raises(HubError, match=r"cannot pull from .*connection failed"):
        InteractionExplanation.from_hub(REPO)


@pytest.mark.parametrize("path", [rf"{API}$", "/resolve/"])
def test_what_may_not_be_read_is_no_matter_of_writing(
    path: str, hub: HubServer, several: list[InteractionExplanation], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    several[0].push_to_hub(REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    hub.fail("GET|HEAD", path, status=403, times=10_000)
    with pytest.raises(HubError, match="your token may not read there: pass one that may"):
        InteractionExplanation.from_hub(REPO)


@pytest.mark.parametrize("asked", [3.0, 4.0])
def test_the_hub_is_given_the_time_that_it_asks_for(
    asked: float, hub: HubServer, several: list[InteractionExplanation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    several[0].push_to_hub(REPO)
    waits: list[float] = []
    monkeypatch.setattr(faults.time, "sleep", waits.append)
    hub.fail("GET", rf"{API}$", status=429, headers={"RateLimit": f'"api";r=0;t={asked:g}'})
    InteractionExplanation.list_hub(REPO)
    assert waits == [asked + 0.1]


def test_what_is_interrupted_waits_and_is_told(
    hub: HubServer,
    several: list[InteractionExplanation],
    outbox: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C while it is sent, and while it is written."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.HfApi.create_commit", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            push_explanations(several, REPO)
    (kept,) = outbox.iterdir()
    assert kept.name.startswith("explanations-")
    assert "sending" not in kept.name
    (told,) = caught.value.__notes__
    assert f"Nothing is lost: what was to be pushed is kept in {kept}. `" in told
    assert sorted(read_explanations(kept), key=repr) == sorted(several, key=repr)
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", interrupted)
        with pytest.raises(KeyboardInterrupt):
            push_explanations(several[:2], REPO)
    assert list(outbox.iterdir()) == [kept]
    push_explanations(several, REPO)
    assert list(outbox.iterdir()) == []


def test_offline_mode_is_told(
    hub: HubServer, several: list[InteractionExplanation], monkeypatch: pytest.MonkeyPatch
) -> None:
    several[0].push_to_hub(REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = len(hub.requests)
    with pytest.raises(
        HubError, match=r"offline mode is on. Unset HF_HUB_OFFLINE.*Nothing is lost"
    ):
        several[1].push_to_hub(REPO)
    with pytest.raises(HubError, match="offline mode is on"):
        InteractionExplanation.list_hub(REPO)
    assert len(hub.requests) == start


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(
    hub: HubServer,
    several: list[InteractionExplanation],
    outbox: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = pq.ParquetWriter
    full: Any = lambda _, *args, **options: real("/dev/full", *args, **options)  # noqa: E731
    monkeypatch.setattr(pq, "ParquetWriter", full)
    with pytest.raises(HubError, match=r"No space left on device.*Nothing was pushed.*HF_HOME"):
        several[0].push_to_hub(REPO)
    assert hub.repos == {}
    assert list(outbox.iterdir()) == []  # nothing half written is left
    monkeypatch.setattr(pq, "ParquetWriter", real)
    several[0].push_to_hub(REPO)
    assert len(InteractionExplanation.list_hub(REPO)) == 1


def test_wrong_people_are_told(hub: HubServer, several: list[InteractionExplanation]) -> None:
    several[0].push_to_hub(REPO)
    with pytest.raises(HubError, match="may not write there"):
        several[1].push_to_hub(REPO, token="hf_reader")
    with pytest.raises(HubError, match="no valid token"):
        several[1].push_to_hub(REPO, token="hf_unknown")
    with pytest.raises(HubError, match="may not write there"):
        several[1].push_to_hub("you/theirs")
    with pytest.raises(HubError, match=r"no such data set.*Check the name"):
        InteractionExplanation.from_hub("you/none")
    assert len(hub.repo(REPO).log()) == 2


@pytest.mark.parametrize("action", ["truncate", "cut", "status"])
@pytest.mark.parametrize("path", ["/lfs/", "/resolve/", rf"{API}$", "/tree/"])
def test_pulling_goes_on_after_a_fault(
    action: str,
    path: str,
    hub: HubServer,
    several: list[InteractionExplanation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several[0].push_to_hub(REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    fault = hub.fail("GET|HEAD", path, action=action)
    assert InteractionExplanation.from_hub(REPO) == several[0]
    assert fault.seen == 1


@pytest.mark.parametrize("whole", [True, False])
def test_half_a_file_is_no_explanation(
    whole: bool,
    hub: HubServer,
    several: list[InteractionExplanation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that gives half of a file and calls it whole, every time."""
    several[0].push_to_hub(REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(repository, "_WHOLE", 10**9 if whole else 0)
    hub.fail("GET", "/lfs/", action="short", times=10_000)
    with pytest.raises((HubError, SchemaError), match=r"cannot pull from|is damaged"):
        InteractionExplanation.from_hub(REPO)


def test_a_file_that_vanished_is_told(
    hub: HubServer, several: list[InteractionExplanation], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    several[0].push_to_hub(REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    hub.fail("HEAD", "/resolve/", status=404, headers={"X-Error-Code": "EntryNotFound"})
    with pytest.raises(HubError, match="a file that should be there was not found"):
        InteractionExplanation.from_hub(REPO)


def test_a_pull_request_is_not_made_twice(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    several[0].push_to_hub(REPO)
    hub.fail("POST", "/commit/", action="lost")
    with pytest.raises(HubError, match=r"Look whether the pull request was made; if not, `.*-pr`"):
        several[1].push_to_hub(REPO, create_pr=True)
    assert [ref for ref in hub.repo(REPO).refs if ref.startswith("refs/pr")] == ["refs/pr/1"]


def changed(table: pa.Table, name: str, values: list[Any]) -> bytes:
    """A Parquet file with other values in a column."""
    place = table.schema.get_field_index(name)
    field, stream = table.schema.field(place), io.BytesIO()
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("row", -1, "row must be an integer from 0"), ("id", "f" * 32, "does not hold f{32}, which")],
)
def test_an_index_that_says_wrong_things_can_be_made_anew(
    name: str, value: Any, said: str, hub: HubServer, several: list[InteractionExplanation]
) -> None:
    push_explanations(several[:2], REPO)
    path = "index/explanations.parquet"
    table = pq.read_table(io.BytesIO(hub.files(REPO)[path]))
    hub.put(REPO, {path: changed(table, name, [value, table[name].to_pylist()[1]])})
    for read in (lambda: list(pull_explanations(REPO)), lambda: hub_summary(REPO)):
        with pytest.raises(SchemaError, match=rf"{said}.*delete it on the Hub") as caught:
            read()
        assert path in str(caught.value)
    hub.repo(REPO).commit("main", {}, {path}, "delete it")
    assert len(list(pull_explanations(REPO))) == 2


def test_what_is_wrong_with_one_of_many_is_told_with_its_id(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    push_explanations(several[:3], REPO)
    (path,) = (p for p in hub.files(REPO) if p.startswith("explanations/"))
    table = pq.read_table(io.BytesIO(hub.files(REPO)[path]))
    first, second, third = table["id"].to_pylist()
    hub.put(REPO, {path: changed(table, "schema_version", [3, 9, 3])})
    said = rf"^{second} in {path}: the explanation has schema version 9"
    with pytest.raises(SchemaError, match=said):
        list(pull_explanations(REPO))
    with pytest.raises(SchemaError, match=said):
        InteractionExplanation.from_hub(REPO, id=second)
    assert len(list(pull_explanations(REPO, [first, third]))) == 2


def test_a_damaged_index_can_be_made_anew(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    push_explanations(several[:2], REPO)
    hub.put(REPO, {"index/explanations.parquet": b"PAR1 oops PAR1"})
    with pytest.raises(SchemaError, match=r"damaged .*delete it on the Hub, and the next push"):
        several[2].push_to_hub(REPO)
    hub.repo(REPO).commit("main", {}, {"index/explanations.parquet"}, "delete it")
    several[2].push_to_hub(REPO)
    assert len(InteractionExplanation.list_hub(REPO)) == 3
    assert "index/explanations.parquet" in hub.files(REPO)
