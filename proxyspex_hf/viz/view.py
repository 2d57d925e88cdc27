"""Everything the page shows of one explanation, as plain JSON: the page computes, not we.

The page builds its elements with ``textContent`` from what stands here; no text is markup.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from proxyspex_hf.core.effects import removal_masks
from proxyspex_hf.core.hierarchy import energy_by_order, hierarchy_rates, relative_faithfulness
from proxyspex_hf.core.intervals import prediction_intervals
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz import summary
from proxyspex_hf.viz.code import python_code
from proxyspex_hf.viz.index_tables import INDEX_ROWS, MOST_ROWS, index_tables
from proxyspex_hf.viz.reading import CUT, cut, outline, pieces, tints
from proxyspex_hf.viz.terms import Term, main_effects, ranked_terms, spell, told_apart
from proxyspex_hf.viz.together import finding, told_together
from proxyspex_hf.viz.verdict import flip, flip_parts, scale_data, speaks_for, verdict_of
from proxyspex_hf.viz.wording import (
    counted_nouns,
    decimals_for,
    differs,
    how_sure,
    kind_words,
    near_input_warning,
    nouns,
    ordinal,
    score_name,
    together_parts,
    verdict,
)

#: Coefficients a browser evaluates at a click, and members of all of them together.
_MOST_COEFFICIENTS, _MOST_MEMBERS = 20_000, 400_000
_CURVE = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 1000, 2000, 5000)
_RATES = (5, 10, 20, 50, 100, 200, 500)
#: Combinations that are told as sentences; the list has the others.
MOST_TOGETHER = 5


def view(record: ExplanationRecord, *, most_rows: int | None = INDEX_ROWS) -> dict[str, Any]:
    """What a page needs to show ``record``, to take features out, and to rank by any index.

    The values are JSON: texts, finite numbers, lists, objects and null. ``support`` and
    ``coefficients`` are the spectrum, from which the page predicts; they are null where there is
    more of it than a page can evaluate at a click. Effects come with both ends of their interval,
    null where there is none: ``terms`` are those told from zero, [members, effect, low, high,
    kind in words, whether it speaks for what the model said], ``singles`` those of every feature
    alone, [effect, low, high]. ``predicted`` are predictions with their interval, [features taken
    out, low, high], of what a reader takes out first: each feature, each combination that is told
    as a sentence, and what flips it.

    Args:
        most_rows: of each index, the largest scores first; None leaves the indices out, for a page
            that asks for them when they are wanted (:func:`index_tables`).
    """
    terms = ranked_terms(record)
    decimals = decimals_for(term.effect for term in terms[:1])
    spectrum, features = record.spectrum, record.features
    fits = len(spectrum) <= _MOST_COEFFICIENTS and int(spectrum.orders.sum()) <= _MOST_MEMBERS
    speller = spell(record)
    found, together = flip(record), _together(record, terms, decimals)
    return {
        "model": record.provenance.model,
        "task": record.task,
        "score": score_name(record.target),
        "scale": scale_data(record.target),
        "nouns": nouns(record),
        "counted": counted_nouns(record),
        "decimals": decimals,
        "flip": {
            "members": found.members,
            "value": found.value,
            "flips": found.flips,
            "parts": flip_parts(record, found),
        },
        "together": together,
        "notes": summary.notes(record),
        "warning": near_input_warning(record),
        "sure": how_sure(record),
        "labels": speller.labels,
        "occurrence": speller.occurrence,
        "tints": tints(record),
        "pieces": _pieces(record),
        "picture": _picture(record),
        "regions": [outline(region) for region in features.regions],
        "cut": _cut(record),
        "support": spectrum.sets if fits else None,
        "coefficients": spectrum.coefficients.tolist() if fits else None,
        "terms": [_term(term, record.target) for term in terms[:MOST_ROWS]],
        "singles": [[e.value, *_ends(e.interval)] for e in main_effects(record)],
        "predicted": _predicted(record, [*(e["members"] for e in together), found.members]),
        "finding": finding(record, terms),
        "n_terms": len(terms),
        "full": record.full_value,
        "empty": record.empty_value,
        "exact": record.is_exact,
        "noise": record.provenance.noise_floor,
        "differs": differs(record) is not None,
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
        "indices": None if most_rows is None else index_tables(record, most_rows),
        "hierarchy": _hierarchy(record),
        "energy": _energy(record),
        "facts": summary.facts(record),
        "code": python_code(record),
    }


def story_data(record: ExplanationRecord) -> dict[str, Any]:
    """Verdict, what flips it, the tinted input and the combinations, as JSON, without the rest."""
    said = verdict_of(record, record.full_value)
    return {
        "verdict": [said.before, said.name, said.after],
        "flip": flip_parts(record, flip(record)),
        "together": told_together(record),
        "labels": spell(record).labels,
        "tints": tints(record),
        "pieces": _pieces(record),
        "picture": _picture(record),
        "regions": [outline(region) for region in record.features.regions],
        "cut": _cut(record),
    }


def _cut(record: ExplanationRecord) -> list[str] | None:
    """The margin that is not read, as a path, and why; None without one."""
    found = cut(record)
    return None if found is None else [found[1], CUT]


def _pieces(record: ExplanationRecord) -> list[list[Any]]:
    if not record.features.spans:
        return []
    return [[p.text, p.feature, p.fixed] for p in pieces(record)]


def _term(term: Term, target: Target) -> list[Any]:
    kind = kind_words(term.kind, term.order)
    speaks_for_it = speaks_for(term.kind, target)
    return [term.members, term.effect, *_ends(term.interval), kind, speaks_for_it]


def _ends(interval: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else interval


def _together(record: ExplanationRecord, terms: list[Term], decimals: int) -> list[dict[str, Any]]:
    """The strongest combinations as sentences, each with its rank among all effects."""
    speller = spell(record)
    combined = [(rank, term) for rank, term in enumerate(terms, 1) if term.order > 1]
    return [
        {
            "members": term.members,
            "effect": term.effect,
            "for": speaks_for(term.kind, record.target),
            # A combination that many single features outrank is not a headline.
            "rank": f"{ordinal(rank)} of {len(terms):,} effects" if rank > 10 else None,
            "parts": together_parts(
                [told_apart(member) for member in speller(term)],
                term.kind,
                term.effect,
                term.interval,
                record.target.kind,
                decimals,
            ),
        }
        for rank, term in combined[:MOST_TOGETHER]
    ]


def _predicted(record: ExplanationRecord, sets: list[Any]) -> list[list[Any]]:
    """Intervals of predictions, where there are any."""
    posterior, n = record.posterior, len(record.features)
    if record.is_exact or posterior is None:
        return []
    removed = [(), *((i,) for i in range(n)), *map(tuple, sets)]
    with np.errstate(all="ignore"):
        masks = removal_masks(n, removed)[1:]
        ends = prediction_intervals(record.spectrum, posterior, masks)
    if not np.isfinite(ends).all():  # a stored kernel that makes no sense
        return []
    return [[list(out), low, high] for out, (low, high) in zip(removed, ends.tolist(), strict=True)]


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
