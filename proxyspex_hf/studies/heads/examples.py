"""Questions and labelled texts as a model reads them, and how its answers are judged."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.targets import label_index
from proxyspex_hf.hf.tasks.table import task_of
from proxyspex_hf.hf.text.limits import longest_input

Chat = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Choice:
    """A multiple-choice question for a language model.

    An option's score is the log-probability of its tokens after the prompt.

    Attributes:
        prompt: a text, or a chat (messages with role and content), which gets the template.
        options: two texts or more, as they follow the prompt: often with a space before.
        answer: the right one, by its number or as it is written.

    Raises:
        InputError: fewer than two options, equal ones, or an answer that is none of them.

    Example:
        >>> question = Choice("Review: dull. Sentiment:", (" negative", " positive"), " negative")
        >>> question.options[question.answer]
        ' negative'
    """

    prompt: str | Chat
    options: Sequence[str]
    answer: int | str

    def __post_init__(self) -> None:
        options = () if isinstance(self.options, str) else tuple(self.options)
        texts = all(isinstance(option, str) and option for option in options)
        if len(options) < 2 or not texts or len(set(options)) < len(options):
            raise InputError(f"options must be two different texts or more, got {self.options!r}.")
        answer = _position(self.answer, options)
        if answer is None:
            raise InputError(
                f"answer must be one of {options!r} or its number, got {self.answer!r}."
            )
        chat = not isinstance(self.prompt, str) and np.iterable(self.prompt)
        if not self.prompt or not (
            isinstance(self.prompt, str) or (chat and all(map(_is_message, self.prompt)))
        ):
            raise InputError(
                "the prompt must be a text, or messages with role and content, and not empty; got "
                f"{self.prompt!r:.60}."
            )
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "answer", answer)


@dataclass(frozen=True)
class Labelled:
    """A text with its right label, for a classifier.

    Attributes:
        text: the text.
        label: as the model's config names it, or its number.

    Raises:
        InputError: no text.

    Example:
        >>> Labelled("Not a dull minute.", "POSITIVE").label
        'POSITIVE'
    """

    text: str
    label: int | str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise InputError(f"a labelled example needs a text, got {self.text!r:.60}.")


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and {"role", "content"} <= set(message)


def _position(answer: Any, options: tuple[str, ...]) -> int | None:
    if isinstance(answer, str):
        return options.index(answer) if answer in options else None
    if isinstance(answer, bool) or not isinstance(answer, (int, np.integer)):
        return None
    return int(answer) if 0 <= answer < len(options) else None


class Examples(ABC):
    """Examples as token rows. A row's logits say something of one option or several of its example.

    Attributes:
        rows: token ids of each row.
        answers: (e,) the right option of each example.
        starts: (e + 1,) example i has the options ``starts[i]`` to ``starts[i + 1] - 1`` of all.
        alone: the model takes one row at a time only.
    """

    rows: tuple[NDArray[np.int64], ...]
    answers: NDArray[np.int64]
    starts: NDArray[np.int64]
    alone: bool = False

    def __len__(self) -> int:
        return len(self.answers)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Rows of equal length: they share forward passes, so that nothing is ever padded."""
        by_length: dict[int, list[int]] = {}
        for place, row in enumerate(self.rows):
            by_length.setdefault(len(row), []).append(place)
        return tuple(tuple(by_length[length]) for length in sorted(by_length))

    def inputs(self, rows: Sequence[int], device: torch.device) -> dict[str, Any]:
        """Model inputs of rows of one length, (rows, tokens)."""
        ids = torch.from_numpy(np.stack([self.rows[row] for row in rows])).to(device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    @abstractmethod
    def arguments(self, rows: Sequence[int], device: torch.device) -> dict[str, Any]:
        """What else a forward pass over ``rows`` is given."""

    @abstractmethod
    def read(self, logits: torch.Tensor, rows: Sequence[int]) -> tuple[list[int], torch.Tensor]:
        """Scores of options by logits (b, rows, …): which ones, k of them, and (b, k)."""

    def judged(self, scores: FloatArray) -> FloatArray:
        """Scores of all options (b, options) -> (b, e, 2): right or not, and log-probability.

        Right is 1 where the right option alone scores highest, else 0. The log-probability is that
        of the right option among the example's own.
        """
        out = np.empty((len(scores), len(self), 2))
        for i, answer in enumerate(self.answers):
            own = scores[:, self.starts[i] : self.starts[i + 1]]
            others = np.delete(own, answer, axis=1)
            out[:, i, 0] = own[:, answer] > others.max(axis=1)
            out[:, i, 1] = own[:, answer] - np.logaddexp.reduce(own, axis=1)
        return out

    def fingerprint(self) -> list[Any]:
        """All that the model reads and how it is judged, as JSON data."""
        return [[row.tolist() for row in self.rows], self.answers.tolist(), self.starts.tolist()]


class _Choices(Examples):
    """Options that begin alike share a row: one of a single token each needs one row in all."""

    def __init__(self, pipe: Any, examples: Sequence[Choice]) -> None:
        self._keeps = "logits_to_keep" in inspect.signature(pipe.model.forward).parameters
        rows: list[NDArray[np.int64]] = []
        #: For each row: (position, the token that is scored there, its option).
        self._scored: list[list[tuple[int, int, int]]] = []
        starts = [0]
        for number, example in enumerate(examples):
            try:
                wholes, shared = _continuations(pipe.tokenizer, example)
            except InputError as error:
                raise InputError(f"example {number}: {error}") from error
            first_row = len(rows)
            # The longest first: the others may be beginnings of it.
            for option in sorted(range(len(wholes)), key=lambda o: -len(wholes[o])):
                whole = wholes[option]
                place = _holding(rows, first_row, whole[:-1])
                if place == len(rows):
                    rows.append(np.array(whole[:-1], dtype=np.int64))
                    self._scored.append([])
                self._scored[place] += [
                    (at - 1, whole[at], starts[-1] + option) for at in range(shared, len(whole))
                ]
            starts.append(starts[-1] + len(wholes))
        self.rows = tuple(rows)
        self.starts = np.array(starts)
        self.answers = np.array([example.answer for example in examples])

    def fingerprint(self) -> list[Any]:
        # The last token of an option is in no row.
        return [*super().fingerprint(), self._scored]

    def _positions(self, rows: Sequence[int]) -> list[int]:
        return sorted({at for row in rows for at, _, _ in self._scored[row]})

    def arguments(self, rows: Sequence[int], device: torch.device) -> dict[str, Any]:
        more: dict[str, Any] = {"use_cache": False}
        if self._keeps:
            more["logits_to_keep"] = torch.tensor(self._positions(rows), device=device)
        return more

    def read(self, logits: torch.Tensor, rows: Sequence[int]) -> tuple[list[int], torch.Tensor]:
        at = {position: i for i, position in enumerate(self._positions(rows))}
        if not self._keeps:
            logits = logits[:, :, list(at)]
        log_probabilities = logits.float().log_softmax(dim=-1)
        found: dict[int, torch.Tensor] = {}
        for place, row in enumerate(rows):
            for position, token, option in self._scored[row]:
                score = log_probabilities[:, place, at[position], token].double()
                found[option] = found[option] + score if option in found else score
        return list(found), torch.stack(list(found.values()), dim=1)


class _Labels(Examples):
    """Each text is one row, each label of the model an option."""

    def __init__(self, pipe: Any, examples: Sequence[Labelled]) -> None:
        names = pipe.model.config.id2label
        if len(names) < 2:
            raise InputError("a classifier of two labels or more is needed, this one has one.")
        answers = []
        for number, example in enumerate(examples):
            try:
                answers.append(label_index(names, example.label))
            except InputError:
                raise InputError(
                    f"example {number}: label={example.label!r} is none of this model's: "
                    f"{', '.join(map(repr, list(names.values())[:20]))}."
                ) from None
        self.rows = tuple(
            np.array(pipe.tokenizer(example.text)["input_ids"], dtype=np.int64)
            for example in examples
        )
        self.answers = np.array(answers)
        # Decoders find their last token by it, and refuse batches without.
        self.alone = getattr(pipe.model.config, "pad_token_id", None) is None
        self.starts = np.arange(len(examples) + 1) * len(names)

    def arguments(self, rows: Sequence[int], device: torch.device) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def read(self, logits: torch.Tensor, rows: Sequence[int]) -> tuple[list[int], torch.Tensor]:
        options = [int(o) for row in rows for o in range(self.starts[row], self.starts[row + 1])]
        return options, logits.double().log_softmax(dim=-1).flatten(1)


_KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "text-generation": (Choice, _Choices),
    "text-classification": (Labelled, _Labels),
}


def prepared(pipe: Any, examples: Sequence[Choice] | Sequence[Labelled]) -> Examples:
    """Examples as the pipeline's model reads them.

    Raises:
        InputError: another task, examples of another kind than the task's, or too long for the
            model.
    """
    task = task_of(pipe)
    if task not in _KINDS:
        raise InputError(
            f"heads are studied in pipelines of {' and '.join(_KINDS)}, this one does {task}."
        )
    kind, reader = _KINDS[task]
    given = list(examples) if np.iterable(examples) else [examples]
    wrong = [example for example in given if not isinstance(example, kind)]
    if wrong or not np.iterable(examples) or not given:
        wrong = wrong or given
        came = f"{wrong[0]!r:.60}" if wrong else "none"
        raise InputError(f"examples must be a list of {kind.__name__} for {task}, got {came}.")
    found: Examples = reader(pipe, given)
    longest, length = longest_input(pipe), max(map(len, found.rows))
    if longest is not None and length > longest:
        raise InputError(
            f"an example has {length} tokens, the model takes {longest}: give shorter examples."
        )
    return found


def _continuations(tokenizer: Any, example: Choice) -> tuple[list[list[int]], int]:
    """Token ids of prompt and option together, for each option, and how many of them they share.

    Tokens may span the end of the prompt: all after the common beginning are the option's.
    """
    prompt, special = example.prompt, True
    if not isinstance(prompt, str):
        if not getattr(tokenizer, "chat_template", None):
            raise InputError("this tokenizer has no chat template: give the prompt as a text.")
        messages = [dict(message) for message in prompt]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        special = False  # the template writes them
    texts = [str(prompt), *(f"{prompt}{option}" for option in example.options)]
    ids = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in texts]
    shortest = min(map(len, ids))
    shared = next((i for i in range(shortest) if len({each[i] for each in ids}) > 1), shortest)
    wholes = ids[1:]
    if shared < 1 or len({tuple(whole) for whole in wholes}) < len(wholes):
        raise InputError("the options' tokens cannot be told apart, or nothing stands before them.")
    if any(len(whole) == shared for whole in wholes):
        raise InputError("an option adds no token to the prompt: write it with its space before.")
    return wholes, shared


def _holding(rows: list[NDArray[np.int64]], first: int, ids: list[int]) -> int:
    """The first row from ``first`` on that begins with ``ids``; past the last where none does."""
    for place in range(first, len(rows)):
        if rows[place][: len(ids)].tolist() == ids:
            return place
    return len(rows)
