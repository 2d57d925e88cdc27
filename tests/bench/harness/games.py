"""Games known on every subset: the exact values of their indices, and how far estimates are off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from harness.command import BenchError
from proxyspex_hf.core import FourierSpectrum, all_masks, exact_spectrum, interactions

#: Values by set of features.
Scores = dict[tuple[int, ...], float]

#: Densities at which R² is taken over all subsets: few kept, half, nearly the whole input.
DENSITIES = (0.1, 0.5, 0.9)
#: What is measured, besides R².
ERRORS = ("SV", "FSII", "FSII pairs", "SII pairs", "single", "pair")
#: More features make more subsets than the exact formulas enumerate.
MAX_FEATURES = 15


class GameError(BenchError):
    """A file that is not a game; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Estimates:
    """What a method found: a spectrum, from which all else follows, or values of single indices.

    Attributes:
        scores: by ``"SV"``, ``"FSII"`` (order 2) or ``"SII"`` (order 2): these are taken as given,
            before any that follow from the spectrum.
    """

    spectrum: FourierSpectrum | None = None
    scores: Mapping[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True)
class Game:
    """A set function with all of its values.

    Attributes:
        values: (2^n,) float64; row r keeps feature i where bit i of r is set.
    """

    name: str
    n: int
    values: np.ndarray
    path: Path | None = None

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        """(m, n) bool -> (m,) float64."""
        return self.values[masks.astype(np.int64) @ (1 << np.arange(self.n))]

    @cached_property
    def content_hash(self) -> str:
        """Of every value: a result belongs to the values, whatever the file is called."""
        content = np.ascontiguousarray(self.values, dtype="<f8").tobytes()
        return hashlib.sha256(str(self.n).encode() + content).hexdigest()[:16]

    @cached_property
    def truth(self) -> dict[str, Scores]:
        """The exact values of ``ERRORS``."""
        exact = index_scores(exact_spectrum(self.values))
        return measured(exact | effects_at_the_input(self, self.n))

    @cached_property
    def weights(self) -> dict[float, np.ndarray]:
        """Probability of each subset where every feature is kept with a density."""
        kept = all_masks(self.n).sum(axis=1)
        return {d: d**kept * (1 - d) ** (self.n - kept) for d in DENSITIES}


def read_game(path: Path) -> Game:
    """Read ``values`` and ``n`` of an ``.npz``.

    Raises:
        GameError: an entry is missing, the values are not 2^n finite numbers, or n is too large.
    """
    with np.load(path, allow_pickle=False) as data:
        for key in ("n", "values"):
            if key not in data.files:
                raise GameError(f"{path}: no entry {key!r}")
        n, values = int(data["n"]), data["values"].astype(np.float64)
    if not 2 <= n <= MAX_FEATURES:
        raise GameError(f"{path}: n is {n}, expected 2 to {MAX_FEATURES}")
    if values.shape != (2**n,) or not np.isfinite(values).all():
        raise GameError(f"{path}: expected {2**n} finite values, got shape {values.shape}")
    return Game(path.stem, n, values, path)


def read_games(folder: Path, only: str | None = None) -> list[Game]:
    """Every game of a folder whose name contains ``only``, in the order of their names."""
    return [read_game(p) for p in sorted(folder.glob("*.npz")) if not only or only in p.stem]


def index_scores(spectrum: FourierSpectrum) -> dict[str, Scores]:
    """Shapley values, and Faith-Shapley and Shapley interactions of order 2."""
    orders = {"SV": 1, "FSII": 2, "SII": 2}
    return {name: interactions(spectrum, name, order).to_dict() for name, order in orders.items()}


def effects_at_the_input(function: Callable[[np.ndarray], np.ndarray], n: int) -> dict[str, Scores]:
    """What the value loses when features are taken out of the whole input.

    ``single`` is f(N) − f(N∖i), ``pair`` is f(N) − f(N∖i) − f(N∖j) + f(N∖ij).
    """
    pairs = list(combinations(range(n), 2))
    out = [(), *((i,) for i in range(n)), *pairs]
    masks = np.ones((len(out), n), dtype=bool)
    for row, members in zip(masks, out, strict=True):
        row[list(members)] = False
    left = dict(zip(out, function(masks).tolist(), strict=True))
    return {
        "single": {(i,): left[()] - left[i,] for i in range(n)},
        "pair": {(i, j): left[()] - left[i,] - left[j,] + left[i, j] for i, j in pairs},
    }


def measured(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """The entries of ``ERRORS`` that the scores of whole indices give; ∅ is none of them."""
    parts: dict[str, tuple[str, Iterable[int]]] = {
        "SV": ("SV", (1,)),
        "FSII": ("FSII", (1, 2)),
        "FSII pairs": ("FSII", (2,)),
        "SII pairs": ("SII", (2,)),
        "single": ("single", (1,)),
        "pair": ("pair", (2,)),
    }
    return {
        name: {s: v for s, v in scores[index].items() if len(s) in orders}
        for name, (index, orders) in parts.items()
        if index in scores
    }


def relative_error(found: Scores, truth: Scores) -> float | None:
    """Σ(φ̂ − φ)² / Σφ², a set without a value counting as 0; None where all of the truth is 0."""
    energy = sum(v * v for v in truth.values())
    sets = found.keys() | truth.keys()
    error = sum((found.get(s, 0.0) - truth.get(s, 0.0)) ** 2 for s in sets)
    return error / energy if energy else None


def weighted_r2(values: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> float | None:
    """R² where each subset counts with its weight; None where the values are constant."""
    spread = float(weights @ np.square(values - np.average(values, weights=weights)))
    return 1.0 - float(weights @ np.square(predictions - values)) / spread if spread else None


def accuracy(game: Game, found: Estimates) -> dict[str, dict[str, float | None]]:
    """Relative squared errors of what was estimated, and R² where there is a spectrum."""
    scores: dict[str, Scores] = {}
    r2: dict[str, float | None] = {}
    if found.spectrum is not None:
        scores = index_scores(found.spectrum)
        scores |= effects_at_the_input(found.spectrum.evaluate, game.n)
        predictions = found.spectrum.evaluate_all()
        for density, weights in game.weights.items():
            r2[f"{density:g}"] = weighted_r2(game.values, predictions, weights)
    estimated = measured(scores | dict(found.scores))
    errors = {name: relative_error(estimated[name], game.truth[name]) for name in estimated}
    return {"errors": errors, "r2": r2}
