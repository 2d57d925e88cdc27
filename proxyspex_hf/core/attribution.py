"""From a value function to its explanation: sample, ask, fit, test (paper, section 3.3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.core.algorithm import ProxySPEX, SpectrumFit, as_integer, enumerated
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, DensityScore, held_out_masks, r2_score
from proxyspex_hf.core.masks import MAX_ENUMERATED, BoolArray, budget_for, sample_masks
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.spectrum import FloatArray, FourierSpectrum
from proxyspex_hf.core.values import Cached
from proxyspex_hf.errors import InputError

__all__ = [
    "DENSITIES",
    "Attribution",
    "Plan",
    "Sampling",
    "attribute",
    "faithfulness_of",
    "plan",
]

MIN_BUDGET = 20

#: Named samplings: the keep probabilities that are mixed, in equal parts.
DENSITIES: dict[str, tuple[float, ...]] = {"mixed": TEST_DENSITIES, "uniform": (0.5,)}

Sampling = str | float | Sequence[float]


@dataclass(frozen=True)
class Plan:
    """How many masks will be asked, decided before any model call.

    Attributes:
        budget: masks to fit, the full and the empty one among them.
        n_test: held-out masks at each density; 0 where every subset is asked.
        exact: every one of the 2^n subsets is asked, so there is nothing to estimate.
        densities: keep probabilities of the fitting masks, in equal shares.
    """

    n_features: int
    budget: int
    n_test: int
    exact: bool
    densities: tuple[float, ...]

    @property
    def calls(self) -> int:
        """Model calls at the most."""
        return self.budget + self.n_test * len(TEST_DENSITIES)


def plan(
    n_features: int,
    *,
    alpha: float | None = None,
    budget: int | None = None,
    n_test: int = 100,
    density: Sampling = "mixed",
) -> Plan:
    """Decide the model calls from ``alpha`` (budget = alpha * n * log2 n) or an exact ``budget``.

    ``density`` is the share of the features that the fitted masks keep, or several to mix in equal
    parts, or a name: ``"mixed"`` is 0.5, 0.7 and 0.9, faithful from half of the features up to the
    actual input; ``"uniform"`` is 0.5, the paper's sampling.

    Raises:
        InputError: both given, a budget below 20 (and below 2^n), or arguments out of range.
    """
    if alpha is not None and budget is not None:
        raise InputError(f"give alpha or budget, not both (got alpha={alpha}, budget={budget}).")
    densities = _densities(density)
    n_test = as_integer("n_test", n_test, 0, 10**6)
    if n_test == 1:
        raise InputError("n_test must be 0 or at least 2 masks a density, got 1.")
    if budget is not None:
        budget = as_integer("budget", budget, 1, 10**7)
    masks = budget_for(n_features, 2.0 if alpha is None else alpha) if budget is None else budget
    subsets = 2**n_features if n_features <= MAX_ENUMERATED else None
    # By default the held-out masks count, too: where they are the rest of all subsets, fit them.
    by_default = alpha is None and budget is None
    affordable = masks + n_test * len(TEST_DENSITIES) if by_default else masks
    if budget is None:  # fewer than can be fitted at all
        affordable = max(affordable, MIN_BUDGET)
    if subsets is not None and affordable >= subsets:
        return Plan(n_features, subsets, n_test=0, exact=True, densities=densities)
    if masks < MIN_BUDGET:
        given = f"budget={budget}" if alpha is None else f"alpha={alpha} (budget {masks})"
        raise InputError(
            f"{given} is too small for {n_features} features: at least {MIN_BUDGET} masks are "
            "needed to fit and cross-validate. Raise alpha or budget, or leave both out."
        )
    return Plan(n_features, masks, n_test=n_test, exact=False, densities=densities)


def _densities(density: Sampling) -> tuple[float, ...]:
    if isinstance(density, str):
        if density not in DENSITIES:
            raise InputError(
                f"unknown density {density!r}; name one of {', '.join(DENSITIES)}, or give "
                "numbers between 0 and 1."
            )
        return DENSITIES[density]
    try:
        densities = tuple(float(d) for d in np.atleast_1d(np.asarray(density, dtype=np.float64)))
    except (TypeError, ValueError):
        densities = ()
    if not densities or not all(0 < d < 1 for d in densities):
        raise InputError(f"density must lie strictly between 0 and 1, got {density!r}.")
    return densities


@dataclass(frozen=True)
class Attribution:
    """What was asked, what was answered, what was fitted, and how well it predicts.

    Attributes:
        masks, values: (m, n), (m,): all queries; row 0 keeps everything, row 1 nothing.
        densities: (m,) the keep probability each mask was drawn with.
        n_fit: the first rows were fitted, the others are held out.
        seconds: wall time by phase.
    """

    plan: Plan
    masks: BoolArray
    values: FloatArray
    densities: FloatArray
    n_fit: int
    fit: SpectrumFit
    faithfulness: tuple[DensityScore, ...]
    seconds: dict[str, float]


def attribute(
    values_of: Cached,
    how: Plan,
    algorithm: ProxySPEX,
    *,
    progress: ProgressCallback | None = None,
) -> Attribution:
    """Run a plan: sample masks, ask the value function, fit, and test on masks of their own.

    Where the plan is exact, faithfulness is computed over *all* subsets, each weighted by its
    probability at the density, instead of on held-out ones.

    Raises:
        InputError: the value function's width differs from the plan's.
        ModelError: the value function gave something unusable; earlier values stay in its cache.
    """
    n = values_of.n_features
    if n != how.n_features:
        raise InputError(f"the plan is for {how.n_features} features, the function has {n}.")
    rng = np.random.default_rng(algorithm.seed)
    masks, densities = _fitting_masks(how, rng)
    n_fit = len(masks)
    tests = held_out_masks(n, masks, how.n_test, rng) if how.n_test else []
    asked = np.concatenate([masks, *(rows for _, rows in tests)])
    densities = np.concatenate([densities, *(np.full(len(rows), d) for d, rows in tests)])
    start = time.perf_counter()
    values = values_of(asked, progress)
    answered = time.perf_counter()
    fit = algorithm.fit(masks, values[:n_fit], progress=progress)
    fitted = time.perf_counter()
    report = Reporter(progress, "testing", 1)
    if how.exact:
        faithfulness = _over_all_subsets(asked, values, fit)
    else:
        tested = [density for density, _ in tests]
        faithfulness = _held_out(asked, values, n_fit, tested, densities, fit, algorithm.seed)
    report.advance()
    seconds = {
        "model": answered - start,
        "attribution": fitted - answered,
        "testing": time.perf_counter() - fitted,
    }
    return Attribution(how, asked, values, densities, n_fit, fit, faithfulness, seconds)


def faithfulness_of(
    masks: BoolArray,
    values: FloatArray,
    densities: FloatArray,
    n_fit: int,
    fit: SpectrumFit,
    *,
    seed: int,
) -> tuple[DensityScore, ...]:
    """Test a fit to the first ``n_fit`` queries on the others, as :func:`attribute` does.

    Args:
        masks, values, densities: (m, n), (m,), (m,): all queries, as :class:`Attribution` has them.
        seed: of the additive baseline's folds.
    """
    if fit.method == "exact":
        return _over_all_subsets(masks[:n_fit], values[:n_fit], fit)
    tested = [density for density in TEST_DENSITIES if (densities[n_fit:] == density).any()]
    return _held_out(masks, values, n_fit, tested, densities, fit, seed)


def _fitting_masks(how: Plan, rng: np.random.Generator) -> tuple[BoolArray, FloatArray]:
    if how.exact:
        masks = enumerated(how.n_features)
        return masks, np.full(len(masks), 0.5)
    shares = np.full(len(how.densities), how.budget // len(how.densities))
    shares[: how.budget % len(how.densities)] += 1
    masks = np.zeros((0, how.n_features), dtype=np.bool_)
    drawn: list[float] = []
    for density, share in zip(how.densities, shares.tolist(), strict=True):
        # The full and the empty mask come first and count towards the first density.
        wanted = max(share, 2) if len(masks) == 0 else share
        if wanted:
            new = sample_masks(
                how.n_features,
                wanted,
                density=density,
                seed=rng,
                exclude=masks,
                anchors=len(masks) == 0,
            )
            masks = np.concatenate([masks, new])
            drawn += [density] * len(new)
    if len(masks) < MIN_BUDGET:
        raise InputError(
            f"only {len(masks)} distinct masks of {how.n_features} features could be drawn at "
            f"density {how.densities}; choose densities nearer to 0.5."
        )
    return masks, np.array(drawn)


def _held_out(
    masks: BoolArray,
    values: FloatArray,
    n_fit: int,
    tested: list[float],
    densities: FloatArray,
    fit: SpectrumFit,
    seed: int,
) -> tuple[DensityScore, ...]:
    linear = _additive_baseline(masks[:n_fit], values[:n_fit], seed)
    out = []
    for density in TEST_DENSITIES:
        if density not in tested:
            out.append(DensityScore(density, None, None, 0))
            continue
        rows = np.flatnonzero(densities[n_fit:] == density) + n_fit
        truth = values[rows]
        out.append(
            DensityScore(
                density,
                r2_score(truth, fit.spectrum.evaluate(masks[rows])),
                r2_score(truth, linear.evaluate(masks[rows])),
                len(rows),
            )
        )
    return tuple(out)


def _additive_baseline(masks: BoolArray, values: FloatArray, seed: int) -> FourierSpectrum:
    """The paper's marginal baseline: LASSO, 100 penalties, ratio 0.001, 5 folds (B.1.1)."""
    additive = ProxySPEX("lasso", n_coefficients=masks.shape[1], refine="none", seed=seed)
    return additive.fit(masks, values).spectrum


def _over_all_subsets(
    masks: BoolArray, values: FloatArray, fit: SpectrumFit
) -> tuple[DensityScore, ...]:
    predictions = fit.spectrum.evaluate(masks)
    kept = masks.sum(axis=1)
    out = []
    for density in TEST_DENSITIES:
        weights = density**kept * (1 - density) ** (masks.shape[1] - kept)
        design = np.column_stack([np.ones(len(masks)), masks])
        root = np.sqrt(weights)[:, None]
        best, *_ = np.linalg.lstsq(design * root, values * root[:, 0], rcond=None)
        out.append(
            DensityScore(
                density,
                _weighted_r2(values, predictions, weights),
                _weighted_r2(values, design @ best, weights),
                len(masks),
            )
        )
    return tuple(out)


def _weighted_r2(values: FloatArray, predictions: FloatArray, weights: FloatArray) -> float | None:
    deviation = values - np.average(values, weights=weights)
    spread = float(weights @ np.square(deviation))
    if spread == 0.0 or bool((values == values[0]).all()):
        return None
    return 1.0 - float(weights @ np.square(predictions - values)) / spread
