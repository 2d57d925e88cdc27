"""shapiq in another interpreter, as the bench of indices asks it; here it is a made-up one."""

import json
import sys

import indices
import numpy as np
import pytest
from harness.cache import ResultCache
from harness.games import ERRORS, read_games
from harness.index_methods import method_named
from harness.shapiq_process import Shapiq, WorkerError

N = 6


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "games").mkdir()
    values = np.random.default_rng(0).normal(size=2**N)
    np.savez(tmp_path / "games" / "tiny.npz", values=values, n=N)
    return tmp_path / "games"


#: In place of shapiq: one class whose Shapley value of feature i is i, and two that fail.
FAKE = """
import time
import numpy as np
print("noise")

class LeverageSHAP:
    def __init__(self, n, random_state):
        self.n = n

    def approximate(self, budget, game):
        print("more noise")
        masks = np.concatenate([np.eye(self.n, dtype=bool)] * 2 + [~np.eye(self.n, dtype=bool)])
        game(masks)
        more = (np.arange(20)[:, None] >> np.arange(self.n)) & 1
        game(more[: budget - 2 * self.n])
        self.interactions = {(i,): float(i) for i in range(self.n)} | {(): 5.0}
        return self

class OddSHAP:
    def __init__(self, n, random_state):
        raise RuntimeError("no odds")

class ShaplEIG:
    def __init__(self, n, random_state, show_progress):
        assert not show_progress
        time.sleep(60)
"""


@pytest.fixture
def python(tmp_path):
    """An interpreter whose shapiq is the one above."""
    library = tmp_path / "library"
    (library / "shapiq-9.1.dist-info").mkdir(parents=True)
    (library / "shapiq.py").write_text(FAKE)
    metadata = "Metadata-Version: 2.1\nName: shapiq\nVersion: 9.1\n"
    (library / "shapiq-9.1.dist-info" / "METADATA").write_text(metadata)
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nshift\nPYTHONPATH="{library}" exec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return path


def test_others_are_asked_in_their_own_interpreter_and_kept(folder, tmp_path, python, capsys):
    cache, out = tmp_path / "kept.jsonl", tmp_path / "rows.json"
    given = ["--games", str(folder), "--alphas", "1.9", "--seeds", "1", "--cache", str(cache)]
    given += ["--json", str(out), "--methods", "LeverageSHAP", "ours@LeverageSHAP", "OddSHAP"]
    assert indices.main(given) == 0
    assert "LeverageSHAP: 1 results are neither kept nor could be made" in capsys.readouterr().err
    assert indices.main([*given, "--shapiq", str(python)]) == 0
    assert "OddSHAP on tiny, α = 1.9, seed 0: RuntimeError: no odds" in capsys.readouterr().err
    leverage, ours, odd = json.loads(out.read_text())["rows"]
    truth = read_games(folder)[0].truth["SV"]
    expected = sum((i - truth[i,]) ** 2 for i in range(N)) / sum(v**2 for v in truth.values())
    assert leverage["errors"] == {"SV": pytest.approx(expected)}
    assert leverage["version"] == odd["version"] == "shapiq 9.1"
    assert ours["calls"] == leverage["calls"] <= leverage["budget"] == 29
    assert ours["errors"].keys() == set(ERRORS)
    kept = list(ResultCache(cache).rows().values())
    assert [row["method"] for row in kept] == ["LeverageSHAP", "OddSHAP"]
    assert kept[0]["asked"][:3] == [1, 2, 4]
    assert kept[0]["libraries"]["shapiq"] == "9.1"
    # Without the interpreter what was kept gives the same.
    before = out.read_text()
    assert indices.main(given) == 0
    rows, again = (json.loads(text)["rows"] for text in (before, out.read_text()))
    for row, other in zip(rows, again, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


def test_an_interpreter_that_does_not_answer(folder, tmp_path, python, capfd):
    (tiny,) = read_games(folder)
    with Shapiq(python, 60) as shapiq:
        assert shapiq.versions["shapiq"] == "9.1"
        shapiq.limit = 0.5
        with pytest.raises(WorkerError, match=r"took more than 0\.5 s"):
            shapiq.run(tiny, method_named("ShaplEIG"), 30, 0)
        # The next request starts it again.
        shapiq.limit = 60
        assert "no odds" in shapiq.run(tiny, method_named("OddSHAP"), 30, 0)["error"]
    with Shapiq(tmp_path / "nothing", 5) as shapiq, pytest.raises(WorkerError, match="cannot be"):
        shapiq.versions  # noqa: B018
    (tmp_path / "library" / "shapiq.py").write_text("raise ImportError('half installed')")
    with Shapiq(python, 60) as shapiq, pytest.raises(WorkerError, match="ended with code 1"):
        shapiq.versions  # noqa: B018
    assert "half installed" in capfd.readouterr().err
