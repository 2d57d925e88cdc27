"""What a reader is told of combinations in one breath: sentences of the strongest, or what it means
that there are none."""

from __future__ import annotations

from collections.abc import Sequence

from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.summary import nothing_found
from proxyspex_hf.viz.terms import Term, ranked_terms, spell, told_apart
from proxyspex_hf.viz.wording import GOOD, decimals_for, nouns, together_parts

#: Combinations that a picture, and a page without scripts, has room for.
_MOST = 3


def finding(record: ExplanationRecord, terms: Sequence[Term]) -> str | None:
    """What it means that no combination is among ``terms``, the effects that are told from zero.

    None where there is one.
    """
    one, many = nouns(record)
    if not terms:
        return nothing_found(record)
    if len(record.features) == 1:
        return f"There is only one {one}, and nothing for it to combine with."
    if any(term.order > 1 for term in terms):
        return None
    if record.settings.max_order == 1 or record.fit.method == "lasso":
        return f"Combinations were not looked for, only what single {many} do."
    if all(found.interval is None for found in record.effects):
        # Without intervals nothing tells a small combination from none.
        return f"No combination was found among the {many}."
    if _adds_up(record):
        return f"No combination matters: the {many} add up."
    return f"No combination can be told from zero; the {many} need not add up."


def _adds_up(record: ExplanationRecord) -> bool:
    """Whether the best additive explanation holds at every density that was measured: too few
    masks find no combination in any function."""
    measured = [score.linear_r2 for score in record.faithfulness if score.linear_r2 is not None]
    return record.is_exact or (bool(measured) and min(measured) >= GOOD)


def told_together(record: ExplanationRecord) -> list[list[tuple[str, str]]]:
    """Sentences as (kind, text) pieces, the strongest first."""
    terms = ranked_terms(record)
    said = finding(record, terms)
    if said is not None:
        return [[("text", said)]]
    decimals, speller = decimals_for(term.effect for term in terms[:1]), spell(record)
    return [
        together_parts(
            [told_apart(member) for member in speller(term)],
            term.kind,
            term.effect,
            term.interval,
            record.target.kind,
            decimals,
        )
        for term in [term for term in terms if term.order > 1][:_MOST]
    ]
