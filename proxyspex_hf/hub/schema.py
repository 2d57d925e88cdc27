"""The columns of a data set of explanations, each with its meaning: what others build on.

Two tables: ``explanations`` has a row each with all that a reader wants, ``queries`` has what was
asked of the model, so that anyone can fit again. Columns are plain Arrow types; a later version
may add some, and never changes the meaning of one without raising ``schema_version``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        meaning: what it holds, for the documentation.
        image: the Hub shows it as a picture.
        first: how many of a list are read; None for all.
    """

    name: str
    type: pa.DataType
    meaning: str
    image: bool = False
    first: int | None = None


_TEXT, _INT, _FLOAT, _BYTES = pa.string(), pa.int64(), pa.float64(), pa.binary()
_TEXTS, _FLOATS, _INDICES = pa.list_(_TEXT), pa.list_(_FLOAT), pa.list_(pa.int32())


def _rows(**fields: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(list(fields.items())))


EXPLANATIONS: tuple[Column, ...] = (
    Column("id", _TEXT, "hash of the content, 32 hexadecimal digits: equal explanations, equal id"),
    Column("schema_version", _INT, "version of these columns"),
    Column("created", _TEXT, "when it was made, ISO 8601"),
    Column("task", _TEXT, "the pipeline's task"),
    Column("model", _TEXT, "the model's name on the Hub, or its directory's"),
    Column("model_revision", _TEXT, "commit of the model, null if unknown"),
    Column("input", _TEXT, "the text as the model read it; empty without one"),
    Column(
        "image",
        pa.struct([("bytes", _BYTES), ("path", _TEXT)]),
        "the image as the model read it, null without one",
        image=True,
    ),
    Column("image_width", _INT, "its width in pixels"),
    Column("image_height", _INT, "its height in pixels"),
    Column(
        "parts",
        _rows(name=_TEXT, start=_INT, stop=_INT),
        "named ranges of the input (question, title …), half-open, in characters",
    ),
    Column(
        "feature_kind", _TEXT, "what a mask switches: words, sentences, tokens, patches, features …"
    ),
    Column("features", _TEXTS, "(n) the features' texts or names; regions of the image come first"),
    Column(
        "spans",
        _rows(start=_INT, stop=_INT),
        "where the last features lie in the input: half-open character ranges",
    ),
    Column(
        "regions",
        pa.list_(pa.list_(_INDICES)),
        "where the first features lie in the image: outlines x, y, x, y … along pixel edges; "
        "a region is the pixels inside an odd number of its outlines",
    ),
    Column("region_kind", _TEXT, "patches, superpixels or segments; null without an image"),
    Column("target", _TEXT, "which output is explained: a label, a generated text, a caption"),
    Column("target_index", _INT, "its position among the model's outputs, null if it has none"),
    Column("target_kind", _TEXT, "its unit: logit, log-odds, log-probability, similarity …"),
    Column("predicted", _TEXT, "what the model predicts for the whole input, null if nothing"),
    Column("other_label", _TEXT, "the other label of a model that has two, else null"),
    Column("n_features", _INT, "n"),
    Column(
        "support",
        pa.list_(_INDICES),
        "(k) the combinations of the spectrum: indices of features, ascending; the first is empty",
    ),
    Column(
        "coefficients",
        _FLOATS,
        "(k) their Fourier coefficients F(T): the output for kept features S is the sum over T of "
        "F(T) * (-1)^|T ∩ S|",
    ),
    Column(
        "top_interactions",
        _rows(features=_TEXT, order=_INT, effect=_FLOAT),
        "the 20 largest effects at the input in words, of those told from zero; effect = 2^|T| * "
        "sum over S ⊇ T of (-1)^|S| F(S): what the output loses without one feature, or what "
        "several do only together. Rows written before 0.2 have 2 (-1)^|T| F(T) here. Follows "
        "from the rest; not read back",
    ),
    Column(
        "effects",
        _rows(members=_INDICES, effect=_FLOAT, low=_FLOAT, high=_FLOAT),
        "the effects at the input that are told from zero, the largest first, 1,000 at most: the "
        "features' indices, ascending; the effect; both ends of its 90% interval, null without "
        "one. Absent before 0.2. Follows from the rest; not read back",
    ),
    Column(
        "effect_kinds",
        _TEXTS,
        "what each of them does: alone (it raises the output), both needed, either is enough (they "
        "raise it, together or one as well as all), lowers alone, lowers together, either one "
        "lowers. Absent before 0.2. Follows from the rest; not read back",
    ),
    Column(
        "faithfulness",
        _rows(density=_FLOAT, r2=_FLOAT, linear_r2=_FLOAT, n_masks=_INT),
        "R² on masks left out of the fit by density (share of features kept), of the explanation "
        "and of the best additive one; null where it was not measured",
    ),
    Column(
        "intervals",
        _TEXT,
        "JSON: doubt, the Gaussian process that 90% intervals come from (null where the spectrum "
        "is exact), and the interval of each R²; null before schema version 3",
    ),
    Column("n_queries", _INT, "masks that were asked, held-out ones included"),
    Column("budget", _INT, "masks that were asked to fit"),
    Column("alpha", _FLOAT, "inference multiplier: budget = alpha n log2 n; null if set otherwise"),
    Column("n_coefficients", _INT, "at most how many combinations to keep"),
    Column("max_order", _INT, "largest combination looked for, null for no limit"),
    Column("features_asked", _TEXT, "which features were asked for"),
    Column("sampling", _TEXT, "how the masks were drawn"),
    Column("masking", _TEXT, "mask: a feature is replaced; delete: it is taken away"),
    Column("mask_token", _TEXT, "what replaces it"),
    Column("image_masking", _TEXT, "what fills a region: zero, mean or blur; null without one"),
    Column("arguments", _TEXT, "the task's own arguments, as JSON"),
    Column("seed", _INT, "seed of everything random"),
    Column("fit_method", _TEXT, "the proxy's name, or exact where every subset was asked"),
    Column("fit_chosen", _TEXT, "configuration that cross-validation chose"),
    Column("fit_refinement", _TEXT, "what was done to the extracted coefficients"),
    Column("cv_r2", _FLOAT, "cross-validated R² of the proxy; null where the fit is exact"),
    Column("cv", _TEXT, "every configuration tried, as JSON"),
    Column("dropped_energy", _FLOAT, "bound on what the extraction left out"),
    Column("dtype", _TEXT, "number type of the model's weights"),
    Column("quantization", _TEXT, "int8, nf4 …; null if the weights are as they were trained"),
    Column(
        "noise_floor",
        _FLOAT,
        "largest difference between values of one mask in different batches; null if not measured",
    ),
    Column("model_bytes", _INT, "memory of the weights"),
    Column("device", _TEXT, "where the model ran"),
    Column("device_map", _rows(part=_TEXT, device=_TEXT), "the same for a model on several"),
    Column("versions", _rows(package=_TEXT, version=_TEXT), "software that made it"),
    Column("seconds", _rows(phase=_TEXT, seconds=_FLOAT), "wall time by phase"),
    Column("notes", _TEXTS, "what a reader must know"),
)

QUERIES: tuple[Column, ...] = (
    Column("id", _TEXT, "of the explanation"),
    Column("n_features", _INT, "n"),
    Column("n_fit", _INT, "the first n_fit queries were fitted, the others are held out"),
    Column(
        "masks",
        _BYTES,
        "(m) masks of n bits, 1 = kept, each row padded to whole bytes, highest bit first: "
        "numpy.unpackbits(..., axis=1, count=n). The first keeps all, the second nothing",
    ),
    Column("values", _FLOATS, "(m) what the model gave for each mask"),
    Column(
        "densities",
        _FLOATS,
        "(m) the probability with which the mask keeps a feature; 0 where it was chosen, not drawn",
    ),
)

#: What a listing shows; read without the rest.
LISTED: tuple[str, ...] = (
    "id",
    "created",
    "task",
    "model",
    "model_revision",
    "input",
    "feature_kind",
    "n_features",
    "n_queries",
    "target",
    "top_interactions",
    "faithfulness",
)

#: What a summary of many takes of each; read without the rest.
SUMMARIZED: tuple[str, ...] = (
    *("id", "task", "input", "features", "target", "target_kind", "effects", "effect_kinds"),
)


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema, with what ``datasets`` wants to know of images."""
    features = {column.name: _feature(column) for column in columns}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(column.name, column.type) for column in columns], metadata=metadata)


def _feature(column: Column) -> Any:
    return {"_type": "Image"} if column.image else _feature_of(column.type)


def _feature_of(kind: pa.DataType) -> Any:
    """``kind`` in the notation of ``datasets``."""
    if pa.types.is_list(kind):
        return {"feature": _feature_of(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature_of(field.type) for field in kind}
    name = {pa.float64(): "float64"}.get(kind, str(kind))
    return {"dtype": name, "_type": "Value"}


def field_table(columns: tuple[Column, ...]) -> str:
    """The columns as a Markdown table."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for column in columns:
        kind = "image" if column.image else _words(column.type)
        lines.append(f"| `{column.name}` | {kind} | {column.meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _words(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_words(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "(" + ", ".join(f"{field.name}: {_words(field.type)}" for field in kind) + ")"
    return {"double": "float64"}.get(str(kind), str(kind))
