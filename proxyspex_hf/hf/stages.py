"""A pipeline's own stages, with everything that its user has set: the definition of every value."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any

from transformers.utils.chat_template_utils import Chat

from proxyspex_hf.errors import InputError, ModelError, ProxySpexError
from proxyspex_hf.hf.failures import first_line, is_out_of_memory


class Stages:
    """``preprocess`` and ``forward`` of one pipeline, with the parameters that were set on it.

    Args:
        pipe: a transformers pipeline; subclasses with stages of their own are called as they are.
        parameters: further ones of ``preprocess``.
        call: parameters of this call, as one would give them to ``pipe(...)``; None is left out.

    Raises:
        InputError: the pipeline takes no such parameter, or refuses its value.
    """

    def __init__(
        self, pipe: Any, *, parameters: Mapping[str, Any] | None = None, **call: Any
    ) -> None:
        self.pipe = pipe
        self.call = {name: value for name, value in call.items() if value is not None}
        try:
            made = pipe._sanitize_parameters(**self.call) if self.call else ({}, {}, {})
        except Exception as error:
            raise InputError(
                f"{type(pipe).__name__} cannot be asked with {_spelled(self.call)}: "
                f"{first_line(error)}"
            ) from error
        own = (pipe._preprocess_params, pipe._forward_params, pipe._postprocess_params)
        self.preprocess, self.forward, self.postprocess = (
            {**set_before, **now} for set_before, now in zip(own, made, strict=True)
        )
        self.preprocess.update(parameters or {})

    def inputs(self, value: Any, **more: Any) -> Any:
        """The model inputs of one input: a mapping, or a list of them where the pipeline asks
        several times; ``more`` are further parameters of ``preprocess``.

        Raises:
            ModelError: the pipeline cannot read this input.
        """
        try:
            made = self.pipe.preprocess(_as_chat(value), **{**self.preprocess, **more})
            return list(made) if isinstance(made, (GeneratorType, Iterator)) else made
        except ProxySpexError:
            raise
        except Exception as error:
            raise ModelError(
                f"the pipeline cannot read {_brief(value)}: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error

    def run(self, inputs: Any, **more: Any) -> Any:
        """What the pipeline's ``forward`` gives for :meth:`inputs`, on the CPU; a list for a list.

        Out of memory is raised as it is; ``more`` are further parameters of ``forward``.

        Raises:
            ModelError: the model failed.
        """
        if isinstance(inputs, list):
            return [self.run(each, **more) for each in inputs]
        try:
            return self.pipe.forward(inputs, **{**self.forward, **more})
        except ProxySpexError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"the model failed on one input of the pipeline: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error

    def answer(self, value: Any, **more: Any) -> Any:
        """What ``pipe(value)`` itself answers, its ``postprocess`` and ``__call__`` included;
        ``more`` are further parameters of the call, left out where a subclass does not take them.

        Raises:
            ModelError: the pipeline failed.
        """
        try:
            return self.pipe(value, **{**self.call, **more})
        except Exception as error:
            refused = str(error) if isinstance(error, TypeError) else ""
            if any(f"unexpected keyword argument {name!r}" in refused for name in more):
                return self.answer(value)
            raise ModelError(
                f"the pipeline cannot answer {_brief(value)}: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error


def preset(pipe: Any, name: str, otherwise: Any) -> Any:
    """What ``preprocess`` takes for a parameter that a call leaves out: as it was set on the
    pipeline, or its own default."""
    own = inspect.signature(pipe.preprocess).parameters.get(name)
    default = otherwise if own is None or own.default is own.empty else own.default
    return pipe._preprocess_params.get(name, default)


def _as_chat(value: Any) -> Any:
    """A list of messages as what ``Pipeline.__call__`` makes of it."""
    is_chat = isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping)
    return Chat(value) if is_chat and "role" in value[0] else value


def _brief(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value[:60]!r}" if value else "an empty text"
    if isinstance(value, Mapping):
        return f"an input with {', '.join(map(repr, value))}"
    if isinstance(value, Sequence):
        return f"an input of {len(value)} parts"
    return f"an input of type {type(value).__name__}"


def _spelled(call: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r:.60}" for name, value in call.items())
