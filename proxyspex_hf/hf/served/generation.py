"""text-generation by a server: how readily the served model says its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import DEFAULT_NEW_TOKENS, given_output
from proxyspex_hf.hf.served.dialects.base import ScoringDialect
from proxyspex_hf.hf.served.input import ServedInput
from proxyspex_hf.hf.served.line import Line
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.served.question import Question, question_of, tokens_of_item
from proxyspex_hf.hf.text.prompt_input import PromptInput


class ServedGeneration(ServedInput, PromptInput):
    """The set function of one prompt under a served language model; as :class:`TextGeneration`.

    Raises:
        InputError: no prompt, one that is too long, or an option that does not fit it.
        ModelError: the server cannot be used.
    """

    def __init__(self, served: ServedModel, value: Any, options: FeatureOptions) -> None:
        self.begin(served, options)
        told = self.notes
        self.read_input(served, value, options, official=None)
        dialect = served.dialect
        if not isinstance(dialect, ScoringDialect):
            raise ModelError(f"the dialect {dialect.name!r} scores no outputs.")
        self._dialect = dialect
        own = options.target is None
        if own:
            tokens, label, notes = self._own_output(options)
        else:
            tokens, label = given_output(self.tokenizer, options.target)
            notes = ()
        self.explain_output(tokens, label, own=own, notes=(*told, *notes), longest=served.longest)

    def _own_output(
        self, options: FeatureOptions
    ) -> tuple[NDArray[np.int64], str, tuple[str, ...]]:
        """Tokens and text of what the model says, and what is to be told of them."""
        prompt = self._prompt_of(np.ones(self.n_features, dtype=np.bool_))
        most = DEFAULT_NEW_TOKENS if options.max_new_tokens is None else options.max_new_tokens
        made = self.model.servers.ask(lambda line: self._dialect.output(line, prompt, most))
        tokenizer = self.tokenizer
        notes: tuple[str, ...] = ()
        if made.tokens is None:
            ids = list(tokenizer(made.text, add_special_tokens=False)["input_ids"])
            notes = (
                "The server gives its output as a text: explained are the tokens that the "
                "tokenizer makes of it, which may be others than those that were generated.",
            )
        else:
            ids = list(made.tokens)
        if any(token >= len(tokenizer) for token in ids):
            raise ModelError(
                "the server generated tokens that the tokenizer does not have: give tokenizer=... "
                "that of the served model."
            )
        if ids and len(ids) < most and ids[-1] in _marks(tokenizer):
            ids.pop()  # it stopped by itself, at a token that no tokenizer's attribute names
        ends = set(tokenizer.all_special_ids)
        while ids and ids[-1] in ends:
            ids.pop()
        if not ids:
            raise InputError(
                "the model ends its output at once, so there is nothing to explain: pass "
                "target='...' (a text) or another prompt."
            )
        return np.array(ids, dtype=np.int64), str(tokenizer.decode(ids)), notes

    def _prompt_of(self, mask: NDArray[np.bool_]) -> tuple[int, ...] | str:
        """A masked prompt as the server takes it."""
        read = tokens_of_item(self._masked.items(mask[None])[0])
        if self._dialect.takes == "text":
            return str(self.model.question(self.masked_text(mask), "", (), read).prompt)
        return tuple(read)

    def items(self, masks: BoolArray) -> list[bytes]:
        rows = as_masks(masks, self.n_features)
        target, said = tuple(self.target_ids.tolist()), self.target.label
        items = []
        for mask, item in zip(rows, self._masked.items(rows), strict=True):
            prompt = tuple(tokens_of_item(item))
            if not prompt:
                raise ModelError(
                    "a masked prompt has no tokens at all: use mask_token='...' (a text) instead "
                    "of masking='delete'."
                )
            if self._dialect.takes == "text":
                question = self.model.question(self.masked_text(mask), said, target, prompt)
            else:
                question = Question(prompt, target, "", len(prompt) + len(target))
            items.append(question.item())
        return items

    def size(self, item: bytes) -> int:
        return question_of(item).count

    def request(self, item: bytes) -> Callable[[Line], FloatArray]:
        question, dialect = question_of(item), self._dialect
        return lambda line: dialect.scores(line, question)


def _marks(tokenizer: Any) -> set[int]:
    """All tokens that stand for something else than text: models may stop at ones that only their
    generation config names, which is not at hand."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {int(token) for token, what in added.items() if what.special}
