"""Neural network, one of the paper's alternatives to boosting (appendices B.1.1 and B.4).

A network has no sparse spectrum that could be read off it. What is well defined:

- ``predict``, always;
- up to 20 features, its exact spectrum by enumeration of all 2^n masks;
- beyond, an *estimate* of its coefficients of orders 1 and 2, distilled from its own predictions
  on fresh masks, which cost no model call. The result is an ``EstimatedExtraction``, and
  ``dropped_energy`` then *measures*, on masks the distillation has not seen, the variance of the
  network that the estimate misses. ``estimate=False`` refuses instead.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.masks import MAX_ENUMERATED
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds
from proxyspex_hf.core.proxies.enumerate import (
    EstimatedExtraction,
    Predict,
    enumerate_spectrum,
    order_wanted,
)
from proxyspex_hf.core.spectrum import FourierSpectrum, parities
from proxyspex_hf.core.trees import Extraction
from proxyspex_hf.errors import InputError

_CHUNK = 65536


@dataclass(frozen=True)
class Network:
    """A fitted network with rectified hidden layers: ``layers`` of (weights, biases)."""

    layers: tuple[tuple[FloatArray, FloatArray], ...]

    @property
    def n_features(self) -> int:
        return len(self.layers[0][0])

    def predict(self, masks: BoolArray) -> FloatArray:
        """(m, n) bool -> (m,)."""
        out = np.empty(len(masks))
        for start in range(0, len(masks), _CHUNK):
            hidden = _inputs(masks[start : start + _CHUNK])
            for weights, biases in self.layers[:-1]:
                hidden = np.maximum(hidden @ weights + biases, 0.0)
            weights, biases = self.layers[-1]
            out[start : start + _CHUNK] = (hidden @ weights + biases)[:, 0]
        return out


@dataclass(frozen=True)
class NeuralNetwork:
    """scikit-learn's ``MLPRegressor`` with its configuration chosen by cross-validation.

    It sees a feature as -1 where kept and +1 where masked, and trains by stochastic gradient
    descent: scikit-learn's other solvers ignore the schedule, which is one of the grid's axes.

    Attributes:
        hidden_layers, schedules, rates: the paper's grid (appendix B.1.1): layers of n/4 units,
            the course of the learning rate, and its initial value.
        epochs: at most so many passes over the masks (scikit-learn's default).
        race: after the first fold, drop configurations whose error there exceeds the best by this
            factor. None evaluates every configuration on every fold.
        estimate: with more than 20 features, give an estimated spectrum; otherwise ``spectrum``
            raises ``InputError`` there.

    Raises:
        InputError: an empty grid or numbers out of range.
    """

    hidden_layers: tuple[int, ...] = (1, 2, 3)
    schedules: tuple[str, ...] = ("constant", "adaptive")
    rates: tuple[float, ...] = (0.001, 0.01, 0.1)
    epochs: int = 200
    race: float | None = 1.05
    estimate: bool = True

    def __post_init__(self) -> None:
        if not self.hidden_layers or min(self.hidden_layers) < 1:
            raise InputError(f"hidden_layers must be at least 1 each, got {self.hidden_layers}.")
        if not self.schedules or not set(self.schedules) <= {"constant", "adaptive"}:
            raise InputError(f"schedules must be 'constant' or 'adaptive', got {self.schedules}.")
        if not self.rates or min(self.rates) <= 0 or self.epochs < 1:
            raise InputError(
                f"rates must be positive and epochs at least 1, got {self.rates}, {self.epochs}."
            )

    @classmethod
    def paper(cls) -> NeuralNetwork:
        """The paper's grid to the letter: every configuration on every fold."""
        return cls(race=None)

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> NeuralNetworkFit:
        """Choose by cross-validation, then train the chosen network on all masks."""
        n_folds = int(folds.max()) + 1
        configs = [
            {"hidden_layers": depth, "learning_rate": schedule, "initial_rate": rate}
            for depth in self.hidden_layers
            for schedule in self.schedules
            for rate in self.rates
        ]
        report = Reporter(progress, "fitting networks", len(configs) * n_folds + 1)
        networks: dict[tuple[int, int], Network] = {}
        errors: list[list[float]] = [[] for _ in configs]
        outcomes: list[set[str]] = [set() for _ in configs]
        raced = list(range(len(configs)))
        for fold in range(n_folds):
            held_out = folds == fold
            for c in raced:
                network, outcome = self._train(
                    configs[c], masks[~held_out], values[~held_out], seed
                )
                networks[c, fold] = network
                outcomes[c] |= {outcome} - {""}
                misses = network.predict(masks[held_out]) - values[held_out]
                errors[c].append(float(np.square(misses).mean()))
                report.advance()
            if fold == 0 and self.race is not None:
                limit = self.race * min(errors[c][0] for c in raced)
                raced = [c for c in raced if errors[c][0] <= limit]
        dropped = "dropped after the first fold"
        entries = tuple(
            CVEntry(
                config,
                tuple(errors[c]),
                ", ".join(sorted(outcomes[c]) + ([] if c in raced else [dropped])),
            )
            for c, config in enumerate(configs)
        )
        chosen = min(raced, key=lambda c: entries[c].error)
        final, _ = self._train(configs[chosen], masks, values, seed)
        report.finish()
        fold_networks = tuple(networks[chosen, fold] for fold in range(n_folds))
        return NeuralNetworkFit(
            CVReport(entries, chosen), final, fold_networks, self.estimate, seed
        )

    def _train(
        self, config: dict[str, object], masks: BoolArray, values: FloatArray, seed: int
    ) -> tuple[Network, str]:
        """A network, and what went wrong in its training if anything did."""
        from sklearn.neural_network import MLPRegressor  # imported only where it is used

        n = masks.shape[1]
        model = MLPRegressor(
            hidden_layer_sizes=(max(1, n // 4),) * int(str(config["hidden_layers"])),
            solver="sgd",
            learning_rate=config["learning_rate"],
            learning_rate_init=config["initial_rate"],
            max_iter=self.epochs,
            random_state=seed % 2**32,
        )
        outcome = ""
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                model.fit(_inputs(masks), values)
            except ValueError:
                # scikit-learn raises where the weights are no longer finite. Such a
                # configuration competes as what is left of it: the mean.
                level = np.full(1, float(values.mean()))
                return Network(((np.zeros((n, 1)), level),)), "diverged"
        if any(issubclass(w.category, ConvergenceWarning) for w in caught):
            outcome = f"stopped after {self.epochs} epochs"
        return Network(tuple(zip(model.coefs_, model.intercepts_, strict=True))), outcome


@dataclass(frozen=True)
class NeuralNetworkFit:
    """The chosen configuration, trained on all masks and once without each fold."""

    cv: CVReport
    network: Network
    fold_networks: tuple[Network, ...]
    estimate: bool
    _seed: int

    def predict(self, masks: BoolArray) -> FloatArray:
        return self.network.predict(masks)

    def spectrum(self, max_order: int | None = None) -> Extraction:
        """Exact up to 20 features; beyond, an ``EstimatedExtraction``.

        Raises:
            InputError: more than 20 features and ``estimate=False``.
        """
        return self._extract(self.network, max_order)

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        return [self._extract(network, max_order).spectrum for network in self.fold_networks]

    def _extract(self, network: Network, max_order: int | None) -> Extraction:
        if network.n_features <= MAX_ENUMERATED:
            return enumerate_spectrum(network.predict, network.n_features, max_order)
        if not self.estimate:
            raise InputError(
                f"a neural network of {network.n_features} features has no exact spectrum (up to "
                f"{MAX_ENUMERATED} it is enumerated). Use predict(), pass estimate=True for an "
                "estimate of orders 1 and 2, or choose proxy='boosting', whose spectrum is exact."
            )
        return distil(network.predict, network.n_features, max_order, seed=self._seed)


def _inputs(masks: BoolArray) -> FloatArray:
    return np.where(masks, -1.0, 1.0)


#: Mirrored pairs of masks that a distillation asks at least, and pairs of features it keeps.
_MIN_DRAWS = 4096
_MAX_PAIRS = 512


def distil(
    predict: Predict, n_features: int, max_order: int | None = None, *, seed: int
) -> EstimatedExtraction:
    """Estimate the coefficients of orders 0 to 2 by least squares on the proxy's own predictions.

    Masks are drawn uniformly and each is asked with its complement: half their difference holds
    the odd orders only, half their sum the even ones, so neither is noise to the other. Pairs
    enter where a first estimate exceeds three standard errors, at most 512 of them.

    Raises:
        InputError: ``max_order`` is negative.
    """
    wanted = min(order_wanted(max_order, n_features), 2)
    rng = np.random.default_rng(seed)
    draws = max(_MIN_DRAWS, 4 * n_features)
    masks = rng.random((draws, n_features)) < 0.5
    given, mirrored = predict(masks), predict(~masks)
    odd, even = (given - mirrored) / 2, (given + mirrored) / 2
    signs = np.where(masks, -1.0, 1.0)
    singles = np.arange(n_features, dtype=np.int32)[:, None]
    pairs = _pairs(signs, even) if wanted == 2 else np.zeros((0, 2), np.int32)
    basis = parities(masks, pairs).T.astype(np.float64)
    pair_values = _least_squares(basis - basis.mean(axis=0), even - even.mean())
    level = float(even.mean() - basis.mean(axis=0) @ pair_values)
    single_values = _least_squares(signs, odd) if wanted else np.zeros(n_features)
    support = np.concatenate(
        [
            np.full((1, 2), -1, np.int32),
            np.pad(singles, ((0, 0), (0, 1)), constant_values=-1),
            pairs,
        ]
    )
    spectrum = FourierSpectrum.from_arrays(
        support, np.concatenate([[level], single_values, pair_values]), n_features
    )
    if wanted == 0:
        spectrum = spectrum.top(0)
    fresh = rng.random((draws, n_features)) < 0.5
    missed = predict(fresh) - spectrum.evaluate(fresh)
    return EstimatedExtraction(spectrum, wanted, float(missed.var()))


def _pairs(signs: FloatArray, even: FloatArray) -> IntArray:
    """The pairs of features that the even part speaks of: (k, 2), ascending."""
    centred = even - even.mean()
    first = signs.T @ (centred[:, None] * signs) / len(signs)
    rows, columns = np.triu_indices(signs.shape[1], k=1)
    strength = np.abs(first[rows, columns])
    # Beneath it lie rounding errors only, where the proxy has no even part at all.
    floor = 1e-9 * float(np.abs(even).max(initial=0.0))
    limit = max(3.0 * float(centred.std()) / np.sqrt(len(signs)), floor)
    ranked = np.argsort(-strength, kind="stable")[: min(_MAX_PAIRS, int((strength > limit).sum()))]
    chosen = np.sort(ranked)
    return np.column_stack([rows[chosen], columns[chosen]]).astype(np.int32)


def _least_squares(design: FloatArray, values: FloatArray) -> FloatArray:
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    return np.asarray(solution, dtype=np.float64)
