"""What a record notes of its fit, beside what it notes of its input: each fit has its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from proxyspex_hf.core.algorithm import APART, ProxySPEX, SpectrumFit
from proxyspex_hf.core.queries import Plan, Queries
from proxyspex_hf.core.walsh import is_rounding
from proxyspex_hf.record.record import ExplanationRecord

#: What the notes of a fit are told by: a record holds all of its notes in one list. Stored ones of
#: earlier versions say the same.
_ALL_ASKED = "asked: the spectrum "
_ESTIMATED = "has no exact spectrum"
_AGAIN = "Fitted again to the stored queries"
_SIBLING = "sibling ("
_UNLIKE = "is unlike those of masked inputs"
_MISSED = "The goal was not met"


def fit_notes(fit: SpectrumFit, queries: Queries) -> tuple[str, ...]:
    """What has to be known of a spectrum that was found in these queries."""
    notes = []
    if fit.method == "exact":  # planned, or all that a goal had left
        n = fit.spectrum.n_features
        features = "the one feature" if n == 1 else f"the {n} features"
        how = (
            "is exact"
            if is_rounding(fit.dropped_energy, queries.values)
            else f"was cut to {len(fit.spectrum) - 1} coefficients of order "
            f"{fit.spectrum.orders.max()} at most"
        )
        notes.append(
            f"All {len(queries)} subsets of {features} were {_ALL_ASKED}{how}, and faithfulness is "
            "computed over all of them."
        )
    if fit.estimated:
        notes.append(
            f"The proxy {fit.method!r} {_ESTIMATED}: the coefficients are an estimate of it, and "
            "faithfulness is that of the estimate."
        )
    if fit.refinement.endswith(APART):
        whole = np.ones((1, fit.spectrum.n_features), np.bool_)
        value = float(queries.values[queries.masks.all(axis=1)][0])
        says = float(fit.spectrum.evaluate(whole)[0])
        notes.append(
            f"The whole input's value ({value:.4g}) {_UNLIKE}: a few terms could only come near "
            "it by being wrong about those. The explanation is of masked inputs; of the whole one "
            f"it says {says:.4g}. Intervals of effects at the input reach to what was answered."
        )
    return tuple(notes)


def refit_notes(fit: SpectrumFit, queries: Queries, algorithm: ProxySPEX) -> tuple[str, ...]:
    """The same of a fit to what a record holds."""
    again = (
        f"{_AGAIN}, without asking the model: proxy {fit.method}, refine {algorithm.refine}, seed "
        f"{algorithm.seed}."
    )
    return (*fit_notes(fit, queries), again)


def goal_note(record: ExplanationRecord, plan: Plan) -> str | None:
    """What the explanation misses of the plan's goal; None where it is met, or there was none."""
    goal = plan.goal
    if goal is None or plan.exact:
        return None
    missed = []
    if goal.r2 is not None:
        low = [s for s in record.faithfulness if s.r2 is None or s.r2 < goal.r2]
        found = ", ".join(
            f"{'not measured' if s.r2 is None else f'{s.r2:.4g}'} at {s.density:g}" for s in low
        )
        missed += [f"R² is {found}, and was to be {goal.r2:g}"] if low else []
    if goal.width is not None:
        ends = [effect.interval for effect in record.effects if effect.order == 1]
        width = float(np.median([high - low for low, high in filter(None, ends)] or [0.0]))
        if width > goal.width:
            missed.append(
                f"the median 90% interval of a single feature is {width:.4g} wide, and was to be "
                f"{goal.width:g}"
            )
    if not missed:
        return None
    calls = record.queries.n_fit
    more = (
        f"All {calls} masks of the budget were asked."
        if calls >= plan.budget
        else f"It seemed met after {calls} of at most {plan.budget} masks: refine() asks more."
    )
    return f"{_MISSED}: {'; '.join(missed)}. {more}"


def sibling_note(who: str, times: float | None) -> str:
    """What came of a cheaper model that was asked first.

    Args:
        times: the values are this many times what it says; None where it was left out.
    """
    if times is None:
        return f"A {_SIBLING}{who}) was of no use here, and was left out."
    return (
        f"The values are explained as {times:.2f} times what a {_SIBLING}{who}) says, and the "
        "difference to it."
    )


def other_notes(notes: Iterable[str], *, sibling: bool = False) -> tuple[str, ...]:
    """Those that are of no fit: of the input, the model and the values.

    Args:
        sibling: those of a sibling hold as well.
    """
    of_a_fit = (_ALL_ASKED, _ESTIMATED, _UNLIKE, _MISSED, _AGAIN, *(() if sibling else (_SIBLING,)))
    return tuple(note for note in notes if not any(part in note for part in of_a_fit))
