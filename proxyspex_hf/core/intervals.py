"""90% intervals of indices: each score beside the posterior of the functional that defines it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.known import Known
from proxyspex_hf.core.posterior import Posterior, stretched
from proxyspex_hf.core.shares import shares_of
from proxyspex_hf.core.spectrum import FourierSpectrum

#: Scores that get an interval, the largest first: each costs a solve with the masks' covariance.
_MOST_SCORES = 2000
#: Contexts, and draws of the posterior at them, for the one index that is not linear.
_CONTEXTS, _DRAWS = 64, 400


def with_intervals(
    found: Interactions,
    spectrum: FourierSpectrum,
    posterior: Posterior | Known | None,
    *,
    exact: bool = False,
    seed: int = 0,
) -> Interactions:
    """The same scores with ``intervals`` (k, 2); nan where a score has none.

    Args:
        spectrum: what the scores are of.
        posterior: or all values, where they are known: each interval then reaches from the true
            score to the one shown. None leaves the scores without, unless they are ``exact``.
        exact: the scores are those of all 2^n values: each interval is the score itself.
        seed: of the draws for Influence, which is a square.
    """
    if exact:
        return replace(found, intervals=np.stack([found.values, found.values], axis=1))
    if posterior is None:
        return found
    if isinstance(posterior, Known):
        largest = np.argsort(-np.abs(found.values), kind="stable")[:_MOST_SCORES]
        intervals = np.full((len(found), 2), np.nan)
        true = posterior.scores(found.index, found.order, found.support[largest])
        intervals[largest] = stretched(true, found.values[largest])
        return replace(found, intervals=intervals)
    if found.index == "Influence":
        return replace(found, intervals=_influence(found, spectrum, posterior, seed))
    intervals = np.full((len(found), 2), np.nan)
    largest = np.argsort(-np.abs(found.values), kind="stable")[:_MOST_SCORES]
    for size in range(1, min(found.order, found.n_features) + 1):
        rows = np.sort(largest[found.orders[largest] == size])
        shares = shares_of(found.index, size, found.order, found.n_features)
        if not len(rows) or shares is None:
            continue
        estimate = posterior.derivatives(found.support[rows, :size], shares)
        intervals[rows] = stretched(estimate, found.values[rows])
    intervals[~np.isfinite(intervals).all(axis=1)] = np.nan
    return replace(found, intervals=intervals)


def _influence(
    found: Interactions, spectrum: FourierSpectrum, posterior: Posterior, seed: int
) -> FloatArray:
    """Σ_{S∋i} F(S)² = E[(Δ_i f)²] / 4 over uniform contexts: draws of Δ_i f at some of them.

    What the draws have there more than the spectrum, the score may be more. And as much less: a
    square of an estimate holds the square of its error, as the draws do once more.
    """
    rng = np.random.default_rng(seed)
    contexts = rng.random((_CONTEXTS, found.n_features)) < 0.5
    out = np.empty((len(found), 2))
    weights = np.concatenate([np.eye(_CONTEXTS), -np.eye(_CONTEXTS)], axis=1)
    for row, (i,) in enumerate(found.support[:, :1].tolist()):
        kept, gone = contexts.copy(), contexts.copy()
        kept[:, i], gone[:, i] = True, False
        masks = np.concatenate([kept, gone])
        draws = posterior.draws(masks, weights, _DRAWS, rng)
        own = np.square(weights @ spectrum.evaluate(masks)).mean()
        more = (np.square(draws).mean(axis=1) - own) / 4.0
        low, high = np.quantile(more, (0.05, 0.95))
        score = found.values[row]
        out[row] = max(0.0, score + min(low, -high, 0.0)), score + max(high, 0.0)
    return out


def prediction_intervals(
    spectrum: FourierSpectrum, posterior: Posterior | Known, masks: np.ndarray
) -> FloatArray:
    """(b, 2) around the spectrum's predictions of masks (b, n)."""
    shown = spectrum.evaluate(masks)
    step = 1024
    parts = [
        stretched(posterior.predictions(masks[a : a + step]), shown[a : a + step])
        for a in range(0, len(masks), step)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 2))
