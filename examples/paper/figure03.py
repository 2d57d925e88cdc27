"""Figures 3 and 10 of the paper: how hierarchical the largest interactions are.

DSR, SCR and SHR (equations 3, 10, 11) of the k largest coefficients, and the R² that these keep.
Like the paper, of spectra that are faithful: held-out R² above 0.9 (the JSON says which are not).
Trees, and every other proxy, may favour hierarchies by what they are; SPEX does not, and the exact
spectra of short sentences, all of whose subsets are asked, rest on no method at all.

    python examples/paper/figure03.py --quick
"""

from __future__ import annotations

from pathlib import Path

import drawing
from cases import Case
from common import Row, Study, run
from inputs import DATASETS, cases

from proxyspex_hf.core import FourierSpectrum, all_masks
from proxyspex_hf.core.hierarchy import energy_by_order, hierarchy_rates, relative_faithfulness
from proxyspex_hf.core.walsh import exact_spectrum

KS = (10, 20, 50, 100, 200)
FAITHFUL = 0.9
RATES = ("dsr", "scr", "shr")


def measure(study: Study) -> Row:
    rows: list[Row] = []
    for case in cases(study, ("sentiment", "encoder", "stories", "articles", "captions")):
        found = {name: case.fit(name, case.sizes.alpha).spectrum for name in ("default", "paper")}
        if case.sizes.spex[0]:
            found["spex"] = case.spex(max(case.sizes.spex[0])).spectrum
        tests = case.tests()
        for name, spectrum in found.items():
            rows += rates(case, name, spectrum, *tests)
    for case in cases(study, ("sentences",)):
        masks = all_masks(case.n)
        values = case.values(masks)
        rows += rates(case, "exact", exact_spectrum(values), masks, values)
    return {"rows": rows, "faithful": FAITHFUL}


def rates(
    case: Case, method: str, spectrum: FourierSpectrum, masks: object, values: object
) -> list[Row]:
    """The rates of one spectrum at each k that it has coefficients for."""
    ks = [k for k in KS if k <= len(spectrum)]
    found = hierarchy_rates(spectrum, ks)
    # F_k counts ∅ as one of the k; the truncations count what is kept beside it.
    kept = relative_faithfulness(spectrum, masks, values, [k - 1 for k in ks])
    share = energy_by_order(spectrum).share
    head = {
        **case.head,
        "method": method,
        "r2": kept.full,
        "faithful": kept.full > FAITHFUL,
        "energy_to_order_3": float(share[:3].sum()),
        "energy_of_interactions": float(share[1:].sum()),
        "interactions_of_200": interactions(spectrum, 200),
    }
    return [
        {
            **head,
            "k": k,
            **{rate: float(getattr(found, rate)[i]) for rate in RATES},
            "r2_of_k": float(kept.r2[i]),
        }
        for i, k in enumerate(ks)
    ]


def interactions(spectrum: FourierSpectrum, k: int) -> int:
    """How many of the k largest coefficients beside ∅ are of several features."""
    sets = [(abs(c), len(s)) for s, c in spectrum.to_dict().items() if s and c != 0.0]
    return sum(order > 1 for _, order in sorted(sets, reverse=True)[:k])


def draw(result: Row, path: Path) -> None:
    rows = [row for row in result["rows"] if row["faithful"]]
    datasets = drawing.names(rows, "dataset")
    shown = (*RATES, "r2_of_k")
    figure, axes = drawing.panels(len(shown), len(datasets), height=2.1)
    for column, dataset in zip(axes.T, datasets, strict=True):
        here = [row for row in rows if row["dataset"] == dataset]
        for axis, rate in zip(column, shown, strict=True):
            for method in drawing.names(here, "method"):
                points = [(row["k"], row[rate]) for row in here if row["method"] == method]
                drawing.line(axis, method, points)
            axis.set(ylim=(-0.03, 1.03), xscale="log", xticks=KS, xticklabels=KS)
            axis.minorticks_off()
        drawing.head(column[0], DATASETS[dataset].title, here)
        column[-1].set_xlabel("k largest coefficients")
    for axis, rate in zip(axes[:, 0], ("DSR", "SCR", "SHR", "R² of k"), strict=True):
        axis.set_ylabel(rate)
    drawing.legend(figure, axes)
    drawing.save(figure, path)


if __name__ == "__main__":
    columns = ("dataset", "input", "n", "method", "r2", "k", *RATES, "r2_of_k")
    run("figure03", __doc__, measure, draw, columns)
