"""The Python that makes an explanation again: what a reader copies from a picture.

Every text of the record enters as a ``repr``, so it stays a string whatever it holds.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from proxyspex_hf.core.queries import ALPHA, ROUNDS
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import CALL_OPTIONS, ExplanationRecord

#: What the record calls the models that ship, and their names in the package.
_SHIPPED = {"sentiment": "DEMO_MODEL", "clip": "DEMO_CLIP"}
#: Bytes of a picture that is written into the code.
_SMALL_PICTURE = 30_000
_DENSITIES = re.compile(r"density \d*\.?\d+(, \d*\.?\d+)*")
_CHOSEN = re.compile(r"question (\w+), (\d{1,3}) rounds: ")
#: The value that is explained where none is named, if not the logit.
_FIRST_VALUE = {
    "text-generation": "log-perplexity",
    "image-text-to-text": "log-perplexity",
    "feature-extraction": "similarity",
}
#: Values that have a name; any other is a function of the user's.
_NAMED = {
    *("logit", "log-odds", "margin", "probability", "log-probability"),
    *("log-perplexity", "similarity", "contrastive loss"),
}
#: What a record says of where a model was served.
_PLACE = re.compile(r"(\S+(?:, \S+)*) \(dialect ([\w-]{1,40})\)")
_DEFAULTS = {"n_test": 100, "n_coefficients": 500, "seed": 0, "alpha": ALPHA}


def python_code(record: ExplanationRecord) -> str:
    """Lines that load the model, build the input and explain it with the recorded options.

    What a record does not hold (sound, a large picture, other images, a user's function) is named
    in a comment where it belongs. Equal software gives an equal explanation.
    """
    imports, build, given = _input(record)
    if _own_value(record):
        build = [*build, f"value = ...  # your own function, {record.target.kind!r}"]
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
    place = _PLACE.fullmatch(record.provenance.device)
    if place is not None and record.provenance.dtype == "as served":
        urls, dialect = place[1].split(", "), place[2]
        at = repr(urls[0]) if len(urls) == 1 else repr(urls)
        lines = [
            *imports,
            f"from proxyspex_hf import {', '.join([*names, 'ServedModel'])}",
            "",
            "# As the server names the model; tokenizer='...' where that is not a Hub id.",
            f"pipe = ServedModel(\n    {at}, model={model!r}, task={record.task!r}, "
            f"dialect={dialect!r},\n)",
        ]
    elif record.task == "function":
        lines = [
            *imports,
            "from proxyspex_hf import InteractionExplainer",
            "",
            "pipe = ...  # your function: a list of texts to numbers, (b,) or (b, classes)"
            if record.text
            else "pipe = ...  # your function: masks (b, n), 1 = kept, to numbers (b,)",
        ]
    else:
        notes = []
        if loaded not in _SHIPPED.values() and "/" not in model:
            notes = ["# The name is what the explanation holds: put a directory or a Hub id there."]
        if record.provenance.quantization:
            notes.append(f"# Quantized when it was explained: {record.provenance.quantization!r}")
        lines[-1:-1] = notes
    if record.sibling is not None:
        build = [*build, "# A sibling was explained first (see the notes): add sibling=... for it."]
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
        options["features"] = list(features.spans)
    elif features.spans and features.kind != "words":
        options["features"] = features.kind
    # Of the mask and its token: without words they are refused.
    if features.spans and asked.masking != "mask":
        options["masking"] = asked.masking
    elif features.spans and asked.mask_token not in (None, "[MASK]"):
        options["mask_token"] = asked.mask_token
    if features.regions:
        options["patches"] = features.division
        if asked.image_masking not in (None, "zero"):
            options["image_masking"] = asked.image_masking
    target = record.target
    if target.index is not None and target.predicted != target.label:
        options["target"] = target.index if record.task == "function" else target.label
    for name in CALL_OPTIONS:
        # The template stands in the input, and False is the default of the other.
        if name != "hypothesis_template" and asked.arguments.get(name):
            options[name] = asked.arguments[name]
    tokens = asked.arguments.get("target_tokens")
    if isinstance(tokens, (list, tuple)):
        if target.predicted is None:
            options["target"] = target.label
        else:
            options["max_new_tokens"] = len(tokens)
    if _own_value(record):
        options["value"] = None
    elif record.task != "function" and target.kind != _FIRST_VALUE.get(record.task, "logit"):
        options["value"] = target.kind
    code = {name: repr(value) for name, value in (options | _effort(record)).items()}
    return code | {"value": "value"} if _own_value(record) else code


def _own_value(record: ExplanationRecord) -> bool:
    return record.target.kind not in (_NAMED if record.task != "function" else {"value"})


def _effort(record: ExplanationRecord) -> dict[str, Any]:
    asked, queries, method = record.settings, record.queries, record.fit.method
    options: dict[str, Any] = {"seed": asked.seed}
    if asked.max_order is not None:
        options["max_order"] = asked.max_order
    if asked.n_coefficients != _DEFAULTS["n_coefficients"]:
        options["n_coefficients"] = asked.n_coefficients
    if method == "exact":
        return options
    if asked.alpha is None:
        options["budget"] = asked.budget
    elif asked.alpha != _DEFAULTS["alpha"]:
        options["alpha"] = asked.alpha
    options |= _masks(asked.sampling)
    if len(queries) > queries.n_fit:
        options["n_test"] = max((score.n_masks for score in record.faithfulness), default=0)
    if method not in ("blend", "constant"):
        options["proxy"] = method
    if record.fit.refinement == "LASSO" or (method == "paper" and record.fit.refinement == "none"):
        options["refine"] = "lasso"
    elif method != "constant" and record.fit.refinement == "none":
        options["refine"] = "none"
    return options


def _masks(sampling: str) -> dict[str, Any]:
    """The options that a description of the masks stands for."""
    chosen = _CHOSEN.match(sampling)
    if chosen:
        question, rounds = chosen.group(1), int(chosen.group(2))
        options: dict[str, Any] = {} if question == "any" else {"question": question}
        return options if rounds == ROUNDS else {**options, "rounds": rounds}
    if sampling == "uniform":
        return {"density": "uniform"}
    if _DENSITIES.fullmatch(sampling):
        return {"density": [float(d) for d in sampling.removeprefix("density ").split(",")]}
    return {}


def _input(record: ExplanationRecord) -> tuple[list[str], list[str], str]:
    """Imports, lines that build the input, and the expression of it."""
    given = record.settings.arguments
    if record.task == "function":
        return [], [], repr(record.text or list(record.features.labels))
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
        named = {k: given[k] for k in known if k in given}
        if "character" in given and "stop" in given:  # the word may stand there twice
            named["word"] = (given["character"], given["stop"])
        return [], [], repr({"text": record.text, **named})
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
    words = ', "mask_text": True' if "question" in given and record.features.spans else ""
    return f'{{"image": image, "text": {text!r}{words}}}'


def _prompt(record: ExplanationRecord) -> list[str]:
    """The whole text in parts: what a chat template or a system message put there is fixed."""
    starts = [start for start, _ in record.features.spans]
    lines, position = ["prompt = Prompt(("], 0
    for part in record.parts:
        lines += _fixed(record.text[position : part.start])
        text = record.text[part.start : part.stop]
        masked = any(part.start <= start < part.stop for start in starts)
        end = ", masked=True)," if masked else "),"
        lines.append(f"    PromptPart({text!r}, {part.name!r}{end}")
        position = part.stop
    lines += _fixed(record.text[position:])
    more = ", special_tokens=False" if record.is_chat else ""
    try:
        if record.blocks:
            more += f", prefix=False, blocks={record.blocks!r}"
    except InputError:
        lines.insert(
            0, "# Not the whole input: where features are masked, the chat itself reads otherwise."
        )
    return [*lines, f"), chat=False{more})"]


def _fixed(text: str) -> list[str]:
    return [f"    PromptPart({text!r}, 'around'),"] if text else []
