"""The record as one JSON object, and back. Reading validates everything: a file is untrusted.

Whatever is refused is refused before its masks are unpacked, which is when it gets large. Masks are
bit-packed rows in base64; floats are written with the digits that restore them exactly.
Unknown fields are ignored, so that files of a later minor version still open.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from proxyspex_hf.core.posterior import Doubt
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.record.json_reader import (
    MAX_PARSED,
    Reader,
    parsed,
    parsed_bytes,
    short,
)
from proxyspex_hf.record.limits import MAX_FILE_BYTES
from proxyspex_hf.record.reader import read_record, unpacked
from proxyspex_hf.record.record import (
    SCHEMA_VERSION,
    ExplanationRecord,
)

FORMAT: Final = "proxyspex-hf/explanation"


def record_to_json(record: ExplanationRecord) -> dict[str, Any]:
    """The record as plain data for ``json.dumps(..., allow_nan=False)``."""
    queries = record.queries
    return {
        **without_queries(record),
        "queries": {
            "masks": base64.b64encode(np.packbits(queries.masks, axis=1).tobytes()).decode(),
            "values": queries.values.tolist(),
            "densities": queries.densities.tolist(),
            "n_fit": queries.n_fit,
        },
    }


def without_queries(record: ExplanationRecord) -> dict[str, Any]:
    """The same without what was asked."""
    return {
        "format": FORMAT,
        "schema_version": record.schema_version,
        "task": record.task,
        "text": record.text,
        "features": {
            "kind": record.features.kind,
            "labels": list(record.features.labels),
            "spans": [list(span) for span in record.features.spans],
            "regions": [
                [[edge for corner in ring for edge in corner] for ring in region]
                for region in record.features.regions
            ],
            "region_kind": record.features.region_kind,
        },
        "picture": None
        if record.picture is None
        else {**vars(record.picture), "png": base64.b64encode(record.picture.png).decode()},
        "parts": [vars(part).copy() for part in record.parts],
        "target": vars(record.target).copy(),
        "spectrum": _spectrum_to_json(record.spectrum),
        "faithfulness": [
            {**vars(score), "interval": None if score.interval is None else list(score.interval)}
            for score in record.faithfulness
        ],
        "fit": {**vars(record.fit), "cv": [dict(row) for row in record.fit.cv]},
        "doubt": None if record.doubt is None else doubt_to_json(record.doubt),
        "settings": {**vars(record.settings), "arguments": dict(record.settings.arguments)},
        "provenance": {
            **vars(record.provenance),
            "versions": dict(record.provenance.versions),
            "device_map": dict(record.provenance.device_map),
            "notes": list(record.provenance.notes),
            "seconds": dict(record.provenance.seconds),
        },
    }


def record_from_json(
    data: Any, check: Callable[[ExplanationRecord, bytes], None] | None = None
) -> ExplanationRecord:
    """Rebuild and validate a record.

    Args:
        check: told the record with masks that are not yet unpacked (all of them are empty), and
            their packed bytes; may refuse them.

    Raises:
        SchemaError: not an explanation, damaged, or written by a newer version of the package.
    """
    top = Reader(data, "")
    if top.data.get("format") != FORMAT:
        raise SchemaError(
            f"this is not an explanation: 'format' is {short(top.data.get('format'))}, "
            f"expected {FORMAT!r}."
        )
    version = top.integer("schema_version", 1, 10**6)
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the explanation has schema version {version}, this version of proxyspex_hf reads up "
            f"to {SCHEMA_VERSION}: upgrade the package."
        )
    try:
        record, packed = read_record(top, version)
        if check is not None:
            check(record, packed)
        return replace(record, queries=unpacked(record.queries, packed))
    except InputError as error:  # an invariant of the types themselves
        raise SchemaError(f"the explanation contradicts itself: {error}") from error


def _spectrum_to_json(spectrum: FourierSpectrum) -> dict[str, Any]:
    return {
        "n_features": spectrum.n_features,
        "support": [list(members) for members in spectrum.sets],
        "coefficients": spectrum.coefficients.tolist(),
    }


def doubt_to_json(doubt: Doubt) -> dict[str, Any]:
    """The Gaussian process of the intervals as JSON data."""
    kernel = doubt.kernel
    told = {}
    if kernel.sibling is not None:
        relevance = kernel.sibling.relevance
        told = {
            "sibling": {
                **_spectrum_to_json(kernel.sibling.spectrum),
                "relevance": None if relevance is None else relevance.tolist(),
                "scale": kernel.sibling.scale,
            },
            "shared": kernel.shared,
        }
    return {
        "relevance": kernel.relevance.tolist(),
        "tilt": kernel.tilt,
        "product": kernel.product,
        "single": kernel.single,
        "noise": kernel.noise,
        "pairs": kernel.pairs.tolist(),
        "level": doubt.level,
        "scale": doubt.scale,
        "inflation": doubt.inflation,
        **told,
    }


def dumps(record: ExplanationRecord) -> str:
    """The record as JSON text, which :func:`loads` reads.

    Raises:
        InputError: something that no file can hold, or more than is read again.
    """
    try:
        data = record_to_json(record)
        record_from_json(data)
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        raw = text.encode("utf-8")
    except (SchemaError, ValueError) as error:
        raise InputError(f"the explanation cannot be saved: {error}") from error
    if len(raw) > MAX_FILE_BYTES or parsed_bytes(raw) > MAX_PARSED:
        raise InputError(
            f"the explanation cannot be saved: its file would have {len(raw)} bytes and take "
            f"{parsed_bytes(raw)} to read, at most {MAX_FILE_BYTES} and {MAX_PARSED} are read."
        )
    return text


def loads(text: bytes, name: str) -> ExplanationRecord:
    """The record of a file's content.

    Raises:
        SchemaError: as :func:`record_from_json`, or it is not JSON.
    """
    if len(text) > MAX_FILE_BYTES:
        raise SchemaError(f"{name} is larger than any explanation ({MAX_FILE_BYTES} bytes).")
    return record_from_json(parsed(text, f"{name} is not an explanation"))
