"""The record as one JSON object, and back. Reading validates everything: a file is a stranger's.

Masks are bit-packed rows in base64; floats are written with the digits that restore them exactly.
Unknown fields are ignored, so that files of a later minor version still open.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import numpy as np

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.core.posterior import Doubt
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.json_reader import Reader, integers, plain, short
from proxyspex_hf.record import (
    SCHEMA_VERSION,
    DensityScore,
    ExplanationRecord,
    FeatureKind,
    Features,
    FitReport,
    ImageMasking,
    Part,
    Picture,
    Provenance,
    Queries,
    Region,
    RegionKind,
    Settings,
    Target,
)

__all__ = ["FORMAT", "MAX_FILE_BYTES", "dumps", "record_from_json", "record_to_json"]

FORMAT: Final = "proxyspex-hf/explanation"

MAX_FEATURES = 100_000
MAX_COEFFICIENTS = 1_000_000
MAX_QUERIES = 10_000_000
MAX_TEXT = 10_000_000
#: Bounds on what a kernel may hold; learnt ones stay far within (:mod:`.core.proxies.kernel`).
MAX_REACH = 100
MAX_KERNEL = 100.0
MAX_PNG_BYTES = 256 * 2**20
MAX_EDGE = 100_000
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
        "faithfulness": [
            {**vars(score), "interval": None if score.interval is None else list(score.interval)}
            for score in record.faithfulness
        ],
        "fit": {**vars(record.fit), "cv": [dict(row) for row in record.fit.cv]},
        "doubt": None if record.doubt is None else _doubt_to_json(record.doubt),
        "settings": {**vars(record.settings), "arguments": dict(record.settings.arguments)},
        "provenance": {
            **vars(record.provenance),
            "versions": dict(record.provenance.versions),
            "device_map": dict(record.provenance.device_map),
            "notes": list(record.provenance.notes),
            "seconds": dict(record.provenance.seconds),
        },
    }


def record_from_json(data: Any) -> ExplanationRecord:
    """Rebuild and validate a record.

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
        return _record(top, version)
    except InputError as error:  # an invariant of the types themselves
        raise SchemaError(f"the explanation contradicts itself: {error}") from error


def _record(top: Reader, version: int) -> ExplanationRecord:
    if version == 1:
        top = Reader(_with_what_version_1_lacked(top.data), "")
    target, fit = top.child("target"), top.child("fit")
    settings, provenance = top.child("settings"), top.child("provenance")
    masking = settings.choice("masking", ("mask", "delete"))
    return ExplanationRecord(
        task=top.text("task", 200),
        text=top.text("text", MAX_TEXT),
        picture=_picture(top),
        parts=tuple(_part(Reader(row, "parts")) for row in top.array("parts", 10_000)),
        features=_features(top.child("features")),
        target=Target(
            label=target.text("label", MAX_TEXT),
            index=target.optional_integer("index", 0, 10**9),
            kind=target.text("kind", 100),
            predicted=target.optional_text("predicted", MAX_TEXT),
        ),
        spectrum=_spectrum(top.child("spectrum")),
        queries=_queries(
            top.child("queries"), len(top.child("features").array("labels", MAX_FEATURES))
        ),
        faithfulness=tuple(
            _score(Reader(row, "faithfulness")) for row in top.array("faithfulness", 1000)
        ),
        fit=FitReport(
            method=fit.text("method", 100),
            chosen=fit.text("chosen", 1000),
            refinement=fit.text("refinement", 1000),
            cv_r2=fit.optional_number("cv_r2"),
            cv=tuple(_plain_row(row) for row in fit.array("cv", 10_000)),
            dropped_energy=fit.number("dropped_energy"),
        ),
        doubt=_doubt(top),
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
            image_masking=cast(
                ImageMasking | None,
                settings.optional_choice("image_masking", get_args(ImageMasking)),
            ),
            arguments=plain(settings.child("arguments").data, "settings.arguments"),
        ),
        provenance=Provenance(
            model=provenance.text("model", 10_000),
            revision=provenance.optional_text("revision", 1000),
            dtype=provenance.text("dtype", 100),
            device=provenance.text("device", 1000),
            versions=_texts_by_name(provenance.child("versions")),
            notes=provenance.texts("notes", 1000),
            quantization=provenance.optional_text("quantization", 1000),
            device_map=_texts_by_name(provenance.child("device_map")),
            model_bytes=provenance.optional_integer("model_bytes", 0, 2**63),
            noise_floor=provenance.optional_number("noise_floor"),
            created=provenance.text("created", 100),
            seconds=_numbers_by_name(provenance.child("seconds")),
        ),
        schema_version=version,
    )


def _with_what_version_1_lacked(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew texts only; what it says nothing of, it did not have."""
    absent: dict[str, dict[str, Any]] = {
        "features": {"regions": [], "region_kind": None},
        "settings": {"image_masking": None, "arguments": {}},
        "provenance": {
            "quantization": None,
            "device_map": {},
            "model_bytes": None,
            "noise_floor": None,
        },
    }
    data = {"picture": None, "parts": [], **data}
    for name, defaults in absent.items():
        if isinstance(data.get(name), dict):
            data[name] = {**defaults, **data[name]}
    return data


def _features(reader: Reader) -> Features:
    kind = reader.choice("kind", get_args(FeatureKind))
    region_kind = reader.optional_choice("region_kind", get_args(RegionKind))
    spans = [integers(span, "features.spans", 2) for span in reader.array("spans", MAX_FEATURES)]
    return Features(
        labels=reader.texts("labels", MAX_FEATURES),
        spans=tuple((span[0], span[1]) for span in spans),
        kind=cast(FeatureKind, kind),
        regions=tuple(_region(rings) for rings in reader.array("regions", MAX_FEATURES)),
        region_kind=cast(RegionKind | None, region_kind),
    )


def _region(rings: Any) -> Region:
    where = "features.regions"
    if not isinstance(rings, list):
        raise SchemaError(f"{where} must hold lists of outlines, got {short(rings)}.")
    flat = [integers(ring, where, None) for ring in rings]
    if any(len(edges) % 2 for edges in flat):
        raise SchemaError(f"{where} must hold an x and a y for each corner.")
    return tuple(tuple(zip(edges[::2], edges[1::2], strict=True)) for edges in flat)


def _picture(top: Reader) -> Picture | None:
    if top.data.get("picture") is None:
        return None
    reader = top.child("picture")
    try:
        png = base64.b64decode(reader.text("png", 4 * MAX_PNG_BYTES // 3 + 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SchemaError(f"picture.png is not base64: {error}.") from error
    edges = (reader.integer("width", 1, MAX_EDGE), reader.integer("height", 1, MAX_EDGE))
    return Picture(png, *edges)


def _part(reader: Reader) -> Part:
    return Part(
        name=reader.text("name", 1000),
        start=reader.integer("start", 0, MAX_TEXT),
        stop=reader.integer("stop", 0, MAX_TEXT),
    )


def _spectrum(reader: Reader) -> FourierSpectrum:
    n = reader.integer("n_features", 1, MAX_FEATURES)
    rows = reader.array("support", MAX_COEFFICIENTS)
    coefficients = reader.numbers("coefficients", MAX_COEFFICIENTS)
    sets = [integers(row, "spectrum.support", None) for row in rows]
    if any(not 0 <= i < n for members in sets for i in members):
        raise SchemaError(f"spectrum.support must hold indices from 0 to {n - 1}.")
    if sum(map(len, sets)) > 100 * MAX_COEFFICIENTS or max(map(len, sets), default=0) > n:
        raise SchemaError("spectrum.support is larger than any explanation can be.")
    return FourierSpectrum(n, pack_support(sets), coefficients)


def _queries(reader: Reader, n_features: int) -> Queries:
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


def _score(reader: Reader) -> DensityScore:
    density = reader.number("density")
    if not 0 < density <= 1:
        raise SchemaError(f"faithfulness.density must lie in (0, 1], got {density}.")
    return DensityScore(
        density=density,
        r2=reader.optional_number("r2"),
        linear_r2=reader.optional_number("linear_r2"),
        n_masks=reader.integer("n_masks", 0, MAX_QUERIES),
        interval=_interval(reader),
    )


def _interval(reader: Reader) -> tuple[float, float] | None:
    if reader.data.get("interval") is None:  # before version 3 there were none
        return None
    ends = reader.numbers("interval", 2)
    if len(ends) != 2 or not ends[0] <= ends[1]:
        raise SchemaError("faithfulness.interval must hold its two ends, the lower one first.")
    return float(ends[0]), float(ends[1])


def _doubt_to_json(doubt: Doubt) -> dict[str, Any]:
    kernel = doubt.kernel
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
    }


def _doubt(top: Reader) -> Doubt | None:
    if top.data.get("doubt") is None:
        return None
    reader = top.child("doubt")
    relevance = reader.numbers("relevance", MAX_FEATURES)
    pairs = reader.numbers("pairs", MAX_REACH)
    numbers = {name: reader.number(name) for name in ("tilt", "product", "single", "noise")}
    level, scale = reader.number("level"), reader.number("scale")
    inflation = reader.number("inflation")
    positive = [*numbers.values(), inflation, *pairs.tolist(), 0.0]
    if not (
        ((relevance >= 0.0) & (relevance <= MAX_KERNEL)).all()
        and abs(numbers["tilt"]) <= MAX_KERNEL
        and min(positive[1:]) >= 0.0
        and max(positive) <= MAX_KERNEL**6
        and scale > 0.0
    ):
        raise SchemaError("doubt holds no kernel: its parameters are out of range.")
    return Doubt(MaskKernel(relevance=relevance, pairs=pairs, **numbers), level, scale, inflation)


def _plain_row(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict) or len(row) > 100:
        raise SchemaError(f"fit.cv must hold objects, got {short(row)}.")
    return {name: plain(value, f"fit.cv.{short(name)}", depth=1) for name, value in row.items()}


def _texts_by_name(reader: Reader) -> dict[str, str]:
    return {str(name)[:1000]: reader.text(name, 10_000) for name in list(reader.data)[:1000]}


def _numbers_by_name(reader: Reader) -> dict[str, float]:
    return {str(name)[:1000]: reader.number(name) for name in list(reader.data)[:1000]}


def dumps(record: ExplanationRecord) -> str:
    """The record as JSON text."""
    return json.dumps(record_to_json(record), ensure_ascii=False, allow_nan=False)
