"""What every picture says of an explanation, as plain text: headline, notes, how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from proxyspex_hf.record import ExplanationRecord, Queries
from proxyspex_hf.viz.terms import Term, adds_up, spell
from proxyspex_hf.viz.wording import (
    nouns,
    number,
    r2_text,
    score_name,
    sentence_parts,
    shortened,
    signed,
)

__all__ = ["Run", "facts", "headline", "is_left_out", "notes", "nothing_found"]

_REGIONS = {"zero": "made black", "mean": "filled with the mean colour", "blur": "blurred"}


class Run(NamedTuple):
    """A piece of a sentence: plain text, a stranger's name, a quoted feature, or a number.

    Attributes:
        kind: ``"text"``, ``"name"``, ``"quoted"``, or ``"pos"`` and ``"neg"`` for a number.
        text: its characters; a quoted feature's without the quotation marks.
    """

    kind: Literal["text", "name", "quoted", "pos", "neg"]
    text: str


def headline(record: ExplanationRecord, terms: Sequence[Term], decimals: int) -> list[Run]:
    """What the model said, and its strongest combination as a sentence, or that none matters."""
    target, many = record.target, nouns(record)[1]
    gone = "masked" if record.settings.masking == "mask" else "deleted"
    runs = [
        _plain(
            f"The model\N{RIGHT SINGLE QUOTATION MARK}s {score_name(target)} for ",
        ),
        Run("name", shortened(target.label)),
        _plain(" is "),
        _number(record.full_value, decimals),
        _plain(f" (all {many} {gone}: "),
        _number(record.empty_value, decimals),
        _plain(")."),
    ]
    strongest = next((term for term in terms if term.order > 1), None)
    if strongest is not None:
        return [*runs, _plain(" "), *_sentence(record, strongest, decimals), _plain(".")]
    if not terms:
        return [*runs, _plain(f" {nothing_found(record)}")]
    # Without intervals nothing tells a small combination from none.
    found = "No combination matters here: the {many} add up."
    if not adds_up(record, terms):
        found = "No combination was found among the {many}."
    said = f" {found.format(many=many)} Most of all, "
    return [*runs, _plain(said), *_sentence(record, terms[0], decimals), _plain(".")]


def nothing_found(record: ExplanationRecord) -> str:
    """Instead of a list without entries: what that means."""
    one, many = nouns(record)
    if any(found.value for found in record.effects):
        return f"No effect of a {one} or of a combination can be told from zero."
    return f"Nothing was found: the score does not depend on the {many}."


def is_left_out(record: ExplanationRecord) -> bool:
    """Whether R² is of fitted masks, each predicted by a fit without it: none was held out."""
    return record.fit.method != "exact" and record.queries.n_fit == len(record.queries)


def notes(record: ExplanationRecord) -> list[str]:
    """What changes the meaning of the rest; the warning of a poor fit is not among them."""
    texts = list(record.provenance.notes)
    target = record.target
    if target.predicted not in (None, target.label):
        texts.insert(
            0,
            f"The model predicts {target.predicted} for this input; "
            f"what is explained here is its score for {target.label}.",
        )
    return texts


def facts(record: ExplanationRecord) -> list[tuple[str, str]]:
    """How it was made, enough to make it again: names and values in words."""
    made, fit, asked, target = record.provenance, record.fit, record.settings, record.target
    queries, orders = record.queries, record.spectrum.orders
    masking = "deleted"
    if asked.masking == "mask":
        masking = f"replaced by {asked.mask_token}" if asked.mask_token else "masked"
    predicted = None
    if target.predicted is not None:
        same = target.predicted == target.label
        predicted = "yes" if same else f"no, it predicts {target.predicted}"
    output = "" if target.index is None else f"output {target.index}, "
    divided = f" ({asked.features})" if asked.features != record.features.kind else ""
    fields: list[tuple[str, str | None]] = [
        ("Model", made.model),
        ("Revision", made.revision),
        ("Task", record.task),
        ("Explained", f"{target.label} ({output}{target.kind})"),
        ("Is the predicted label", predicted),
        ("Features", f"{len(record.features):,} {record.features.kind}{divided}"),
        ("Features not kept", masking if record.features.spans else None),
        ("Regions not kept", _REGIONS.get(asked.image_masking or "")),
        *((f"Input: {name}", _argument(value)) for name, value in asked.arguments.items()),
        (
            "Model calls",
            f"{len(queries):,}{_divided(queries)} (budget {asked.budget:,})",
        ),
        ("Sampling", asked.sampling),
        ("Inference multiplier \N{GREEK SMALL LETTER ALPHA}", _digits(asked.alpha)),
        ("Seed", str(asked.seed)),
        ("Method", fit.method),
        ("Chosen by cross-validation", fit.chosen),
        ("Cross-validated R² of the proxy", None if fit.cv_r2 is None else r2_text(fit.cv_r2)),
        ("Refinement", fit.refinement),
        (
            "Coefficients",
            f"{len(orders) - 1:,} kept (limit {asked.n_coefficients:,}) and ∅, highest order "
            f"{int(orders.max())}"
            + (f" (limit {asked.max_order})" if asked.max_order is not None else ""),
        ),
        ("Energy left out, at most", _digits(fit.dropped_energy or None)),
        ("Device", f"{made.device}, {made.dtype}"),
        ("Quantization", made.quantization),
        ("Spread over", ", ".join(sorted(set(made.device_map.values())))),
        ("Weights", None if made.model_bytes is None else f"{made.model_bytes / 1e6:,.1f} MB"),
        ("Noise floor of a value", _digits(made.noise_floor)),
        ("Versions", ", ".join(f"{name} {made.versions[name]}" for name in sorted(made.versions))),
        ("Made on", made.created),
        ("Seconds", ", ".join(f"{name} {value:.3g}" for name, value in made.seconds.items())),
    ]
    return [(name, value) for name, value in fields if value]


def _divided(queries: Queries) -> str:
    held_out = len(queries) - queries.n_fit
    return f": {queries.n_fit:,} fitted, {held_out:,} held out" if held_out else ""


def _plain(text: str) -> Run:
    return Run("text", text)


def _number(value: float, decimals: int) -> Run:
    return Run("neg" if value < 0 else "pos", signed(value, decimals))


def _sentence(record: ExplanationRecord, term: Term, decimals: int) -> list[Run]:
    """“a” and “b” raise it together: +1.80 ± 0.20."""
    labels = [member.label for member in spell(record)(term)]
    quoted = [
        Run("quoted", text) if is_label else _plain(text)
        for text, is_label in sentence_parts(labels, term.kind)
    ]
    said = number(term.effect, term.interval, decimals, "\N{MINUS SIGN}")
    shown = Run("neg" if term.effect < 0 else "pos", said)
    return [*quoted, _plain(": "), shown]


def _argument(value: object) -> str:
    listed = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return shortened(listed, 500)


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
