"""What is explained in the bench: masks with values, to fit and to test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.command import BenchError
from proxyspex_hf.core import FourierSpectrum, budget_for
from proxyspex_hf.core.faithfulness import TEST_DENSITIES

#: The tables that come with the bench.
DATA = Path(__file__).parents[1] / "data"
SAMPLINGS = ("uniform", "mixed")
Rows = tuple[np.ndarray, np.ndarray]


class TableError(BenchError):
    """A file that is not a value table; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Problem:
    """One set function, known on some masks.

    Attributes:
        fit: rows for fitting by sampling: masks (m, n) bool and values (m,); row 0 keeps all.
        tests: held-out rows: ``"uniform"``, and by density ``"50"``, ``"70"``, ``"90"``.
        truth: the exact spectrum, of synthetic functions.
    """

    name: str
    n: int
    fit: dict[str, Rows]
    tests: dict[str, Rows]
    truth: FourierSpectrum | None = None

    @property
    def synthetic(self) -> bool:
        return self.truth is not None

    @property
    def full_value(self) -> float:
        """f of the unmasked input."""
        return float(self.fit["uniform"][1][0])

    @cached_property
    def value_range(self) -> float:
        values = np.concatenate([v for _, v in [*self.fit.values(), *self.tests.values()]])
        return float(np.ptp(values))

    @cached_property
    def content_hash(self) -> str:
        """Of every mask and value: results of another table's content are not this one's."""
        digest = hashlib.sha256(str(self.n).encode())
        for group in (self.fit, self.tests):
            for key in sorted(group):
                masks, values = group[key]
                digest.update(f"{key} {masks.shape}".encode())
                digest.update(np.packbits(masks, axis=1).tobytes())
                digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]

    def budget(self, alpha: float, sampling: str) -> int | None:
        """α·n·log2(n) rows; None where the problem has not so many (one short is rounding)."""
        wanted = budget_for(self.n, alpha)
        have = len(self.fit[sampling][1])
        return min(wanted, have) if wanted <= have + 1 else None

    def rows(self, alpha: float, sampling: str, seed: int) -> Rows:
        """Rows to fit: seed 0 takes the top ones, another draws among all; row 0 is always first.

        Where the budget is all rows, another seed is another order of them.
        """
        masks, values = self.fit[sampling]
        m = self.budget(alpha, sampling)
        if m is None:
            raise ValueError(f"{self.name} has {len(values)} {sampling} rows, too few for {alpha}")
        if seed == 0:
            return masks[:m], values[:m]
        rng = np.random.default_rng(seed)
        chosen = np.append(0, 1 + rng.permutation(len(values) - 1)[: m - 1])
        return masks[chosen], values[chosen]


def read_table(path: Path) -> Problem:
    """Read a value table (``.npz``; its format stands in ``make_tables.py``).

    Raises:
        TableError: an entry is missing, of the wrong shape, or not finite.
    """
    with np.load(path, allow_pickle=False) as data:
        entries = {key: data[key] for key in data.files}

    def rows(prefix: str) -> Rows:
        for key in (f"{prefix}masks", f"{prefix}values"):
            if key not in entries:
                raise TableError(f"{path}: no entry {key!r}")
        values = entries[f"{prefix}values"].astype(np.float64)
        masks = np.unpackbits(entries[f"{prefix}masks"], axis=1)[:, :n].astype(bool)
        if masks.shape != (len(values), n) or not np.isfinite(values).all():
            raise TableError(
                f"{path}: expected ({len(values)}, {n}) {prefix}masks and finite values, got "
                f"masks {masks.shape}"
            )
        return masks, values

    for key in ("n", "n_train"):
        if key not in entries:
            raise TableError(f"{path}: no entry {key!r}")
    n, n_train = int(entries["n"]), int(entries["n_train"])
    masks, values = rows("")
    if not 1 <= n_train < len(values):
        raise TableError(f"{path}: n_train is {n_train}, of {len(values)} rows")
    tests = {"uniform": (masks[n_train:], values[n_train:])}
    for d in TEST_DENSITIES:
        tests[f"{100 * d:.0f}"] = rows(f"test{100 * d:.0f}_")
    fit = {"uniform": (masks[:n_train], values[:n_train]), "mixed": rows("mixed_")}
    for sampling, (kept, _) in fit.items():
        if not kept[0].all():
            raise TableError(f"{path}: row 0 of the {sampling} masks does not keep everything")
    return Problem(path.stem, n, fit, tests)


def read_tables(folder: Path, only: str | None = None) -> list[Problem]:
    """Every table of a folder whose name contains ``only``, in the order of their names."""
    paths = [p for p in sorted(folder.glob("*.npz")) if not p.stem.endswith(".part")]
    return [read_table(path) for path in paths if not only or only in path.stem]
