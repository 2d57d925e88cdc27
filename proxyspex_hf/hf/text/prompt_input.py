"""A masked prompt whose output is scored: what language models share, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import SEQUENCE_VALUES, known_output, sequence_score
from proxyspex_hf.hf.targets import value_name
from proxyspex_hf.hf.text.mask_token import resolve_mask_token
from proxyspex_hf.hf.text.masking import Official
from proxyspex_hf.hf.text.prompt import read_prompt
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.record.record import Target


class PromptInput(BoundInput):
    """The set function of one prompt: how readily the model says an output after it.

    Outputs are the log-probabilities of the output's tokens, (b, t). A task calls ``read_input``
    and then ``explain_output``.

    Attributes:
        target_ids: the tokens of the explained output, (t,).
    """

    target_ids: NDArray[np.int64]

    def read_input(
        self, pipe: Any, value: Any, options: FeatureOptions, official: Official | None
    ) -> None:
        """Read the prompt as ``pipe`` does; ``official`` as :class:`MaskedText` takes it.

        Raises:
            InputError: no prompt, or an option that does not fit it.
        """
        self.tokenizer = pipe.tokenizer
        self._value = options.value
        self._kind = value_name(options.value, SEQUENCE_VALUES)
        self._prompt = read_prompt(pipe, value, options)
        self.text, self.features = self._prompt.text, self._prompt.features
        self.parts = self._prompt.parts
        self.mask_token = resolve_mask_token(self.tokenizer, options.masking, options.mask_token)
        self._masked = self._prompt.masked(self.tokenizer, options, self.mask_token, official)

    def explain_output(
        self,
        tokens: NDArray[np.int64],
        label: str,
        *,
        own: bool,
        notes: Sequence[str],
        longest: int | None,
    ) -> None:
        """Take an output for the target.

        Args:
            tokens: its ids, (t,).
            label: its text.
            own: whether the model said it by itself.
            notes: what a reader must know of it.
            longest: tokens that the model takes; None where it is not known to end anywhere.

        Raises:
            InputError: prompt and output are longer than that.
        """
        self.target_ids = tokens
        self.target = Target(label, None, self._kind, label if own else None)
        self.notes = (*self._prompt.notes, *notes)
        self.arguments = {**self._prompt.arguments, "target_tokens": tokens.tolist()}
        if self._prompt.chat and self._masked.reading == "official":
            # The text alone does not tell what the template makes of masked messages.
            self.arguments["blocks"] = None
        self.check_length(longest, len(tokens))

    def check_length(self, longest: int | None, output: int) -> None:
        """Whether the prompt and so many tokens of output fit.

        Raises:
            InputError: they do not.
        """
        length = self._masked.longest() + output
        if longest is not None and length > longest:
            raise InputError(
                f"prompt and output have up to {length} tokens, the model takes {longest}: give a "
                "shorter prompt or a smaller max_new_tokens."
            )

    def say(self, tokens: Any) -> None:
        """Explain the same output in other tokens: those in which it was once generated.

        Raises:
            InputError: they say something else.
        """
        self.target_ids = known_output(self.tokenizer, self.target.label, tokens)
        self.arguments = {**self.arguments, "target_tokens": self.target_ids.tolist()}
        for name in ("whole", "way"):
            self.__dict__.pop(name, None)

    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        row = as_masks(mask, self.n_features, "mask")[0]
        return self._prompt.pipeline_input(row, self._masked)

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,), with the chat template."""
        row = as_masks(mask, self.n_features, "mask")[0]
        return self._prompt.masked_text(row, self._masked)

    def items(self, masks: BoolArray) -> list[bytes]:
        return self._masked.items(as_masks(masks, self.n_features))

    def score(self, outputs: FloatArray) -> FloatArray:
        return sequence_score(outputs, self._value)
