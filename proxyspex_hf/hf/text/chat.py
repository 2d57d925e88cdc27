"""Chats: the messages, which of them are masked, and where their texts stand once rendered.

A chat template is a program: where it puts a message cannot be found by searching its output, in
which the same words may stand elsewhere. So it is run again with a marker inside each text. Where
the output is the same but for the markers, they tell the places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxyspex_hf.errors import InputError

Message = dict[str, Any]

#: Where in a text its marker goes: a template that asks how a text begins or ends, or whether it
#: holds some word, must not be misled by all of them.
_CUTS = (0.5, 0.31, 0.0, 1.0)
#: Arguments of ``apply_chat_template`` that are about tokens; rendering to a text takes none.
_OF_TOKENS = ("add_special_tokens", "sanitize_control_tokens", "return_assistant_tokens_mask")


@dataclass(frozen=True)
class Piece:
    """One maskable text of a chat.

    Attributes:
        message: index of its message.
        part: index among the message's content parts; None where the content is one text.
        text: all of it.
    """

    message: int
    part: int | None
    text: str


def as_messages(value: Sequence[Any]) -> list[Message]:
    """The messages of a chat, as the pipeline takes them.

    Raises:
        InputError: one of them is not a message.
    """
    for i, message in enumerate(value):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InputError(
                f"message {i} of the chat must be a mapping with 'role' and 'content', got "
                f"{message!r:.60}."
            )
        if "content" not in message:
            raise InputError(
                f"message {i} of the chat ({message['role']}) has no 'content': give "
                "'content': None where it only calls tools."
            )
    return [dict(message) for message in value]


def pieces_of(messages: Sequence[Message], masked: Any = None) -> list[Piece]:
    """The texts that are masked.

    Args:
        messages: the chat.
        masked: ``"all"``, a role, the index of a message, or a list of roles and indices; default
            the last message that has a text.

    Raises:
        InputError: no such message, or none with a text.
    """
    each = [
        [piece for piece in _texts(i, message) if piece.text.strip()]
        for i, message in enumerate(messages)
    ]
    if masked is None:
        masked = _last_with_text(messages)
    chosen: set[int] = set()
    for which in masked if isinstance(masked, (list, tuple)) else [masked]:
        if isinstance(which, str):
            roles = [i for i, m in enumerate(messages) if which in ("all", m["role"])]
            found = [i for i in roles if each[i]]
            if not found:
                known = ", ".join(dict.fromkeys(repr(m["role"]) for m in messages))
                raise InputError(
                    f"mask={masked!r}: the chat has no message {which!r} with a text to mask; its "
                    f"roles are {known}."
                )
            chosen.update(found)
            continue
        if isinstance(which, bool) or not isinstance(which, int):
            raise InputError(
                "'mask' of a chat must be 'all', a role, the index of a message, or a list of "
                f"roles and indices, got {masked!r:.60}."
            )
        if not -len(messages) <= which < len(messages):
            raise InputError(f"mask={masked!r}: the chat has {len(messages)} messages.")
        if not each[which]:
            raise InputError(
                f"message {which} ({messages[which]['role']}) has no text to mask: its content is "
                f"{messages[which]['content']!r:.60}. Choose another with "
                "{'messages': […], 'mask': […]}."
            )
        chosen.add(which % len(messages))
    if not chosen:
        raise InputError("'mask' of a chat names no message: leave it out to mask the last one.")
    return [piece for i in sorted(chosen) for piece in each[i]]


def _last_with_text(messages: Sequence[Message]) -> int:
    """The last message that has a text.

    Raises:
        InputError: none has.
    """
    for i in reversed(range(len(messages))):
        if any(piece.text.strip() for piece in _texts(i, messages[i])):
            return i
    raise InputError(
        "no message of the chat has a text: there is nothing to mask. Give one a content with "
        "words."
    )


def _texts(index: int, message: Message) -> list[Piece]:
    content = message["content"]
    if isinstance(content, str):
        return [Piece(index, None, content)]
    if not isinstance(content, (list, tuple)):
        return []
    return [
        Piece(index, i, part["text"])
        for i, part in enumerate(content)
        if isinstance(part, Mapping)
        and part.get("type", "text") == "text"
        and isinstance(part.get("text"), str)
    ]


def replaced(
    messages: Sequence[Message], pieces: Sequence[Piece], texts: Sequence[str]
) -> list[Message]:
    """The chat with other texts in the places of its pieces; the user's own is left as it is."""
    changed = [dict(message) for message in messages]
    for piece, text in zip(pieces, texts, strict=True):
        message = changed[piece.message]
        if piece.part is None:
            message["content"] = text
            continue
        content = list(message["content"])
        content[piece.part] = {**content[piece.part], "text": text}
        message["content"] = content
    return changed


def render(pipe: Any, messages: Sequence[Message]) -> str:
    """What the model reads of a chat: the template with all that is set on the pipeline, and the
    last message continued or answered, as ``TextGenerationPipeline.preprocess`` decides it.

    Raises:
        InputError: no chat template, or it refuses the messages.
    """
    params = pipe._preprocess_params
    settings = dict(params.get("tokenizer_encode_kwargs") or {})
    if not (getattr(pipe.tokenizer, "chat_template", None) or settings.get("chat_template")):
        raise InputError(
            "this tokenizer has no chat template: give a text, or a Prompt with chat=False."
        )
    prefill = params.get("continue_final_message")
    if prefill is None:
        prefill = messages[-1]["role"] == "assistant"
    for name in _OF_TOKENS:
        settings.pop(name, None)
    try:
        return str(
            pipe.tokenizer.apply_chat_template(
                list(messages),
                tokenize=False,
                add_generation_prompt=not prefill,
                continue_final_message=prefill,
                tools=params.get("tools"),
                documents=params.get("documents"),
                **settings,
            )
        )
    except Exception as error:  # a template is a program: it may raise anything
        roles = ", ".join(str(message["role"]) for message in messages[:8])
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"the chat template refuses these messages ({roles}{', …' * (len(messages) > 8)}): "
            f"{first.rstrip('.')}. Give roles in the order and contents of the kind that this "
            "template takes, or apply a template yourself and give the text."
        ) from error


def located(
    write: Callable[[Sequence[str]], str],
    texts: Sequence[str],
    names: Sequence[str],
    advice: str,
) -> tuple[str, tuple[int, ...]]:
    """What a template makes of some texts, and where each begins in it, its outer spaces apart.

    Args:
        write: from the texts, in the places they have, to the whole.
        texts: none of them blank.
        names: what to call each in an error.
        advice: what one can do then.

    Raises:
        InputError: the template leaves a text out, repeats or changes it.
    """
    whole = write(texts)
    salt = next(s for s in range(len(whole) + 1) if f"[[{s}:" not in whole)
    markers = [f"[[{salt}:{i}]]" for i in range(len(texts))]
    reason = ""
    for cut in _CUTS:
        inside = [len(t) - len(t.lstrip()) + round(cut * len(t.strip())) for t in texts]
        marked = write(
            [t[:k] + mark + t[k:] for t, k, mark in zip(texts, inside, markers, strict=True)]
        )
        starts, fault = _starts(whole, marked, texts, inside, markers, names)
        if not fault:
            return whole, starts
        reason = reason or fault
    raise InputError(
        f"the chat template {reason}, so its words cannot be found in what the model reads: "
        f"{advice}."
    )


def _starts(
    whole: str,
    marked: str,
    texts: Sequence[str],
    inside: Sequence[int],
    markers: Sequence[str],
    names: Sequence[str],
) -> tuple[tuple[int, ...], str]:
    """Where the texts begin by their markers; or what is wrong, in words."""
    places: list[tuple[int, int]] = []
    for i, mark in enumerate(markers):
        times = marked.count(mark)
        if times != 1:
            return (), f"{'leaves out' if not times else 'repeats'} {names[i]}"
        places.append((marked.index(mark), i))
    starts, plain, shift = [0] * len(texts), marked, 0
    for place, i in sorted(places):
        text, mark = texts[i], markers[i]
        starts[i] = place - shift - inside[i] + len(text) - len(text.lstrip())
        shift += len(mark)
        plain = plain.replace(mark, "")
    for i, text in enumerate(texts):
        if starts[i] < 0 or not whole.startswith(text.strip(), starts[i]):
            return (), f"changes {names[i]}"
    return tuple(starts), "" if plain == whole else f"writes another text around {names[-1]}"


def numbered(names: Sequence[str]) -> list[str]:
    """Names with a number where they repeat: user 1, assistant, user 2."""
    total, seen = Counter(names), Counter[str]()
    out = []
    for name in names:
        seen[name] += 1
        out.append(f"{name} {seen[name]}" if total[name] > 1 else name)
    return out
