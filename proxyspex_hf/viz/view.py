"""Everything a live page shows of one explanation, as plain JSON: the page computes, not we.

The page builds its elements with ``textContent`` from what stands here; no text is markup.
"""

from __future__ import annotations

import base64
from typing import Any

from proxyspex_hf.core.hierarchy import energy_by_order, hierarchy_rates, relative_faithfulness
from proxyspex_hf.core.indices import INDICES
from proxyspex_hf.errors import InputError, SolveError
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz import summary
from proxyspex_hf.viz.code import python_code
from proxyspex_hf.viz.reading import outline, pieces
from proxyspex_hf.viz.terms import ranked_terms, spell
from proxyspex_hf.viz.wording import decimals_for, near_input_warning, nouns, score_name, verdict

__all__ = ["view"]

#: Rows of an index that are sent; more would be no help to a reader.
_MOST_ROWS = 200
#: Coefficients a browser evaluates at a click, and members of all of them together.
_MOST_COEFFICIENTS, _MOST_MEMBERS = 20_000, 400_000
_CURVE = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 1000, 2000, 5000)
_RATES = (5, 10, 20, 50, 100, 200, 500)

_ABOUT = {
    "Banzhaf": "the mean change when the feature is kept, over all subsets of the others",
    "Shapley": "the mean change when the feature is added, over all orders of adding",
    "Influence": "the share of the variance, over uniform masks, in which the feature takes part",
    "Moebius": "what exactly this combination adds, beyond all of its parts",
    "OR": "what is lost when all of its members are away, beyond its parts",
    "BII": "the mean discrete derivative, over all subsets of the others",
    "SII": "the discrete derivative, weighted as Shapley weighs",
    "STII": "Shapley-Taylor: the top order shares what larger combinations add",
    "FBII": "the best fit up to this order over uniform masks",
    "FSII": "the best fit up to this order, weighted as Shapley weighs",
}
#: Values that fall when the model is surer.
_LOWER_IS_SURER = {
    "log-perplexity": "Lower means that the model finds this output more likely.",
    "contrastive loss": "Lower means that image and caption fit better than the other pairs.",
}
_TITLES = {
    "Banzhaf": "Banzhaf value",
    "Shapley": "Shapley value",
    "Influence": "Influence",
    "Moebius": "Möbius",
    "OR": "OR interaction",
    "BII": "Banzhaf interaction (BII)",
    "SII": "Shapley interaction (SII)",
    "STII": "Shapley-Taylor (STII)",
    "FBII": "Faith-Banzhaf (FBII)",
    "FSII": "Faith-Shapley (FSII)",
}


def view(record: ExplanationRecord) -> dict[str, Any]:
    """What a page needs to show ``record``, to take features out, and to rank by any index.

    The values are JSON: texts, finite numbers, lists, objects and null. ``support`` and
    ``coefficients`` are the spectrum, from which the page predicts; they are null where there is
    more of it than a page can evaluate at a click.
    """
    terms = ranked_terms(record)
    decimals = decimals_for(term.effect for term in terms[:1])
    spectrum, features = record.spectrum, record.features
    fits = len(spectrum) <= _MOST_COEFFICIENTS and int(spectrum.orders.sum()) <= _MOST_MEMBERS
    speller = spell(record)
    return {
        "model": record.provenance.model,
        "task": record.task,
        "score": score_name(record.target),
        "hint": _LOWER_IS_SURER.get(record.target.kind),
        "nouns": nouns(record),
        "decimals": decimals,
        "headline": [list(run) for run in summary.headline(record, terms, decimals)],
        "notes": summary.notes(record),
        "warning": near_input_warning(record),
        "labels": speller.labels,
        "occurrence": speller.occurrence,
        "pieces": [[p.text, p.feature, p.fixed] for p in pieces(record)] if features.spans else [],
        "picture": _picture(record),
        "regions": [outline(region) for region in features.regions],
        "support": spectrum.sets if fits else None,
        "coefficients": spectrum.coefficients.tolist() if fits else None,
        "terms": [[term.members, term.effect] for term in terms[:_MOST_ROWS]],
        "n_terms": len(terms),
        "empty": record.empty_value,
        "exact": record.is_exact,
        "noise": record.provenance.noise_floor,
        "scores": [
            {
                "density": s.density,
                "r2": s.r2,
                "linear": s.linear_r2,
                "masks": s.n_masks,
                "verdict": verdict(s.r2),
            }
            for s in sorted(record.faithfulness, key=lambda s: s.density)
        ],
        "curve": _curve(record),
        "indices": [table for entry in INDICES for table in _tables(record, entry.name)],
        "hierarchy": _hierarchy(record),
        "energy": _energy(record),
        "facts": summary.facts(record),
        "code": python_code(record),
    }


def _picture(record: ExplanationRecord) -> dict[str, Any] | None:
    picture = record.picture
    if picture is None:
        return None
    png = base64.b64encode(picture.png).decode("ascii")
    return {"png": png, "width": picture.width, "height": picture.height}


def _tables(record: ExplanationRecord, name: str) -> list[dict[str, Any]]:
    """An index at its usual order, and those that depend on it at order 3, too."""
    largest = int(record.spectrum.orders.max())
    orders: list[int | None] = [None]
    if name in ("STII", "FBII", "FSII") and largest > 2:
        orders = [2, 3]
    return [_table(record, name, order) for order in orders]


def _table(record: ExplanationRecord, name: str, order: int | None) -> dict[str, Any]:
    title = _TITLES[name] + (f", order {order}" if order is not None else "")
    table: dict[str, Any] = {"name": name, "order": order, "title": title, "about": _ABOUT[name]}
    try:
        found = record.spectrum.interactions(name, order)
    except (InputError, SolveError) as error:  # more subsets than can be listed
        return {**table, "rows": [], "total": 0, "reason": str(error)}
    rows = [(members, value) for members, value in found.to_dict().items() if members and value]
    rows.sort(key=lambda row: -abs(row[1]))
    return {**table, "rows": rows[:_MOST_ROWS], "total": len(rows)}


def _curve(record: ExplanationRecord) -> dict[str, Any]:
    """R² of the k largest coefficients on the held-out masks, by density (paper, figure 5)."""
    queries = record.queries
    held_out = slice(queries.n_fit, None) if queries.n_fit < len(queries) else slice(None)
    densities = queries.densities[held_out]
    most = len(record.spectrum) - 1
    ks = [k for k in _CURVE if k < most] + ([most] if most else [])
    lines = []
    for score in record.faithfulness:
        here = densities == score.density
        if score.r2 is None or not ks or int(here.sum()) < 2:
            continue
        found = relative_faithfulness(
            record.spectrum, queries.masks[held_out][here], queries.values[held_out][here], ks
        )
        if all(r2 == r2 for r2 in found.r2.tolist()):  # nan: the values are constant there
            lines.append({"density": score.density, "r2": found.r2.tolist()})
    return {"ks": ks, "lines": lines}


def _hierarchy(record: ExplanationRecord) -> dict[str, list[float]]:
    most = len(record.spectrum)
    rates = hierarchy_rates(record.spectrum, [k for k in _RATES if k < most] + [most])
    return {name: getattr(rates, name).tolist() for name in ("ks", "dsr", "scr", "shr")}


def _energy(record: ExplanationRecord) -> dict[str, list[float]]:
    energy = energy_by_order(record.spectrum)
    return {
        "orders": energy.orders.tolist(),
        "counts": energy.counts.tolist(),
        "share": energy.share.tolist(),
    }
