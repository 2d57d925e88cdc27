"""Fitting again to what a model was once asked: another proxy, size or order, and no model call."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from proxyspex_hf.core.algorithm import ProxySPEX, SpectrumFit
from proxyspex_hf.core.attribution import faithfulness_of
from proxyspex_hf.core.progress import ProgressCallback
from proxyspex_hf.fit_notes import other_notes, refit_notes
from proxyspex_hf.record.record import SCHEMA_VERSION, ExplanationRecord, FitReport
from proxyspex_hf.versions import versions_of

_FITTED_WITH = ("lightgbm", "numpy", "scikit-learn", "scipy")


def refit_record(
    record: ExplanationRecord, algorithm: ProxySPEX, progress: ProgressCallback | None = None
) -> ExplanationRecord:
    """``record`` with the spectrum that ``algorithm`` finds in its queries.

    Faithfulness is measured on the same held-out queries as before, so the two compare.

    Raises:
        InputError: fewer than 20 queries to fit.
    """
    queries = record.queries
    if algorithm.sibling is None and algorithm.takes_sibling:
        algorithm = replace(algorithm, sibling=record.sibling)
    start = time.perf_counter()
    fitted_rows = slice(queries.n_fit)
    fit = algorithm.fit(
        queries.masks[fitted_rows],
        queries.values[fitted_rows],
        densities=queries.densities[fitted_rows],
        progress=progress,
    )
    fitted = time.perf_counter()
    faithfulness = faithfulness_of(queries, fit, seed=algorithm.seed)
    has_sibling = fit.doubt is not None and fit.doubt.kernel.sibling is not None
    notes = other_notes(record.provenance.notes, sibling=has_sibling)
    provenance = replace(
        record.provenance,
        versions={**record.provenance.versions, **versions_of(*_FITTED_WITH)},
        notes=(*notes, *refit_notes(fit, queries, algorithm)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds={
            "attribution": round(fitted - start, 3),
            "testing": round(time.perf_counter() - fitted, 3),
        },
    )
    return replace(
        record,
        spectrum=fit.spectrum,
        faithfulness=faithfulness,
        fit=fit_report(fit),
        doubt=fit.doubt,
        schema_version=SCHEMA_VERSION,
        settings=replace(
            record.settings,
            n_coefficients=algorithm.n_coefficients,
            max_order=algorithm.max_order,
        ),
        provenance=provenance,
    )


def fit_report(fit: SpectrumFit) -> FitReport:
    """How a spectrum was found, as plain data."""
    chosen = {} if fit.cv is None else fit.cv.best.params
    return FitReport(
        method=fit.method,
        chosen=", ".join(f"{name}={value}" for name, value in chosen.items()),
        refinement=fit.refinement,
        cv_r2=fit.cv_r2,
        cv=() if fit.cv is None else tuple(fit.cv.rows()),
        dropped_energy=fit.dropped_energy,
    )
