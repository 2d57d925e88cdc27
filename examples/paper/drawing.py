"""How the figures look: a colour a method, one panel a data set."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import Row
from matplotlib.figure import Figure

#: Okabe and Ito's colours, told apart by the colour-blind.
STYLES: dict[str, dict[str, Any]] = {
    "default": {"color": "#0072B2", "marker": "o", "label": "ProxySPEX, default", "zorder": 4},
    "default, mixed": {"color": "#56B4E9", "marker": "P", "label": "default, mixed masks"},
    "paper": {"color": "#009E73", "marker": "s", "label": "ProxySPEX, paper's trees", "zorder": 3},
    "spex": {"color": "#CC79A7", "marker": "D", "label": "SPEX"},
    "lasso": {"color": "#D55E00", "marker": "^", "label": "LASSO"},
    "lasso, mixed": {"color": "#E69F00", "marker": "v", "label": "LASSO, mixed masks"},
    "trees": {"color": "#009E73", "marker": "s", "label": "boosted trees"},
    "forest": {"color": "#000000", "marker": "X", "label": "random forest"},
    "network": {"color": "#999999", "marker": "*", "label": "neural network"},
    "exact": {"color": "#000000", "marker": "X", "label": "exact (all subsets)"},
}


def panels(
    rows: int, columns: int, *, width: float = 3.7, height: float = 3.0
) -> tuple[Figure, Any]:
    """A figure and its (rows, columns) axes."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    axes = np.atleast_2d(figure.subplots(rows, columns, squeeze=False))
    for axis in axes.ravel():
        axis.grid(visible=True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def line(axis: Any, method: str, points: Iterable[tuple[float, float | None]], **more: Any) -> None:
    """Medians of the y of each x, with a band from least to greatest."""
    groups: dict[float, list[float]] = {}
    for x, y in points:
        if y is not None:
            groups.setdefault(x, []).append(y)
    if not groups:
        return
    at = sorted(groups)
    style = {"markersize": 5, "linewidth": 1.6, **STYLES[method], **more}
    axis.plot(at, [statistics.median(groups[x]) for x in at], **style)
    least, most = [min(groups[x]) for x in at], [max(groups[x]) for x in at]
    axis.fill_between(at, least, most, color=style["color"], alpha=0.15, linewidth=0)


def log_axis(axis: Any, xs: Iterable[float]) -> None:
    """Logarithmic x with plain numbers at 1, 2 and 5 times the powers of ten."""
    seen = list(xs)
    ticks = [m * 10**e for e in range(7) for m in (1, 2, 5)]
    ticks = [t for t in ticks if min(seen) / 1.3 <= t <= max(seen) * 1.3]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{t:,}" for t in ticks], fontsize=8)
    axis.minorticks_off()


def names(rows: Sequence[Row], column: str) -> list[Any]:
    """The distinct values of a column, in order of appearance."""
    return list(dict.fromkeys(row[column] for row in rows))


def head(axis: Any, title: str, rows: Sequence[Row]) -> None:
    """A panel's title, with the number of inputs that its medians are over; where a line has fewer,
    it is not of the same inputs as the others, and its number follows."""
    count = len(names(rows, "input"))
    lines: dict[str, set[str]] = {}
    for row in rows:
        mixed = ", mixed" if row.get("fitted") == "mixed" else ""
        lines.setdefault(f"{row['method']}{mixed}", set()).add(row["input"])
    fewer = [f"{STYLES[m]['label']}: {len(of)}" for m, of in lines.items() if len(of) < count]
    said = f"{title}, {count} input{'s' if count > 1 else ''}"
    axis.set_title("\n".join([said, *([", ".join(fewer)] if fewer else [])]), fontsize=9)


def legend(figure: Figure, axes: Any) -> None:
    """One for all panels, beneath them."""
    found: dict[str, Any] = {}
    for axis in np.ravel(axes):
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    columns = int(figure.get_figwidth() / 2.3)
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=columns, frameon=False
    )


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def by_dataset(
    rows: Sequence[Row],
    draw: Callable[[Any, list[Row]], None],
    path: Path,
    *,
    y: str,
    title: Callable[[str], str],
) -> None:
    """One panel a data set."""
    datasets = names(rows, "dataset")
    figure, axes = panels(1, len(datasets))
    for axis, dataset in zip(axes[0], datasets, strict=True):
        here = [row for row in rows if row["dataset"] == dataset]
        draw(axis, here)
        head(axis, title(dataset), here)
    axes[0][0].set_ylabel(y)
    legend(figure, axes)
    save(figure, path)
