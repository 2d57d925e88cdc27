"""The start-up test: whether a server gives what explanations are made of, before it is asked a
thousand times.

Versions of servers are known to give log-probabilities of other tokens, stale ones of a cached
beginning, ones that are off by a place, or none at all with a 200. So a few questions are asked
alone, then in another order and all at once, and their answers must fit each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.dialects.base import ClassDialect, ScoringDialect
from proxyspex_hf.hf.served.line import Line, short_reason
from proxyspex_hf.hf.served.question import Question
from proxyspex_hf.hf.served.servers import Servers

#: A text to ask about; what it says does not matter.
PASSAGE = (
    "The river that runs through the town is older than the town itself, and every spring it "
    "floods the lower streets, so that people there keep a boat beside the door and count the "
    "steps that the water has climbed since morning."
)
#: Difference of one token's log-probability, or of a logit, that no rounding explains: half
#: precision and other batches move single tokens by some hundredths. Convention.
_WRONG = 0.5
#: How far a server may be from transformers' float32: a served model may be of half precision.
_FROM_REFERENCE = 0.1
#: How far an answer may be from the same one at the start-up to be of the same model: so many times
#: the noise seen there, and at least this.
_TIMES_NOISE, _LEAST = 5.0, 0.01
#: Tries to find that a model is the same after all, in a batch of another shape; and so many times
#: the difference between these tries: under load a server may be noisier than it was at the start,
#: while another model is as far from the first each time. Convention.
_TRIES, _TIMES_SPREAD = 3, 2.0

Q = TypeVar("Q")
#: How one question is asked of one server.
Ask = Callable[[Line, Q], FloatArray]


@dataclass(frozen=True)
class StartUp(Generic[Q]):
    """What the test found.

    Attributes:
        says: what the server says of its model.
        noise: largest difference of one number between a question asked alone and with others.
        from_reference: the same between the server and transformers; None if not compared.
        requests: how many were asked.
        ask: how one question is asked.
        question: is asked now and then, to see that it is the same model.
        expected: what it was answered.
        notes: what else a reader must know.
    """

    says: dict[str, str]
    noise: float
    from_reference: float | None
    requests: int
    ask: Ask[Q] = field(repr=False)
    question: Q = field(repr=False)
    expected: FloatArray = field(repr=False)
    notes: tuple[str, ...] = ()

    def confirm(self, line: Line) -> None:
        """See that a server gives what it gave.

        Raises:
            Lost: it does not answer.
            ModelError: another model answers.
        """
        tries: list[FloatArray] = []
        worst = np.inf
        for _ in range(_TRIES):
            found = self.ask(line, self.question)
            if found.shape == self.expected.shape:
                tries.append(found)
                worst = min(worst, float(np.abs(found - self.expected).max()))
            spread = float(np.ptp(tries, axis=0).max()) if tries else 0.0
            if worst <= max(_LEAST, _TIMES_NOISE * self.noise, _TIMES_SPREAD * spread):
                return
        raise ModelError(
            f"{line.place} serves another model now: a question of the start-up test is answered "
            f"with a difference of {worst:.3g} where rounding makes {self.noise:.1g}. What was "
            "answered before is kept; make a new ServedModel to ask this one."
        )


def scores_tested(
    servers: Servers,
    line: Line,
    dialect: ScoringDialect,
    questions: Sequence[Question],
    reference: Callable[[Question], FloatArray] | None,
    decode: Callable[[Sequence[int]], str],
) -> StartUp[Question]:
    """Ask a language model's server.

    Args:
        servers: with nothing but ``line``.
        questions: (prompt, output) of one text: the first two outputs side by side are the third,
            after the first prompt.
        reference: log-probabilities by transformers.
        decode: the text of tokens, by our tokenizer.

    Raises:
        ModelError: it cannot be used, and why.
    """
    ask = dialect.scores
    alone, noise = _alone_and_together(servers, line, ask, questions)
    steps = np.concatenate(alone[:2])
    chained = float(np.abs(steps - alone[2]).max()) if steps.shape == alone[2].shape else np.inf
    if chained > _WRONG:
        raise ModelError(
            f"{line.place} gives log-probabilities that do not fit each other: two outputs one "
            f"after the other and both at once differ by {chained:.3g} in one token. They are "
            "those of other places, or of a cached prompt: update the server, or switch its prefix "
            "cache off (vLLM: --no-enable-prefix-caching)."
        )
    noise = max(noise, chained)
    asked = len(questions) * 3
    asked += _check_own_words(servers, line, dialect, questions[0], decode)
    apart = None
    if reference is not None:
        apart = _farthest([reference(q) for q in questions], alone)
        _check_reference(line, apart, noise, "token's log-probability")
    return StartUp(dialect.says(line), noise, apart, asked, ask, questions[2], alone[2])


_PERHAPS = (
    "All scores of the start-up test lie between 0 and 1. Unless the model is a regression, the "
    "server gives probabilities where raw scores were asked for, and every value is made of the "
    "wrong number: compare it with a pipeline, ServedModel(..., reference=pipe)."
)


def classes_tested(
    servers: Servers,
    line: Line,
    dialect: ClassDialect,
    texts: Sequence[tuple[int, ...] | str],
    reference: Callable[[tuple[int, ...] | str], FloatArray] | None,
) -> StartUp[tuple[int, ...] | str]:
    """The same of a classifier's server.

    Raises:
        ModelError: as :func:`scores_tested`.
    """
    ask = dialect.logits
    alone, noise = _alone_and_together(servers, line, ask, texts)
    count = len(alone[0])
    if any(len(logits) != count for logits in alone):
        raise ModelError(f"{line.place} answers different texts with different numbers of labels.")
    table = np.stack(alone)
    probable = (table >= 0).all() and (table <= 1).all()
    if count > 1 and probable and np.abs(table.sum(axis=1) - 1).max() < _LEAST:
        raise ModelError(
            f"{line.place} gives probabilities where raw scores were asked for: this version does "
            "not know use_activation=false (vLLM's /classify) or function_to_apply='none' "
            "(Inference Endpoints). Update it; for a vLLM that cannot, start it with "
            "--override-pooler-config '{\"softmax\": false}'."
        )
    apart = None
    if reference is not None:
        apart = _farthest([reference(text) for text in texts], alone)
        _check_reference(line, apart, noise, "label's raw score")
    notes = (_PERHAPS,) if probable and apart is None else ()
    asked = 3 * len(texts)
    return StartUp(dialect.says(line), noise, apart, asked, ask, texts[0], alone[0], notes)


def _alone_and_together(
    servers: Servers, line: Line, ask: Ask[Q], questions: Sequence[Q]
) -> tuple[list[FloatArray], float]:
    """The answers one by one, and how far they are from those to all of them at once, twice, in the
    other order."""
    calls = [_call(ask, question) for question in questions]
    alone = [servers.ask(call) for call in calls]
    crowd = [*reversed(range(len(calls))), *range(len(calls))]
    noise = 0.0
    groups = servers.answers([calls[i] for i in crowd])
    for place, found in (answer for group in groups for answer in group):
        expected = alone[crowd[place]]
        apart = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
        noise = max(noise, apart)
    if noise > _WRONG:
        raise ModelError(
            f"{line.place} gives other answers when several requests are in flight: the same "
            f"question differs by {noise:.3g}. Update the server; vLLM with "
            "VLLM_BATCH_INVARIANT=1 and --no-enable-prefix-caching, SGLang with "
            "--enable-deterministic-inference, give the same each time."
        )
    return alone, noise


def _call(ask: Ask[Q], question: Q) -> Callable[[Line], FloatArray]:
    return lambda line: ask(line, question)


#: Tokens that the model is let say, and tokens that are compared with its first.
_OWN, _RIVALS = 8, 3


def _check_own_words(
    servers: Servers,
    line: Line,
    dialect: ScoringDialect,
    question: Question,
    decode: Callable[[Sequence[int]], str],
) -> int:
    """What the model says itself must read as the server says, by our tokenizer; and its first
    token must be no less likely than others: log-probabilities that are off by a place may fit each
    other, but not this. Gives the number of requests."""
    said = servers.ask(lambda one: dialect.output(one, question.prompt, _OWN))
    if not said.tokens or isinstance(question.prompt, str):
        return 1
    _check_words(line, _letters(decode(said.tokens)), _letters(said.text))
    own = said.tokens[0]
    rivals = [
        token for token in dict.fromkeys([*question.target, *question.prompt]) if token != own
    ]
    scores = []
    for token in (own, *rivals[:_RIVALS]):
        one = Question(question.prompt, (token,), "", len(question.prompt) + 1)
        scores.append(float(servers.ask(_call(dialect.scores, one))[0]))
    same = len(set(scores)) == 1 and len(scores) > 1
    if same or max(scores) > scores[0] + _WRONG:
        raise ModelError(
            f"{line.place} gives log-probabilities of other places than the output's: the token "
            "that it says itself is not the likeliest. Update the server."
        )
    return 1 + len(scores)


def _check_words(line: Line, ours: str, theirs: str) -> None:
    # Each may leave out the token that ends the output, or half a character.
    if not (ours.startswith(theirs) or theirs.startswith(ours)):
        raise ModelError(
            f"{line.place} generated tokens that it reads as {short_reason(theirs)[:60]!r}, and "
            f"the tokenizer here as {short_reason(ours)[:60]!r}: give tokenizer=... that of the "
            "served model."
        )


def _letters(text: str) -> str:
    """A text without what tokenizers differ in: spaces at a beginning, halves of characters."""
    return "".join(text.replace("\ufffd", "").split())


def _farthest(ours: Sequence[FloatArray], theirs: Sequence[FloatArray]) -> float:
    """The largest difference of one number; NaN where one is NaN."""
    apart = [
        float(np.abs(own - found).max()) if own.shape == found.shape else np.inf
        for own, found in zip(ours, theirs, strict=True)
    ]
    return float(np.max(apart))


def _check_reference(line: Line, apart: float, noise: float, what: str) -> None:
    if not apart <= max(_FROM_REFERENCE, _TIMES_NOISE * noise):  # also where it is not finite
        raise ModelError(
            f"{line.place} differs from the pipeline given as reference by {apart:.3g} in one "
            f"{what}: it serves other weights, another quantization or reads other tokens."
        )


def as_reference(pipe: Any) -> Callable[[Question], FloatArray]:
    """Log-probabilities of a text-generation pipeline."""
    from proxyspex_hf.hf.evaluating import evaluating
    from proxyspex_hf.hf.sequence import Continuations

    nothing = np.zeros(0, dtype=np.int64)

    def scores(question: Question) -> FloatArray:
        prompt = question.prompt
        ids = pipe.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else list(prompt)
        target = np.array(question.target, dtype=np.int64)
        with evaluating(pipe.model):
            rows = Continuations(pipe.model, nothing, target, 0)([np.array(ids, dtype=np.int64)])
        found: FloatArray = rows[0].double().cpu().numpy()
        return found

    return scores
