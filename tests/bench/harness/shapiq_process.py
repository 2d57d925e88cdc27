"""shapiq in an interpreter of its own: a process that answers ``shapiq_worker.py``'s requests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.command import BenchError
from harness.games import Estimates, Game, Scores
from harness.index_methods import PUBLIC, Method
from proxyspex_hf.core import FourierSpectrum

WORKER = Path(__file__).parent / "shapiq_worker.py"
#: LightGBM takes as many threads as joblib counts cores, whatever OpenMP was told.
ONE_CORE = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}


class WorkerError(BenchError):
    """The other interpreter gave no answer; the message says why."""


class Shapiq:
    """shapiq in an interpreter of its own, on one core; a context, which ends it.

    Args:
        python: the interpreter.
        limit: seconds for one run, and for the start.
    """

    def __init__(self, python: Path, limit: float) -> None:
        self.python, self.limit = python, limit
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Shapiq:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._end()

    @cached_property
    def versions(self) -> dict[str, str]:
        """Of shapiq and of what it uses.

        Raises:
            WorkerError: the interpreter or shapiq cannot be loaded.
        """
        found: dict[str, str] = self._ask({})["versions"]
        return found

    def run(self, game: Game, method: Method, budget: int, seed: int) -> dict[str, Any]:
        """The worker's answer, without versions: asked, estimates or error, seconds.

        Raises:
            WorkerError: it ended without an answer, or took too long.
        """
        request = {
            "game": str(game.path),
            "class": method.base,
            "indices": PUBLIC[method.base],
            "settings": method.settings,
            "budget": budget,
            "seed": seed,
        }
        answer = self._ask(request)
        del answer["versions"]
        return answer

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process or self._start()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.limit, stop)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._end()
        if late.is_set():
            raise WorkerError(f"took more than {self.limit:g} s")
        raise WorkerError(f"{self.python} ended with code {code}; what it said stands above")

    def _start(self) -> subprocess.Popen[str]:
        try:
            # -I: nothing of this interpreter's paths reaches the other one.
            self._process = subprocess.Popen(
                [str(self.python), "-I", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **ONE_CORE},
            )
        except OSError as error:
            raise WorkerError(f"{self.python} cannot be run: {error}") from error
        return self._process

    def _end(self) -> int | None:
        """Its exit status; the next request starts another."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            # What could not be written is lost with it.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        return process.wait()


def estimates_of(kept: dict[str, dict[str, float]], n: int) -> Estimates:
    """The worker's ``estimates``; members are separated by spaces."""
    scores: dict[str, Scores] = {
        index: {tuple(map(int, key.split())): value for key, value in values.items()}
        for index, values in kept.items()
    }
    fourier = scores.pop("Fourier", None)
    spectrum = None if fourier is None else FourierSpectrum.from_dict(fourier, n)
    return Estimates(spectrum, scores)


def masks_asked(rows: list[int], n: int) -> np.ndarray:
    """Rows of a game -> masks (m, n)."""
    return ((np.array(rows)[:, None] >> np.arange(n)) & 1).astype(bool)
