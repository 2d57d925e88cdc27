from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from proxyspex_hf.core.progress import Progress
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.training import retrain

SLOW_TRAINING = """
import sys, time
from pathlib import Path
import numpy as np
from proxyspex_hf.studies.data.training import retrain
from proxyspex_hf.studies.data.packed import PackedMasks

def train(kept, seed):
    with open(sys.argv[2], "a") as log:
        log.write(f"{kept.tolist()} {seed}\\n")
    time.sleep(0.02)
    return [kept.sum() + seed * 1e-9, -float(len(kept))]

retrain(train, PackedMasks.sample(20, 150, seed=4), sys.argv[1], key="slow", n_tests=2, seed=9)
"""


class Sums:
    """Two margins of a subset, and a log of what was asked. Picklable, for other processes."""

    def __init__(self, log: Path | None = None) -> None:
        self.log = log

    def __call__(self, kept: np.ndarray, seed: int) -> list[float]:
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{kept.tolist()} {seed}\n")
        return [kept.sum() + seed * 1e-9, -float(len(kept))]


def test_killed_and_gone_on(tmp_path: Path) -> None:
    """kill -9, then the same call: what is stored is not trained again, bit for bit the same."""
    log = tmp_path / "log"
    script = tmp_path / "slow.py"
    script.write_text(SLOW_TRAINING)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    child = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "study"), str(log)],
        env=os.environ | {"PYTHONPATH": path},
    )
    deadline = time.monotonic() + 120
    while (not log.exists() or len(log.read_text().splitlines()) < 25) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL

    stored = np.isfinite(np.load(tmp_path / "study" / "margins.npy")).all(axis=1)
    assert 20 <= stored.sum() < 150
    masks = PackedMasks.sample(20, 150, seed=4)
    log.unlink()
    resumed = retrain(Sums(log), masks, tmp_path / "study", key="slow", n_tests=2, seed=9)
    asked = log.read_text().splitlines()
    missing = masks.unpack(np.flatnonzero(~stored))
    assert sorted(line.rsplit(" ", 1)[0] for line in asked) == sorted(
        str(np.flatnonzero(row).tolist()) for row in np.unique(missing, axis=0)
    )
    whole = retrain(Sums(), masks, tmp_path / "other", key="slow", n_tests=2, seed=9)
    np.testing.assert_array_equal(resumed, whole)
    log.unlink()
    retrain(Sums(log), masks, tmp_path / "study", key="slow", n_tests=2, seed=9)
    assert not log.exists()


def test_processes_agree_with_one(tmp_path: Path) -> None:
    masks = PackedMasks.sample(30, 60, seed=1)
    one = retrain(Sums(), masks, tmp_path / "one", key="k", n_tests=2)
    two = retrain(Sums(), masks, tmp_path / "two", key="k", n_tests=2, n_jobs=2)
    np.testing.assert_array_equal(one, two)
    kept = [np.flatnonzero(row) for row in masks.unpack(slice(None))]
    np.testing.assert_allclose(one[:, 0], [k.sum() for k in kept], atol=5)
    np.testing.assert_array_equal(one[:, 1], [-len(k) for k in kept])


def test_seeds_belong_to_subsets(tmp_path: Path) -> None:
    """A subset is trained with the same seed wherever it stands; another seed changes all."""
    masks = PackedMasks.sample(30, 20, seed=1)
    backwards = PackedMasks(masks.bits[::-1].copy(), 30)
    one = retrain(Sums(), masks, tmp_path / "one", key="k", n_tests=2)
    two = retrain(Sums(), backwards, tmp_path / "two", key="k", n_tests=2)
    np.testing.assert_array_equal(one, two[::-1])
    three = retrain(Sums(), masks, tmp_path / "three", key="k", n_tests=2, seed=1)
    assert (one[:, 0] != three[:, 0]).all()


def test_equal_subsets_are_trained_once(tmp_path: Path) -> None:
    masks = PackedMasks.sample(3, 50, seed=0)
    margins = retrain(Sums(tmp_path / "log"), masks, tmp_path / "s", key="k", n_tests=2)
    asked = (tmp_path / "log").read_text().splitlines()
    assert len(asked) == len(np.unique(masks.bits, axis=0)) == len(set(asked))
    for row, kept in zip(margins, masks.unpack(slice(None)), strict=True):
        assert row[1] == -kept.sum()


def test_a_study_grows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    few, many = (PackedMasks.sample(40, m, seed=2) for m in (10, 25))
    first = np.array(retrain(Sums(log), few, tmp_path / "s", key="k", n_tests=2))
    second = retrain(Sums(log), many, tmp_path / "s", key="k", n_tests=2)
    assert len(log.read_text().splitlines()) == 25
    np.testing.assert_array_equal(second[:10], first)
    again = retrain(Sums(log), few, tmp_path / "s", key="k", n_tests=2)
    np.testing.assert_array_equal(again, first)
    assert len(log.read_text().splitlines()) == 25


def test_groups_of_points(tmp_path: Path) -> None:
    masks = PackedMasks.pack(np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]]))
    log = tmp_path / "log"
    retrain(Sums(log), masks, tmp_path / "s", key="k", n_tests=2, groups=[0, 2, 1, 0, 2])
    asked = [line.rsplit(" ", 1)[0] for line in log.read_text().splitlines()]
    assert asked == ["[0, 3]", "[0, 1, 3, 4]", "[]"]


def test_cancelled_by_progress(tmp_path: Path) -> None:
    """What was trained stays."""

    class Cancelled(Exception):
        pass

    def cancel(progress: Progress) -> None:
        if progress.done == 7:
            raise Cancelled

    masks = PackedMasks.sample(40, 30, seed=2)
    for n_jobs in (1, 2):
        folder = tmp_path / str(n_jobs)
        with pytest.raises(Cancelled):
            retrain(Sums(), masks, folder, key="k", n_tests=2, n_jobs=n_jobs, progress=cancel)
        margins = np.load(folder / "margins.npy")
        assert np.isfinite(margins).all(axis=1).sum() == 7
        told: list[Progress] = []
        retrain(Sums(), masks, folder, key="k", n_tests=2, progress=told.append)
        assert (told[0].total, told[-1].done) == (23, 23)


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (lambda kept, seed: 1 / 0, r"train failed on subset 0 \(\d+ training points.*ZeroDivision"),
        (lambda kept, seed: [1.0], r"gave shape \(1,\) for subset 0; expected \(2,\)"),
        (lambda kept, seed: [1.0, np.nan], "not finite"),
        (lambda kept, seed: ["a", "b"], "no numbers"),
    ],
)
def test_trainings_that_fail(tmp_path: Path, train: object, says: str) -> None:
    masks = PackedMasks.sample(10, 4, seed=2)
    with pytest.raises(ModelError, match=says):
        retrain(train, masks, tmp_path, key="k", n_tests=2)  # type: ignore[arg-type]
    retrain(Sums(), masks, tmp_path, key="k", n_tests=2)


class Dies:
    """A process that is killed, as one is that takes too much memory."""

    def __call__(self, kept: np.ndarray, seed: int) -> list[float]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []


def test_a_process_that_dies(tmp_path: Path) -> None:
    masks = PackedMasks.sample(10, 4, seed=2)
    with pytest.raises(ModelError, match="a training process died"):
        retrain(Dies(), masks, tmp_path, key="k", n_tests=2, n_jobs=2)
    retrain(Sums(), masks, tmp_path, key="k", n_tests=2)


def test_another_study_is_refused(tmp_path: Path) -> None:
    masks = PackedMasks.sample(10, 4, seed=2)
    retrain(Sums(), masks, tmp_path, key="k", n_tests=2)
    with pytest.raises(InputError, match=r"another study .key='k'; asked for key='l'"):
        retrain(Sums(), masks, tmp_path, key="l", n_tests=2)
    with pytest.raises(InputError, match="n_tests=2; asked for n_tests=3"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=3)
    with pytest.raises(InputError, match=r"groups=None; asked for groups='[0-9a-f]{32}'"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=2, groups=range(10))
    with pytest.raises(InputError, match="other masks"):
        retrain(Sums(), PackedMasks.sample(10, 4, seed=3), tmp_path, key="k", n_tests=2)
    with FileLock(tmp_path / "study.lock"), pytest.raises(InputError, match="in use"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=2)


def test_groups_belong_to_a_study(tmp_path: Path) -> None:
    """Other groups are other trainings: their margins are not taken for these."""
    masks = PackedMasks.sample(3, 4, seed=2)
    first = retrain(Sums(), masks, tmp_path / "s", key="k", n_tests=2, groups=[0, 1, 2, 0, 1])
    for other in ([0, 1, 2, 1, 0], [0, 1, 2, 0], None):
        with pytest.raises(InputError, match=r"another study .groups='"):
            retrain(Sums(), masks, tmp_path / "s", key="k", n_tests=2, groups=other)
    log = tmp_path / "log"
    same = np.array([0, 1, 2, 0, 1], dtype=np.uint8)
    again = retrain(Sums(log), masks, tmp_path / "s", key="k", n_tests=2, groups=same)
    np.testing.assert_array_equal(again, first)
    assert not log.exists()


def test_a_study_that_says_nothing_of_groups_had_none(tmp_path: Path) -> None:
    masks = PackedMasks.sample(3, 4, seed=2)
    retrain(Sums(), masks, tmp_path / "s", key="k", n_tests=2)
    head = tmp_path / "s" / "study.json"
    says = json.loads(head.read_text())
    assert says.pop("groups") is None
    head.write_text(json.dumps(says))
    log = tmp_path / "log"
    retrain(Sums(log), masks, tmp_path / "s", key="k", n_tests=2)
    assert not log.exists()
    with pytest.raises(InputError, match=r"another study .groups=None"):
        retrain(Sums(), masks, tmp_path / "s", key="k", n_tests=2, groups=[0, 1, 2, 0])


def test_what_a_study_says_is_written_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while it is written leaves nothing; enlarged, a study keeps the file it has."""
    few, many = (PackedMasks.sample(40, m, seed=2) for m in (10, 25))

    def full(*names: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(InputError, match="No space left"):
            retrain(Sums(), few, tmp_path, key="k", n_tests=2)
    assert [path.name for path in tmp_path.iterdir() if path.name != "study.lock"] == []
    first = np.array(retrain(Sums(), few, tmp_path, key="k", n_tests=2))
    before = (tmp_path / "study.json").stat()
    grown = retrain(Sums(), many, tmp_path, key="k", n_tests=2)
    after = (tmp_path / "study.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    np.testing.assert_array_equal(grown[:10], first)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not on this system")
def test_a_disk_without_room_is_told_before_a_map_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written into, a map of a file that the disk has no room for ends the process (SIGBUS)."""
    few, many = (PackedMasks.sample(40, m, seed=2) for m in (10, 25))
    first = np.array(retrain(Sums(), few, tmp_path, key="k", n_tests=2))
    asked: list[int] = []

    def full(_: int, start: int, size: int) -> None:
        asked.append(size - start)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(InputError, match=r"cannot be used.*No space left on device"):
            retrain(Sums(), many, tmp_path, key="k", n_tests=2)
        with pytest.raises(InputError, match=r"cannot write .*more\.npy: No space left on device"):
            PackedMasks.sample(40, 25, path=tmp_path / "more.npy")
    assert asked == [128 + 25 * 2 * 8, 128 + 25 * 5]
    assert not list(tmp_path.glob("*new*")) + list(tmp_path.glob("more*"))
    grown = retrain(Sums(), many, tmp_path, key="k", n_tests=2)
    np.testing.assert_array_equal(grown[:10], first)


def test_damaged_studies(tmp_path: Path) -> None:
    masks = PackedMasks.sample(10, 4, seed=2)
    retrain(Sums(), masks, tmp_path, key="k", n_tests=2)
    np.save(tmp_path / "margins.npy", np.zeros((4, 3)))
    with pytest.raises(InputError, match="damaged: expected float64 of shape"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=2)
    (tmp_path / "margins.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=2)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=2)
    (tmp_path / "study.json").unlink()
    with pytest.raises(InputError, match=r"without study\.json"):
        retrain(Sums(), masks, tmp_path, key="k", n_tests=2)


def test_a_crash_while_growing_loses_nothing(tmp_path: Path) -> None:
    """The margins have grown, the masks have not: the state between the two replacements."""
    few, many = (PackedMasks.sample(40, m, seed=2) for m in (10, 25))
    retrain(Sums(), few, tmp_path, key="k", n_tests=2)
    margins = np.load(tmp_path / "margins.npy")
    np.save(tmp_path / "margins.npy", np.concatenate([margins, np.full((15, 2), np.nan)]))
    log = tmp_path / "log"
    grown = retrain(Sums(log), many, tmp_path, key="k", n_tests=2)
    assert len(log.read_text().splitlines()) == 15
    np.testing.assert_array_equal(grown[:10], margins)
    assert json.loads((tmp_path / "study.json").read_text())["n_features"] == 40


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"train": 3}, "train must be a callable"),
        ({"n_tests": 0}, "n_tests"),
        ({"seed": -1}, "seed"),
        ({"key": 7}, "key must be a string"),
        ({"n_jobs": 0}, "n_jobs must not be 0"),
        ({"n_jobs": "x"}, "n_jobs must be an integer"),
        ({"groups": [0.5]}, "groups must be"),
        ({"groups": [0, 10]}, "0 to 9"),
        ({"directory": "/dev/null/study"}, "cannot be used"),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path: Path, changed: dict, says: str) -> None:
    settings = {
        "train": Sums(),
        "masks": PackedMasks.sample(10, 4, seed=2),
        "directory": tmp_path,
        "key": "k",
        "n_tests": 2,
    }
    with pytest.raises(InputError, match=says):
        retrain(**(settings | changed))
