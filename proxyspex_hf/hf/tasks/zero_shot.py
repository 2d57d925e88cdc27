"""zero-shot-classification: does the text entail "this example is about LABEL"?"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.failures import first_line
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages, preset
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, own_score, value_name, wanted_targets
from proxyspex_hf.hf.tasks.classification import logits_of, scores_beside
from proxyspex_hf.hf.text.masking import MaskedText
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.text.tokens import tokens_read
from proxyspex_hf.hf.value_function import Claims

#: What the pipeline is given where nothing of the text is left: it refuses an empty one.
_NOTHING = " "


class ZeroShotClassification(TokenInput):
    """The set function of one text among candidate labels.

    The input is ``{"text": …, "candidate_labels": […]}``, and optionally ``hypothesis_template``
    and ``multi_label``; what is not given is as the option or the pipeline says. Where
    ``candidate_labels`` is set on the pipeline, a text will do.

    The value is the entailment logit of the target label's hypothesis (one forward pass a mask).
    ``"probability"`` is the pipeline's own score: the softmax over the entailment logits of all
    labels (one pass each), or, with ``multi_label`` or one label, over the contradiction and the
    entailment of the one hypothesis; the other values are of the same distribution. A
    user-supplied function gets the entailment logits, (b, labels). A long text is cut where the
    pipeline cuts it beside the longest hypothesis.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self._pipe, self._options = pipe, options
        text, self._asked = _read(_with_padding(pipe), value, options)
        # The longest hypothesis leaves the least room: it decides where the text is cut.
        longest = self._asked.longest()
        words = read_words(
            self._asked.pipe,
            text,
            options,
            read=lambda texts: self._asked.inputs(longest, texts[0]),
            truncates=True,
            fixed_pair=self._asked.hypotheses[longest],
        )
        self._needed: Sequence[int] = range(len(self._asked.labels))
        super().__init__(self._asked.stages(self._needed), words, options)
        self.text = words.text[slice(*words.masked.halves[0])]
        self._beside = {longest: words.masked}
        self._value = options.value
        labels = dict(enumerate(self._asked.labels))
        kind = value_name(options.value, CLASS_VALUES, independent=self._asked.independent)
        self._every = self.whole
        predicted = int(np.argmax([self._made(label, "log-odds") for label in labels]))
        self.target, self.targets = wanted_targets(labels, options, kind, predicted)
        wanted = list(self.targets.values()) or [self.target]
        if not callable(options.value) and (kind == "logit" or self._asked.independent):
            self._needed = sorted({target.index or 0 for target in wanted})
            self.stages = self._asked.stages(self._needed)
            self.whole = self._every[:, self._needed]
        self.arguments = {
            "candidate_labels": list(self._asked.labels),
            "hypothesis_template": self._asked.template,
            "multi_label": self._asked.multi_label,
        }

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:  # noqa: ARG002
        """The logits of the inference model: (1, hypotheses, classes), of one hypothesis (b, …)."""
        if isinstance(outputs, list):
            return torch.stack([logits_of(each) for each in outputs], dim=1)
        return logits_of(outputs)

    def items(self, masks: BoolArray) -> list[bytes]:
        """The tokens beside each hypothesis that is needed; before them, how many they are."""
        rows = as_masks(masks, self.n_features)
        columns = [self._text_beside(label).items(rows) for label in self._needed]
        if rows.size and not self._masked.masked_texts(np.zeros_like(rows[0]))[0]:
            for place in np.flatnonzero(~rows.any(axis=1)):
                for label, column in zip(self._needed, columns, strict=True):
                    column[place] = self._tokens(label, _NOTHING).tobytes()
        return [
            np.array([len(part) // 8 for part in parts], dtype=np.int64).tobytes() + b"".join(parts)
            for parts in zip(*columns, strict=True)
        ]

    def size(self, item: bytes) -> int:
        return len(item) // 8 - len(self._needed)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        count = len(self._needed)
        parts: list[list[bytes]] = [[] for _ in range(count)]
        for item in items:
            stop = 8 * count
            for part, length in zip(parts, np.frombuffer(item[:stop], np.int64), strict=True):
                part.append(item[stop : stop + 8 * int(length)])
                stop += 8 * int(length)
        return torch.stack([super(ZeroShotClassification, self).outputs(p) for p in parts], dim=1)

    def _text_beside(self, label: int) -> MaskedText:
        """The text and its masked forms beside the hypothesis of a label."""
        if label not in self._beside:
            given, hypothesis = self._masked, self._asked.hypotheses[label]
            start = given.halves[-1][0]
            made = MaskedText(
                self.tokenizer,
                given.text[:start] + hypothesis,
                self.features,
                self._options.masking,
                self.mask_token,
                halves=(given.halves[0], (start, start + len(hypothesis))),
                official=lambda mask: self._tokens(label, made.masked_texts(mask)[0]),
            )
            self._beside[label] = made
        return self._beside[label]

    def _tokens(self, label: int, text: str) -> NDArray[np.int64]:
        tokens = tokens_read(self._asked.inputs(label, text))
        if tokens is None:
            raise ModelError("the pipeline gives its model more than tokens and their types.")
        return tokens

    def score(self, outputs: FloatArray) -> FloatArray:
        entailment = self._asked.pipe.entailment_id
        if callable(self._value):
            return own_score(self._value, outputs[:, :, entailment])
        place = self._needed.index(self.target.index or 0)
        return self._asked.score(outputs, place, self._value)

    def _made(self, label: int, value: str) -> float:
        """A value of the whole text."""
        return float(self._asked.score(self._every, label, value)[0])

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        asked, outputs = self._asked, self._every
        if not mask.all():  # of the labels that are asked, as if there were no others
            labels = tuple(asked.labels[label] for label in self._needed)
            asked, outputs = replace(asked, labels=labels), self.outputs_of(mask)
        places = range(len(asked.labels))
        said = asked.stages(places).answer(self.masked_input(mask), batch_size=1)
        if isinstance(said, list) and len(said) == 1:
            said = said[0]
        try:
            pairs = list(zip(map(str, said["labels"]), map(float, said["scores"]), strict=True))
        except (KeyError, TypeError, ValueError):
            pairs = None
        if pairs and not np.isfinite([score for _, score in pairs]).all():
            return None  # its softmax overflows
        made = [float(asked.score(outputs, place, "probability")[0]) for place in places]
        said = said if pairs is None else [{"label": k, "score": v} for k, v in pairs]
        return scores_beside(said, list(zip(asked.labels, made, strict=True)))

    def masked_input(self, mask: NDArray[np.bool_]) -> str:
        return self.masked_text(mask) or _NOTHING

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        row = as_masks(mask, self.n_features, "mask")[0]
        return self._masked.masked_texts(row)[0]

    @property
    def sharing(self) -> Hashable:
        whose = (id(self._pipe), id(self.model), id(self._pipe.tokenizer))
        return (type(self), *whose, self.batch_size, self._side, len(self._needed))


@dataclass(frozen=True)
class _Asked:
    """The labels, and how the pipeline is asked for them."""

    pipe: Any
    labels: tuple[str, ...]
    template: str
    multi_label: bool

    @property
    def hypotheses(self) -> tuple[str, ...]:
        return tuple(self.template.format(label) for label in self.labels)

    @property
    def independent(self) -> bool:
        """Whether each label has a probability of its own."""
        return self.multi_label or len(self.labels) == 1

    def longest(self) -> int:
        """The label of the longest hypothesis."""
        tokenized = self.pipe.tokenizer(list(self.hypotheses), add_special_tokens=False)
        return int(np.argmax([len(ids) for ids in tokenized["input_ids"]]))

    def stages(self, labels: Sequence[int]) -> Stages:
        """The pipeline's own stages for some of the labels."""
        return Stages(
            self.pipe,
            candidate_labels=[self.labels[label] for label in labels],
            hypothesis_template=self.template,
            multi_label=self.multi_label,
        )

    def inputs(self, label: int, text: str) -> Any:
        """The model inputs of a text beside one hypothesis."""
        return self.stages([label]).inputs(text or [text])[0]

    def score(self, outputs: FloatArray, place: int, value: Any) -> FloatArray:
        """The value of one of the labels: (b, labels, classes) -> (b,)."""
        entailment = self.pipe.entailment_id
        if value in (None, "logit"):
            logits: FloatArray = outputs[:, place, entailment]
            return logits
        if self.independent:
            both = [-1 if entailment == 0 else 0, entailment]
            return class_score(outputs[:, place][:, both], 1, value)
        return class_score(outputs[:, :, entailment], place, value)


def _with_padding(pipe: Any) -> Any:
    """The pipeline, with a tokenizer that has a padding token: it would set one on the user's."""
    tokenizer = pipe.tokenizer
    if tokenizer is None or tokenizer.pad_token is not None or tokenizer.eos_token is None:
        return pipe
    own = copy.copy(pipe)
    own.tokenizer = copy.deepcopy(tokenizer)
    own.tokenizer.pad_token = tokenizer.eos_token
    return own


def _read(pipe: Any, value: Any, options: FeatureOptions) -> tuple[str, _Asked]:
    given: Mapping[str, Any] = value if isinstance(value, Mapping) else {"text": value}
    text = given.get("text", given.get("sequences"))
    known = {"text", "sequences", "candidate_labels", "hypothesis_template", "multi_label"}
    labels = given.get("candidate_labels", pipe._preprocess_params.get("candidate_labels"))
    fits = set(given) <= known and not {"text", "sequences"} <= set(given)
    if not fits or not isinstance(text, str) or not isinstance(labels, (str, list, tuple)):
        raise InputError(
            "zero-shot-classification explains {'text': one text, 'candidate_labels': [...]}, with "
            f"'hypothesis_template' and 'multi_label' if wanted; got {value!r:.80}."
        )
    labels = tuple(map(str, Stages(pipe, candidate_labels=labels).preprocess["candidate_labels"]))
    if not labels:
        raise InputError("'candidate_labels' holds no label: give at least one.")
    template = _first(given, "hypothesis_template", options.hypothesis_template)
    if template is None:
        template = preset(pipe, "hypothesis_template", "This example is {}.")
    multi = _first(given, "multi_label", options.multi_label)
    if multi is None:
        multi = bool(pipe._postprocess_params.get("multi_label", False))
    if not isinstance(multi, bool):
        raise InputError(f"multi_label must be True or False, got {multi!r:.60}.")
    return text, _Asked(pipe, labels, checked_template(template, labels), multi)


def _first(given: Mapping[str, Any], name: str, option: Any) -> Any:
    return option if given.get(name) is None else given[name]


def checked_template(template: Any, labels: Sequence[str]) -> str:
    """The template, if it makes a hypothesis of every label.

    Raises:
        InputError: it has no place for a label.
    """
    try:
        bare = [label for label in labels if template.format(label) == template]
    except Exception as error:
        raise InputError(
            f"hypothesis_template={template!r:.80} cannot be filled with a label: it must be a "
            f"text with one {{}} in the label's place ({type(error).__name__}: "
            f"{first_line(error)})."
        ) from error
    if bare:
        raise InputError(
            f"hypothesis_template={template!r:.80} filled with the label {bare[0]!r} is itself "
            "again: it needs one {} in the label's place, which the pipeline fills."
        )
    return str(template)
