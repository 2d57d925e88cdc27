"""What a reader is told of combinations in one breath: sentences of the strongest, or that the
features add up."""

from __future__ import annotations

from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.terms import adds_up, ranked_terms, spell, told_apart
from proxyspex_hf.viz.wording import ADDS_UP, decimals_for, nouns, together_parts

#: Combinations that a picture, and a page without scripts, has room for.
_MOST = 3


def told_together(record: ExplanationRecord) -> list[list[tuple[str, str]]]:
    """Sentences as (kind, text) pieces, the strongest first."""
    terms = ranked_terms(record)
    if adds_up(record, terms):
        return [[("text", ADDS_UP.format(many=nouns(record)[1]))]]
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
