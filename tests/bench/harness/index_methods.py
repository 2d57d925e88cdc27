"""Methods of ``indices.py`` by name, and ours by the core's public interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.implementations import parse_settings
from proxyspex_hf.core import Cached, FourierSpectrum, ProxySPEX
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.faithfulness import TEST_DENSITIES
from proxyspex_hf.core.queries import plan

#: Classes of shapiq, and the indices that each is asked for.
PUBLIC: dict[str, tuple[str, ...]] = {
    "LeverageSHAP": ("SV",),
    "OddSHAP": ("SV",),
    "RegressionMSR": ("SV",),
    "ShaplEIG": ("SV",),
    "ProxySHAP": ("SV", "FSII", "SII"),
    "ProxySPEX": ("SV", "FSII", "SII"),
}

#: Options of ours that say what is asked; all others are those of ``ProxySPEX``.
SAMPLING = ("question", "rounds", "density", "n_test")


@dataclass(frozen=True)
class Method:
    """A method by its name: ``ours``, ``ours@ProxySHAP`` or ``ProxySHAP``, with ``:key=value,…``.

    Attributes:
        base: ``ours`` or a class of shapiq.
        masks_of: the public method whose masks ours is fitted to; empty for its own.
    """

    name: str
    base: str
    masks_of: str
    settings: dict[str, Any]

    @property
    def public(self) -> bool:
        return self.base != "ours"


def method_named(name: str) -> Method:
    """The method of a name.

    Raises:
        ValueError: there is no such method, or a setting of ours is not ``key=value`` or not valid.
        TypeError: ours has no such setting.
    """
    start, _, settings = name.partition(":")
    base, _, masks_of = start.partition("@")
    known = ["ours", *(f"ours@{public}" for public in PUBLIC), *PUBLIC]
    if start not in known:
        raise ValueError(f"unknown method {start!r}; there are {', '.join(known)}")
    method = Method(name, base, masks_of, parse_settings(settings))
    if not method.public:
        sampling = () if masks_of else SAMPLING
        ProxySPEX(**{key: v for key, v in method.settings.items() if key not in sampling})
    return method


def ours(values_of: Cached, n: int, budget: int, seed: int, **options: Any) -> FourierSpectrum:
    """Ours on masks that it draws itself, with at most ``budget`` model calls, held-out ones too.

    ``question``, ``rounds``, ``density`` and ``n_test`` say what is asked, all other options how
    it is fitted. Several densities are joined by ``+``, as in ``density=0.1+0.5+0.9``.
    """
    asked = {name: options.pop(name) for name in SAMPLING if name in options}
    if isinstance(asked.get("density"), str) and "+" in asked["density"]:
        asked["density"] = [float(part) for part in asked["density"].split("+")]
    fitted = budget - asked.get("n_test", 0) * len(TEST_DENSITIES)
    how = plan(n, budget=fitted, **asked)
    return attribute(values_of, how, ProxySPEX(seed=seed, **options)).fit.spectrum


def ours_on(masks: np.ndarray, values: np.ndarray, seed: int, **options: Any) -> FourierSpectrum:
    """Ours on masks that another method drew."""
    return ProxySPEX(seed=seed, **options).fit(masks, values).spectrum
