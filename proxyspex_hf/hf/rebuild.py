"""The input and the options of an explanation, made again from its record.

A record holds the text and the picture as the model read them. Where that is the whole input, the
same set function can be made again from the record alone.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.sequence import SEQUENCE_VALUES
from proxyspex_hf.prompts import Prompt, PromptPart
from proxyspex_hf.record.inputs import Picture
from proxyspex_hf.record.record import CALL_OPTIONS, ExplanationRecord, Target

_DIVISIONS = ("words", "sentences", "tokens", "documents", "superpixels")


def held_input(record: ExplanationRecord) -> tuple[Any, dict[str, Any]]:
    """The whole input that a record holds, and the options that divide it into the same features.

    Of ``settings.arguments``, where a file may say what it likes, only that is used which divides
    or marks the text itself.

    Raises:
        InputError: the record does not hold all of its input.
    """
    spans, picture = record.features.spans, record.picture
    if record.task == "text-generation" and record.text:
        # A chat template is part of the text already, with its special tokens; so is a prefix.
        prompt = Prompt(
            (PromptPart(record.text, "prompt", masked=True),),
            chat=False,
            special_tokens=not record.is_chat,
            prefix=False,
            blocks=record.blocks,
        )
        return prompt, {"features": spans}
    plain = not record.parts and not set(record.settings.arguments) - set(CALL_OPTIONS)
    if plain and picture is None and record.text:
        return record.text, {"features": spans}
    if plain and picture is not None and record.task == "image-classification":
        return _opened(picture), {"patches": record.features.division}
    if plain and picture is not None and record.task == "zero-shot-image-classification" and spans:
        inputs = {"image": _opened(picture), "text": record.text}
        return inputs, {"features": spans, "patches": record.features.division}
    raise InputError(
        f"an explanation of {record.task} does not hold its whole input: pass inputs=... "
        "as it was given to the explainer."
    )


def options_again(record: ExplanationRecord) -> dict[str, Any]:
    """The options that an explanation was made with, the same number as ``target`` and ``value``;
    how its input was divided only where that has a name."""
    asked = record.settings
    options: dict[str, Any] = {
        "target": _target_again(record.target),
        "value": None if record.target.kind == "value" else record.target.kind,
    }
    # A file may hold what has no meaning without words; the reader's own has none either.
    words = bool(record.features.spans)
    options["masking"] = asked.masking if words else "mask"
    options["mask_token"] = asked.mask_token if words else None
    options |= {} if words else {"features": None}
    if asked.image_masking is not None:
        options["image_masking"] = asked.image_masking
    if asked.features in _DIVISIONS[:-1]:
        options["features"] = asked.features
    if record.features.regions:
        options["patches"] = record.features.division
    for name, kind in CALL_OPTIONS.items():
        given = asked.arguments.get(name)
        if given is not None and not isinstance(given, kind):
            raise InputError(f"the explanation's {name} is not a {kind.__name__}: {given!r:.60}.")
        options[name] = given  # None too: the reader's own would give another number
    return options


def _target_again(target: Target) -> str | int | None:
    """What to pass as ``target`` to explain the same number again: the index, where it has one, as
    labels may share a name."""
    if target.kind in SEQUENCE_VALUES and target.index is None:
        return target.label  # also its own output, which might be cut at another length now
    return target.index


def _opened(picture: Picture) -> Image.Image:
    try:
        with Image.open(io.BytesIO(picture.png), formats=["PNG"]) as opened:
            return opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture of the explanation is damaged: {error}.") from error
