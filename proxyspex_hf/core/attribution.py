"""From a value function to its explanation: ask, fit, test (paper, section 3.3)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.algorithm import ProxySPEX, SpectrumFit
from proxyspex_hf.core.faithfulness import (
    TEST_DENSITIES,
    DensityScore,
    left_out_r2,
    r2_interval,
    r2_score,
    weighted_r2,
)
from proxyspex_hf.core.inquiry import Asked, ask, inquiry
from proxyspex_hf.core.posterior import Posterior
from proxyspex_hf.core.progress import ProgressCallback, Reporter, Rounds
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.queries import Plan, Queries
from proxyspex_hf.core.values import Cached
from proxyspex_hf.errors import InputError

#: Share of the masks that a fold's fit has seen (five folds), and random masks at which it is
#: measured what the others are worth.
_SEEN, _GAIN_AT = 0.8, 200


@dataclass(frozen=True)
class Attribution:
    """What was asked, what was fitted, and how well it predicts.

    Attributes:
        queries: all masks and values; the first ``n_fit`` were fitted.
        seconds: wall time by phase.
    """

    plan: Plan
    queries: Queries
    fit: SpectrumFit
    faithfulness: tuple[DensityScore, ...]
    seconds: dict[str, float]

    @property
    def posterior(self) -> Posterior | None:
        """What intervals come from; None where the fit is exact."""
        return posterior_of(self.fit, self.queries)


def attribute(
    values_of: Cached,
    how: Plan,
    algorithm: ProxySPEX,
    *,
    known: Asked | None = None,
    start: MaskKernel | None = None,
    progress: ProgressCallback | None = None,
) -> Attribution:
    """Run a plan: ask the value function in rounds, fit, and test on masks left out.

    Args:
        known, start: see :func:`proxyspex_hf.core.inquiry.inquiry`.

    Raises:
        InputError: the value function's width differs from the plan's.
        ModelError: the value function gave something unusable; earlier values stay in its cache.
    """
    n = values_of.n_features
    if n != how.n_features:
        raise InputError(f"the plan is for {how.n_features} features, the function has {n}.")
    begun = time.perf_counter()
    spent = 0.0
    rounds = Rounds(progress, how.calls)

    def answer(masks: BoolArray) -> list[FloatArray]:
        nonlocal spent
        since = time.perf_counter()
        values = values_of(masks, rounds.of(len(masks)))
        spent += time.perf_counter() - since
        return [values]

    steps = inquiry(how, algorithm.seed, known=known, start=start, siblings=[algorithm.sibling])
    asked = ask(steps, answer)
    chosen = time.perf_counter() - begun - spent
    return explain(asked.queries(0), how, algorithm, {"model": spent, "masks": chosen}, progress)


def explain(
    queries: Queries,
    how: Plan,
    algorithm: ProxySPEX,
    seconds: dict[str, float],
    progress: ProgressCallback | None = None,
) -> Attribution:
    """Fit what was answered, and test it.

    Where the plan is exact, faithfulness is computed over *all* subsets, each weighted by its
    probability at the density. Else on the masks held out for it, where there are such, and on
    drawn masks by fits that have not seen them, where there are none.
    """
    start = time.perf_counter()
    fitting = slice(queries.n_fit)
    try:
        fit = algorithm.fit(
            queries.masks[fitting],
            queries.values[fitting],
            densities=queries.densities[fitting],
            progress=progress,
        )
    except MemoryError as error:
        m, n = queries.masks[fitting].shape
        raise InputError(
            f"the fit of {m:,} masks of {n:,} features does not fit into memory ({error}): ask "
            "fewer masks (alpha, budget), keep fewer terms (n_coefficients), or take "
            "proxy='lasso'. What the model answered is kept."
        ) from error
    fitted = time.perf_counter()
    report = Reporter(progress, "testing", 1)
    faithfulness = faithfulness_of(queries, fit, seed=algorithm.seed)
    report.advance()
    attribution = seconds.get("masks", 0.0) + fitted - start
    taken = {
        "model": seconds.get("model", 0.0),
        "attribution": attribution,
        "testing": time.perf_counter() - fitted,
    }
    return Attribution(how, queries, fit, faithfulness, taken)


def posterior_of(fit: SpectrumFit, queries: Queries) -> Posterior | None:
    """The Gaussian process of a fit, after what was fitted; None where the fit is exact."""
    if fit.doubt is None:
        return None
    return Posterior(fit.doubt, queries.masks[: queries.n_fit], queries.values[: queries.n_fit])


def faithfulness_of(queries: Queries, fit: SpectrumFit, *, seed: int) -> tuple[DensityScore, ...]:
    """Test a fit to the first ``n_fit`` queries.

    Args:
        seed: of the additive baseline's folds.
    """
    fitted = slice(queries.n_fit)
    if fit.method == "exact":
        return _over_all_subsets(queries.masks[fitted], queries.values[fitted], fit)
    additive = additive_baseline(queries, seed)
    if queries.n_fit < len(queries):
        return _held_out(queries, fit, additive)
    if fit.left_out is None or additive.left_out is None:
        return tuple(DensityScore(density, None, None, 0) for density in TEST_DENSITIES)
    return tuple(
        left_out_r2(
            queries.masks,
            queries.values,
            fit.left_out,
            queries.densities,
            density,
            linear=additive.left_out,
            gain=gain,
        )
        for density, gain in zip(TEST_DENSITIES, _gains(queries, fit, seed), strict=True)
    )


def _gains(queries: Queries, fit: SpectrumFit, seed: int) -> list[float]:
    """What the masks of a fold are worth at each density: see :func:`left_out_r2`."""
    posterior = posterior_of(fit, queries)
    if posterior is None:
        return [1.0] * len(TEST_DENSITIES)
    shares = np.random.default_rng(seed).random((_GAIN_AT, queries.masks.shape[1]))
    return posterior.gains([shares < density for density in TEST_DENSITIES], _SEEN, seed)


def additive_baseline(queries: Queries, seed: int) -> SpectrumFit:
    """The paper's marginal baseline: LASSO, 100 penalties, ratio 0.001, 5 folds (B.1.1)."""
    fitted = slice(queries.n_fit)
    additive = ProxySPEX(
        "lasso", n_coefficients=queries.masks.shape[1], refine="none", seed=seed, doubt=False
    )
    return additive.fit(queries.masks[fitted], queries.values[fitted])


def _held_out(
    queries: Queries, fit: SpectrumFit, additive: SpectrumFit
) -> tuple[DensityScore, ...]:
    out = []
    for density in TEST_DENSITIES:
        rows = np.flatnonzero(queries.densities[queries.n_fit :] == density) + queries.n_fit
        if not len(rows):
            out.append(DensityScore(density, None, None, 0))
            continue
        truth, masks = queries.values[rows], queries.masks[rows]
        found = fit.spectrum.evaluate(masks)
        out.append(
            DensityScore(
                density,
                r2_score(truth, found),
                r2_score(truth, additive.spectrum.evaluate(masks)),
                len(rows),
                r2_interval(truth, found, np.ones(len(rows))),
            )
        )
    return tuple(out)


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
        r2 = weighted_r2(values, predictions, weights)
        out.append(
            DensityScore(
                density,
                r2,
                weighted_r2(values, design @ best, weights),
                len(masks),
                None if r2 is None else (r2, r2),
            )
        )
    return tuple(out)
