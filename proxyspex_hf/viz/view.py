"""Everything a live page shows of one explanation, as plain JSON: the page computes, not we.

The page builds its elements with ``textContent`` from what stands here; no text is markup.
"""

from __future__ import annotations

import base64
from typing import Any

from proxyspex_hf.core.hierarchy import energy_by_order, hierarchy_rates, relative_faithfulness
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz import summary
from proxyspex_hf.viz.code import python_code
from proxyspex_hf.viz.index_tables import MOST_ROWS, index_tables
from proxyspex_hf.viz.reading import outline, pieces
from proxyspex_hf.viz.terms import Term, adds_up, main_effects, ranked_terms, spell
from proxyspex_hf.viz.wording import (
    ADDS_UP,
    decimals_for,
    kind_words,
    near_input_warning,
    nouns,
    score_name,
    verdict,
)

__all__ = ["view"]

#: Coefficients a browser evaluates at a click, and members of all of them together.
_MOST_COEFFICIENTS, _MOST_MEMBERS = 20_000, 400_000
_CURVE = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 1000, 2000, 5000)
_RATES = (5, 10, 20, 50, 100, 200, 500)

#: Values that fall when the model is surer.
_LOWER_IS_SURER = {
    "log-perplexity": "Lower means that the model finds this output more likely.",
    "contrastive loss": "Lower means that image and caption fit better than the other pairs.",
}


def view(record: ExplanationRecord) -> dict[str, Any]:
    """What a page needs to show ``record``, to take features out, and to rank by any index.

    The values are JSON: texts, finite numbers, lists, objects and null. ``support`` and
    ``coefficients`` are the spectrum, from which the page predicts; they are null where there is
    more of it than a page can evaluate at a click. Effects come with both ends of their interval,
    null where there is none: ``terms`` are those told from zero, [members, effect, low, high,
    kind in words], ``singles`` those of every feature alone, [effect, low, high].
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
        "terms": [_term(term) for term in terms[:MOST_ROWS]],
        "singles": [[e.value, *_ends(e.interval)] for e in main_effects(record)],
        "finding": _finding(record, terms),
        "n_terms": len(terms),
        "empty": record.empty_value,
        "exact": record.is_exact,
        "noise": record.provenance.noise_floor,
        "scores": [
            {
                "density": s.density,
                "r2": s.r2,
                "interval": s.interval,
                "linear": s.linear_r2,
                "masks": s.n_masks,
                "verdict": verdict(s.r2),
            }
            for s in sorted(record.faithfulness, key=lambda s: s.density)
        ],
        "every_subset": record.fit.method == "exact",
        "left_out": summary.is_left_out(record),
        "curve": _curve(record),
        "indices": index_tables(record),
        "hierarchy": _hierarchy(record),
        "energy": _energy(record),
        "facts": summary.facts(record),
        "code": python_code(record),
    }


def _term(term: Term) -> list[Any]:
    kind = kind_words(term.kind, term.order)
    return [term.members, term.effect, *_ends(term.interval), kind]


def _ends(interval: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else interval


def _finding(record: ExplanationRecord, terms: list[Term]) -> str | None:
    """What the list says by what is not in it."""
    if not terms:
        return summary.nothing_found(record)
    return ADDS_UP.format(many=nouns(record)[1]) if adds_up(record, terms) else None


def _picture(record: ExplanationRecord) -> dict[str, Any] | None:
    picture = record.picture
    if picture is None:
        return None
    png = base64.b64encode(picture.png).decode("ascii")
    return {"png": png, "width": picture.width, "height": picture.height}


def _curve(record: ExplanationRecord) -> dict[str, Any]:
    """R² of the k largest coefficients, by density (paper, figure 5).

    On the held-out masks; where none was held out, on those that were drawn and fitted: how much of
    the fit rests on few terms is seen there, too, and the page says which they are.
    """
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
    return {"ks": ks, "lines": lines, "fitted": queries.n_fit == len(queries)}


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
