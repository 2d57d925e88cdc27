"""What a token-classification pipeline makes of a whole text: its words, and which to explain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.pipelines.token_classification import AggregationStrategy

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.tasks.token_site import one_chunk, token_logits
from proxyspex_hf.hf.text.site import Span, overlap

#: Strategies that take the tokens of a word together.
_OF_WORDS = ("first", "average", "max")


def aggregated(logits: FloatArray, words: NDArray[np.int64], strategy: str) -> FloatArray:
    """Logits and probabilities of some tokens as the pipeline aggregates them.

    Args:
        logits: (t, classes).
        words: which word each token belongs to, (t,), ascending.
        strategy: the pipeline's ``aggregation_strategy``.

    Returns:
        (2, 2, classes): of the first word and of the others, the logits and the probabilities,
        weighted so that both add up to the mean.
    """
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    if strategy == "simple":
        words = np.arange(len(words))  # every token stands for itself
    every = np.unique(words)
    out = np.zeros((2, 2, logits.shape[1]))
    for place, word in enumerate(every):
        own = np.flatnonzero(words == word)
        if strategy == "first":
            own = own[:1]
        elif strategy == "max":
            own = own[[int(probabilities[own].max(axis=1).argmax())]]
        made = np.stack([logits[own].mean(axis=0), probabilities[own].mean(axis=0)])
        out[min(place, 1)] += made / len(every)
    return out


@dataclass(frozen=True)
class TokenReading:
    """What the pipeline makes of the whole text, in one pass.

    Attributes:
        stages: the pipeline's own.
        text: the text.
        strategy: how it aggregates.
        labels: the classes' names.
        groups: places of the tokens that it takes as one, in order: words, or single tokens.
        held: the characters of each token, (t, 2).
        logits: (t, classes).
    """

    stages: Stages
    text: str
    strategy: str
    labels: Mapping[int, str]
    groups: tuple[tuple[int, ...], ...]
    held: NDArray[np.int64]
    logits: FloatArray

    @classmethod
    def of(cls, stages: Stages, text: str, labels: Mapping[int, str]) -> TokenReading:
        pipe = stages.pipe
        inputs = one_chunk(stages, text)
        with evaluating(pipe.model):
            read = token_logits(pipe.model, stages.run(inputs), inputs)[0]
        logits = read.double().numpy()
        held = held_by(inputs, text)
        strategy = strategy_of(stages)
        scores = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        entities = pipe.gather_pre_entities(
            text,
            np.asarray(inputs["input_ids"])[0],
            scores,
            [(int(a), int(b)) for a, b in held],
            np.asarray(inputs["special_tokens_mask"])[0],
            stages.postprocess.get("aggregation_strategy", AggregationStrategy.NONE),
        )
        groups: list[list[int]] = []
        for entity in entities:
            if entity["word"] == "\u2581":
                continue  # a space that is a token of its own belongs to no word
            joined = strategy in _OF_WORDS and entity["is_subword"]
            if joined and groups:
                groups[-1].append(int(entity["index"]))
            else:
                groups.append([int(entity["index"])])
        whole = tuple(
            tuple(group) for group in groups if text[held[group[0], 0] : held[group[-1], 1]].strip()
        )
        return cls(stages, text, strategy, labels, whole, held, logits)

    def words(self, named: Span) -> list[Span]:
        """The words that the pipeline takes for a named one; itself where it takes tokens."""
        if self.strategy in ("none", "simple"):
            return [named]
        return self._covering(named) or [named]

    def _covering(self, span: Span) -> list[Span]:
        found: list[Span] = []
        for group in self.groups:
            own = self._span(group)
            if overlap(own, span) and own not in found:
                found.append(own)
        return found

    def _span(self, group: Sequence[int]) -> Span:
        return self._trimmed(int(self.held[group[0], 0]), int(self.held[group[-1], 1]))

    def chosen(self, wanted: int | None) -> list[Span]:
        """The words that are surest to be an entity, or of the wanted class.

        Raises:
            InputError: the text has no word.
        """
        if not self.groups:
            raise InputError(f"the text {self.text[:40]!r} has no token that could be explained.")
        if wanted is None and self.strategy != "none":
            reported = self._reported()
            if reported is not None:
                return self.words(reported)
        sure = np.stack([self._scores(group) for group in self.groups])
        if wanted is not None:
            return self.words(self._span(self.groups[int(sure[:, wanted].argmax())]))
        ignored = self.stages.postprocess.get("ignore_labels") or ["O"]
        out = [i for i, label in self.labels.items() if label in ignored and i < sure.shape[1]]
        entity = ~np.isin(sure.argmax(axis=1), out)
        sure[:, out] = 0.0
        best = sure.max(axis=1) + entity  # what is an entity goes before what nearly is one
        return self.words(self._span(self.groups[int(best.argmax())]))

    def _scores(self, group: Sequence[int]) -> FloatArray:
        words = np.zeros(len(group), dtype=np.int64)
        strategy = "first" if self.strategy == "none" else self.strategy
        made: FloatArray = aggregated(self.logits[list(group)], words, strategy).sum(axis=0)[1]
        return made

    def _reported(self) -> Span | None:
        """The surest entity that the pipeline itself reports."""
        best, found = -math.inf, None
        try:
            for entity in self.stages.answer(self.text):
                start, stop, score = entity["start"], entity["end"], float(entity["score"])
                if score > best and self.text[start:stop].strip():
                    best, found = score, self._trimmed(int(start), int(stop))
        except (KeyError, TypeError, ValueError):  # an answer in a form of its own
            return None
        return found

    def _trimmed(self, start: int, stop: int) -> Span:
        held = self.text[start:stop]
        return start + len(held) - len(held.lstrip()), start + len(held.rstrip())


def strategy_of(stages: Stages) -> str:
    """How the pipeline aggregates tokens, by name."""
    strategy = stages.postprocess.get("aggregation_strategy", "none")
    return str(getattr(strategy, "value", strategy)).lower()


def held_by(inputs: Mapping[str, Any], text: str) -> NDArray[np.int64]:
    """The characters of the text that each token holds, (t, 2).

    Raises:
        ModelError: the pipeline does not tell.
    """
    held = inputs.get("offset_mapping")
    read = inputs.get("sentence", text)
    shift = read.find(text) if isinstance(read, str) else -1
    if held is None or shift < 0:
        raise ModelError(
            "the pipeline's preprocess does not tell which characters of the text its tokens hold "
            "(offset_mapping, and the text as 'sentence'), so a word cannot be followed."
        )
    offsets: NDArray[np.int64] = np.asarray(held).reshape(-1, 2).astype(np.int64)
    return np.where(offsets[:, :1] < offsets[:, 1:], offsets - shift, 0)
