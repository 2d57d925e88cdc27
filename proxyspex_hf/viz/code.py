"""The Python that makes an explanation again: what a reader copies from a picture.

Every text of the record enters as a ``repr``, so it stays a string whatever it holds.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from proxyspex_hf.record import ExplanationRecord

__all__ = ["python_code"]

#: What the record calls the models that ship, and their names in the package.
_SHIPPED = {"sentiment": "DEMO_MODEL", "clip": "DEMO_CLIP"}
#: Bytes of a picture that is written into the code.
_SMALL_PICTURE = 30_000
_DENSITIES = re.compile(r"density \d*\.?\d+(, \d*\.?\d+)*")
_FIRST_VALUES = ("logit", "log-perplexity", "similarity")
_DEFAULTS = {"n_test": 100, "n_coefficients": 500, "seed": 0, "alpha": 2.0}


def python_code(record: ExplanationRecord) -> str:
    """Lines that load the model, build the input and explain it with the recorded options.

    What a record does not hold (sound, a large picture, other images, one's own function) is named
    in a comment where it belongs. Equal software gives an equal explanation.
    """
    imports, build, given = _input(record)
    options = _options(record)
    names = ["InteractionExplainer"]
    model = record.provenance.model
    loaded = repr(model)
    if record.provenance.revision is None and model in _SHIPPED:
        loaded = _SHIPPED[model]
        names.insert(0, loaded)
    if record.parts and record.task == "text-generation":
        names += ["Prompt", "PromptPart"]
    revision = record.provenance.revision
    at = f", revision={revision!r}" if revision else ""
    settings = "".join(f",\n    {name}={value}" for name, value in options.items())
    lines = [
        *imports,
        "from transformers import pipeline",
        f"from proxyspex_hf import {', '.join(names)}",
        "",
        f"pipe = pipeline({record.task!r}, model={loaded}{at})",
    ]
    if record.task == "function":
        lines = [
            *imports,
            "from proxyspex_hf import InteractionExplainer",
            "",
            "pipe = ...  # your function: masks (b, n), 1 = kept, to numbers (b,)",
        ]
    elif record.provenance.quantization:
        lines.insert(-1, f"# Quantized when it was explained: {record.provenance.quantization!r}")
    return "\n".join(
        [
            *lines,
            *build,
            f"explanation = InteractionExplainer(pipe)(\n    {given}{settings},\n)",
            "",
        ]
    )


def _options(record: ExplanationRecord) -> dict[str, str]:
    """The recorded options that are not the defaults, as code."""
    asked, features = record.settings, record.features
    options: dict[str, Any] = {}
    if features.spans and features.kind == "spans":
        start = min((part.start for part in record.parts), default=0)
        options["features"] = [(a - start, b - start) for a, b in features.spans]
    elif features.spans and features.kind != "words":
        options["features"] = features.kind
    if asked.masking != "mask":
        options["masking"] = asked.masking
    elif asked.mask_token is not None and asked.mask_token != "[MASK]":  # noqa: S105
        options["mask_token"] = asked.mask_token
    if features.regions:
        options["patches"] = _grid(record)
        if asked.image_masking not in (None, "zero"):
            options["image_masking"] = asked.image_masking
    target = record.target
    if target.index is not None and target.predicted != target.label:
        options["target"] = target.label
    tokens = asked.arguments.get("target_tokens")
    if isinstance(tokens, (list, tuple)):
        if target.predicted is None:
            options["target"] = target.label
        else:
            options["max_new_tokens"] = len(tokens)
    if target.kind not in (*_FIRST_VALUES, "value"):
        options["value"] = target.kind
    return {name: repr(value) for name, value in (options | _effort(record)).items()}


def _effort(record: ExplanationRecord) -> dict[str, Any]:
    asked, queries, method = record.settings, record.queries, record.fit.method
    options: dict[str, Any] = {"seed": asked.seed}
    if asked.max_order is not None:
        options["max_order"] = asked.max_order
    if asked.n_coefficients != (200 if method == "paper" else _DEFAULTS["n_coefficients"]):
        options["n_coefficients"] = asked.n_coefficients
    if method == "exact":
        return options
    if asked.alpha is None:
        options["budget"] = asked.budget
    elif asked.alpha != _DEFAULTS["alpha"]:
        options["alpha"] = asked.alpha
    if asked.sampling == "uniform":
        options["density"] = "uniform"
    elif asked.sampling != "density 0.5, 0.7, 0.9" and _DENSITIES.fullmatch(asked.sampling):
        options["density"] = [float(d) for d in asked.sampling.removeprefix("density ").split(",")]
    each = max((score.n_masks for score in record.faithfulness), default=0)
    if len(queries) > queries.n_fit and each != _DEFAULTS["n_test"]:
        options["n_test"] = each
    if method not in ("blend", "constant"):
        options["proxy"] = method
    return options


def _grid(record: ExplanationRecord) -> Any:
    """(rows, columns) of the patches."""
    if record.features.region_kind == "superpixels":
        return "superpixels"
    corners = [min(ring) for region in record.features.regions for ring in region]
    return len({y for _, y in corners}), len({x for x, _ in corners})


def _input(record: ExplanationRecord) -> tuple[list[str], list[str], str]:
    """Imports, lines that build the input, and the expression of it."""
    given = record.settings.arguments
    if record.task == "function":
        return [], [], repr(list(record.features.labels))
    if record.task == "audio-classification":
        return [], ["sound = ...  # the sound itself is not in the explanation"], "sound"
    if record.picture is not None:
        imports, build = _image(record)
        if "others" in given:
            build.append("others = ...  # the other pairs are not in the explanation")
        return imports, build, _with_image(record)
    if record.task == "text-generation" and record.parts:
        return [], _prompt(record), "prompt"
    if record.parts:  # a pair of texts
        pair = {part.name: record.text[part.start : part.stop] for part in record.parts}
        return [], [], repr(pair)
    if "candidate_labels" in given or "reference" in given or "word" in given:
        known = ("candidate_labels", "hypothesis_template", "reference", "word")
        return [], [], repr({"text": record.text, **{k: given[k] for k in known if k in given}})
    return [], [], repr(record.text)


def _image(record: ExplanationRecord) -> tuple[list[str], list[str]]:
    picture = record.picture
    if picture is None or len(picture.png) > _SMALL_PICTURE:
        return ["from PIL import Image"], [
            'image = Image.open("picture.png").convert("RGB")  # the explained image'
        ]
    png = base64.b64encode(picture.png).decode("ascii")
    rows = [png[i : i + 80] for i in range(0, len(png), 80)]
    return ["import base64", "import io", "", "from PIL import Image"], [
        "png = (",
        *(f'    "{row}"' for row in rows),
        ")",
        'image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")',
    ]


def _with_image(record: ExplanationRecord) -> str:
    given = record.settings.arguments
    if record.task == "image-classification":
        return "image"
    if "others" in given:
        return f'{{"image": image, "text": {record.text!r}, "others": others}}'
    if "candidate_labels" in given:
        known = {k: given[k] for k in ("candidate_labels", "hypothesis_template") if k in given}
        return f'{{"image": image, {repr(known)[1:-1]}}}'
    text = given.get("question", record.text)
    return f'{{"image": image, "text": {text!r}}}'


def _prompt(record: ExplanationRecord) -> list[str]:
    """The prompt's parts; a chat's template is put around them again by the tokenizer."""
    starts = [start for start, _ in record.features.spans]
    first, last = record.parts[0].start, record.parts[-1].stop
    lines = ["prompt = Prompt(("]
    for part in record.parts:
        text = record.text[part.start : part.stop]
        masked = any(part.start <= start < part.stop for start in starts)
        lines.append(
            f"    PromptPart({text!r}, {part.name!r}" + (", masked=True)," if masked else "),")
        )
    whole = first == 0 and last == len(record.text)
    return [*lines, f"), chat={not whole})"]
