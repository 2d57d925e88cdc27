"""The record as one JSON object, and back. Reading validates everything: a file is a stranger's.

Masks are bit-packed rows in base64; floats are written with the digits that restore them exactly.
Unknown fields are ignored, so that files of a later minor version still open.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import numpy as np

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.spectrum import FloatArray, FourierSpectrum, pack_support
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.record import (
    SCHEMA_VERSION,
    DensityScore,
    ExplanationRecord,
    FeatureKind,
    Features,
    FitReport,
    Provenance,
    Queries,
    Settings,
    Target,
)

__all__ = ["FORMAT", "MAX_FILE_BYTES", "dumps", "record_from_json", "record_to_json"]

FORMAT: Final = "proxyspex-hf/explanation"

MAX_FEATURES = 100_000
MAX_COEFFICIENTS = 1_000_000
MAX_QUERIES = 10_000_000
MAX_TEXT = 10_000_000
MAX_MASK_BYTES = 2 * 2**30
MAX_FILE_BYTES = 2 * 2**30


def record_to_json(record: ExplanationRecord) -> dict[str, Any]:
    """The record as plain data for ``json.dumps(..., allow_nan=False)``."""
    queries = record.queries
    return {
        "format": FORMAT,
        "schema_version": record.schema_version,
        "task": record.task,
        "text": record.text,
        "features": {
            "kind": record.features.kind,
            "labels": list(record.features.labels),
            "spans": [list(span) for span in record.features.spans],
        },
        "target": vars(record.target).copy(),
        "spectrum": {
            "n_features": record.spectrum.n_features,
            "support": [list(members) for members in record.spectrum.sets],
            "coefficients": record.spectrum.coefficients.tolist(),
        },
        "queries": {
            "masks": base64.b64encode(np.packbits(queries.masks, axis=1).tobytes()).decode(),
            "values": queries.values.tolist(),
            "densities": queries.densities.tolist(),
            "n_fit": queries.n_fit,
        },
        "faithfulness": [vars(score).copy() for score in record.faithfulness],
        "fit": {**vars(record.fit), "cv": [dict(row) for row in record.fit.cv]},
        "settings": vars(record.settings).copy(),
        "provenance": {
            **vars(record.provenance),
            "versions": dict(record.provenance.versions),
            "notes": list(record.provenance.notes),
            "seconds": dict(record.provenance.seconds),
        },
    }


def record_from_json(data: Any) -> ExplanationRecord:
    """Rebuild and validate a record.

    Raises:
        SchemaError: not an explanation, damaged, or written by a newer version of the package.
    """
    top = _Reader(data, "")
    if top.data.get("format") != FORMAT:
        raise SchemaError(
            f"this is not an explanation: 'format' is {_short(top.data.get('format'))}, "
            f"expected {FORMAT!r}."
        )
    version = top.integer("schema_version", 1, 10**6)
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the explanation has schema version {version}, this version of proxyspex_hf reads up "
            f"to {SCHEMA_VERSION}: upgrade the package."
        )
    try:
        return _record(top, version)
    except InputError as error:  # an invariant of the types themselves
        raise SchemaError(f"the explanation contradicts itself: {error}") from error


def _record(top: _Reader, version: int) -> ExplanationRecord:
    features = top.child("features")
    kind = features.text("kind", 20)
    if kind not in get_args(FeatureKind):
        raise SchemaError(f"features.kind is {_short(kind)}, expected one of words, sentences, …")
    target, fit = top.child("target"), top.child("fit")
    settings, provenance = top.child("settings"), top.child("provenance")
    masking = settings.text("masking", 10)
    if masking not in ("mask", "delete"):
        raise SchemaError(f"settings.masking is {_short(masking)}, expected 'mask' or 'delete'.")
    spans = [_integers(span, "features.spans", 2) for span in features.array("spans", MAX_FEATURES)]
    return ExplanationRecord(
        task=top.text("task", 200),
        text=top.text("text", MAX_TEXT),
        features=Features(
            labels=features.texts("labels", MAX_FEATURES),
            spans=tuple((span[0], span[1]) for span in spans),
            kind=cast(FeatureKind, kind),
        ),
        target=Target(
            label=target.text("label", 10_000),
            index=target.integer("index", 0, 10**9),
            kind=target.text("kind", 100),
            predicted=target.text("predicted", 10_000),
        ),
        spectrum=_spectrum(top.child("spectrum")),
        queries=_queries(top.child("queries"), len(features.array("labels", MAX_FEATURES))),
        faithfulness=tuple(
            _score(_Reader(row, "faithfulness")) for row in top.array("faithfulness", 1000)
        ),
        fit=FitReport(
            method=fit.text("method", 100),
            chosen=fit.text("chosen", 1000),
            refinement=fit.text("refinement", 1000),
            cv_r2=fit.optional_number("cv_r2"),
            cv=tuple(_plain_row(row) for row in fit.array("cv", 10_000)),
            dropped_energy=fit.number("dropped_energy"),
        ),
        settings=Settings(
            features=settings.text("features", 100),
            masking="mask" if masking == "mask" else "delete",
            mask_token=settings.optional_text("mask_token", 1000),
            alpha=settings.optional_number("alpha"),
            budget=settings.integer("budget", 1, MAX_QUERIES),
            n_coefficients=settings.integer("n_coefficients", 1, MAX_COEFFICIENTS),
            max_order=settings.optional_integer("max_order", 0, MAX_FEATURES),
            sampling=settings.text("sampling", 200),
            seed=settings.integer("seed", 0, 2**63),
        ),
        provenance=Provenance(
            model=provenance.text("model", 10_000),
            revision=provenance.optional_text("revision", 1000),
            dtype=provenance.text("dtype", 100),
            device=provenance.text("device", 1000),
            versions=_texts_by_name(provenance.child("versions")),
            notes=provenance.texts("notes", 1000),
            created=provenance.text("created", 100),
            seconds=_numbers_by_name(provenance.child("seconds")),
        ),
        schema_version=version,
    )


def _spectrum(reader: _Reader) -> FourierSpectrum:
    n = reader.integer("n_features", 1, MAX_FEATURES)
    rows = reader.array("support", MAX_COEFFICIENTS)
    coefficients = reader.numbers("coefficients", MAX_COEFFICIENTS)
    sets = [_integers(row, "spectrum.support", None) for row in rows]
    if any(not 0 <= i < n for members in sets for i in members):
        raise SchemaError(f"spectrum.support must hold indices from 0 to {n - 1}.")
    if sum(map(len, sets)) > 100 * MAX_COEFFICIENTS or max(map(len, sets), default=0) > n:
        raise SchemaError("spectrum.support is larger than any explanation can be.")
    return FourierSpectrum(n, pack_support(sets), coefficients)


def _queries(reader: _Reader, n_features: int) -> Queries:
    values = reader.numbers("values", MAX_QUERIES)
    densities = reader.numbers("densities", MAX_QUERIES)
    if len(values) < 2:
        raise SchemaError("queries must hold at least the full and the empty mask.")
    masks = _unpack(reader.text("masks", 4 * MAX_MASK_BYTES // 3), len(values), n_features)
    if not masks[0].all() or masks[1].any():
        raise SchemaError("queries must start with the full and then the empty mask.")
    return Queries(masks, values, reader.integer("n_fit", 0, len(values)), densities)


def _unpack(packed: str, rows: int, n_features: int) -> BoolArray:
    width = -(-n_features // 8)
    try:
        raw = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SchemaError(f"queries.masks is not base64: {error}.") from error
    if len(raw) != rows * width:
        raise SchemaError(f"queries.masks has {len(raw)} bytes, expected {rows} x {width}.")
    bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8).reshape(rows, width), axis=1)
    return bits[:, :n_features].astype(np.bool_)


def _score(reader: _Reader) -> DensityScore:
    density = reader.number("density")
    if not 0 < density <= 1:
        raise SchemaError(f"faithfulness.density must lie in (0, 1], got {density}.")
    return DensityScore(
        density=density,
        r2=reader.optional_number("r2"),
        linear_r2=reader.optional_number("linear_r2"),
        n_masks=reader.integer("n_masks", 0, MAX_QUERIES),
    )


def _plain_row(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict) or len(row) > 100:
        raise SchemaError(f"fit.cv must hold objects, got {_short(row)}.")
    for name, value in row.items():
        plain = value is None or isinstance(value, (str, bool, int, float))
        if not plain and not (
            isinstance(value, list) and all(v is None or isinstance(v, (int, float)) for v in value)
        ):
            raise SchemaError(f"fit.cv.{_short(name)} must be plain data, got {_short(value)}.")
    return dict(row)


def _texts_by_name(reader: _Reader) -> dict[str, str]:
    return {str(name)[:1000]: reader.text(name, 10_000) for name in list(reader.data)[:1000]}


def _numbers_by_name(reader: _Reader) -> dict[str, float]:
    return {str(name)[:1000]: reader.number(name) for name in list(reader.data)[:1000]}


def _integers(value: Any, where: str, length: int | None) -> list[int]:
    if not isinstance(value, list) or any(type(i) is not int for i in value):
        raise SchemaError(f"{where} must hold lists of integers, got {_short(value)}.")
    if length is not None and len(value) != length:
        raise SchemaError(f"{where} must hold lists of {length} integers, got {_short(value)}.")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Reader:
    """Typed access to one JSON object, with the path in every complaint."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, dict):
            raise SchemaError(f"{path or 'the file'} must be a JSON object, got {_short(data)}.")
        self.data: dict[str, Any] = data
        self.path = path

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _get(self, name: str) -> Any:
        if name not in self.data:
            raise SchemaError(f"the field {self._at(name)} is missing.")
        return self.data[name]

    def child(self, name: str) -> _Reader:
        return _Reader(self._get(name), self._at(name))

    def text(self, name: str, longest: int) -> str:
        value = self._get(name)
        if not isinstance(value, str) or len(value) > longest:
            raise SchemaError(
                f"{self._at(name)} must be a text of at most {longest} characters, "
                f"got {_short(value)}."
            )
        return value

    def optional_text(self, name: str, longest: int) -> str | None:
        return None if self._get(name) is None else self.text(name, longest)

    def number(self, name: str) -> float:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            raise SchemaError(f"{self._at(name)} must be a finite number, got {_short(value)}.")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        return None if self._get(name) is None else self.number(name)

    def integer(self, name: str, low: int, high: int) -> int:
        value = self._get(name)
        if type(value) is not int or not low <= value <= high:
            raise SchemaError(
                f"{self._at(name)} must be an integer from {low} to {high}, got {_short(value)}."
            )
        return value

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        return None if self._get(name) is None else self.integer(name, low, high)

    def array(self, name: str, longest: int) -> list[Any]:
        value = self._get(name)
        if not isinstance(value, list) or len(value) > longest:
            raise SchemaError(
                f"{self._at(name)} must be a list of at most {longest}, got {_short(value)}."
            )
        return value

    def texts(self, name: str, longest: int) -> tuple[str, ...]:
        values = self.array(name, longest)
        if not all(isinstance(value, str) for value in values):
            raise SchemaError(f"{self._at(name)} must be a list of texts.")
        return tuple(values)

    def numbers(self, name: str, longest: int) -> FloatArray:
        values = self.array(name, longest)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
                raise SchemaError(
                    f"{self._at(name)} must hold finite numbers, got {_short(value)}."
                )
        return np.asarray(values, dtype=np.float64)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond float64
        return False


def dumps(record: ExplanationRecord) -> str:
    """The record as JSON text."""
    return json.dumps(record_to_json(record), ensure_ascii=False, allow_nan=False)
