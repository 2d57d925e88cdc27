from __future__ import annotations

import argparse
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from children import Child
from record_factory import from_effects, make_record

from proxyspex_hf import DEMO_MODEL, HubError, InteractionExplanation, ModelError
from proxyspex_hf.cli.main import main
from proxyspex_hf.cli.show import in_options

SIX_WORDS = "The sequel truly elevated the original"
RUN = [sys.executable, "-m", "proxyspex_hf"]


def explain(*more: str, text: str = SIX_WORDS) -> list[str]:
    return ["explain", text, "--model", DEMO_MODEL, "--no-progress", *more]


def test_explain_prints_saves_and_draws(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, page = tmp_path / "e.json", tmp_path / "e.html"
    assert main(explain("--out", str(out), "--html", str(page), "--top", "3")) == 0
    printed = capsys.readouterr().out
    explanation = InteractionExplanation.load(out)
    assert page.read_text() == explanation.to_html()
    for interaction in explanation.top(3):
        assert f"{interaction.effect:+.2f}" in printed
        assert all(label in printed for label in interaction.labels)
    assert "64 model calls" in printed
    assert f"wrote {out}" in printed
    assert main(["show", str(out), "--top", "3"]) == 0
    assert capsys.readouterr().out == printed.split("wrote")[0]


def test_json_is_the_ranked_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    asked = ("--json", "--out", str(out), "--target", "positive", "--seed", "4", "--top", "4")
    assert main(explain(*asked)) == 0
    printed = json.loads(capsys.readouterr().out)
    explanation = InteractionExplanation.load(out)
    assert explanation.record.settings.seed == 4
    assert printed["target"] == "POSITIVE"
    assert printed["value"] == explanation.record.full_value
    best = explanation.top(4)
    assert [tuple(row["members"]) for row in printed["effects"]] == [i.members for i in best]
    assert [row["effect"] for row in printed["effects"]] == [i.effect for i in best]
    assert main(["show", str(out), "--json", "--top", "4"]) == 0
    assert json.loads(capsys.readouterr().out) == printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--buget", "3"), "--buget 3. Did you mean --budget?"),
        (("--targets=NEGATIVE",), "--targets=NEGATIVE. Did you mean --target?"),
        (("--zzz",), "unrecognized arguments: --zzz\n"),
        (("more", "words"), "unrecognized arguments: more words\n"),
        (("--budget", "many"), "argument --budget: a whole number of masks or auto, got 'many'"),
    ],
)
def test_a_misspelled_option_is_answered_by_its_command(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(explain(*arguments))
    said = capsys.readouterr().err
    assert said.startswith("usage: proxyspex-hf explain ")
    assert says in said


def test_a_sibling_is_explained_first(tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    text = f"{SIX_WORDS} and it is never dull at all"
    more = ("--sibling", DEMO_MODEL, "--alpha", "0.5", "--out", str(out))
    assert main(explain(*more, text=text)) == 0
    record = InteractionExplanation.load(out).record
    assert len(record.queries) == 24
    assert record.sibling is not None
    (note,) = record.provenance.notes
    assert "times what a sibling (sentiment, of " in note


def test_the_shipped_model_is_taken_where_none_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "e.png"
    asked = ["explain", "It is not a bad film", "--value", "log-odds", "--image", str(picture)]
    assert main([*asked, "--ascii"]) == 0
    printed = capsys.readouterr()
    assert printed.err == (
        "Using the small classifier of film reviews that ships; --model names another.\n"
    )  # and no bar: this is not a terminal
    assert printed.out.isascii()
    assert printed.out.startswith('91% POSITIVE. Without "not": 94% NEGATIVE.\n')
    assert "not x ... bad (both needed)" in printed.out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_files_are_compared_and_several_summarized(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = []
    for name, text in (("a", "not a bad film"), ("b", "a bad film")):
        files.append(str(tmp_path / f"{name}.json"))
        assert main(explain("--out", files[-1], "--target", "POSITIVE", text=text)) == 0
    page = tmp_path / "c.html"
    capsys.readouterr()
    assert main(["compare", *files, "--html", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    first, second = (InteractionExplanation.load(path) for path in files)
    bad = next(d for d in told["differences"] if d["labels"] == ["bad"])
    expected = [e.effect for f in (first, second) for e in f.top(99) if e.labels == ("bad",)]
    assert bad["effects"] == pytest.approx(expected)
    assert bad["difference"] == pytest.approx(expected[1] - expected[0])
    assert "a beside b" in page.read_text()
    assert main(["summary", *files, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    row = next(r for r in told["recurring"] if r["words"] == ["bad"])
    assert (row["count"], row["total"]) == (2, 2)
    assert row["mean"] == pytest.approx(sum(expected) / 2)
    assert main(["summary"]) == 2
    assert "give files or folders" in capsys.readouterr().err


def test_a_dash_reads_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("not good. Not at all.\n"))
    assert main(explain("--features", "sentences", text="-")) == 0
    assert "not good." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (explain(text=""), 2, "the text is empty"),
        (explain("--target", "GREAT"), 2, "is not a label of this model; it has 'NEGATIVE'"),
        (explain("--budget", "3"), 2, "--budget 3 is too small"),
        (explain("--out", "missing/dir/e.json"), 2, "is not a directory"),
        (explain("--html", "/"), 2, "it is a directory"),
        (explain("--top", "0"), 2, "--top must be at least 1"),
        (explain("--target", "7"), 2, "--target 7 is not a label"),
        (explain("--density", "2"), 2, "density must lie strictly between"),
        (explain("--device", "cuda:99"), 2, "cannot load"),
        (explain(text="bad \udcff film"), 2, "bytes that are not characters"),
        (["explain", "a", "--model", "no/such/model"], 2, "cannot load 'no/such/model'"),
        (explain("--task", "chess"), 2, "cannot load .* for chess"),
        (explain("--task", "object-detection", "--model", "no/such"), 2, "is not supported"),
        (explain("--value", "logits"), 2, "--value 'logits' is unknown for this task"),
        (["show", "missing.json"], 2, "cannot read missing.json"),
        (explain("--image", "e.gif"), 2, "--image must end in .svg or .png"),
    ],
)
def test_what_cannot_be_used_exits_with_2(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    complaint = capsys.readouterr().err
    assert re.search(message, complaint)
    assert complaint.startswith("proxyspex-hf: ")
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("show a.json --html a.json", "--html a.json would replace a file that this command reads"),
        ("show a.json --image link.svg", "--image link.svg would replace a file"),
        ("compare a.json b.json --html ./a.json", "--html a.json would replace a file"),
        ("compare a.json b.json --html b.json", "--html b.json would replace a file"),
        ("summary a.json b.json --html a.json", "--html a.json would replace a file"),
        ("explain bad --out x --html x", "--out and --html name the same file, x."),
        ("explain bad --out folder/../x.svg --image x.svg", "--out and --image name the same file"),
        ("demo --html a.json --image link.svg", "--html and --image name the same file"),
        ("pull me/they 123456 --out x --html x", "--out and --html name the same file"),
    ],
)
def test_no_output_replaces_what_is_read_or_another_output(
    arguments: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    made = InteractionExplanation(make_record("not bad", from_effects({(0,): 1.0}, 2)))
    for name in ("a.json", "b.json"):
        made.save(name)
    (tmp_path / "link.svg").symlink_to("a.json")
    (tmp_path / "folder").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert main(arguments.split()) == 2
    assert says in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_text_that_is_piped_in_from_a_file_stays(tmp_path: Path) -> None:
    text = tmp_path / "review.txt"
    text.write_text("not bad")
    asked = ["explain", "-", "--out", str(text)]
    child = Child(
        f"import os, sys; os.dup2(os.open({str(text)!r}, os.O_RDONLY), 0); sys.stdin = open(0); "
        f"from proxyspex_hf.cli.main import main; sys.exit(main({asked!r}))"
    )
    assert child.wait(60).returncode == 2
    assert "would replace a file that this command reads" in child.stderr
    assert text.read_text() == "not bad"


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_the_same_device_may_be_given_twice(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    InteractionExplanation(make_record("not bad", from_effects({(0,): 1.0}, 2))).save(path)
    shown = ["show", str(path), "--image", str(tmp_path / "p.svg"), "--html", "/dev/null"]
    assert main(shown) == 0
    assert main(["compare", str(path), str(path), "--html", "/dev/stdout"]) == 0
    assert "</html>" in capfd.readouterr().out
    assert main(explain("--out", "/dev/null", "--html", "/dev/null")) == 0


def test_a_foreign_file_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"a": 1}')
    assert main(["show", str(path)]) == 1
    assert "this is not an explanation" in capsys.readouterr().err


def test_wrong_usage_exits_with_2() -> None:
    for arguments in ([], ["explain"], ["dance"], explain("--alpha", "much")):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2


def test_the_demo_explains_the_shipped_review(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "demo.json"
    assert main(["demo", "--budget", "60", "--no-progress", "--json", "--out", str(out)]) == 0
    record: Any = InteractionExplanation.load(out).record
    assert 100 <= len(record.features) <= 150
    assert record.queries.n_fit == 60
    assert capsys.readouterr().out.startswith("{")


def test_ctrl_c_leaves_no_half_written_file(tmp_path: Path) -> None:
    text = " ".join(f"word{i}" for i in range(150))
    asked = ["explain", text, "--model", DEMO_MODEL, "--out", str(tmp_path / "e.json")]
    asked += ["--alpha", "50", "--progress"]
    child = Child(f"import sys; from proxyspex_hf.cli.main import main; sys.exit(main({asked!r}))")
    deadline = time.monotonic() + 120
    while "model calls" not in child.stderr and time.monotonic() < deadline:
        time.sleep(0.02)
    child.signal(signal.SIGINT)
    assert child.wait(60).returncode == 130
    assert "interrupted; no file was left incomplete" in child.stderr
    assert "Traceback" not in child.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    assert main(explain("--out", str(out), "--json")) == 0
    shell = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; '{sys.executable}' -m proxyspex_hf show {out} | true",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in shell.stderr
    assert "BrokenPipe" not in shell.stderr


@pytest.mark.parametrize(
    ("redirected", "code", "told"),
    [(">&-", 0, ""), ("2>&-", 0, ""), ("<&-", 2, "standard input is closed")],
)
def test_streams_that_are_closed(redirected: str, code: int, told: str, tmp_path: Path) -> None:
    """Services and cron jobs are started so; Python has None for them."""
    out = tmp_path / "e.json"
    text = "-" if redirected == "<&-" else "'not bad'"
    asked = f"explain {text} --model {DEMO_MODEL} --out {out} --top 3"
    shell = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m proxyspex_hf {asked} {redirected}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shell.returncode == code
    assert "Traceback" not in shell.stderr
    assert told in shell.stderr
    assert out.exists() == (code == 0)


def test_the_mark_of_utf_8_is_no_part_of_a_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeffnot bad\n"))
    assert main(["explain", "-", "--model", DEMO_MODEL, "--json"]) == 0
    labels = {
        label for e in json.loads(capsys.readouterr().out)["effects"] for label in e["labels"]
    }
    assert labels == {"not", "bad"}


def test_messages_name_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "not bad"}\n')
    asked = ["explain-dataset", str(rows), "--column", "text", "--model", DEMO_MODEL]
    assert main(asked) == 2
    assert "--push 'owner/name'" in capsys.readouterr().err
    assert main([*asked, "--out", str(tmp_path / "out"), "--workers", "3"]) == 2
    assert "give --engine 'ray' with them" in capsys.readouterr().err
    served = argparse.Namespace(server=["http://host"])
    told = ModelError("HTTP 401. Pass token=..., and name it with model=...")
    assert (
        in_options(told, served)
        == "HTTP 401. Pass --server-token ..., and name it with --model ..."
    )
    assert "token=" in in_options(HubError("pass token=..."), served)


def test_what_the_system_says_is_not_all_about_writing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise ConnectionError("the Hub hung up")

    monkeypatch.setattr("proxyspex_hf.cli.main._standard_input", gone)
    assert main(["explain", "-"]) == 1
    assert capsys.readouterr().err == "proxyspex-hf: ConnectionError: the Hub hung up\n"


def test_quantized_and_cached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--quantization", "8bit", "--value", "margin", "--cache-dir", str(tmp_path))
    out = tmp_path / "e.json"
    assert main(explain(*options, "--out", str(out))) == 0
    record = json.loads(out.read_text())
    assert record["provenance"]["quantization"].startswith("int8")
    assert record["target"]["kind"] == "margin"
    assert len(list(tmp_path.glob("*.values"))) == 1
