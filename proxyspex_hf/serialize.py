"""The record as one JSON object, and back. Reading validates everything: a file is a stranger's.

Whatever is refused is refused before its masks are unpacked, which is when it gets large. Masks are
bit-packed rows in base64; floats are written with the digits that restore them exactly.
Unknown fields are ignored, so that files of a later minor version still open.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final, cast, get_args

import numpy as np

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.posterior import Doubt
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.spectrum import FourierSpectrum, IntArray
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.json_reader import (
    MAX_PARSED,
    Reader,
    integers,
    parsed,
    parsed_bytes,
    plain,
    short,
    whole_text,
)
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

__all__ = [
    "FORMAT",
    "MAX_FILE_BYTES",
    "dumps",
    "loads",
    "record_from_json",
    "record_to_json",
    "without_queries",
]

FORMAT: Final = "proxyspex-hf/explanation"

#: What an explanation may hold. Ten million words and masks have been asked of nobody; these keep
#: what is refused under 300 MB (``tests/attacks``), and what is shown within a few seconds.
MAX_FEATURES = 20_000
#: Every subset of 18 features, and the members of all of them together.
MAX_COEFFICIENTS = 2**18
MAX_MEMBERS = 3_000_000
MAX_QUERIES = 2_000_000
#: Masks times features: 8 n log2 n masks of 1,700 features, or the default 2 n log2 n of 3,400.
MAX_MASK_CELLS = 2**28
#: Characters of one text, and of all labels together.
MAX_TEXT = 3_000_000
#: Corners of all outlines together.
MAX_CORNERS = 1_000_000
#: Numbers that are counted elsewhere, such as a budget.
MAX_COUNT = 10_000_000
#: Bounds on what a kernel may hold; learnt ones stay far within (:mod:`.core.proxies.kernel`).
MAX_REACH = 100
MAX_KERNEL = 100.0
MAX_PNG_BYTES = 32 * 2**20
MAX_EDGE = 100_000
MAX_FILE_BYTES = 64 * 2**20


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
        "spectrum": {
            "n_features": record.spectrum.n_features,
            "support": [
                row[:order]
                for row, order in zip(
                    record.spectrum.support.tolist(), record.spectrum.orders.tolist(), strict=True
                )
            ],
            "coefficients": record.spectrum.coefficients.tolist(),
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
        record, packed = _record(top, version)
        if check is not None:
            check(record, packed)
        return replace(record, queries=_unpacked(record.queries, packed))
    except InputError as error:  # an invariant of the types themselves
        raise SchemaError(f"the explanation contradicts itself: {error}") from error


def _record(top: Reader, version: int) -> tuple[ExplanationRecord, bytes]:
    """Everything but the masks, and their bytes."""
    if version == 1:
        top = Reader(_with_what_version_1_lacked(top.data), "")
    target, fit = top.child("target"), top.child("fit")
    settings, provenance = top.child("settings"), top.child("provenance")
    masking = settings.choice("masking", ("mask", "delete"))
    features = _features(top.child("features"))
    queries, packed = _queries(top.child("queries"), len(features))
    record = ExplanationRecord(
        task=top.text("task", 200),
        text=top.text("text", MAX_TEXT),
        picture=_picture(top),
        parts=tuple(_part(Reader(row, "parts")) for row in top.array("parts", 10_000)),
        features=features,
        target=Target(
            label=target.text("label", MAX_TEXT),
            index=target.optional_integer("index", 0, 10**9),
            kind=target.text("kind", 100),
            predicted=target.optional_text("predicted", MAX_TEXT),
        ),
        spectrum=_spectrum(top.child("spectrum")),
        queries=queries,
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
            budget=settings.integer("budget", 1, MAX_COUNT),
            n_coefficients=settings.integer("n_coefficients", 1, MAX_COUNT),
            max_order=settings.optional_integer("max_order", 0, MAX_COUNT),
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
            notes=provenance.texts("notes", 1000, MAX_TEXT),
            quantization=provenance.optional_text("quantization", 1000),
            device_map=_texts_by_name(provenance.child("device_map")),
            model_bytes=provenance.optional_integer("model_bytes", 0, 2**63),
            noise_floor=provenance.optional_number("noise_floor"),
            created=provenance.text("created", 100),
            seconds=_numbers_by_name(provenance.child("seconds")),
        ),
        schema_version=version,
    )
    return record, packed


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
    regions = reader.array("regions", MAX_FEATURES)
    corners = sum(len(ring) for rings in regions for ring in _list(rings) if isinstance(ring, list))
    if corners > 2 * MAX_CORNERS:
        raise SchemaError(f"features.regions must have at most {MAX_CORNERS} corners.")
    return Features(
        labels=reader.texts("labels", MAX_FEATURES, MAX_TEXT),
        spans=tuple((span[0], span[1]) for span in spans),
        kind=cast(FeatureKind, kind),
        regions=tuple(map(_region, regions)),
        region_kind=cast(RegionKind | None, region_kind),
    )


def _list(rings: Any) -> list[Any]:
    if not isinstance(rings, list) or len(rings) > MAX_CORNERS:
        raise SchemaError(f"features.regions must hold lists of outlines, got {short(rings)}.")
    return rings


def _region(rings: Any) -> Region:
    where = "features.regions"
    flat = [integers(ring, where, None) for ring in _list(rings)]
    if any(len(edges) % 2 for edges in flat):
        raise SchemaError(f"{where} must hold an x and a y for each corner.")
    return tuple(tuple(zip(edges[::2], edges[1::2], strict=True)) for edges in flat)


def _picture(top: Reader) -> Picture | None:
    if top.data.get("picture") is None:
        return None
    reader = top.child("picture")
    png = reader.binary("png", MAX_PNG_BYTES)
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
    sizes = [len(row) if isinstance(row, list) else 0 for row in rows]
    # Packed, each has as many places as the largest.
    if max(sizes, default=0) * len(rows) > 2 * MAX_MEMBERS or sum(sizes) > MAX_MEMBERS:
        raise SchemaError("spectrum.support is larger than any explanation can be.")
    return FourierSpectrum(n, _packed(rows, sizes, n), coefficients)


def _packed(rows: list[Any], sizes: list[int], n: int) -> IntArray:
    """Lists of members as rows of one array, each ascending and padded with -1."""
    where = "spectrum.support"
    flat = list(chain.from_iterable(row for row in rows if isinstance(row, list)))
    if not set(map(type, rows)) <= {list} or not set(map(type, flat)) <= {int}:
        for row in rows:
            integers(row, where, None)
    if flat and not 0 <= min(flat) <= max(flat) < n:
        raise SchemaError(f"{where} must hold indices from 0 to {n - 1}.")
    lengths = np.array(sizes, dtype=np.int64)[:, None]
    out = np.full((len(rows), max(sizes, default=0)), n, dtype=np.int32)
    out[np.arange(out.shape[1]) < lengths] = flat
    out.sort(axis=1)  # the padding is the largest, and comes last
    out[out == n] = -1
    return out


def _queries(reader: Reader, n_features: int) -> tuple[Queries, bytes]:
    """The queries with empty masks in the place of the real ones, and those packed."""
    values = reader.numbers("values", MAX_QUERIES)
    densities = reader.numbers("densities", MAX_QUERIES)
    m, width = len(values), -(-n_features // 8)
    if m < 2:
        raise SchemaError("queries must hold at least the full and the empty mask.")
    if m * n_features > MAX_MASK_CELLS:
        raise SchemaError(
            f"queries holds {m} masks of {n_features} features, more than the {MAX_MASK_CELLS} "
            "entries that are read."
        )
    packed = reader.binary("masks", MAX_MASK_CELLS)
    if len(packed) != m * width:
        raise SchemaError(f"queries.masks has {len(packed)} bytes, expected {m} x {width}.")
    ends = _unpack(packed[: 2 * width], n_features)
    if not ends[0].all() or ends[1].any():
        raise SchemaError("queries must start with the full and then the empty mask.")
    empty = np.broadcast_to(np.zeros(1, dtype=np.bool_), (m, n_features))
    return Queries(empty, values, reader.integer("n_fit", 0, m), densities), packed


def _unpack(packed: bytes, n_features: int) -> BoolArray:
    rows = np.frombuffer(packed, dtype=np.uint8).reshape(-1, -(-n_features // 8))
    return np.unpackbits(rows, axis=1, count=n_features).view(np.bool_)


def _unpacked(queries: Queries, packed: bytes) -> Queries:
    return replace(queries, masks=_unpack(packed, queries.masks.shape[1]))


def _score(reader: Reader) -> DensityScore:
    density = reader.number("density")
    if not 0 < density <= 1:
        raise SchemaError(f"faithfulness.density must lie in (0, 1], got {density}.")
    return DensityScore(
        density=density,
        r2=reader.optional_number("r2"),
        linear_r2=reader.optional_number("linear_r2"),
        n_masks=reader.integer("n_masks", 0, MAX_COUNT),
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
    return {name: reader.text(name, 10_000) for name in _names(reader)}


def _numbers_by_name(reader: Reader) -> dict[str, float]:
    return {name: reader.number(name) for name in _names(reader)}


def _names(reader: Reader) -> list[str]:
    names = list(reader.data)
    if len(names) > 1000 or any(len(name) > 1000 for name in names):
        raise SchemaError(f"{reader.path} must hold at most 1000 names of 1000 characters.")
    return [whole_text(name, reader.path) for name in names]


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
        SchemaError: as :func:`record_from_json`, or it is no JSON.
    """
    if len(text) > MAX_FILE_BYTES:
        raise SchemaError(f"{name} is larger than any explanation ({MAX_FILE_BYTES} bytes).")
    return record_from_json(parsed(text, f"{name} is not an explanation"))
