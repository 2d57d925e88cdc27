"""What every picture says of an explanation, as plain text: notes, and how it was made."""

from __future__ import annotations

import numpy as np

from proxyspex_hf.core.queries import Queries
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.wording import counted, differs, nouns, r2_text, shortened

_REGIONS = {"zero": "made black", "mean": "filled with the mean colour", "blur": "blurred"}


def nothing_found(record: ExplanationRecord) -> str:
    """Instead of a list without entries: what that means."""
    one, many = nouns(record)
    if np.ptp(record.queries.values):
        return f"No effect of a {one} or of a combination can be told from zero."
    if len(record.queries) < 2 ** len(record.features):
        return f"Nothing was found: all {len(record.queries):,} answers were the same."
    return f"Nothing was found: the score does not depend on the {many}."


def is_left_out(record: ExplanationRecord) -> bool:
    """Whether R² is of fitted masks, each predicted by a fit without it: none was held out."""
    return record.fit.method != "exact" and record.queries.n_fit == len(record.queries)


def notes(record: ExplanationRecord) -> list[str]:
    """What changes the meaning of the rest; the warning of a poor fit is not among them."""
    target = record.target
    if target.predicted in (None, target.label):
        return notes_of_making(record)
    other = (
        f"The model predicts {target.predicted} for this input; "
        f"what is explained here is its score for {target.label}."
    )
    return [other, *notes_of_making(record)]


def notes_of_making(record: ExplanationRecord) -> list[str]:
    """Those of how it was made: as noted then, and whether the answers repeat."""
    noise = differs(record)
    if noise is None:
        return list(record.provenance.notes)
    again = (
        f"Asked again, the model's answers to the same masks differ by up to {_digits(noise)}. "
        "What is shown is of the answers that came first; intervals count on answers that repeat."
    )
    return [*record.provenance.notes, again]


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
        ("Features", f"{counted(record)}{divided}"),
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


def _argument(value: object) -> str:
    listed = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return shortened(listed, 500)


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
