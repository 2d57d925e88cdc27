"""Set functions whose spectrum is known, in the shape of value tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from toolbox import hierarchical

from harness.problems import Problem, Rows
from proxyspex_hf.core import FourierSpectrum, budget_for, sample_masks
from proxyspex_hf.core.baselines.synthetic import complete_hierarchy, peak, staircase
from proxyspex_hf.core.faithfulness import TEST_DENSITIES


def synthetic_problem(
    name: str,
    truth: FourierSpectrum,
    *,
    alpha: float = 8.0,
    n_test: int = 1000,
    noise: float = 0.0,
    seed: int = 0,
) -> Problem:
    """Masks with the values of a known function.

    Rows for fitting reach up to ``alpha`` and carry Gaussian noise of ``noise`` standard deviations
    of the function; the unmasked input and the tests carry none, so R² = 1 is the exact truth.
    """
    n = truth.n_features
    rng = np.random.default_rng([seed, n])
    sigma = noise * float(np.sqrt(np.square(truth.coefficients[1:]).sum()))
    m = budget_for(n, alpha)
    full = np.ones((1, n), dtype=bool)

    def new(count: int, density: float, exclude: np.ndarray) -> np.ndarray:
        return sample_masks(n, count, density=density, seed=rng, exclude=exclude, anchors=False)

    def noisy(masks: np.ndarray) -> Rows:
        errors = sigma * rng.standard_normal(len(masks))
        errors[0] = 0.0
        return masks, truth.evaluate(masks) + errors

    uniform = np.concatenate([full, new(m - 1, 0.5, full)])
    mixed = full
    for density in TEST_DENSITIES:
        mixed = np.concatenate([mixed, new(-(-(m - 1) // 3), density, mixed)])
    # Any first rows are a mixture, too.
    mixed = mixed[np.append(0, 1 + rng.permutation(len(mixed) - 1))][:m]
    seen = np.concatenate([uniform, mixed])
    held = {"uniform": new(n_test, 0.5, seen)}
    held |= {f"{100 * d:.0f}": new(n_test, d, seen) for d in TEST_DENSITIES}
    tests = {key: (masks, truth.evaluate(masks)) for key, masks in held.items()}
    fit = {"uniform": noisy(uniform), "mixed": noisy(mixed)}
    return Problem(f"{name}_n{n}", n, fit, tests, truth)


#: By name: how the function is made, and the noise on the values to fit.
SYNTHETIC_PROBLEMS: dict[str, tuple[Callable[[], FourierSpectrum], float]] = {
    "complete_hierarchy_20": (lambda: complete_hierarchy(20, seed=0), 0.0),
    "complete_hierarchy_32": (lambda: complete_hierarchy(32, seed=0), 0.0),
    "complete_hierarchy_64": (lambda: complete_hierarchy(64, seed=0), 0.0),
    "staircase_32": (lambda: staircase(32, seed=0), 0.0),
    "staircase_64": (lambda: staircase(64, seed=0), 0.0),
    "peak_32": (lambda: peak(32, seed=0), 0.0),
    "noisy_hierarchy_24": (lambda: hierarchical(24, 60, 4, seed=0), 0.3),
    "noisy_hierarchy_48": (lambda: hierarchical(48, 120, 4, seed=1), 0.3),
    "noisy_hierarchy_64": (lambda: hierarchical(64, 200, 5, seed=2), 0.3),
}
QUICK = ("staircase_32", "noisy_hierarchy_24")


def synthetic_problems(only: str | None = None, *, quick: bool = False) -> list[Problem]:
    """The synthetic rows of the bench; ``only`` as for tables."""
    out = []
    for name, (make, noise) in SYNTHETIC_PROBLEMS.items():
        if (not only or only in name) and (not quick or name in QUICK):
            out.append(synthetic_problem(name.rpartition("_")[0], make(), noise=noise))
    return out
