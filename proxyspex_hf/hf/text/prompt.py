"""A prompt as the model reads it: the chat template around it, and where its features lie.

What a mask means is said in the pipeline's own terms: a text, or the messages of a chat with pieces
of their contents replaced. The rendered text with the same pieces replaced is the short way there,
where it leads to the same tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.text.chat import (
    Piece,
    as_messages,
    located,
    numbered,
    pieces_of,
    render,
    replaced,
)
from proxyspex_hf.hf.text.masking import MaskedText, Official
from proxyspex_hf.hf.text.parts import divided, sections_of
from proxyspex_hf.prompts import Prompt, PromptPart, context_prompt
from proxyspex_hf.record.inputs import Features, Part

Span = tuple[int, int]

#: What a call of the tokenizer takes that changes its tokens' number, not how it reads a text.
_OF_LENGTH = ("truncation", "padding", "max_length")


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt or chat with its features.

    Attributes:
        text: all that the model reads, as one text; a prefix of the pipeline's is its beginning.
        features: what is masked, in ``text``.
        parts: named ranges of ``text``: the masked messages, or the parts of a prompt.
        notes: what a reader must know of this input.
        chat: whether a chat template was put around it.
        blocks: ranges of ``text`` that are masked each on its own, see :class:`MaskedText`.
        settings: arguments of each call of the tokenizer on ``text``.
        call: what the pipeline's preprocess needs beside the input.
        arguments: what a record needs, beside the text, to read it again.
    """

    text: str
    features: Features
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    chat: bool = False
    blocks: tuple[Span, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    _pipe: Any = None
    _messages: tuple[dict[str, Any], ...] = ()
    _pieces: tuple[Piece, ...] = ()
    _prefix: int = 0

    def masked(
        self,
        tokenizer: Any,
        options: FeatureOptions,
        mask_token: str | None,
        official: Official | None = None,
    ) -> MaskedText:
        """Its text, ready for masks."""
        return MaskedText(
            tokenizer,
            self.text,
            self.features,
            options.masking,
            mask_token,
            blocks=self.blocks,
            settings=self.settings,
            official=official,
        )

    def pipeline_input(
        self, mask: NDArray[np.bool_], masked: MaskedText
    ) -> str | list[dict[str, Any]]:
        """What one would give the pipeline for one mask, shape (n,): a text, or messages."""
        if not self.chat:
            return masked.masked_text(mask)[self._prefix :]
        texts = []
        for piece, (start, stop) in zip(self._pieces, self.blocks, strict=True):
            body = piece.text.strip()
            lead, _, tail = piece.text.partition(body)
            texts.append(lead + masked.masked_range(mask, start, stop) + tail)
        return replaced(self._messages, self._pieces, texts)

    def masked_text(self, mask: NDArray[np.bool_], masked: MaskedText) -> str:
        """All that the model reads under one mask, shape (n,)."""
        given = self.pipeline_input(mask, masked)
        return masked.masked_text(mask) if isinstance(given, str) else self._rendered(given)

    def _rendered(self, messages: Sequence[dict[str, Any]]) -> str:
        try:
            return render(self._pipe, messages)
        except InputError as error:
            raise InputError(
                f"with features masked, {error} Or leave the message some text that is never "
                "masked, or use masking='mask'."
            ) from error


def read_prompt(pipe: Any, value: Any, options: FeatureOptions) -> ReadPrompt:
    """The user's input as the model reads it.

    A text is a prompt of one part. A chat is a list of messages; its last message with a text is
    masked, or those that ``{"messages": […], "mask": …}`` names. A mapping with ``context`` (or
    ``documents``) and ``question`` is a question over it.

    Args:
        pipe: a text-generation pipeline; what is set on it counts.
        value: the input.
        options: for the features.

    Raises:
        InputError: none of these, nothing to mask, or a chat template that refuses the messages,
            is not there, or does not write what it is given.
    """
    if isinstance(value, Mapping) and "messages" in value:
        if set(value) - {"messages", "mask"} or not _is_chat(value["messages"]):
            raise InputError(
                "a chat is {'messages': […]}, with 'mask' where others than the last message are "
                f"masked; got {', '.join(map(repr, value))}."
            )
        messages = as_messages(value["messages"])
        pieces = pieces_of(messages, value.get("mask"))
        return _read_chat(pipe, messages, pieces, None, options)
    if _is_chat(value):
        messages = as_messages(value)
        return _read_chat(pipe, messages, pieces_of(messages), None, options)
    prompt = _as_prompt(value)
    encode = pipe._preprocess_params.get("tokenizer_encode_kwargs") or {}
    template = getattr(pipe.tokenizer, "chat_template", None) or encode.get("chat_template")
    if not (bool(template) if prompt.chat is None else prompt.chat):
        return _read_plain(pipe, prompt, options)
    if prompt.blocks:
        raise InputError(
            "blocks have no meaning with a chat template: leave them out, or chat=False."
        )
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages = [*system, {"role": "user", "content": prompt.text}]
    piece = Piece(len(system), None, prompt.text)
    return _read_chat(pipe, messages, [piece], prompt, options)


def _is_chat(value: Any) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str) and bool(value)
    return listed and isinstance(value[0], Mapping) and "role" in value[0]


def _as_prompt(value: Any) -> Prompt:
    if isinstance(value, Prompt):
        return value
    if isinstance(value, str):
        if not value.strip():
            raise InputError("the text is empty: there is nothing to mask. Give a text with words.")
        return Prompt((PromptPart(value, "prompt", masked=True),), chat=False)
    if isinstance(value, Mapping):
        known = {"context", "documents", "question", "instruction", "system"}
        context = value.get("context", value.get("documents"))
        if context is not None and "question" in value and set(value) <= known:
            more = {k: v for k, v in value.items() if k in ("instruction", "system")}
            return context_prompt(context, value["question"], **more)
    raise InputError(
        "text-generation explains a text, a chat (a list of messages with role and content, or "
        "{'messages': …, 'mask': …}), a Prompt, or {'context': …, 'question': …}; got "
        f"{type(value).__name__}."
    )


def _read_chat(
    pipe: Any,
    messages: list[dict[str, Any]],
    pieces: Sequence[Piece],
    prompt: Prompt | None,
    options: FeatureOptions,
) -> ReadPrompt:
    """A chat, or a prompt of which the chat template makes one."""
    text, starts = located(
        lambda texts: render(pipe, replaced(messages, pieces, texts)),
        [piece.text for piece in pieces],
        [f"message {piece.message} ({messages[piece.message]['role']})" for piece in pieces],
        "mask other messages with {'messages': […], 'mask': […]}, or apply the template yourself "
        "and give the text",
    )
    placed = sorted(zip(starts, pieces, strict=True), key=lambda pair: pair[0])
    pieces = [piece for _, piece in placed]  # a template may move messages
    blocks = tuple((start, start + len(piece.text.strip())) for start, piece in placed)
    first = blocks[0][0] - len(pieces[0].text) + len(pieces[0].text.lstrip())
    if prompt is not None:
        sections = sections_of(prompt, first, blocks[0])
    else:
        labels = numbered([messages[piece.message]["role"] for piece in pieces])
        sections = [(Part(n, *block), True) for n, block in zip(labels, blocks, strict=True)]
    if not isinstance(options.features, str) and len(pieces) > 1:
        raise InputError(
            f"ranges of characters count those of one message's text, and {len(pieces)} are "
            "masked: mask one, or choose features='words'."
        )
    features = divided(pipe.tokenizer, text, sections, options.features, pieces[0].text, first)
    if features.spans[0][0] < blocks[0][0] or features.spans[-1][1] > blocks[-1][1]:
        raise InputError(
            "a range of features= begins or ends in the space around the message's text, which "
            "belongs to the chat template: leave that space out."
        )
    encode = pipe._preprocess_params.get("tokenizer_encode_kwargs") or {}
    return ReadPrompt(
        text=text,
        features=features,
        parts=tuple(part for part, _ in sections),
        notes=_notes(messages, text),
        chat=True,
        blocks=blocks,
        settings={**_reading(encode.get("tokenizer_kwargs")), "add_special_tokens": False},
        arguments={"special_tokens": False, "blocks": [list(block) for block in blocks]},
        _pipe=pipe,
        _messages=tuple(messages),
        _pieces=tuple(pieces),
    )


def _read_plain(pipe: Any, prompt: Prompt, options: FeatureOptions) -> ReadPrompt:
    """A prompt that the model reads as it stands, after the pipeline's own prefix."""
    params = pipe._preprocess_params
    encode = dict(params.get("tokenizer_encode_kwargs") or {})
    prefix = params.get("prefix") or ""
    call: dict[str, Any] = {}
    if prefix and not (prompt.prefix and prompt.special_tokens):
        prefix, call["prefix"] = "", ""
    special = encode.get("add_special_tokens", params.get("add_special_tokens"))
    if not prompt.special_tokens:
        special = call["add_special_tokens"] = False
        if "add_special_tokens" in encode:  # it would win over the call's own
            call["tokenizer_encode_kwargs"] = encode | {"add_special_tokens": False}
    before = prefix + (f"{prompt.system}\n\n" if prompt.system else "")
    text, start = before + prompt.text, len(before)
    sections = sections_of(prompt, start, (start, len(text)))
    features = divided(pipe.tokenizer, text, sections, options.features, prompt.text, start)
    # The prefix is not part of what is masked: space at its end is not deleted with a word.
    ranges = prompt.blocks or (((0, len(prompt.text)),) if prefix else ())
    blocks = tuple((start + a, start + b) for a, b in ranges)
    _check_blocks(blocks, features, text)
    arguments: dict[str, Any] = {}
    if not prompt.special_tokens:
        arguments["special_tokens"] = False
    if blocks:
        arguments["blocks"] = [list(block) for block in blocks]
    settings = _reading(encode)
    return ReadPrompt(
        text=text,
        features=features,
        parts=tuple(part for part, _ in sections),
        blocks=blocks,
        settings=settings if special is None else {**settings, "add_special_tokens": special},
        call=call,
        arguments=arguments,
        _prefix=len(prefix),
    )


def _reading(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those of the tokenizer's settings that say how it reads, not how much of it is kept."""
    return {k: v for k, v in (settings or {}).items() if k not in _OF_LENGTH}


def _check_blocks(blocks: Sequence[Span], features: Features, text: str) -> None:
    position = 0
    for start, stop in blocks:
        if not position <= start < stop <= len(text):
            raise InputError(
                f"the prompt's blocks must be ordered, disjoint and inside its text; got {blocks}."
            )
        position = stop
    for start, stop in features.spans if blocks else ():
        if not any(a <= start and stop <= b for a, b in blocks):
            raise InputError(
                f"the feature {text[start:stop]!r:.40} lies in none of the prompt's blocks."
            )


def _notes(messages: Sequence[Mapping[str, Any]], text: str) -> tuple[str, ...]:
    raw = [m for m in messages if isinstance(m["content"], list) and str(m["content"]) in text]
    if not raw:
        return ()
    return (
        "The chat template does not know contents in parts: the model reads them as Python text, "
        f"{str(raw[0]['content'])[:40]}… Give each content as one text.",
    )
