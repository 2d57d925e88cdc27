"""push, pull and list on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

from proxyspex_hf import InteractionExplanation, push_explanations
from proxyspex_hf.cli.main import main
from proxyspex_hf.hub.rows import content_id

REPO = "me/explanations"


@pytest.fixture
def saved(several: list[InteractionExplanation], tmp_path: Path) -> list[str]:
    paths = []
    for number, explanation in enumerate(several[:3]):
        path = tmp_path / f"{number}.json"
        explanation.save(path)
        paths.append(str(path))
    return paths


def test_push_list_pull(
    hub: HubServer,
    saved: list[str],
    several: list[InteractionExplanation],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["push", *saved[:2], REPO, "--private", "-m", "two of them"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{REPO}: 2 added"
    assert said[1].startswith(f"{hub.url}/datasets/{REPO}/commit/")
    ids = [content_id(e.record) for e in several]
    assert said[2:] == ids[:2]
    assert hub.repo(REPO).private
    assert hub.repo(REPO).log()[0].message == "two of them"
    assert main(["push", *saved, REPO]) == 0
    assert "1 added, 2 already there" in capsys.readouterr().out

    assert main(["list", REPO]) == 0
    listed = capsys.readouterr().out
    assert all(identity[:8] in listed for identity in ids[:3])
    best = several[0].top(1)[0]
    assert " × ".join(best.labels) in listed
    assert main(["list", REPO, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["id"] for row in rows} == set(ids[:3])

    out, page = tmp_path / "pulled.json", tmp_path / "pulled.html"
    assert main(["pull", REPO, ids[1][:8], "--out", str(out), "--html", str(page)]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    assert InteractionExplanation.load(out) == several[1]
    assert page.read_text() == several[1].to_html()
    picture = tmp_path / "pulled.svg"
    assert main(["pull", REPO, ids[1][:8], "--image", str(picture), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["target"] == several[1].label
    assert picture.read_text().startswith("<svg")
    folder = tmp_path / "all"
    folder.mkdir()
    assert main(["pull", REPO, "--all", str(folder)]) == 0
    assert {path.stem for path in folder.iterdir()} == set(ids[:3])


def test_what_a_failed_push_left_is_pushed(
    hub: HubServer, saved: list[str], outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.fail("POST", "/commit/", status=403, times=100)
    assert main(["push", *saved, REPO, "--config-name", "french"]) == 1
    complaint = capsys.readouterr().err
    assert "proxyspex-hf: cannot push to 'me/explanations': your token may not" in complaint
    hub.faults.clear()
    command = complaint.split("`")[1].split()
    assert command[0] == "proxyspex-hf"
    assert main(command[1:]) == 0
    assert "3 added" in capsys.readouterr().out
    assert list(outbox.iterdir()) == []
    assert len(InteractionExplanation.list_hub(REPO, config_name="french")) == 3


def copied(hub: HubServer, folder: Path) -> Path:
    """A copy of the repository on the disk."""
    for path, data in hub.files(REPO).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def test_a_folder_keeps_its_collections(
    hub: HubServer,
    several: list[InteractionExplanation],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    push_explanations(several[:2], REPO)
    push_explanations(several[1:4], REPO, config_name="french")
    folder = copied(hub, tmp_path / "copy")
    assert main(["push", str(folder), "me/again"]) == 0
    said = capsys.readouterr().out
    assert "me/again: 2 added in explanations\n" in said
    assert "me/again: 3 added in french\n" in said
    for name in ("explanations", "french"):
        listed, there = (
            InteractionExplanation.list_hub(r, config_name=name) for r in (REPO, "me/again")
        )
        assert {entry.id for entry in there} == {entry.id for entry in listed}
    # Where one is named, all go there.
    assert main(["push", str(folder), "me/one", "--config-name", "all"]) == 0
    assert len(InteractionExplanation.list_hub("me/one", config_name="all")) == 4


def test_a_folder_whose_files_differ_in_length(
    hub: HubServer,
    several: list[InteractionExplanation],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    push_explanations(several[:2], REPO)
    folder = copied(hub, tmp_path / "copy")
    (queries,) = folder.glob("queries/*.parquet")
    pq.write_table(pq.read_table(queries).slice(0, 1), queries)
    (place,) = folder.glob("explanations/*.parquet")
    for command in (["summary", str(folder)], ["push", str(folder), "me/x"]):
        assert main(command) == 1
        assert f"{place} has 2 rows, {queries} 1." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["push", "missing.json", REPO], 2, "cannot read missing.json"),
        (["push", ".", REPO], 2, "there are no explanations in ."),
        (["pull", "me/none"], 1, "no such data set"),
        (["pull", REPO, "--all", "missing"], 2, "a directory that exists"),
        (["pull", REPO, "abcdef", "--all", "."], 2, "leave out the id"),
        (["list", "nonsense//"], 2, "repo_id must be 'owner/name', got 'nonsense//'"),
        (
            ["list", REPO, "--token", ""],
            2,
            "the token is empty. Pass it as the Hub shows it, or leave "
            "--token out to use that of `hf auth login` or HF_TOKEN.",
        ),
        (["list", "me/none"], 1, "log in with `hf auth login` or pass --token."),
        (["list", REPO, "--config-name", "queries"], 2, "config_name must be"),
    ],
)
def test_what_cannot_be_done_is_told(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert message in capsys.readouterr().err


def test_an_interrupted_push_says_where_it_waits(
    hub: HubServer,
    several: list[InteractionExplanation],
    outbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    several[0].save(tmp_path / "e.json")
    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", interrupted)
    assert main(["push", str(tmp_path / "e.json"), REPO]) == 130
    (kept,) = outbox.iterdir()
    said = capsys.readouterr().err
    assert "interrupted; no file was left incomplete. Nothing is lost: " in said
    assert f"what was to be pushed is kept in {kept}." in said
    assert f"`proxyspex-hf push {kept} {REPO}` sends it again." in said
