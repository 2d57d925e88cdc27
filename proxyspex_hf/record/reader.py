"""A record from untrusted JSON, part by part: every type, size and bound is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, cast, get_args

import numpy as np

from proxyspex_hf.checks import BoolArray, IntArray
from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.posterior import Doubt
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import Queries
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import SchemaError
from proxyspex_hf.record.inputs import (
    FeatureKind,
    Features,
    ImageMasking,
    Part,
    Picture,
    Region,
    RegionKind,
)
from proxyspex_hf.record.json_reader import (
    Reader,
    integers,
    plain,
    short,
    whole_text,
)
from proxyspex_hf.record.limits import (
    MAX_COEFFICIENTS,
    MAX_CORNERS,
    MAX_COUNT,
    MAX_EDGE,
    MAX_FEATURES,
    MAX_KERNEL,
    MAX_MASK_CELLS,
    MAX_MEMBERS,
    MAX_PNG_BYTES,
    MAX_QUERIES,
    MAX_REACH,
    MAX_SPECTRUM,
    MAX_TEXT,
    MAX_VALUE,
)
from proxyspex_hf.record.png import check_png
from proxyspex_hf.record.record import ExplanationRecord, FitReport, Provenance, Settings, Target


def read_record(top: Reader, version: int) -> tuple[ExplanationRecord, bytes]:
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
            # Files of before this field do not even say that they have none.
            other=target.optional_text("other", MAX_TEXT) if "other" in target.data else None,
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
    check_png(png)
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
    # Scaled down, for the sum itself may overflow.
    if float(np.abs(coefficients / MAX_SPECTRUM).sum()) > 1.0:
        raise SchemaError(
            "spectrum.coefficients must add up to at most "
            f"{MAX_SPECTRUM:g} in size, got {short(coefficients)}."
        )
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
    if not (np.abs(values) <= MAX_VALUE).all():
        raise SchemaError(f"queries.values must be within ±{MAX_VALUE:g}, got {short(values)}.")
    if not ((densities >= 0.0) & (densities < 1.0)).all():
        raise SchemaError(
            "queries.densities must lie in [0, 1): the share of features that a mask keeps on "
            f"average, 0 where it was chosen; got {short(densities)}."
        )
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
    return Queries(empty, values, reader.integer("n_fit", 2, m), densities), packed


def _unpack(packed: bytes, n_features: int) -> BoolArray:
    rows = np.frombuffer(packed, dtype=np.uint8).reshape(-1, -(-n_features // 8))
    return np.unpackbits(rows, axis=1, count=n_features).view(np.bool_)


def unpacked(queries: Queries, packed: bytes) -> Queries:
    """The queries with their masks, of whose bytes the number was checked."""
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


def _doubt(top: Reader) -> Doubt | None:
    if top.data.get("doubt") is None:
        return None
    reader = top.child("doubt")
    relevance = reader.numbers("relevance", MAX_FEATURES)
    pairs = reader.numbers("pairs", MAX_REACH)
    numbers: dict[str, Any] = {
        name: reader.number(name) for name in ("tilt", "product", "single", "noise")
    }
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
    kernel = MaskKernel(relevance=relevance, pairs=pairs, **numbers)
    if reader.data.get("sibling") is not None:
        kernel = replace(kernel, sibling=_sibling(reader.child("sibling"), len(relevance)))
        kernel = replace(kernel, shared=reader.number("shared"))
        if not 0.0 <= kernel.shared <= MAX_KERNEL:
            raise SchemaError("doubt.shared is not a variance, or out of range.")
    return Doubt(kernel, level, scale, inflation)


def _sibling(reader: Reader, n_features: int) -> Sibling:
    told, relevance = _spectrum(reader), None
    if reader.data.get("relevance") is not None:
        relevance = reader.numbers("relevance", MAX_FEATURES)
    within = abs(told.coefficients).max() <= MAX_KERNEL**3
    if relevance is not None:
        within = within and bool(((relevance >= 0.0) & (relevance <= MAX_KERNEL)).all())
        within = within and len(relevance) == n_features
    scale = reader.number("scale")
    if told.n_features != n_features or not within or not scale > 0.0:
        raise SchemaError("doubt.sibling is of other features, or out of range.")
    return Sibling(told, relevance, scale)


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
