"""Pictures of the bench's JSON: R² by inferences, R² by density, and the sparsity curve."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from curve import judged, kept_share
from harness.report import Row, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, told apart by the colour-blind; one a method, in order of appearance.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vP*X"
SHOWN = {"default": "proxyspex_hf"}


def styles(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return {
        method: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "label": SHOWN.get(method, method),
            "linewidth": 2.2 if method == "default" else 1.3,
            "zorder": 3 if method == "default" else 2,
        }
        for i, method in enumerate(methods)
    }


def line(axis: Axes, groups: dict[float, list[float]], style: dict[str, Any], **more: Any) -> None:
    """Medians with a band from least to greatest."""
    at = sorted(groups)
    middle = [statistics.median(groups[x]) for x in at]
    axis.plot(at, middle, markersize=5, **{**style, **more})
    least, most = [min(groups[x]) for x in at], [max(groups[x]) for x in at]
    axis.fill_between(at, least, most, color=style["color"], alpha=0.15, linewidth=0)


def panels(count: int, *, width: float = 3.6, height: float = 3.2) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[:count]:
        axis.grid(visible=True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[:count]


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One for all panels, beneath them."""
    found: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    found = dict(sorted(found.items()))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4, frameon=False)


def inferences(rows: Sequence[Row]) -> Figure:
    """R² on uniform test masks against α, one panel an input."""
    rows = [r for r in rows if r["sampling"] == "uniform" and "error" not in r]
    style, tables = styles(rows), grouped(rows, ("table",))
    figure, axes = panels(len(tables))
    for axis, ((table,), here) in zip(axes, tables.items(), strict=True):
        for (method,), group in grouped(here, ("method",)).items():
            points = {
                alpha: [r["r2"]["uniform"] for r in cell]
                for (alpha,), cell in grouped(group, ("alpha",)).items()
            }
            line(axis, points, style[method])
        axis.set_xscale("log", base=2)
        alphas = sorted({r["alpha"] for r in here})
        axis.set_xticks(alphas, [f"{a:g}" for a in alphas])
        axis.minorticks_off()
        axis.set(title=table, xlabel="α (masks = α·n·log₂ n)", ylabel="R², held-out uniform masks")
    legend(figure, axes)
    return figure


def densities(rows: Sequence[Row], alpha: float = 4.0) -> Figure:
    """R² by the density of the test masks; dashed where uniform rows were fitted."""
    rows = [r for r in rows if r["alpha"] == alpha and "error" not in r]
    style, tables = styles(rows), grouped(rows, ("table",))
    figure, axes = panels(len(tables))
    for axis, ((table,), here) in zip(axes, tables.items(), strict=True):
        for (method, sampling), group in grouped(here, ("method", "sampling")).items():
            points = {int(d) / 100: [r["r2"][d] for r in group] for d in ("50", "70", "90")}
            dash = "--" if sampling == "uniform" else "-"
            label = f"{style[method]['label']}, {sampling} rows"
            line(axis, points, style[method], linestyle=dash, label=label)
        axis.axhline(0, color="black", linewidth=0.8)
        # One scale for all; far below zero is as worthless as just below it.
        axis.set_ylim(-1.0, 1.0)
        axis.set_xticks([0.5, 0.7, 0.9])
        axis.set(title=f"{table}, α = {alpha:g}", xlabel="density of the test masks", ylabel="R²")
    legend(figure, axes)
    return figure


def curve(rows: Sequence[Row]) -> Figure:
    """R² of k coefficients over R² of the unsparsified proxy, one panel a sampling."""
    samplings = grouped(rows, ("sampling",))
    figure, axes = panels(len(samplings), width=4.6)
    for axis, ((sampling,), here) in zip(axes, samplings.items(), strict=True):
        tables = grouped(here, ("table", "alpha"))
        for i, ((table, alpha), group) in enumerate(tables.items()):
            shares = {
                k: list(map(kept_share, cell)) for (k,), cell in grouped(group, ("k",)).items()
            }
            known = {k: [v for v in cell if v is not None] for k, cell in shares.items()}
            style = {"color": COLOURS[i % 8], "marker": MARKERS[i % 8]}
            whole = judged(group[0]["dense_r2"], sampling)
            label = f"{table}, α = {alpha:g} (proxy's R² {whole:.2f})"
            line(axis, {k: v for k, v in known.items() if v}, style, label=label)
        axis.axhline(0.97, color="black", linewidth=0.8, linestyle=":", label="97%")
        axis.set_xscale("log")
        ks = sorted({r["k"] for r in here})
        axis.set_xticks(ks, [str(k) for k in ks])
        axis.minorticks_off()
        axis.set(title=f"{sampling} rows", xlabel="coefficients", ylabel="R² over the proxy's own")
        axis.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


#: By file name: the JSON that it is made of, and how.
PICTURES: dict[str, tuple[str, Callable[[Sequence[Row]], Figure]]] = {
    "inferences.png": ("tables.json", inferences),
    "densities.png": ("tables.json", densities),
    "sparsity.png": ("curve.json", curve),
}


def write_pictures(results: Path, folder: Path) -> list[Path]:
    """Every picture whose JSON is there; none, said, where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed (the extra [bench]): no pictures", file=sys.stderr)
        return []
    written = []
    for name, (file, draw) in PICTURES.items():
        if (results / file).exists():
            rows = json.loads((results / file).read_text("utf-8"))["rows"]
            folder.mkdir(parents=True, exist_ok=True)
            # No date inside: the same figures give the same file.
            draw(rows).savefig(folder / name, dpi=140, metadata={"Software": None})
            written.append(folder / name)
    return written
