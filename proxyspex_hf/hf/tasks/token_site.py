"""token-classification and fill-mask: logits at one place of the text, under every mask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, label_index, value_name
from proxyspex_hf.hf.text.prepared import Words, read_words, token_spans
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.text.tokens import token_arrays
from proxyspex_hf.hf.value_function import answer
from proxyspex_hf.record import Target

__all__ = ["FillMask", "TokenClassification"]


class _Site(TokenInput):
    """Outputs are the logits (b, classes) of the token that holds one character of the text."""

    def __init__(self, pipe: Any, words: Words, options: FeatureOptions) -> None:
        super().__init__(Stages(pipe), words, options)
        self.stages = None
        self._value = options.value
        self._kind = value_name(options.value, CLASS_VALUES)
        self._character = 0

    @abstractmethod
    def _labels(self) -> Mapping[int, str]:
        """The classes."""

    def items(self, masks: BoolArray) -> list[bytes]:
        """Token ids, and last the place of the explained token."""
        rows = as_masks(masks, self.n_features)
        places = self._masked.positions(rows, self._character)
        return [
            item + np.int64(place).tobytes()
            for item, place in zip(super().items(rows), places, strict=True)
        ]

    def size(self, item: bytes) -> int:
        return len(item) // 8 - 1

    def shortened(self, item: bytes) -> bytes:
        keep = max(1, self.size(item) // 2)
        return item[: 8 * keep] + np.int64(0).tobytes()

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        if self._pad_token is None and len(items) > 1:
            return torch.cat([self.outputs([item]) for item in items])
        rows, _ = token_arrays([item[:-8] for item in items])
        typed = token_arrays([item[:-8] for item in items])[1]
        places = np.array([np.frombuffer(item[-8:], np.int64)[0] for item in items])
        if self.tokenizer.padding_side == "left":
            places = places + max(map(len, rows)) - np.array([len(row) for row in rows])
        logits = self.model(**self._inputs(rows, typed)).logits
        return logits[torch.arange(len(items)), torch.from_numpy(places).to(logits.device)]

    def read(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.model(**inputs).logits
        return logits

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value)

    def _whole_logits(self) -> FloatArray:
        item = self.items(np.ones((1, self.n_features), dtype=np.bool_))[0]
        logits: FloatArray = answer(self, [item])[0]
        return logits


class TokenClassification(_Site):
    """The set function of one token's class: why is this word a place, a person …?

    The input is a text, or ``{"text": …, "word": …}`` to name the word; by default it is the one
    whose best class other than ``O`` is surest, or surest to be ``target``. Its first token counts.

    Raises:
        InputError: another input, a word that is not in the text, or an option that does not fit.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        text, word = _text_and_word(value)
        super().__init__(Stages(pipe), read_words(pipe, text, options), options)
        self.stages = None
        labels = self._labels()
        wanted = None if options.target is None else label_index(labels, options.target)
        if word is None:
            self._character = self._surest(labels, wanted)
        else:
            self._character = self.text.find(word)
            if self._character < 0:
                raise InputError(
                    f"the word {word!r} does not stand in the text as the model reads it."
                )
        logits = self._whole_logits()
        predicted = int(logits.argmax())
        index = predicted if wanted is None else wanted
        self.target = Target(labels[index], index, self._kind, labels[predicted])
        named = word or self._word_there()
        self.arguments = {"word": named, "character": self._character}
        self.notes = (*self.notes, f"Explained is the class of the word {named!r}.")

    def _labels(self) -> Mapping[int, str]:
        return {int(i): str(label) for i, label in self.model.config.id2label.items()}

    def _surest(self, labels: Mapping[int, str], wanted: int | None) -> int:
        """The first character of the token to explain."""
        best, where = -np.inf, 0
        for start, stop in token_spans(self.tokenizer, self.text):
            if start < stop and self.text[start:stop].strip():
                self._character = start
                logits = self._whole_logits()
                probabilities = np.exp(logits - np.logaddexp.reduce(logits))
                if wanted is None:
                    probabilities[[i for i, label in labels.items() if label == "O"]] = 0.0
                sure = probabilities.max() if wanted is None else probabilities[wanted]
                if sure > best:
                    best, where = float(sure), start
        return where

    def _word_there(self) -> str:
        for label, (start, stop) in zip(self.features.labels, self.features.spans, strict=True):
            if start <= self._character < stop:
                return label
        return self.text[self._character : self._character + 20]


class FillMask(_Site):
    """The set function of the word that stands for the mask token in the text.

    ``target`` is one token of the vocabulary (default the one the model fills in). The text's own
    mask token is never a feature; masked words are replaced by the same token, as the pipeline
    would read them.

    Raises:
        InputError: no text, no or several mask tokens in it, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        mask = getattr(pipe.tokenizer, "mask_token", None)
        if mask is None or not isinstance(value, str) or value.count(mask) != 1:
            raise InputError(
                f"fill-mask explains a text with one {mask or 'mask token'} in it, got "
                f"{value!r:.80}."
            )
        start = value.index(mask)
        words = read_words(pipe, value, options, fixed=(start, start + len(mask)))
        super().__init__(Stages(pipe), words, options)
        self.stages = None
        if start >= len(self.text):
            raise InputError("the mask token lies beyond what the model reads: shorten the text.")
        self._character = start
        logits = self._whole_logits()
        predicted = int(logits.argmax())
        index = predicted if options.target is None else self._token(options.target)
        tokens = self.tokenizer.convert_ids_to_tokens([index, predicted])
        self.target = Target(str(tokens[0]), index, self._kind, str(tokens[1]))

    def _labels(self) -> Mapping[int, str]:
        return {}

    def _token(self, wanted: str | int) -> int:
        if isinstance(wanted, int) and 0 <= wanted < len(self.tokenizer):
            return wanted
        if isinstance(wanted, str):
            known = self.tokenizer.get_vocab()
            for form in (wanted, f"\u0120{wanted}", f"\u2581{wanted}"):
                if form in known:
                    return int(known[form])
        raise InputError(f"target={wanted!r} is not one token of this model's vocabulary.")


def _text_and_word(value: Any) -> tuple[str, str | None]:
    if isinstance(value, str):
        return value, None
    if isinstance(value, Mapping) and set(value) == {"text", "word"}:
        return value["text"], value["word"]
    raise InputError(
        "token-classification explains a text (str) or {'text': …, 'word': …}; got "
        f"{type(value).__name__}."
    )
