"""Tasks about one place of a text: logits of the tokens that stand for it, under every mask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.text.prepared import Words
from proxyspex_hf.hf.text.site import Places, Site, Span
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.text.tokens import token_arrays, tokens_read


class SiteInput(TokenInput):
    """Outputs are made of the logits (b, t, classes) at the tokens of one place of the text.

    The place is found in the masked text as the pipeline reads it. Where the tokenizer composes,
    it is known beforehand.

    Args:
        stages: the pipeline's own.
        words: the text, see :func:`read_words`.
        options: the user's choices.
        spans: the place, as the ranges of one word or of several in a row.
    """

    def __init__(
        self, stages: Stages, words: Words, options: FeatureOptions, spans: Sequence[Span]
    ) -> None:
        super().__init__(stages, words, options)
        self._site = Site(words.masked, self.tokenizer, words.mask_token, spans)

    @abstractmethod
    def _found(self, mask: NDArray[np.bool_], inputs: Mapping[str, Any]) -> Places:
        """Where the place is in what the pipeline's ``preprocess`` made of a masked text."""

    def _taken(self, logits: torch.Tensor, sites: Sequence[Places]) -> torch.Tensor:
        """The row of each text: (all tokens of the sites, classes) -> (b, …).

        Here the logits of the first token of each.
        """
        starts = np.cumsum([0, *(len(places) for places, _ in sites[:-1])])
        return logits[torch.from_numpy(starts).to(logits.device)]

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:
        """The logits of all tokens, (b, t, classes)."""
        return token_logits(self.model, outputs, inputs)

    def by_pipeline(self, mask: NDArray[np.bool_]) -> FloatArray:
        if self.stages is None:
            raise ModelError(f"{type(self).__name__} has no pipeline to ask.")
        with evaluating(self.model):
            inputs = self._encoded(mask)
            places = self._found(mask, inputs)
            logits = self.read(self.stages.run(inputs), inputs)[0]
            row = self._taken(logits[torch.from_numpy(places[0])], [places])
        return np.asarray(row.to(torch.float64).numpy())

    def _encoded(self, mask: NDArray[np.bool_]) -> Any:
        """What the pipeline's ``preprocess`` makes of a masked text."""
        return one_chunk(self.stages, self.masked_input(mask))

    def items(self, masks: BoolArray) -> list[bytes]:
        """Token ids, then the places of the site's tokens, their words, and how many they are."""
        rows = as_masks(masks, self.n_features)
        if self._masked.composes:
            tokens, sites = super().items(rows), self._site.composed(rows)
        else:
            read = [self._read(mask) for mask in rows]
            tokens, sites = [ids.tobytes() for ids, _ in read], [places for _, places in read]
        return [
            item + np.array([*places, *words, len(places)], dtype=np.int64).tobytes()
            for item, (places, words) in zip(tokens, sites, strict=True)
        ]

    def _read(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Places]:
        """The tokens of one masked text, and the site in them; padding left out."""
        inputs = self._encoded(mask)
        tokens = tokens_read(inputs)
        if tokens is None:
            raise ModelError("the pipeline gives its model more than tokens and their types.")
        places, words = self._found(mask, inputs)
        if "attention_mask" in inputs:
            attended = np.asarray(inputs["attention_mask"])[0] != 0
            places = np.cumsum(attended)[places] - 1
        return tokens, (places, words)

    def size(self, item: bytes) -> int:
        return len(item) // 8 - 1 - 2 * int(np.frombuffer(item[-8:], dtype=np.int64)[0])

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        if self._pad_token is None and len(items) > 1:
            # Models without a padding token refuse batches.
            return torch.cat([self.outputs([item]) for item in items])
        stops = [8 * self.size(item) for item in items]
        rows, typed = token_arrays([item[:stop] for item, stop in zip(items, stops, strict=True)])
        sites: list[Places] = []
        for item, stop in zip(items, stops, strict=True):
            places, words = np.frombuffer(item[stop:-8], dtype=np.int64).reshape(2, -1)
            sites.append((places, words))
        longest = max(map(len, rows))
        left = [longest - len(row) if self._side == "left" else 0 for row in rows]
        row_of = np.repeat(np.arange(len(rows)), [len(places) for places, _ in sites])
        places = np.concatenate([places + by for (places, _), by in zip(sites, left, strict=True)])
        logits = self.forward(self._inputs(rows, typed))
        chosen = logits[
            torch.from_numpy(row_of).to(logits.device), torch.from_numpy(places).to(logits.device)
        ]
        return self._taken(chosen, sites)

    @property
    def sharing(self) -> Hashable:
        return (super().sharing, self._kind_of_rows)

    #: What else decides how a row of outputs is made.
    _kind_of_rows: Hashable = None


def token_logits(model: Any, outputs: Any, inputs: Any) -> torch.Tensor:
    """The logits of all tokens, (b, t, classes).

    Raises:
        ModelError: the model gives others.
    """
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[0]
    rows, tokens = inputs["input_ids"].shape
    shape = tuple(getattr(logits, "shape", ()))
    if len(shape) != 3 or shape[:2] != (rows, tokens):
        raise ModelError(
            f"{type(model).__name__} gives logits of shape {shape} for {tokens} tokens; expected "
            f"({rows}, {tokens}, classes), one row per token, to read them at one place."
        )
    return torch.as_tensor(logits).detach()


def one_chunk(stages: Stages | None, text: Any) -> Any:
    """The model inputs of a text that the pipeline reads at once.

    Raises:
        InputError: it reads it in several chunks.
    """
    inputs = [] if stages is None else stages.inputs(text)
    if not isinstance(inputs, list):
        return inputs
    if len(inputs) != 1:
        raise InputError(
            f"the pipeline reads this text in {len(inputs)} overlapping chunks (its option "
            "'stride'), so no single pass decides about a word: explain a part of the text that "
            "fits into one chunk."
        )
    return inputs[0]
