"""Implementations under test: masks and values in, a spectrum out."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LassoCV

import proxyspex_hf
from proxyspex_hf.core import FourierSpectrum, ProxySPEX


@dataclass(frozen=True)
class Found:
    """What an implementation gave.

    Attributes:
        seconds: from values to spectrum.
        dense: ours only: the proxy itself, before sparsification.
        notes: ours only: what was chosen on the way.
    """

    spectrum: FourierSpectrum
    seconds: float
    dense: Callable[[np.ndarray], np.ndarray] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


Fit = Callable[[np.ndarray, np.ndarray, int], Found]


@dataclass(frozen=True)
class Implementation:
    """A method by its name, with the version of what it runs."""

    name: str
    version: str
    fit: Fit
    public: bool = False


def ours(**settings: Any) -> Fit:
    """ProxySPEX with these settings; the seed is the run's."""

    def fit(masks: np.ndarray, values: np.ndarray, seed: int) -> Found:
        algorithm = ProxySPEX(**{"seed": seed, **settings})
        start = time.perf_counter()
        found = algorithm.fit(masks, values)
        seconds = time.perf_counter() - start
        notes = {"chosen": found.method, "refinement": found.refinement, "cv_r2": found.cv_r2}
        return Found(found.spectrum, seconds, found.predict, notes)

    return fit


def lasso(masks: np.ndarray, values: np.ndarray, seed: int) -> Found:
    """The additive baseline of the paper (B.1.1): 100 penalties down to a thousandth, 5 folds."""
    start = time.perf_counter()
    model = LassoCV(eps=1e-3, alphas=100, cv=5, max_iter=5000).fit(masks, values)
    terms = {(i,): -w / 2 for i, w in enumerate(model.coef_.tolist()) if w}
    terms[()] = float(model.intercept_ + model.coef_.sum() / 2)
    spectrum = FourierSpectrum.from_dict(terms, masks.shape[1])
    return Found(spectrum, time.perf_counter() - start)


def spectralexplain(masks: np.ndarray, values: np.ndarray, seed: int) -> Found:
    """ProxySPEX of the package ``spectralexplain``; its seed is fixed inside."""
    from spectralexplain.utils import proxy_spex

    start = time.perf_counter()
    found = proxy_spex((masks.astype(int), values))
    seconds = time.perf_counter() - start
    terms = {tuple(np.flatnonzero(key).tolist()): float(v) for key, v in found.items()}
    return Found(FourierSpectrum.from_dict(terms, masks.shape[1]), seconds)


class _TheseMasks:
    """In place of shapiq's sampler: the very masks of the table."""

    def __init__(self, masks: np.ndarray) -> None:
        self.coalitions_matrix = masks

    def sample(self, budget: int) -> None:
        if budget != len(self.coalitions_matrix):
            raise ValueError(f"asked for {budget} of {len(self.coalitions_matrix)} masks")


def shapiq(masks: np.ndarray, values: np.ndarray, seed: int) -> Found:
    """ProxySPEX of shapiq, up to its refined spectrum: the indices that it goes on to are free."""
    from shapiq import ProxySPEX as PublicProxySPEX

    class UpToSpectrum(PublicProxySPEX):  # type: ignore[misc]
        def _refine(self, *given: Any, **named: Any) -> dict[tuple[int, ...], float]:
            self.spectrum = super()._refine(*given, **named)
            self.finished = time.perf_counter()
            return {(): 0.0}

    method = UpToSpectrum(n=masks.shape[1], index="FBII", max_order=1, random_state=seed)
    # 1.4 has a sampler of its own beside that of its base class, which 1.8 uses.
    sampler = "_uniform_sampler" if hasattr(method, "_uniform_sampler") else "_sampler"
    setattr(method, sampler, _TheseMasks(masks))
    start = time.perf_counter()
    method.approximate(len(masks), lambda coalitions: values)
    terms = {tuple(map(int, members)): float(v) for members, v in method.spectrum.items()}
    spectrum = FourierSpectrum.from_dict(terms, masks.shape[1])
    return Found(spectrum, method.finished - start)


#: Ours by name; any other name is that of a proxy.
OURS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"proxy": "paper", "refine": "lasso", "n_coefficients": 200},
}
PUBLIC: dict[str, Fit] = {"spectralexplain": spectralexplain, "shapiq": shapiq}


def implementation(name: str) -> Implementation | None:
    """By name; None where a public one is not installed.

    Ours: a name of ``OURS``, a proxy (``boosting``), or either with settings of ProxySPEX,
    ``default:n_coefficients=500,refine=none``.
    """
    if name in PUBLIC:
        try:
            return Implementation(name, version(name), PUBLIC[name], public=True)
        except PackageNotFoundError:
            return None
    if name == "lasso":
        return Implementation(name, f"scikit-learn {version('scikit-learn')}", lasso)
    return Implementation(name, own_version(), ours(**settings_of(name)))


@cache
def own_version() -> str:
    """The release, and a hash of the core's code: results are of this code and no other."""
    digest = hashlib.sha256()
    folder = Path(proxyspex_hf.__file__).parent / "core"
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("lightgbm", "numpy"))
    return f"{proxyspex_hf.__version__}, core {digest.hexdigest()[:12]}, {libraries}"


def settings_of(name: str) -> dict[str, Any]:
    """Of ours by name: the arguments of ProxySPEX.

    Raises:
        InputError: there is no such proxy, or a value is not possible.
        TypeError: there is no such setting.
    """
    base, _, given = name.partition(":")
    settings = {**OURS.get(base, {"proxy": base}), **parse_settings(given)}
    ProxySPEX(**settings)
    return settings


def parse_settings(text: str) -> dict[str, Any]:
    """``"n_coefficients=500,refine=none"`` -> settings; a value is JSON, or else a string."""
    settings: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\S+)\s*", part)
        if not found:
            raise ValueError(f"expected setting=value, got {part!r}")
        key, value = found.groups()
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings
