"""What one test point's margin rests on: a spectrum over training points, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, as_integer, as_masks
from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.moebius import moebius
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.rules import DataInteraction, Kind, top_interaction
from proxyspex_hf.studies.data.screen import Screening


@dataclass(frozen=True, eq=False)
class PointAttribution:
    """The attribution of one test point.

    Attributes:
        point: the test point, a column of the margins.
        spectrum: f̂, on all n features.
        screening: interactions found beyond noise before anything but a linear model was fitted.
        candidates: the features that may interact in ``spectrum``; all others are linear in it.
        r2: R² of ``spectrum`` on held-out trainings (paper, equation 2); None for fewer than two.
        linear_r2: the same of a linear datamodel of all n features.
        lasso_r2: the same of LASSO on the candidates, fitted to the same rows as the proxy.
        n_fitted, n_held_out: trainings.
        seconds: by phase; of phases shared with other test points, an equal part.
        train_labels, test_label: where they are known.
    """

    point: int
    spectrum: FourierSpectrum
    screening: Screening
    candidates: tuple[int, ...]
    r2: float | None
    linear_r2: float | None
    lasso_r2: float | None
    n_fitted: int
    n_held_out: int
    seconds: dict[str, float]
    train_labels: NDArray[Any] | None = None
    test_label: Any = None

    @property
    def n_features(self) -> int:
        return self.spectrum.n_features

    def interactions(self, index: str, order: int | None = None) -> Interactions:
        """Scores of an index: :func:`proxyspex_hf.core.indices.interactions`."""
        return interactions(self.spectrum, index, order)

    def synergistic(
        self, order: int = 2, *, test_label: Any = None, train_labels: Any = None
    ) -> DataInteraction | None:
        """The top synergistic interaction of an order (equation 12); None if there is none.

        Args:
            test_label, train_labels: default the attribution's own.

        Raises:
            InputError: no labels, or an order outside 1 to n.
        """
        return self._top(order, test_label, train_labels, "synergistic")

    def redundant(
        self, order: int = 2, *, test_label: Any = None, train_labels: Any = None
    ) -> DataInteraction | None:
        """The top redundant interaction of an order (equation 13); as :meth:`synergistic`."""
        return self._top(order, test_label, train_labels, "redundant")

    def predict(self, masks: Any) -> FloatArray:
        """f̂ of models trained on subsets: booleans (b, n) or :class:`.PackedMasks` -> (b,).

        Raises:
            InputError: masks of another width.
        """
        if not isinstance(masks, PackedMasks):
            return self.spectrum.evaluate(as_masks(masks, self.n_features))
        if masks.n_features != self.n_features:
            raise InputError(f"masks must have {self.n_features} features, got {masks.n_features}.")
        step = max(1, 2**24 // self.n_features)
        parts = [self.spectrum.evaluate(masks.unpack(rows)) for rows in masks.blocks(step)]
        return np.concatenate(parts)

    def change(self, removed: Iterable[int], mask: Any = None) -> float:
        """What f̂ predicts that leaving ``removed`` out does to the margin.

        Args:
            removed: features.
            mask: (n,) the training set they are taken from; default everything.

        Raises:
            InputError: a feature that does not exist or is not in ``mask``.
        """
        n = self.n_features
        before = np.ones((1, n), np.bool_) if mask is None else as_masks(mask, n, "mask")[:1]
        gone = [as_integer("removed", i, 0, n - 1) for i in removed]
        if not before[0, gone].all():
            raise InputError("removed must hold features that the mask keeps.")
        after = before.copy()
        after[0, gone] = False
        with_them, without = self.spectrum.evaluate(np.concatenate([before, after]))
        return float(without - with_them)

    def _top(
        self, order: int, test_label: Any, train_labels: Any, kind: Kind
    ) -> DataInteraction | None:
        label = self.test_label if test_label is None else test_label
        labels = self.train_labels if train_labels is None else train_labels
        if label is None or labels is None:
            raise InputError(
                f"{kind} interactions depend on the classes: give train_labels and test_labels to "
                "DataAttribution, or train_labels and test_label here."
            )
        size = as_integer("order", order, 1, self.n_features)
        return top_interaction(moebius(self.spectrum, size), labels, label, size, kind)
