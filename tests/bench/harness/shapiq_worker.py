"""Runs approximators of shapiq on games: ``PYTHON shapiq_worker.py``.

A script for an interpreter of its own, which has shapiq and nothing of ours. Each line of standard
input is a request in JSON; without ``class`` it only asks for the versions:

    {"game": "GAME.npz", "class": "ProxySHAP", "indices": ["SV", "FSII"], "settings": {},
     "budget": 53, "seed": 0}

Each is answered by a line of JSON on standard output: ``asked``, the rows of the game in the order
in which they were first asked; ``estimates``, by index the values by set (``{"SV": {"3": 0.5}}``;
members are separated by spaces); ``versions``; ``seconds``. For ProxySPEX the estimates hold
``Fourier``, its refined spectrum, too. What fails gives ``error`` instead of ``estimates``.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

LIBRARIES = (
    "shapiq", "numpy", "scikit-learn", "lightgbm", "xgboost", "torch", "gpytorch", "botorch",
)  # fmt: skip
#: Classes that take an index and an order, and what others are made with.
BY_ORDER = ("ProxySPEX", "ProxySHAP")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "RegressionMSR": {"index": "SV"},
    "ShaplEIG": {"show_progress": False},
}


class AskedGame:
    """The values of a table, and which rows of it were asked."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.asarray(values, dtype=np.float64)
        self.bits = 1 << np.arange(len(self.values).bit_length() - 1)
        self.asked: dict[int, None] = {}

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        rows = np.asarray(coalitions).astype(np.int64) @ self.bits
        self.asked.update(dict.fromkeys(rows.tolist()))
        return self.values[rows]


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def silence_lightgbm() -> None:
    """It writes a line for each tree that finds nothing to split: thousands in a grid search."""
    try:
        from lightgbm import register_logger
    except ImportError:
        return
    quiet = logging.getLogger("lightgbm")
    quiet.setLevel(logging.CRITICAL)
    register_logger(quiet)


def estimate(request: dict[str, Any], game: AskedGame, n: int) -> dict[str, dict[str, float]]:
    """One approximator for each index. They share a seed, and so their masks."""
    import shapiq

    estimates = {}
    name = request["class"]
    for index in request["indices"]:
        arguments = {**ARGUMENTS.get(name, {}), **request["settings"]}
        if name in BY_ORDER:
            arguments |= {"index": index, "max_order": 1 if index == "SV" else 2}
        method = getattr(shapiq, name)(n=n, random_state=request["seed"], **arguments)
        if name == "ProxySPEX":
            spectra = keep_spectra(method)
        found = method.approximate(budget=request["budget"], game=game)
        estimates[index] = as_json(found.interactions)
        if name == "ProxySPEX":
            estimates["Fourier"] = as_json(spectra[-1])
    return estimates


def keep_spectra(method: Any) -> list[dict[tuple[int, ...], float]]:
    """Where a ProxySPEX leaves its refined spectra, which are not part of its result."""
    spectra: list[dict[tuple[int, ...], float]] = []
    refine = method._refine

    def kept(*given: Any, **named: Any) -> dict[tuple[int, ...], float]:
        spectra.append(refine(*given, **named))
        return spectra[-1]

    method._refine = kept
    return spectra


def as_json(values: dict[tuple[int, ...], float]) -> dict[str, float]:
    """Nine digits are enough for errors, and keep the file of results small."""
    if not np.isfinite(list(values.values())).all():
        raise ValueError("the estimates are not finite")
    return {" ".join(map(str, s)): float(f"{v:.9g}") for s, v in values.items()}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"versions": versions()}
    if "class" not in request:
        return out
    with np.load(request["game"], allow_pickle=False) as data:
        n, game = int(data["n"]), AskedGame(data["values"])
    start = time.perf_counter()
    try:
        out["estimates"] = estimate(request, game, n)
    except Exception as error:  # noqa: BLE001 - whatever it was is the result
        out["error"] = f"{type(error).__name__}: {error}"
    return out | {"asked": list(game.asked), "seconds": round(time.perf_counter() - start, 3)}


def main() -> int:
    # Compiled libraries print to the descriptor itself: only answers may reach standard output.
    result = os.dup(1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    importlib.import_module("shapiq")
    silence_lightgbm()
    with os.fdopen(result, "w", encoding="utf-8") as file:
        for line in sys.stdin:
            file.write(json.dumps(answer(json.loads(line))) + "\n")
            file.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
