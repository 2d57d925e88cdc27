"""What a proxy is: something cheap that is fitted to masks and values and has a spectrum."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.progress import ProgressCallback
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction
from proxyspex_hf.errors import InputError

if TYPE_CHECKING:
    from proxyspex_hf.core.proxies.kernel import MaskKernel
    from proxyspex_hf.core.sparsify import Projectable


#: (m,) the fold in which each mask is held out.
Folds = NDArray[np.int64]


def usable_cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_folds(n_masks: int, n_folds: int, rng: np.random.Generator) -> Folds:
    """A balanced random assignment of masks to folds.

    Raises:
        InputError: fewer than two folds, or fewer than four masks a fold.
    """
    if n_folds < 2 or n_masks < 4 * n_folds:
        raise InputError(
            f"{n_masks} masks cannot be cross-validated in {n_folds} folds: give at least "
            f"{4 * max(n_folds, 2)} masks (a larger alpha or budget)."
        )
    return rng.permutation(n_masks) % n_folds


@dataclass(frozen=True)
class CVEntry:
    """One configuration that was tried.

    Attributes:
        params: its settings.
        fold_errors: mean squared error on each held-out fold, in units of the values' variance;
            shorter than the number of folds where the configuration was dropped early.
        note: why it was dropped, or "".
    """

    params: Mapping[str, Any]
    fold_errors: tuple[float, ...]
    note: str = ""

    @property
    def error(self) -> float:
        """Mean over the folds it saw."""
        return float(np.mean(self.fold_errors))


@dataclass(frozen=True)
class CVReport:
    """Every configuration tried, and which was chosen."""

    entries: tuple[CVEntry, ...]
    chosen: int

    @property
    def best(self) -> CVEntry:
        return self.entries[self.chosen]

    @property
    def r2(self) -> float:
        """Cross-validated R² of the chosen configuration."""
        return 1.0 - self.best.error

    def rows(self) -> list[dict[str, Any]]:
        """Plain data, one row per configuration: for records and tables."""
        return [
            {
                **dict(entry.params),
                "error": entry.error,
                "folds": len(entry.fold_errors),
                "note": "chosen" if position == self.chosen else entry.note,
            }
            for position, entry in enumerate(self.entries)
        ]


class ProxyFit(Protocol):
    """A fitted proxy."""

    @property
    def cv(self) -> CVReport: ...

    def predict(self, masks: BoolArray) -> FloatArray:
        """(m, n) bool -> (m,), before any sparsification."""
        ...

    def spectrum(self, max_order: int | None = None) -> Extraction:
        """The proxy's exact spectrum."""
        ...

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        """One spectrum a fold, of the same configuration fitted without that fold."""
        ...


@runtime_checkable
class Projects(Protocol):
    """A fitted proxy with more terms than a list can hold: it is sparsified by its correlations."""

    def project(self, max_order: int | None) -> Projectable:
        """What :func:`proxyspex_hf.core.sparsify.sparsify` needs of it."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A fitted proxy that knows what it would say of each mask without having seen it."""

    @property
    def left_out(self) -> FloatArray:
        """(m,) each fitted mask predicted by a fit without it."""
        ...


@runtime_checkable
class HasKernel(Protocol):
    """A fitted proxy that has learnt a covariance of masks."""

    @property
    def kernel(self) -> MaskKernel: ...


def left_out_predictions(fitted: ProxyFit, masks: BoolArray, folds: Folds) -> FloatArray:
    """(m,) each mask as a fit that has not seen it predicts it: its own way, or by its folds."""
    if isinstance(fitted, LeavesOut):
        return fitted.left_out
    out = np.empty(len(masks))
    for fold, spectrum in enumerate(fitted.fold_spectra()):
        out[folds == fold] = spectrum.evaluate(masks[folds == fold])
    return out


class Proxy(Protocol):
    """Fits (m, n) masks to (m,) values of mean 0 and variance 1; ``folds`` are shared by all."""

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> ProxyFit: ...
