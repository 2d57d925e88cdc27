"""One implementation on one problem: fitted, and scored on masks that it has not seen."""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.implementations import Found, Implementation, implementation
from harness.problems import Problem, Rows
from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.core.faithfulness import r2_score

Row = dict[str, Any]


def head(problem: Problem, how: Implementation, alpha: float, sampling: str, seed: int) -> Row:
    """What identifies a result."""
    return {
        "table": problem.name,
        "content": problem.content_hash,
        "synthetic": problem.synthetic,
        "n": problem.n,
        "alpha": float(alpha),
        "sampling": sampling,
        "seed": seed,
        "masks": problem.budget(alpha, sampling),
        "method": how.name,
        "version": how.version,
    }


def measure(problem: Problem, how: Implementation, alpha: float, sampling: str, seed: int) -> Row:
    """Fit and score; ``load`` tells whether the seconds can be believed."""
    masks, values = problem.rows(alpha, sampling, seed)
    beside = OtherWork()
    found = how.fit(masks, values, seed)
    load = beside.cores()
    return head(problem, how, alpha, sampling, seed) | score(problem, found) | {"load": load}


class OtherWork:
    """How many cores' worth of work other programs did since this was made (Linux)."""

    def __init__(self) -> None:
        self.wall, self.mine, self.all = time.perf_counter(), _own_seconds(), _busy_seconds()

    def cores(self) -> float | None:
        """None where the system does not tell."""
        busy = _busy_seconds()
        if busy is None or self.all is None:
            return None
        others = busy - self.all - (_own_seconds() - self.mine)
        return round(max(0.0, others) / (time.perf_counter() - self.wall), 2)


def _own_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _busy_seconds() -> float | None:
    """Processor time of all cores spent on anything since the system started."""
    try:
        with Path("/proc/stat").open(encoding="ascii") as file:
            user, nice, system = (int(ticks) for ticks in file.readline().split()[1:4])
    except (OSError, ValueError):
        return None
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def score(problem: Problem, found: Found) -> Row:
    full = np.ones((1, problem.n), dtype=bool)
    miss = abs(float(found.spectrum.evaluate(full)[0]) - problem.full_value)
    row: Row = {
        "r2": r2_by_test(problem.tests, found.spectrum.evaluate),
        "terms": len(found.spectrum),
        "max_order": int(found.spectrum.orders.max()),
        "full_error": round(miss / problem.value_range, 6),
        "seconds": round(found.seconds, 3),
    }
    if found.dense is not None:
        row["dense_r2"] = r2_by_test(problem.tests, found.dense)
    if problem.truth is not None:
        row["exact_r2"] = round(exact_r2(problem.truth, found.spectrum), 6)
    return row | found.notes


def r2_by_test(
    tests: dict[str, Rows], predict: Callable[[np.ndarray], np.ndarray]
) -> dict[str, float | None]:
    scores = {name: r2_score(values, predict(masks)) for name, (masks, values) in tests.items()}
    return {name: None if r2 is None else round(r2, 6) for name, r2 in scores.items()}


def exact_r2(truth: FourierSpectrum, found: FourierSpectrum) -> float:
    """R² over all 2^n masks, from the coefficients (Parseval)."""
    a, b = truth.to_dict(), found.to_dict()
    error = sum((a.get(key, 0.0) - b.get(key, 0.0)) ** 2 for key in a.keys() | b.keys())
    return 1.0 - error / sum(value**2 for key, value in a.items() if key)


def measure_within(
    limit: float, problem: Problem, name: str, alpha: float, sampling: str, seed: int
) -> Row:
    """:func:`measure` in a process of its own, ended after ``limit`` seconds.

    Raises:
        TimeoutError: it took longer.
        RuntimeError: it failed; the message is the implementation's.
    """
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    child = context.Process(target=_child, args=(answers, problem, name, alpha, sampling, seed))
    child.start()
    deadline = time.monotonic() + limit
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{name} took more than {limit:g} s")
            try:
                kind, answer = answers.get(timeout=min(left, 5.0))
                break
            except queue.Empty:
                if not child.is_alive():
                    raise RuntimeError(f"{name} ended without a result") from None
    finally:
        child.kill()
        child.join()
    if kind == "failed":
        raise RuntimeError(f"{name} failed: {answer}")
    row: Row = answer
    return row


def _child(
    answers: Any, problem: Problem, name: str, alpha: float, sampling: str, seed: int
) -> None:
    try:
        how = implementation(name)
        if how is None:
            raise RuntimeError("it is not installed")
        answers.put(("done", measure(problem, how, alpha, sampling, seed)))
    except Exception as error:  # noqa: BLE001 - whatever it was, the parent must hear of it
        answers.put(("failed", f"{type(error).__name__}: {error}"))
