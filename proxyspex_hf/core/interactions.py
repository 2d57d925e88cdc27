"""Interaction scores: one frozen type for every index (paper, section 3.1 and table in A.1)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, IntArray, as_indices, as_integer, as_integers
from proxyspex_hf.core.frozen import Frozen
from proxyspex_hf.core.sets import as_sets, check_sets, pack_support, sizes_of
from proxyspex_hf.errors import InputError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

#: Entries a dense array may have (512 MiB).
_MAX_DENSE = 2**26

#: What shapiq calls the indices that both packages know.
_SHAPIQ_NAMES = {"Banzhaf": "BV", "Shapley": "SV", "Moebius": "Moebius"} | {
    name: name for name in ("BII", "SII", "STII", "FBII", "FSII")
}


@dataclass(frozen=True, eq=False, repr=False)
class Interactions(Frozen):
    """Scores I(T) of one index on sets of features; a set without a row has the score 0.

    Attributes:
        index: name of the index, as :func:`proxyspex_hf.core.indices.interactions` gives it.
        order: the order that was asked for (STII, FBII and FSII depend on it); no set is larger.
        n_features: n.
        support: (k, max_size) int32, members ascending, padded with -1; rows unique and in the
            canonical order of :class:`~proxyspex_hf.core.spectrum.FourierSpectrum` (by size, then
            lexicographically). ∅ has a row where the index scores it.
        values: (k,) float64, finite.
        labels: the n names of the features, where they are known; no part of equality.
        at_empty: f(∅), from which values that have no row for ∅ count; None where it is unknown.
            No part of equality.
        intervals: (k, 2) the ends of each value's 90% interval, nan where a value has none; None
            where none has. No part of equality.

    Raises:
        InputError: the invariants above do not hold.
    """

    index: str
    order: int
    n_features: int
    support: IntArray
    values: FloatArray
    labels: tuple[str, ...] | None = field(default=None, compare=False)
    intervals: FloatArray | None = field(default=None, compare=False)
    at_empty: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != self.n_features:
            raise InputError(
                f"labels must name {self.n_features} features, got {len(self.labels)}."
            )
        support = np.array(self.support, dtype=np.int32)
        values = np.array(self.values, dtype=np.float64)
        if not isinstance(self.index, str) or not self.index:
            raise InputError(f"index must be the name of an index, got {self.index!r}.")
        if self.n_features < 1 or self.order < 0:
            raise InputError(
                "expected n_features >= 1 and order >= 0, "
                f"got n_features={self.n_features} and order={self.order}."
            )
        if support.ndim != 2 or values.shape != support.shape[:1]:
            raise InputError(
                "support must be (k, max_size) and values (k,), "
                f"got {support.shape} and {values.shape}."
            )
        if not np.isfinite(values).all():
            raise InputError("values must be finite.")
        sizes = check_sets(support, self.n_features)
        if self.intervals is not None:
            intervals = np.array(self.intervals, dtype=np.float64)
            if intervals.shape != (len(values), 2):
                raise InputError(f"intervals must be ({len(values)}, 2), got {intervals.shape}.")
            intervals.flags.writeable = False
            object.__setattr__(self, "intervals", intervals)
        width = int(sizes.max(initial=0))
        if width > self.order:
            raise InputError(
                f"support has a set of {width} features, more than order={self.order}."
            )
        support = np.ascontiguousarray(support[:, :width])
        support.flags.writeable = values.flags.writeable = False
        object.__setattr__(self, "support", support)
        object.__setattr__(self, "values", values)

    @classmethod
    def from_dict(
        cls,
        values: Mapping[tuple[int, ...], float],
        *,
        index: str,
        n_features: int,
        order: int | None = None,
    ) -> Interactions:
        """From ``{(0, 2): 0.5}``; keys in any order. ``order`` defaults to the largest set.

        Raises:
            InputError: a key with a repeated or an unknown feature, the same set twice.
        """
        keys = [tuple(sorted(key)) for key in values]
        if any(len(set(key)) != len(key) for key in keys):
            raise InputError("values must have sets as keys: a feature is repeated within one.")
        scores = np.fromiter(values.values(), dtype=np.float64, count=len(keys))
        rows = sorted(range(len(keys)), key=lambda r: (len(keys[r]), keys[r]))
        support = pack_support(keys[r] for r in rows)
        return cls(
            index,
            support.shape[1] if order is None else order,
            n_features,
            support,
            scores[rows],
        )

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """The sets as sorted index tuples, in canonical order."""
        return as_sets(self.support)

    @property
    def orders(self) -> NDArray[np.int64]:
        """|T| of each row, shape (k,)."""
        return sizes_of(self.support)

    @property
    def baseline(self) -> float:
        """I(∅), which the index gives to no feature; 0 where it has none."""
        return float(self.values[0]) if len(self) and self.orders[0] == 0 else 0.0

    @property
    def is_exact(self) -> bool:
        """Whether every value is known to be exact: all intervals are points."""
        ends = self.intervals
        return ends is not None and bool((ends[:, 0] == ends[:, 1]).all())

    def to_dict(self) -> dict[tuple[int, ...], float]:
        """``{members: value}`` with sorted index tuples as keys, in canonical order."""
        return dict(zip(self.sets, self.values.tolist(), strict=True))

    def interval(self, *features: int) -> tuple[float, float] | None:
        """The 90% interval of one set's value; None where it has none.

        Raises:
            InputError: a set without a row, or something else than indices of features.
        """
        members = tuple(sorted(as_integers("features", features, 0, self.n_features - 1)))
        if members not in self.sets:
            raise InputError(f"{members} has no value of {self.index} of order {self.order}.")
        if self.intervals is None:
            return None
        low, high = self.intervals[self.sets.index(members)].tolist()
        return (low, high) if low == low and high == high else None

    def ranked(self) -> Iterator[tuple[tuple[int, ...], float]]:
        """``(members, value)`` from the largest magnitude down, ∅ left out.

        Ties go to the smaller set, then to the lexicographically first.
        """
        return iter(self.top(len(self)))

    def top(self, k: int) -> list[tuple[tuple[int, ...], float]]:
        """The first ``k`` of :meth:`ranked`.

        Raises:
            InputError: ``k`` is negative.
        """
        k = as_integer("k", k, 0)
        named = np.flatnonzero(self.orders > 0)
        best = named[np.argsort(-np.abs(self.values[named]), kind="stable")][:k]
        rows, scores = self.support[best].tolist(), self.values[best].tolist()
        return [
            (tuple(i for i in row if i >= 0), score)
            for row, score in zip(rows, scores, strict=True)
        ]

    def of_order(self, *orders: int) -> Interactions:
        """Only the sets whose size is one of ``orders``.

        Raises:
            InputError: no integers from 0 on.
        """
        given = orders[0] if len(orders) == 1 and np.ndim(orders[0]) == 1 else orders
        return self._where(np.isin(self.orders, as_integers("orders", given, 0)))

    def containing(self, *features: int) -> Interactions:
        """Only the sets that hold every one of ``features``.

        Raises:
            InputError: a feature that does not exist.
        """
        members = as_indices("features", features, self.n_features)
        hits = [(self.support == feature).any(axis=1) for feature in members]
        return self._where(np.logical_and.reduce(hits) if hits else np.ones(len(self), np.bool_))

    def positive(self) -> Interactions:
        """Only the sets whose value is above 0."""
        return self._where(self.values > 0)

    def negative(self) -> Interactions:
        """Only the sets whose value is below 0."""
        return self._where(self.values < 0)

    def first_order(self) -> FloatArray:
        """The value of each single feature, shape (n,); 0 where it has no row."""
        return self.to_dense(1)

    def to_dense(self, order: int) -> FloatArray:
        """The values of the sets of size ``order`` as a symmetric array, shape (n,) * order.

        Entries with a repeated index are 0.

        Raises:
            InputError: ``order`` below 1, or an array of more than 2^26 entries.
        """
        order = as_integer("order", order, 1)
        if self.n_features**order > _MAX_DENSE:
            raise InputError(
                f"a dense array of order {order} on {self.n_features} features cannot be built: "
                "n_features**order must be at most 2**26; use to_dict()."
            )
        dense = np.zeros((self.n_features,) * order)
        rows = np.flatnonzero(self.orders == order)
        for arrangement in permutations(range(order)) if len(rows) else ():
            dense[tuple(self.support[rows][:, arrangement].T)] = self.values[rows]
        return dense

    def to_dataframe(self, labels: Sequence[str] | None = None) -> pd.DataFrame:
        """A ``pandas.DataFrame`` with a row a set: ``features``, ``labels``, ``order``, ``value``,
        and ``low`` and ``high`` where there are intervals.

        Args:
            labels: the n names of the features, default the ones it knows; without any there is
                no column ``labels``.

        Raises:
            InputError: not n labels, or pandas is not installed.
        """
        pandas = _optional("pandas", "to_dataframe")
        columns: dict[str, Any] = {"features": self.sets}
        labels = self.labels if labels is None else labels
        if labels is not None:
            if len(labels) != self.n_features:
                raise InputError(f"labels must name {self.n_features} features, got {len(labels)}.")
            columns["labels"] = [tuple(labels[i] for i in members) for members in self.sets]
        columns |= {"order": self.orders, "value": self.values}
        if self.intervals is not None:
            columns |= {"low": self.intervals[:, 0], "high": self.intervals[:, 1]}
        frame: pd.DataFrame = pandas.DataFrame(columns)
        return frame

    def to_json(self) -> dict[str, Any]:
        """Plain data (str, int, float, list) that :meth:`from_json` reads back exactly."""
        known = {} if self.at_empty is None else {"at_empty": self.at_empty}
        return {
            "index": self.index,
            "order": self.order,
            "n_features": self.n_features,
            "sets": [list(members) for members in self.sets],
            "values": self.values.tolist(),
            **known,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interactions:
        """The inverse of :meth:`to_json`.

        Raises:
            SchemaError: a key is missing, or the data do not describe interactions.
        """
        try:
            order, n_features = int(data["order"]), int(data["n_features"])
            rows = [tuple(map(int, members)) for members in data["sets"]]
            pairs = dict(zip(rows, map(float, data["values"]), strict=True))
            if len(pairs) != len(rows):
                raise SchemaError("interactions: the same set is given twice.")
            found = cls.from_dict(pairs, index=data["index"], n_features=n_features, order=order)
            at_empty = data.get("at_empty")
            return found if at_empty is None else replace(found, at_empty=float(at_empty))
        except KeyError as error:
            raise SchemaError(
                f"interactions need index, order, n_features, sets and values; {error} is missing."
            ) from error
        except (TypeError, ValueError) as error:
            raise SchemaError(f"not interactions: {error}") from error

    def to_shapiq(self, baseline: float | None = None) -> Any:
        """The same scores as a ``shapiq.InteractionValues``, which shapiq's plots take.

        Its ``baseline_value`` is I(∅) or, for an index that does not score ∅ (Banzhaf, Shapley,
        BII, SII), f(∅): what the values add to. It is ``estimated`` unless intervals say that the
        values are exact.

        Args:
            baseline: another one.

        Raises:
            InputError: shapiq is not installed, or does not know the index (influence, OR).
        """
        if self.index not in _SHAPIQ_NAMES:
            raise InputError(
                f"shapiq has no index {self.index}; it knows {', '.join(_SHAPIQ_NAMES)}."
            )
        shapiq = _optional("shapiq", "to_shapiq")
        return shapiq.InteractionValues(
            values=self.to_dict(),
            index=_SHAPIQ_NAMES[self.index],
            max_order=self.order,
            min_order=int(self.orders.min(initial=1)),
            n_players=self.n_features,
            baseline_value=self._base() if baseline is None else float(baseline),
            estimated=not self.is_exact,
        )

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        names = self.labels

        def spell(members: tuple[int, ...]) -> str:
            return str(members) if names is None else " × ".join(names[i] for i in members)

        shown = ", ".join(f"{spell(members)}: {value:+.4g}" for members, value in self.top(3))
        more = ", …" if len(self) > 3 else ""
        return (
            f"Interactions({self.index}, order={self.order}, n_features={self.n_features}, "
            f"{len(self)} sets: {{{shown}{more}}})"
        )

    def _base(self) -> float:
        scores_empty = len(self) and self.orders[0] == 0
        return self.baseline if scores_empty or self.at_empty is None else self.at_empty

    def _where(self, keep: NDArray[np.bool_]) -> Interactions:
        intervals = None if self.intervals is None else self.intervals[keep]
        return replace(
            self, support=self.support[keep], values=self.values[keep], intervals=intervals
        )


def _optional(package: str, verb: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"{verb} needs {package}, which is missing: pip install {package}"
        ) from error
