"""One explanation as one HTML file that asks nothing of any network.

The page is static and complete without JavaScript; the script, which comes from the package,
adds highlighting, filters and the what-if. The text, the labels, the names and the notes are
strangers': they enter escaped, and a content security policy admits only the package's own style
and script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from proxyspex_hf.errors import InputError
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz import sections
from proxyspex_hf.viz.markup import embed_json, escape
from proxyspex_hf.viz.reading import legend, reading, unsure_key
from proxyspex_hf.viz.terms import Term, ranked_terms
from proxyspex_hf.viz.wording import decimals_for, nouns, visible

__all__ = ["render_html", "render_notebook"]

#: Rows that are searched and filtered; more would be no help to a reader.
_MOST_ROWS = 500
#: Coefficients that a browser recomputes at a click; beyond, the page has no what-if.
_MOST_COEFFICIENTS = 20_000


def render_html(record: ExplanationRecord, *, top: int = 30) -> str:
    """The report as one self-contained HTML page.

    Args:
        record: what to show.
        top: rows of the ranked list that stand open; the reader can show the rest.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    terms = ranked_terms(record)
    listed = terms[: max(top, _MOST_ROWS)]
    decimals = decimals_for(term.effect for term in terms[:1])
    one, many = nouns(record)
    style, script = _asset("report.css"), _asset("report.js")
    return Template(_asset("report.html")).substitute(
        policy=(
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            + ("img-src data:; " if record.picture is not None else "")
            + "base-uri 'none'; form-action 'none'"
        ),
        style=style,
        script=script,
        title=escape(
            f"{visible(record.target.label)}: why? {visible(record.text[:80] or record.task)}"
        ),
        model=escape(record.provenance.model),
        task=escape(record.task),
        headline=sections.headline(record, terms, decimals),
        alerts=sections.alerts(record),
        text=reading(record, terms[:top]),
        legend=legend(record),
        unsure=unsure_key(record, terms[:top]),
        finding=sections.finding(record, terms),
        intervals=_INTERVALS if any(term.interval is not None for term in terms) else "",
        rows=sections.rows(record, listed, top, decimals),
        count=_count(listed, terms, top),
        trust=sections.trust(record),
        provenance=sections.provenance(record),
        one=one,
        many=many,
        data=embed_json(_data(record, top, decimals)),
    )


def render_notebook(record: ExplanationRecord) -> str:
    """The same page in a sandboxed frame, for a notebook's ``_repr_html_``."""
    # ASCII: the frame reads the same whatever encoding a notebook is exported in.
    page = html.escape(render_html(record), quote=True).encode("ascii", "xmlcharrefreplace")
    lines = math.ceil(len(record.text) / 70) + record.text.count("\n")
    height = min(900, max(620, 420 + 32 * lines + (380 if record.picture else 0)))
    return (
        f'<iframe srcdoc="{page.decode("ascii")}" sandbox="allow-scripts" '
        f'title="Explanation" width="100%" height="{height}" frameborder="0"></iframe>'
    )


def _data(record: ExplanationRecord, top: int, decimals: int) -> dict[str, Any]:
    """What the script needs and the page does not say: numbers, and our own words."""
    spectrum = record.spectrum
    fits = len(spectrum) <= _MOST_COEFFICIENTS
    return {
        "top": top,
        "decimals": decimals,
        "nouns": nouns(record),
        "exact": record.is_exact,
        "support": spectrum.sets if fits else None,
        "coefficients": spectrum.coefficients.tolist() if fits else None,
    }


def _count(listed: list[Term], terms: list[Term], top: int) -> str:
    shown = min(top, len(listed))
    more = f" (of {len(terms):,} found)" if len(terms) > len(listed) else ""
    return f"{shown:,} of {len(listed):,}{more}"


#: What ± means; explanations of before version 3 have none.
_INTERVALS = " With its 90% interval; what cannot be told from zero is not listed."


@cache
def _asset(name: str) -> str:
    text = (files("proxyspex_hf.viz") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@cache
def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
