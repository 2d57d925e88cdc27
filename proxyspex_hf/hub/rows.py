"""A record as one row of each table, and back. Whatever comes back goes through the validation
of :mod:`proxyspex_hf.record.serialize`, the same as a file's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.record.json_reader import Reader, parsed, short
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.record.serialize import FORMAT, record_from_json, record_to_json, without_queries
from proxyspex_hf.viz.terms import ranked_terms, spell

Row = dict[str, Any]

ID_LENGTH = 32
_TOP = 20
#: Effects of one row in their own column: ten times what the shipped examples have.
MAX_EFFECTS = 1_000
#: Characters of a column that holds JSON, and bytes that they may take once parsed.
_MOST_JSON = 10_000_000
_MOST_PARSED = 48 * 2**20


def content_id(record: ExplanationRecord) -> str:
    """Hash of everything that takes part in equality: equal explanations have equal ids.

    What is absent or empty is left out, so a field that is added later changes no id.
    """
    return _identity(record, np.packbits(record.queries.masks, axis=1).tobytes())


def _identity(record: ExplanationRecord, packed: bytes, *, signed_zeros: bool = False) -> str:
    """The same, with the masks packed; ``signed_zeros`` as before 0.2, which told -0.0 from 0.0."""
    data = without_queries(record) if signed_zeros else _unsigned_zeros(without_queries(record))
    del data["format"]
    # Scores of before version 3 do not even say that they have none.
    for score in data["faithfulness"]:
        if score["interval"] is None:
            del score["interval"]
    # Thousands of numbers: their bytes are as good as their digits, and faster.
    queries = record.queries
    data["queries"] = {
        "masks": hashlib.sha256(packed).hexdigest(),
        "values": _hashed(queries.values.astype("<f8") + 0.0),
        "densities": _hashed(queries.densities.astype("<f8") + (-0.0 if signed_zeros else 0.0)),
        "n_fit": queries.n_fit,
    }
    data["provenance"] = {
        name: value
        for name, value in data["provenance"].items()
        if name not in ("created", "seconds")
    }
    # The JSON text of all of it, field by field: the whole would be several times the record.
    found = hashlib.sha256()
    for i, (name, value) in enumerate(sorted(_dense(data).items())):
        text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
        found.update(f'{", " if i else "{"}"{name}": '.encode())
        found.update(text.encode())
    found.update(b"}")
    return found.hexdigest()[:ID_LENGTH]


def _unsigned_zeros(value: Any) -> Any:
    """Plain data with 0.0 for every -0.0, to which it is equal; other numbers stay as they are."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, Mapping):
        return {name: _unsigned_zeros(item) for name, item in value.items()}
    # Lists of millions of members, or texts, have none.
    if isinstance(value, (list, tuple)) and not set(map(type, value)) <= {int, str}:
        return [_unsigned_zeros(item) for item in value]
    return value


def _hashed(array: NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _dense(data: Mapping[str, Any]) -> dict[str, Any]:
    out = {k: _dense(v) if isinstance(v, Mapping) else v for k, v in data.items()}
    return {k: v for k, v in out.items() if v is not None and v not in ([], {}, ())}


def rows_of(record: ExplanationRecord) -> tuple[Row, Row]:
    """The rows for ``explanations`` and ``queries``, with the id of what will be read back.

    Raises:
        InputError: something that could not be read back.
    """
    explanation, queries = _explanation_row(record), _query_row(record)
    try:
        identity = content_id(record_from_json(_data(explanation, queries)))
    except SchemaError as error:
        raise InputError(f"the explanation cannot be stored as a row: {error}") from error
    explanation["id"] = queries["id"] = identity
    return explanation, queries


def record_from_rows(explanation: Row, queries: Row) -> ExplanationRecord:
    """Rebuild and validate a record.

    Raises:
        SchemaError: a column is missing, damaged or of a newer version, the two rows do not belong
            together, or the content is not what its id says.
    """
    for name, row in (("explanations", explanation), ("queries", queries)):
        if row.get("id") != explanation.get("id") or not isinstance(row.get("id"), str):
            raise SchemaError(
                f"{name} has the id {short(row.get('id'))}, "
                f"expected {short(explanation.get('id'))}."
            )
    if queries.get("n_features") != explanation.get("n_features"):
        raise SchemaError(
            f"queries.n_features is {short(queries.get('n_features'))}, the explanation has "
            f"{short(explanation.get('n_features'))}."
        )

    def check(record: ExplanationRecord, packed: bytes) -> None:
        found = _identity(record, packed)
        known = explanation["id"]
        if found != known and _identity(record, packed, signed_zeros=True) != known:
            raise SchemaError(
                f"the content of {short(explanation['id'])[1:-1]} has the id {found}: it was "
                "damaged or altered after it was made."
            )

    return record_from_json(_data(explanation, queries), check)


def _explanation_row(record: ExplanationRecord) -> Row:
    data = record_to_json(record)
    features, target, fit = data["features"], data["target"], data["fit"]
    settings, provenance, picture = data["settings"], data["provenance"], record.picture
    return {
        "id": "",
        "schema_version": record.schema_version,
        "created": provenance["created"],
        "task": record.task,
        "model": provenance["model"],
        "model_revision": provenance["revision"],
        "input": record.text,
        "image": None if picture is None else {"bytes": picture.png, "path": None},
        "image_width": None if picture is None else picture.width,
        "image_height": None if picture is None else picture.height,
        "parts": data["parts"],
        "feature_kind": features["kind"],
        "features": features["labels"],
        "spans": [{"start": start, "stop": stop} for start, stop in features["spans"]],
        "regions": features["regions"],
        "region_kind": features["region_kind"],
        "target": target["label"],
        "target_index": target["index"],
        "target_kind": target["kind"],
        "predicted": target["predicted"],
        "other_label": target["other"],
        "n_features": data["spectrum"]["n_features"],
        "support": data["spectrum"]["support"],
        "coefficients": data["spectrum"]["coefficients"],
        "top_interactions": _top(record),
        **_effects(record),
        "faithfulness": [
            {name: value for name, value in score.items() if name != "interval"}
            for score in data["faithfulness"]
        ],
        "intervals": _json(
            {
                "doubt": data["doubt"],
                "faithfulness": [score["interval"] for score in data["faithfulness"]],
            }
        ),
        "n_queries": len(record.queries),
        **{name: settings[name] for name in (*_SETTINGS, *_OPTIONAL)},
        "features_asked": settings["features"],
        "arguments": _json(settings["arguments"]),
        "fit_method": fit["method"],
        "fit_chosen": fit["chosen"],
        "fit_refinement": fit["refinement"],
        "cv_r2": fit["cv_r2"],
        "cv": _json(fit["cv"]),
        "dropped_energy": fit["dropped_energy"],
        **{name: provenance[name] for name in _PROVENANCE},
        "device_map": _pairs(provenance["device_map"], "part", "device"),
        "versions": _pairs(provenance["versions"], "package", "version"),
        "seconds": _pairs(provenance["seconds"], "phase", "seconds"),
        "notes": provenance["notes"],
    }


_SETTINGS = ("budget", "n_coefficients", "sampling", "masking", "seed")
_OPTIONAL = ("mask_token", "image_masking", "alpha", "max_order")
_PROVENANCE = ("dtype", "quantization", "noise_floor", "model_bytes", "device")


def _query_row(record: ExplanationRecord) -> Row:
    queries = record.queries
    return {
        "id": "",
        "n_features": record.spectrum.n_features,
        "n_fit": queries.n_fit,
        "masks": np.packbits(queries.masks, axis=1).tobytes(),
        "values": queries.values,
        "densities": queries.densities,
    }


def _top(record: ExplanationRecord) -> list[Row]:
    words = spell(record)
    strongest = ranked_terms(record)[:_TOP]
    return [
        {
            "features": " × ".join(member.label for member in words(term)),
            "order": term.order,
            "effect": term.effect,
        }
        for term in strongest
    ]


def _effects(record: ExplanationRecord) -> Row:
    sure = sorted((e for e in record.effects if e.is_sure), key=lambda e: -abs(e.value))
    sure = sure[:MAX_EFFECTS]
    effects = [
        {
            "members": list(effect.members),
            "effect": effect.value,
            "low": None if effect.interval is None else effect.interval[0],
            "high": None if effect.interval is None else effect.interval[1],
        }
        for effect in sure
    ]
    return {"effects": effects, "effect_kinds": [effect.kind for effect in sure]}


def _data(row: Row, queries: Row) -> dict[str, Any]:
    """Both rows as a file has them, still to be validated."""
    masks = queries.get("masks")
    if not isinstance(masks, bytes):
        raise SchemaError(f"queries.masks must be bytes, got {short(masks)}.")
    image = row.get("image")
    picture = None
    if image is not None:
        png = image.get("bytes") if isinstance(image, dict) else None
        if not isinstance(png, bytes):
            raise SchemaError(f"image must hold the bytes of a PNG file, got {short(image)}.")
        picture = {
            "png": png,
            "width": row.get("image_width"),
            "height": row.get("image_height"),
        }
    return {
        "format": FORMAT,
        "schema_version": row.get("schema_version"),
        "task": row.get("task"),
        "text": row.get("input"),
        "features": {
            "kind": row.get("feature_kind"),
            "labels": row.get("features"),
            "spans": [[span.get("start"), span.get("stop")] for span in _structs(row, "spans")],
            "regions": row.get("regions"),
            "region_kind": row.get("region_kind"),
        },
        "picture": picture,
        "parts": _structs(row, "parts"),
        "target": {
            "label": row.get("target"),
            "index": row.get("target_index"),
            "kind": row.get("target_kind"),
            "predicted": row.get("predicted"),
            "other": row.get("other_label"),
        },
        "spectrum": {name: row.get(name) for name in ("n_features", "support", "coefficients")},
        "queries": {
            "masks": masks,
            "values": queries.get("values"),
            "densities": queries.get("densities"),
            "n_fit": queries.get("n_fit"),
        },
        **_intervals(row),
        "fit": {
            "method": row.get("fit_method"),
            "chosen": row.get("fit_chosen"),
            "refinement": row.get("fit_refinement"),
            "cv_r2": row.get("cv_r2"),
            "cv": _parsed(row, "cv"),
            "dropped_energy": row.get("dropped_energy"),
        },
        "settings": {
            **{name: row.get(name) for name in (*_SETTINGS, *_OPTIONAL)},
            "features": row.get("features_asked"),
            "arguments": _parsed(row, "arguments"),
        },
        "provenance": {
            **{name: row.get(name) for name in _PROVENANCE},
            "model": row.get("model"),
            "revision": row.get("model_revision"),
            "created": row.get("created"),
            "device_map": _mapping(row, "device_map", "part", "device"),
            "versions": _mapping(row, "versions", "package", "version"),
            "seconds": _mapping(row, "seconds", "phase", "seconds"),
            "notes": row.get("notes"),
        },
    }


def _intervals(row: Row) -> dict[str, Any]:
    """What intervals come from, and the scores with theirs; rows of before version 3 have none."""
    scores = _structs(row, "faithfulness")
    if row.get("intervals") is None:
        return {"doubt": None, "faithfulness": scores}
    reader = Reader(_parsed(row, "intervals"), "intervals")
    ends = reader.array("faithfulness", len(scores))
    if len(ends) != len(scores):
        raise SchemaError(f"intervals has {len(ends)} of faithfulness, expected {len(scores)}.")
    return {
        "doubt": reader.data.get("doubt"),
        "faithfulness": [
            {**score, "interval": pair} for score, pair in zip(scores, ends, strict=True)
        ],
    }


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def _parsed(row: Row, name: str) -> Any:
    text = Reader(row, "").text(name, _MOST_JSON)
    return parsed(text.encode(), f"{name} is not JSON", _MOST_PARSED)


def _structs(row: Row, name: str) -> list[Row]:
    found = Reader(row, "").array(name, 10_000_000)
    if not all(isinstance(item, dict) for item in found):
        raise SchemaError(f"{name} must hold structures.")
    return found


def _pairs(data: Mapping[str, Any], key: str, value: str) -> list[Row]:
    return [{key: name, value: item} for name, item in data.items()]


def _mapping(row: Row, name: str, key: str, value: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for item in _structs(row, name):
        label = item.get(key)
        if not isinstance(label, str) or label in out:
            raise SchemaError(f"{name}.{key} must hold texts, each once; got {short(label)}.")
        out[label] = item.get(value)
    return out
