"""text-generation: how readily the model says its output, with parts of the prompt masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.failures import is_out_of_memory
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.saying import (
    forced,
    generation_asides,
    generation_notes,
    generation_set,
    own_output,
)
from proxyspex_hf.hf.sequence import Continuations, log_probabilities, logits_size
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.text.limits import stated_limit, table_limit
from proxyspex_hf.hf.text.prompt_input import PromptInput
from proxyspex_hf.hf.text.tokens import TYPE_BIT, tokens_read
from proxyspex_hf.hf.text.unread import unread_notes
from proxyspex_hf.hf.value_function import is_rounded

#: A shorter beginning is not worth keeping.
_SHORTEST_PREFIX = 8
#: What a cache changes in the log-probabilities, relative to their size, in float32 and in half
#: precision: beyond it the model does not generate as it reads (tests/bench/architectures.py).
#: They are differences of logits, which half precision rounds at a size of their own: one step of
#: that is allowed as well. SmolLM2's logits are above 32, where bfloat16 is in steps of 0.25, and a
#: cache changes its log-probabilities by up to 0.1 (tests/test_examples_models.py).
_SAME_READING, _SAME_ROUNDED = 1e-3, 2e-2


class TextGeneration(PromptInput):
    """The set function of one prompt under a text-generation pipeline.

    The value is the log-perplexity of the pipeline's own output for the whole prompt, or of
    ``target``: minus the mean log-probability of its tokens after the masked prompt, as the
    pipeline reads it. Outputs are the log-probabilities of the tokens, (b, t).

    Raises:
        InputError: no prompt, one that is too long, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.batch_size = pipe.model, options.batch_size
        self.read_input(pipe, value, options, official=lambda mask: tokens_read(self._inputs(mask)))
        # As a call gives it: where a prompt is too long for both, its pipeline may cut the prompt.
        self.stages = Stages(
            pipe, parameters=self._prompt.call, max_new_tokens=options.max_new_tokens
        )
        whole = self._inputs(np.ones(self.n_features, dtype=np.bool_))
        # Where no table of positions ends, a model may take more than is stated.
        table = table_limit(pipe)
        self.check_length(None if table is None else table.tokens, 1)
        tokens, label = own_output(self.stages, self.tokenizer, whole, options)
        own = options.target is None
        self.explain_output(
            tokens,
            label,
            own=own,
            notes=(*(generation_notes(self.stages) if own else ()), *unread_notes(self._masked)),
            longest=None if table is None else table.tokens,
        )
        self.asides = generation_asides(self.stages) if own else ()
        self._prefix = 0
        try:
            self._reads_as_it_generates = self._same_reading(whole)
        except ModelError:
            stated = stated_limit(pipe)
            self.check_length(None if stated is None else stated.tokens, len(tokens))
            raise

    def say(self, tokens: Any) -> None:
        super().say(tokens)
        for name in ("_empty", "_continuations"):
            self.__dict__.pop(name, None)
        whole = self._inputs(np.ones(self.n_features, dtype=np.bool_))
        self._reads_as_it_generates = self._same_reading(whole)

    def _inputs(self, mask: NDArray[np.bool_]) -> Any:
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        try:
            return self.stages.inputs(self.masked_input(mask))
        except ModelError:
            self._prompt.masked_text(mask, self._masked)  # a template's refusal, and what to do
            raise

    def by_pipeline(self, mask: NDArray[np.bool_]) -> FloatArray:
        """Log-probabilities of the output after one masked prompt, (1, t): by one forward pass
        where the model reads as it generates, else by its own generation, made to say it."""
        inputs = self._inputs(mask)
        prompt = tokens_read(inputs)
        plain = prompt is not None and len(prompt) > 0 and not _padded(inputs)
        if self._reads_as_it_generates and prompt is not None and plain:
            return self._by_reading(prompt)
        try:
            return self._by_generating(inputs)
        except ModelError as error:
            if prompt is None or len(prompt):
                raise
            raise ModelError(
                "a masked prompt has no tokens at all, and the model has none to begin with: use "
                "mask_token='...' (a text) instead of masking='delete'."
            ) from error

    def _by_reading(self, prompt: NDArray[np.int64]) -> FloatArray:
        nothing = np.zeros(0, dtype=np.int64)
        try:
            with evaluating(self.model):
                rows = Continuations(self.model, nothing, self.target_ids, 0)([prompt])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(f"the model failed on one prompt: {error!r:.300}") from error
        found: FloatArray = rows.double().cpu().numpy()
        return found

    def _by_generating(self, inputs: Any) -> FloatArray:
        found: FloatArray = (
            log_probabilities(self._generated(inputs)[None], self.target_ids).double().cpu().numpy()
        )
        return found

    def _generated(self, inputs: Any) -> torch.Tensor:
        """The logits with which the pipeline generates the output, (t, vocabulary)."""
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        with evaluating(self.model):
            settings = forced(self.target_ids, generation_set(self.stages))
            made = self.stages.run(inputs, **settings)
        logits = _logits_of(made)
        if not isinstance(logits, torch.Tensor):
            raise ModelError(
                f"{type(self.stages.pipe).__name__} does not give the logits with which it "
                "generates (its _forward must return them as 'logits', as transformers' own does)."
            )
        return logits.reshape(logits.shape[-2:]).float()

    def _same_reading(self, whole: Any) -> bool:
        """Whether one forward pass gives the log-probabilities with which the model generates."""
        prompt = tokens_read(whole)
        if prompt is None or (prompt >> TYPE_BIT).any() or _padded(whole) or self._switches():
            return False
        logits = self._generated(whole)
        self.logits_size = logits_size(logits)
        generated = log_probabilities(logits[None], self.target_ids).double().cpu().numpy()
        try:
            read = self._by_reading(prompt)
        except ModelError:
            return False
        size = max(1.0, float(np.abs(generated).max()))
        limit = _SAME_READING * size
        if is_rounded(self.model):
            dtype = self.model.dtype
            step = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
            limit = max(_SAME_ROUNDED * size, step * self.logits_size)
        return bool(np.abs(read - generated).max() <= limit)

    def _switches(self) -> bool:
        """Whether some prompts end before, and some outputs behind, the length at which the model
        reads positions in another way: the whole prompt cannot tell for all of them."""
        length = _other_positions_from(self.model.config)
        longest = self._masked.longest() + len(self.target_ids)
        return length is not None and self._masked.shortest() <= length < longest

    def size(self, item: bytes) -> int:
        return max(1, len(item) // 8 - self._prefix) + len(self.target_ids)

    def variants(self) -> Sequence[Callable[[], None]]:
        """With the fixed beginning of all prompts run once, or without."""
        if not self._reads_as_it_generates:
            return ()
        shared = self._masked.fixed_start()
        kept = [shared] if shared >= _SHORTEST_PREFIX else []
        return [lambda count=count: self._keep(count) for count in (*kept, 0)]  # type: ignore[misc]

    def _keep(self, count: int) -> None:
        self._prefix = count
        self.__dict__.pop("_continuations", None)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor | FloatArray:
        if b"" in items:  # a prompt without tokens is begun as the pipeline begins it
            rest = iter(self.outputs([item for item in items if item]) if any(items) else ())
            return np.stack([np.asarray(next(rest)) if item else self._empty[0] for item in items])
        rows = [np.frombuffer(item, dtype=np.int64) for item in items]
        if any((row >> TYPE_BIT).any() for row in rows):
            raise ModelError("tokens with types are read one prompt at a time.")
        kept = self._continuations
        if all(kept.begins(row) for row in rows):
            return kept([row[self._prefix :] for row in rows])
        nothing = np.zeros(0, dtype=np.int64)
        return Continuations(self.model, nothing, self.target_ids, self._pad)(rows)

    @cached_property
    def _empty(self) -> FloatArray:
        return self.by_pipeline(np.zeros(self.n_features, dtype=np.bool_))

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or 0

    @cached_property
    def _continuations(self) -> Continuations:
        whole = np.ones((1, self.n_features), dtype=np.bool_)
        ids = np.frombuffer(self.items(whole)[0], dtype=np.int64)
        return Continuations(self.model, ids[: self._prefix].copy(), self.target_ids, self._pad)


def _padded(inputs: Any) -> bool:
    attention = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return attention is not None and not bool(attention.all())


def _logits_of(made: Any) -> Any:
    """The logits among what a pipeline's forward gives; under a name of their own since
    transformers 5.23, before that among ``additional_outputs``."""
    if not isinstance(made, Mapping):
        return None
    more = made.get("additional_outputs")
    return made.get("logits", more.get("logits") if isinstance(more, Mapping) else None)


def _other_positions_from(config: Any) -> int | None:
    """Tokens from which on a model has other positions, as those of Phi-3 (longrope); None of most
    models."""
    own = config.get_text_config()
    stated = getattr(own, "rope_parameters", None) or {}
    kinds = [stated, *(each for each in stated.values() if isinstance(each, Mapping))]
    long = [kind for kind in kinds if kind.get("rope_type") == "longrope"]
    if not long:
        return None
    name = "original_max_position_embeddings"
    return long[0].get(name) or getattr(own, name, None)
