"""One explained input: its masks, the model's answers to them, and what was fitted to those."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from common import Memory, Row, progress

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core import FourierSpectrum, ProxySPEX, budget_for, sample_masks
from proxyspex_hf.core.algorithm import SpectrumFit
from proxyspex_hf.core.baselines.forest import RandomForest
from proxyspex_hf.core.baselines.network import NeuralNetwork
from proxyspex_hf.core.baselines.spex import spex, spex_budget
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.base import Proxy
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.values import Cached, FunctionOfMasks
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.identity import identity_of, key_of
from proxyspex_hf.hf.store import ValueStore
from proxyspex_hf.hf.tasks.table import task_of

DENSITIES = (0.5, 0.7, 0.9)
#: The largest α of the paper: test masks are none of its masks.
MOST = 8


@dataclass(frozen=True)
class Sizes:
    """How much of a data set is measured.

    Attributes:
        inputs: how many.
        alphas: inference multipliers; α·n·log2(n) masks are fitted.
        tests: held-out masks at density 0.5, and at 0.7 and 0.9 each.
        trees: the numbers of trees in the paper's grid.
        spex: the values of b that SPEX is run with (its masks double with each), and how it
            decodes: ``"hard"`` is quicker, ``"soft"`` finds more.
        features: least and most features (words) of an input, where it can be chosen.
        mixed: masks of three densities are fitted too.
        alpha_of_one: the α of the figures that take one only; None is the largest.
        deeper: what only the first inputs get: how many, and the fields that differ for them.
    """

    inputs: int
    alphas: tuple[int | float, ...] = (2, 4, 6, 8)
    tests: tuple[int, int] = (1000, 300)
    trees: tuple[int, ...] = (500, 1000, 5000)
    spex: tuple[Sequence[int], Literal["soft", "hard"]] = ((), "hard")
    features: tuple[int, int] = (1, 10**6)
    mixed: bool = True
    alpha_of_one: float | None = None
    deeper: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    def of(self, place: int) -> Sizes:
        """What the input at this place gets; the first is at 1."""
        found = self
        for count, changes in self.deeper:
            if place <= count:
                found = replace(found, **changes)
        return found

    @property
    def alpha(self) -> float:
        """The inference multiplier of the figures that take one only."""
        return self.alpha_of_one or max(self.alphas)


@dataclass(frozen=True)
class Fit:
    """What a method made of the answers to its masks.

    Attributes:
        asked: distinct masks that it was given, or, for SPEX, chose.
        seconds: processor time of the fit, the model's not among it.
        proxy_r2: held-out R² of the proxy before its spectrum was cut; None for SPEX.
    """

    spectrum: FourierSpectrum
    asked: int
    seconds: float
    proxy_r2: float | None


class Case:
    """One input under its model.

    Args:
        dataset, name: as the figures call them.
        explainer, value: what is explained.
        memory, sizes, seed: as the study has them.
    """

    def __init__(
        self,
        dataset: str,
        name: str,
        explainer: InteractionExplainer,
        value: Any,
        memory: Memory,
        sizes: Sizes,
        seed: int,
    ) -> None:
        self.dataset, self.name, self.sizes, self.seed = dataset, name, sizes, seed
        self._memory = memory
        self.function = explainer.value_function(value)
        pipe = explainer.pipe
        key = key_of(self.function, identity_of(pipe, self.function.model, task_of(pipe)))
        store = ValueStore(memory.answers, key, self.function.n_features)
        self.key = store.path.stem
        self.asker = Asker(self.function, store)

    @property
    def n(self) -> int:
        return self.function.n_features

    @property
    def head(self) -> Row:
        """The first columns of its rows."""
        return {"dataset": self.dataset, "input": self.name, "n": self.n}

    def values(self, masks: BoolArray) -> FloatArray:
        """The model's answers, (m, n) -> (m,); each is asked once, in this run or an earlier."""
        calls = self.asker.calls
        found = self.asker(masks)
        if self.asker.calls > calls:
            progress(f"{self.dataset}, {self.name}: asked {self.asker.calls - calls} masks")
        return found

    def masks(self, alpha: float, densities: Sequence[float] = (0.5,)) -> BoolArray:
        """The masks that are fitted at α; all of them are among those of a larger α."""
        budget = budget_for(self.n, alpha)
        if len(densities) == 1:
            return sample_masks(self.n, budget, density=densities[0], seed=self.seed)
        found = np.zeros((0, self.n), np.bool_)
        for place, density in enumerate(densities):
            new = sample_masks(
                self.n,
                (budget - len(found)) // (len(densities) - place),
                density=density,
                seed=np.random.default_rng([self.seed, place]),
                exclude=found,
                anchors=place == 0,
            )
            found = np.concatenate([found, new])
        return found

    @cached_property
    def _tests(self) -> dict[float, BoolArray]:
        rng = np.random.default_rng(self.seed + 10**6)
        taken = np.concatenate([self.masks(MOST), self.masks(MOST, DENSITIES)])
        found = {}
        for density in DENSITIES:
            count = self.sizes.tests[0 if density == 0.5 else 1]
            found[density] = sample_masks(
                self.n, count, density=density, seed=rng, exclude=taken, anchors=False
            )
            taken = np.concatenate([taken, found[density]])
        return found

    def tests(self, density: float = 0.5) -> tuple[BoolArray, FloatArray]:
        """Held-out masks of a density, and their values."""
        masks = self._tests[density]
        return masks, self.values(masks)

    def r2(self, spectrum: FourierSpectrum, density: float = 0.5) -> float:
        """Held-out R² (paper, equation 2)."""
        masks, values = self.tests(density)
        found = r2_score(values, spectrum.evaluate(masks))
        if found is None:
            raise SystemExit(f"{self.dataset}, {self.name}: the value never changes")
        return found

    def fit(self, method: str, alpha: float, densities: Sequence[float] = (0.5,)) -> Fit:
        """One of ``methods`` on the masks at α."""
        how = methods(self.sizes.trees, self.n, self.seed)[method]
        test_masks, test_values = self.tests()

        def compute() -> Row:
            masks = self.masks(alpha, densities)
            values = self.values(masks)
            progress(f"{self.dataset}, {self.name}: {method} on {len(masks)} masks")
            start = time.process_time()
            fit = how.fit(masks, values)
            seconds = time.process_time() - start
            return _stored(fit, len(masks), seconds, r2_score(test_values, fit.predict(test_masks)))

        return _read(self._remember(compute, "fit", repr(how), alpha, densities), self.n)

    def spex(self, bits: int) -> Fit:
        """SPEX on masks of its own."""

        def compute() -> Row:
            _compiled(self.n, self.sizes.spex[1])
            progress(f"{self.dataset}, {self.name}: SPEX at b = {bits}")
            asked = {"seconds": 0.0}

            def ask(masks: BoolArray) -> FloatArray:
                start = time.process_time()
                values = self.values(masks)
                asked["seconds"] += time.process_time() - start
                return values

            start = time.process_time()
            # All masks at once: the model's batches are formed over them.
            function = Cached(FunctionOfMasks(ask, self.n), chunk=10**7)
            found = spex(function, b=bits, decoding=self.sizes.spex[1], seed=self.seed)
            seconds = time.process_time() - start - asked["seconds"]
            return _stored(found.fit, len(found.masks), seconds, None)

        return _read(self._remember(compute, "spex", bits, self.sizes.spex[1]), self.n)

    def spex_at(self, alpha: float) -> Fit | None:
        """SPEX with at most as many masks as are fitted at α; None where it needs more."""
        most = budget_for(self.n, alpha)
        bits = [b for b in self.sizes.spex[0] if self._spex_masks(b) <= most]
        return self.spex(max(bits)) if bits else None

    def _spex_masks(self, bits: int) -> int:
        """SPEX's masks at b, remembered: its package takes a minute to import."""
        found = self._memory.recall(
            lambda: {"masks": spex_budget(self.n, bits)}, what="spex_budget", n=self.n, b=bits
        )
        masks: int = found["masks"]
        return masks

    def seconds_per_mask(self, count: int = 128) -> float:
        """Processor time of the model for one new mask: the median of three turns."""

        def compute() -> Row:
            turns = []
            for turn in range(4):  # the first warms up
                masks = sample_masks(self.n, count, seed=self.seed + 2 * 10**6 + turn)
                start = time.process_time()
                self.function(masks)
                turns.append((time.process_time() - start) / count)
            return {"seconds": float(np.median(turns[1:]))}

        seconds: float = self._remember(compute, "seconds_per_mask", count)["seconds"]
        return seconds

    def _remember(self, compute: Callable[[], Row], *what: Any) -> Row:
        return self._memory.recall(
            compute, answers=self.key, seed=self.seed, tests=self.sizes.tests, what=what
        )


def paper_trees(trees: tuple[int, ...]) -> BoostedTrees:
    """The paper's grid (appendix B.1.1), with other numbers of trees."""
    return BoostedTrees(rounds=trees, any_round=False, patience=None, race=None, min_leaf=20)


def methods(trees: tuple[int, ...], n: int, seed: int) -> dict[str, ProxySPEX]:
    """The compared methods by name.

    ``default`` is this package's; ``paper`` is ProxySPEX as published: its grid, 200 coefficients,
    refit by LASSO; ``lasso`` the marginal baseline. The others are proxies of figure 12 and, as
    ``trees``, every coefficient of boosted trees.
    """

    def single(proxy: str | Proxy, **how: Any) -> ProxySPEX:
        return ProxySPEX(proxy, seed=seed, **how)

    paper = paper_trees(trees)
    return {
        "default": single("blend"),
        "paper": single(paper, n_coefficients=200, refine="lasso"),
        "lasso": single("lasso", n_coefficients=n, refine="none"),
        "trees": single(BoostedTrees(rounds=trees), n_coefficients=100_000, refine="none"),
        "forest": single(RandomForest(trees=(100,)) if max(trees) < 5000 else RandomForest.paper()),
        "network": single(NeuralNetwork() if max(trees) < 5000 else NeuralNetwork.paper()),
    }


def spectrum_of(sets: Sequence[Sequence[int]], values: Sequence[float], n: int) -> FourierSpectrum:
    return FourierSpectrum.from_dict(
        {tuple(members): value for members, value in zip(sets, values, strict=True)}, n
    )


def _stored(fit: SpectrumFit, asked: int, seconds: float, proxy_r2: float | None) -> Row:
    return {
        "sets": [list(members) for members in fit.spectrum.sets],
        "coefficients": fit.spectrum.coefficients.tolist(),
        "asked": asked,
        "seconds": seconds,
        "proxy_r2": proxy_r2,
    }


def _read(found: Row, n: int) -> Fit:
    spectrum = spectrum_of(found["sets"], found["coefficients"], n)
    return Fit(spectrum, found["asked"], found["seconds"], found["proxy_r2"])


@cache
def _compiled(n: int, decoding: Literal["soft", "hard"]) -> None:
    """SPEX's decoder compiles itself at its first use; that is not part of its time."""
    weights = np.random.default_rng(0).normal(size=n)
    function = FunctionOfMasks(lambda masks: np.tanh(masks @ weights), n)
    spex(function, b=1, decoding=decoding)
