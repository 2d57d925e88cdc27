"""The parts of the page as static HTML. The script only adds behaviour to what stands here.

Every function returns markup; every piece of the record in it went through :func:`escape`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from proxyspex_hf.record import DensityScore, ExplanationRecord
from proxyspex_hf.viz.markup import escape
from proxyspex_hf.viz.terms import Member, Term, spell
from proxyspex_hf.viz.wording import (
    near_input_warning,
    nouns,
    percent,
    r2_text,
    score_name,
    shortened,
    signed,
    verdict,
)

__all__ = ["alerts", "headline", "provenance", "rows", "trust"]

_REGIONS = {"zero": "made black", "mean": "filled with the mean colour", "blur": "blurred"}
_TIMES = '<i aria-hidden="true">\N{MULTIPLICATION SIGN}</i>'
_GAP = f'{_TIMES}<i class="gap">…</i>'


def headline(record: ExplanationRecord, terms: Sequence[Term], decimals: int) -> str:
    """What the model said, and the strongest combination, in words."""
    target, (one, many) = record.target, nouns(record)
    gone = "masked" if record.settings.masking == "mask" else "deleted"
    text = (
        f"The model\N{RIGHT SINGLE QUOTATION MARK}s {escape(score_name(target))} for "
        f"{_name(shortened(target.label))} is "
        f"{_number(record.full_value, decimals)} "
        f"(all {many} {gone}: {_number(record.empty_value, decimals)})."
    )
    strongest = next((term for term in terms if term.order > 1), None)
    if strongest is not None:
        first, *others = [_quoted(member) for member in spell(record)(strongest)]
        joined = f"{first} with {_listed(others)}"
        text += f" Strongest combination: {joined} ({_number(strongest.effect, decimals)})."
    elif terms:
        (member,) = spell(record)(terms[0])
        text += (
            f" No combination was found: each {one} acts on its own, most of all "
            f"{_quoted(member)} ({_number(terms[0].effect, decimals)})."
        )
    else:
        text += f" Nothing was found: the score does not depend on the {many}."
    return text


def alerts(record: ExplanationRecord) -> str:
    """What changes the meaning of the page, before anything else is read."""
    texts = list(record.provenance.notes)
    target = record.target
    if target.predicted not in (None, target.label):
        texts.insert(
            0,
            f"The model predicts {target.predicted} for this input; "
            f"what is explained here is its score for {target.label}.",
        )
    notes = "".join(f"<li>{escape(text)}</li>" for text in texts)
    warning = near_input_warning(record)
    if warning:
        notes += f'<li>{escape(warning)} <a href="#trust">How far to trust this</a></li>'
    return f'<ul class="alerts" aria-label="Please note">{notes}</ul>' if notes else ""


def rows(record: ExplanationRecord, terms: Sequence[Term], top: int, decimals: int) -> str:
    """The ranked list; rows after the first ``top`` are there, but hidden."""
    speller, direction = spell(record), _direction(record.text)
    largest = abs(terms[0].effect) if terms else 1.0
    one, many = nouns(record)
    return "".join(
        f'<li{"" if rank < top else " hidden"}><div class="row {"neg" if t.effect < 0 else "pos"}" '
        f'data-members="{" ".join(map(str, t.members))}" data-effect="{t.effect!r}">'
        f'<span class="value">{signed(t.effect, decimals)}</span>'
        f"{_bar(abs(t.effect) / largest)}"
        f'<span class="members" dir="{direction}">{_chips(speller(t))}</span>'
        f'<span class="order">{t.order}<span class="sr"> {one if t.order == 1 else many}</span>'
        "</span></div></li>\n"
        for rank, t in enumerate(terms)
    )


def trust(record: ExplanationRecord) -> str:
    """Held-out R² by density, the additive explanation's beside it."""
    many = nouns(record)[1]
    if not record.faithfulness:
        return (
            f"<p>Every subset of the {many} was asked, so nothing had to be estimated.</p>"
            if record.fit.method == "exact"
            else "<p>Faithfulness was not measured for this explanation.</p>"
        )
    body = "".join(
        f'<tr data-density="{s.density!r}" data-verdict="{verdict(s.r2)}">'
        f'<th scope="row">keeps {percent(s.density)} of the {many}</th>'
        f'<td>{_score(s.r2)} <span class="verdict">{verdict(s.r2)}</span></td>'
        f"<td>{_score(s.linear_r2)}</td><td>{s.n_masks:,}</td></tr>"
        for s in sorted(record.faithfulness, key=lambda s: s.density)
    )
    column, measured = "Held out", "on masks that were not used for fitting"
    if record.queries.n_fit == len(record.queries):
        column, measured = "Asked", "over all subsets, by how likely each is when so many are kept"
    return (
        "<table><thead><tr><th scope='col'>Masks</th><th scope='col'>This explanation, R²</th>"
        f"<th scope='col'>Additive only, R²</th><th scope='col'>{column}</th></tr></thead>"
        f"<tbody>{body}</tbody></table><p class='fine'>{_gain(record.faithfulness)}"
        f"R² {measured}: 1 is perfect, 0 no better than a constant. "
        "Good: 0.8 or more; fair: 0.5 or more; poor: below. “Additive only” is the best "
        "explanation without combinations (LASSO).</p>"
    )


def provenance(record: ExplanationRecord) -> str:
    """How it was made, enough to make it again."""
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
            f"{len(queries):,}: {queries.n_fit:,} fitted, {len(queries) - queries.n_fit:,} held "
            f"out (budget {asked.budget:,})",
        ),
        ("Sampling", asked.sampling),
        ("Inference multiplier \N{GREEK SMALL LETTER ALPHA}", _plain(asked.alpha)),
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
        ("Energy left out, at most", _plain(fit.dropped_energy or None)),
        ("Device", f"{made.device}, {made.dtype}"),
        ("Quantization", made.quantization),
        ("Spread over", ", ".join(sorted(set(made.device_map.values())))),
        ("Weights", None if made.model_bytes is None else f"{made.model_bytes / 1e6:,.1f} MB"),
        ("Noise floor of a value", _plain(made.noise_floor)),
        ("Versions", ", ".join(f"{name} {made.versions[name]}" for name in sorted(made.versions))),
        ("Made on", made.created),
        ("Seconds", ", ".join(f"{name} {value:.3g}" for name, value in made.seconds.items())),
    ]
    return "".join(f"<dt>{n}</dt><dd dir='auto'>{escape(v)}</dd>" for n, v in fields if v)


def _argument(value: object) -> str:
    listed = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return shortened(listed, 500)


def _plain(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _number(value: float, decimals: int) -> str:
    sign = "neg" if value < 0 else "pos"
    return f'<span class="num {sign}">{signed(value, decimals)}</span>'


def _name(text: str) -> str:
    return f"<strong><bdi>{escape(text)}</bdi></strong>"


def _label(member: Member) -> str:
    number = f"<sub>{member.occurrence}</sub>" if member.occurrence else ""
    return f"<bdi>{escape(member.label)}{number}</bdi>"


def _quoted(member: Member) -> str:
    return f"“<bdi>{escape(member.label)}</bdi>”"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _chips(members: Sequence[Member]) -> str:
    first, *others = members
    rest = "".join(f"{_GAP if m.after_gap else _TIMES}<b>{_label(m)}</b>" for m in others)
    return f"<b>{_label(first)}</b>{rest}"


def _bar(share: float, name: str = "bar") -> str:
    """A bar of ``share`` of its width: attributes, since the page allows no inline style."""
    width = f"{100 * min(max(share, 0.0), 1.0):.2f}"
    return (
        f'<svg class="{name}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/><rect width="{width}" height="10"/></svg>'
    )


def _score(r2: float | None) -> str:
    return f'{_bar(r2 or 0.0, "meter")}<span class="num">{r2_text(r2)}</span>'


def _gain(scores: Iterable[DensityScore]) -> str:
    gains = [s.r2 - s.linear_r2 for s in scores if s.r2 is not None and s.linear_r2 is not None]
    if not gains:
        return ""
    low, high = min(gains), max(gains)
    if low <= 0.01:
        where = "any" if high <= 0.01 else "every"
        return f"Combinations do not beat the additive explanation at {where} density. "
    return f"Combinations add {low:.2f} to {high:.2f} of R². "


def _direction(text: str) -> str:
    """The base direction of ``text``, by its first letter that has one."""
    found = (unicodedata.bidirectional(character) for character in text)
    return "rtl" if next((d for d in found if d in ("L", "R", "AL")), "L") != "L" else "ltr"
