"""A prompt as the model reads it: the chat template around it, and where its features lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.text.features import text_features
from proxyspex_hf.inputs import Features, Part, TextKind
from proxyspex_hf.prompts import Prompt, PromptPart, context_prompt

__all__ = ["as_prompt", "prompt_features", "rendered"]


def as_prompt(value: Any) -> tuple[Prompt, tuple[dict[str, str], ...]]:
    """The user's input as a prompt, and the messages of a chat before it.

    A text is a prompt of one part; of a chat, the last message is masked; a mapping with
    ``context`` (or ``documents``) and ``question`` is a question over it.

    Raises:
        InputError: none of these.
    """
    if isinstance(value, Prompt):
        return value, ()
    if isinstance(value, str):
        if not value.strip():
            raise InputError("the text is empty: there is nothing to mask. Give a text with words.")
        return Prompt((PromptPart(value, "prompt", masked=True),), chat=False), ()
    if isinstance(value, Mapping):
        known = {"context", "documents", "question", "instruction", "system"}
        context = value.get("context", value.get("documents"))
        if context is not None and "question" in value and set(value) <= known:
            more = {k: v for k, v in value.items() if k in ("instruction", "system")}
            return context_prompt(context, value["question"], **more), ()
    if isinstance(value, Sequence) and value and all(_is_message(m) for m in value):
        *before, last = value
        prompt = Prompt((PromptPart(last["content"], last["role"], masked=True),), chat=True)
        return prompt, tuple(dict(message) for message in before)
    raise InputError(
        "text-generation explains a text, a chat (messages with role and content, both texts), a "
        "Prompt, or {'context': …, 'question': …}; got "
        f"{type(value).__name__}."
    )


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, Mapping)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str)
    )


def rendered(
    tokenizer: Any, prompt: Prompt, before: Sequence[Mapping[str, str]]
) -> tuple[str, int, bool]:
    """The whole text the model reads, where the prompt's own text begins in it, and whether a
    chat template was put around it.

    Raises:
        InputError: a chat without a template, or a template that changes the prompt.
    """
    chat = bool(getattr(tokenizer, "chat_template", None)) if prompt.chat is None else prompt.chat
    if not chat:
        system_text = f"{prompt.system}\n\n" if prompt.system else ""
        return system_text + prompt.text, len(system_text), False
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "this tokenizer has no chat template: give a text, or a Prompt with chat=False."
        )
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages = [*system, *before, {"role": "user", "content": prompt.text}]
    whole = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    start = whole.rfind(prompt.text)
    if start < 0:  # many templates strip what they are given
        start = whole.rfind(prompt.text.strip())
        start -= len(prompt.text) - len(prompt.text.lstrip()) if start >= 0 else 0
    if start < 0:
        raise InputError(
            "the chat template changes the prompt's text, so its features cannot be found in it: "
            "apply the template yourself and give the text."
        )
    return whole, start, True


def prompt_features(
    text: str,
    prompt: Prompt,
    start: int,
    features: TextKind | Sequence[tuple[int, int]],
    token_spans: Any,
) -> tuple[Features, tuple[Part, ...]]:
    """The features of a rendered prompt, and its named parts.

    Args:
        text: the rendered prompt.
        prompt: its parts.
        start: where they begin in ``text``.
        features: as :func:`text_features`, or ``"documents"``: each masked part is one feature;
            own ranges count characters of ``prompt.text``.
        token_spans: from a text to the character ranges of its tokens.

    Raises:
        InputError: nothing to mask, or ranges outside the prompt.
    """
    parts: list[Part] = []
    labels: list[str] = []
    spans: list[tuple[int, int]] = []
    if not isinstance(features, str):
        own = text_features(prompt.text, features)
        labels += own.labels
        spans += [(a + start, b + start) for a, b in own.spans]
    position = start
    for part in prompt.parts:
        stop = position + len(part.text)
        parts.append(Part(part.name, max(position, 0), min(stop, len(text))))
        if part.masked and part.text.strip() and isinstance(features, str):
            if features == "documents":
                inside = part.text.strip()
                begin = position + part.text.find(inside)
                labels.append(part.name)
                spans.append((begin, begin + len(inside)))
            else:
                tokens = token_spans(part.text) if features == "tokens" else ()
                found = text_features(part.text, features, tokens)
                labels += found.labels
                spans += [(a + position, b + position) for a, b in found.spans]
        position = stop
    kind: TextKind = features if isinstance(features, str) else "spans"
    return Features(tuple(labels), tuple(spans), kind), tuple(parts)
