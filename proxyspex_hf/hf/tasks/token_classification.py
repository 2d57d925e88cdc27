"""token-classification: why is this word a place, a person …?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, label_index, own_score, value_name
from proxyspex_hf.hf.tasks.token_reading import TokenReading, aggregated, held_by
from proxyspex_hf.hf.tasks.token_site import SiteInput, one_chunk
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.site import Places, overlap
from proxyspex_hf.hf.text.words import named_word, word_around
from proxyspex_hf.hf.value_function import Claims, Unread
from proxyspex_hf.record.record import Target

_STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassification(SiteInput):
    """The set function of one word's class.

    The input is a text, or ``{"text": …, "word": …}`` to name the word: itself, or its (start,
    stop) characters where it stands in the text several times. Several words in a row may be named
    as one. By default, it is the word that the pipeline is surest to be an entity (or to be
    ``target``).

    With the pipeline's (or the option's) ``aggregation_strategy`` ``"none"``, the first token of
    the word decides. With the others, ``"probability"`` is what the pipeline makes of the word's
    tokens: with ``"first"`` the first one's, with ``"max"`` the surest one's, with ``"average"``
    the mean of them; of several words the mean over the words; with ``"simple"`` the mean over all
    tokens. Behind the first word of a B- label, the I- label is meant. ``"logit"`` is the same
    mean of the logits; the other values are made of the mean probabilities.

    Where the word itself is masked, its mask tokens are read. With ``masking="delete"`` it is
    never deleted.

    Raises:
        InputError: another input, a word that is not in the text or not clear, a slow tokenizer, or
            an option that does not fit.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        text, word = _text_and_word(value)
        stages = _stages(pipe, options)
        named = None if word is None else named_word(text, word)
        one_chunk(stages, text)
        # How much of the text is read decides first: a word is chosen from that.
        cut = read_words(pipe, text, options)
        begin = 0 if text.startswith(cut.text) else len(text) - len(cut.text)
        if named is not None:
            named = (named[0] - begin, named[1] - begin)
            if named[0] < 0 or named[1] > len(cut.text):
                raise InputError(
                    f"the word {text[named[0] + begin : named[1] + begin]!r} lies beyond what the "
                    f"model reads of this text: shorten the text. {' '.join(cut.notes)}"
                )
        labels = {int(i): str(label) for i, label in pipe.model.config.id2label.items()}
        wanted = None if options.target is None else label_index(labels, options.target)
        reading = TokenReading.of(stages, cut.text, labels)
        spans = reading.chosen(wanted) if named is None else reading.words(named)
        place = (spans[0][0], spans[-1][1])
        deletes = options.masking == "delete"
        if not isinstance(options.features, str):
            options = replace(options, features=cut.features.spans)
        words = read_words(
            pipe,
            cut.text,
            options,
            read=lambda texts: one_chunk(stages, texts[0]),
            fixed=place if deletes else None,
        )
        if words.text != cut.text:
            raise InputError("the pipeline adds tokens to this text that leave it no room: cut it.")
        super().__init__(stages, words, options, spans)
        self._strategy = reading.strategy
        self._kind_of_rows = reading.strategy
        self._value = options.value
        self._labels = labels
        kind = value_name(options.value, CLASS_VALUES)
        predicted = int(self._first(self.whole)[0].argmax())
        index = predicted if wanted is None else wanted
        self.target = Target(self._label(index), index, kind, self._label(predicted))
        shown, word = self.text[slice(*place)], self.text[slice(*word_around(self.text, place))]
        self.arguments = {"word": word, "character": place[0], "stop": place[1]}
        part = "" if shown == word else f"token {shown!r} in the "
        note = f"Explained is the class of the {part}word {word!r}"
        if self._strategy != "none":
            self.arguments["aggregation_strategy"] = self._strategy
            note += f" (aggregation_strategy={self._strategy!r})"
        if deletes and len(words.features) < len(cut.features):
            note += "; it is never deleted"
        self.notes = (*cut.notes, f"{note}.")

    def _label(self, index: int) -> str:
        return self._labels.get(index, f"LABEL_{index}")

    def _found(self, mask: NDArray[np.bool_], inputs: Mapping[str, Any]) -> Places:
        text = self.masked_input(mask)
        held = held_by(inputs, text)
        found = self._site.among(mask, np.asarray(inputs["input_ids"])[0], held)
        if not len(found[0]):
            raise ModelError(
                f"the explained word has no token in a masked text ({text[:60]!r}), or lies beyond "
                "what the pipeline reads of it: shorten the text, or choose another mask_token."
            )
        return found

    def _taken(self, logits: torch.Tensor, sites: Sequence[Places]) -> torch.Tensor:
        """The first token's logits, (b, classes); of aggregated tokens (b, 2, 2, classes): mean
        logits and mean probabilities, what the first word adds to them and what the others."""
        if self._strategy == "none":
            return super()._taken(logits, sites)
        numbers = logits.to(torch.float64).cpu().numpy()
        stops = np.cumsum([len(places) for places, _ in sites])
        rows = [
            aggregated(numbers[stop - len(words) : stop], words, self._strategy)
            for stop, (_, words) in zip(stops, sites, strict=True)
        ]
        return torch.from_numpy(np.stack(rows))

    def _first(self, outputs: FloatArray) -> FloatArray:
        """What decides about the predicted class: (b, …) -> (b, classes)."""
        return outputs if outputs.ndim == 2 else outputs[:, 0, 1]

    def score(self, outputs: FloatArray) -> FloatArray:
        index = self.target.index or 0
        if self._strategy == "none":
            return class_score(outputs, index, self._value)
        logits, probabilities = np.moveaxis(self._summed(outputs, index), 1, 0)
        if callable(self._value):
            return own_score(self._value, logits)
        if self._value in (None, "logit"):
            own: FloatArray = logits[:, index]
            return own
        return class_score(np.log(np.maximum(probabilities, 1e-300)), index, self._value)

    def _summed(self, outputs: FloatArray, index: int) -> FloatArray:
        """The first word's part and the others', with I- labels for B- labels: (b, 2, classes)."""
        begins, names = self._label(index), {name: i for i, name in self._labels.items()}
        order = np.arange(outputs.shape[-1])
        inner = names.get(f"I-{begins[2:]}", names.get(begins[2:], index))
        if begins.startswith("B-") and inner < len(order):
            order[[index, inner]] = inner, index
        summed: FloatArray = outputs[:, 0] + outputs[:, 1][..., order]
        return summed

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        if self.stages is None:
            return None
        text, inputs = self.masked_input(mask), self._encoded(mask)
        places = self._found(mask, inputs)[0]
        if np.asarray(inputs["special_tokens_mask"])[0][places].any():
            return None  # the word is masked, of which the pipeline reports nothing
        held = held_by(inputs, text)[places]
        start, stop = int(held[0, 0]), int(held[-1, 1])
        if self._strategy != "none" and self._shares(inputs, places, start, stop):
            return None  # the pipeline takes a token to it that is not part of a word
        answer, outputs = self.stages.answer(text, ignore_labels=[]), self.outputs_of(mask)
        try:
            said = self._said(answer, int(places[0]), start, stop)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unread(answer) from error
        if said is None:
            return None
        label, number = said
        first = self._first(outputs)[0]
        index = int(first.argmax())
        if self._strategy == "none":
            index = next((i for i, name in self._labels.items() if name == label), index)
            made = float(class_score(outputs, index, "probability")[0])
            return [(label, number)], [(self._label(index), made)]
        tag = self.stages.pipe.get_tag(self._label(index))[1]
        made = float(self._summed(outputs, index)[0, 1, index])
        return [(label, number)], [(tag, made)]

    @staticmethod
    def _shares(inputs: Any, places: NDArray[np.int64], start: int, stop: int) -> bool:
        """Whether other tokens stand among those of the word."""
        offsets = np.asarray(inputs["offset_mapping"])[0]
        inside = (offsets[:, 0] >= start) & (offsets[:, 1] <= stop)
        inside &= np.asarray(inputs["special_tokens_mask"])[0] == 0
        return not np.array_equal(np.flatnonzero(inside), places)

    def _said(self, said: Any, place: int, start: int, stop: int) -> tuple[str, float] | None:
        """The label and the score that the pipeline's answer has for the word, if it has any."""
        if self._strategy == "none":
            own = [entity for entity in said if entity["index"] == place]
            return (str(own[0]["entity"]), float(own[0]["score"])) if own else None
        own = [
            entity for entity in said if overlap((entity["start"], entity["end"]), (start, stop))
        ]
        if len(own) != 1 or (own[0]["start"], own[0]["end"]) != (start, stop):
            return None
        return str(own[0]["entity_group"]), float(own[0]["score"])


def _stages(pipe: Any, options: FeatureOptions) -> Stages:
    """The pipeline's stages, if words can be followed through them.

    Raises:
        InputError: they cannot.
    """
    strategy = options.aggregation_strategy
    if (
        strategy is not None
        and str(getattr(strategy, "value", strategy)).lower() not in _STRATEGIES
    ):
        raise InputError(
            f"aggregation_strategy must be one of {', '.join(map(repr, _STRATEGIES))}, got "
            f"{strategy!r}."
        )
    if not getattr(pipe.tokenizer, "is_fast", False):
        raise InputError(
            f"{type(pipe.tokenizer).__name__} does not tell which characters a token holds, so a "
            "word cannot be followed: make the pipeline with a fast tokenizer."
        )
    for name in ("is_split_into_words", "offset_mapping"):
        if pipe._preprocess_params.get(name):
            raise InputError(
                f"the pipeline is set to {name}, so it takes other inputs than texts: make it "
                f"without {name}."
            )
    return Stages(pipe, aggregation_strategy=strategy)


def _text_and_word(value: Any) -> tuple[str, Any]:
    fits = isinstance(value, Mapping) and "text" in value and set(value) <= {"text", "word"}
    text = value["text"] if fits else value
    if not isinstance(text, str):
        raise InputError(
            "token-classification explains a text (str), or {'text': …, 'word': …} where the word "
            f"is a str or its (start, stop); got {value!r:.80}."
        )
    return text, value.get("word") if fits else None
