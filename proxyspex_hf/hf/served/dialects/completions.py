"""OpenAI-style completions with token ids and the prompt's log-probabilities, as vLLM has them."""

from __future__ import annotations

from typing import Any

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.dialects.base import (
    Output,
    ScoringDialect,
    counted,
    listed_says,
    only_choice,
    scores_of,
)
from proxyspex_hf.hf.served.line import Line
from proxyspex_hf.hf.served.question import Question

_ID = "token_id:"


class Completions(ScoringDialect):
    """``POST /v1/completions`` with ``echo`` and ``logprobs``; prompts are lists of ids."""

    name = "completions"
    flag = (
        "vLLM gives them as it is; llama-cpp-python's server with --logits_all True; TGI with "
        "--enable-prefill-logprobs; llama.cpp's own server, `transformers serve` and chat APIs not "
        "at all."
    )

    def says(self, line: Line) -> dict[str, str]:
        return listed_says(line, self.model)

    def scores(self, line: Line, question: Question) -> FloatArray:
        answer = line.post(
            "/v1/completions",
            {
                "model": self.model,
                "prompt": question.ids,
                "max_tokens": 1,
                "temperature": 0,
                "echo": True,
                "logprobs": 1,
                "add_special_tokens": False,
                "return_tokens_as_token_ids": True,
            },
        )
        choice = only_choice(line, answer, self.model)
        given = choice.get("logprobs")
        values = given.get("token_logprobs") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(values, list):
            raise self.missing(line)
        counted(line, answer, question.count)
        start, wanted = len(question.prompt), len(question.target)
        # One entry a token of the prompt, and perhaps one of what was generated.
        if not start + wanted <= len(values) <= start + wanted + 1:
            raise ModelError(
                f"{line.place} gave {len(values)} log-probabilities for {start + wanted} tokens: "
                f"some are left out or were cut. {self.flag}"
            )
        _check_ids(line, given.get("tokens"), start, question.target)
        return scores_of(values[start : start + wanted], line, self)

    def output(self, line: Line, prompt: tuple[int, ...] | str, most: int) -> Output:
        answer = line.post(
            "/v1/completions",
            {
                "model": self.model,
                "prompt": list(prompt),
                "max_tokens": most,
                "temperature": 0,
                "add_special_tokens": False,
                "return_token_ids": True,
            },
        )
        choice = only_choice(line, answer, self.model)
        return output_of(line, choice.get("token_ids"), choice.get("text"), most)


def output_of(line: Line, tokens: Any, text: Any, most: int) -> Output:
    """What was generated, by its ids where there are some.

    Raises:
        ModelError: neither ids nor a text, or more than ``most`` ids.
    """
    if not isinstance(text, str):
        raise ModelError(f"{line.place} answered without the text that it generated.")
    known = isinstance(tokens, list) and all(type(token) is int and token >= 0 for token in tokens)
    if known and (tokens or not text):
        if len(tokens) > most:
            raise ModelError(
                f"{line.place} generated {len(tokens)} tokens where {most} at most were asked for: "
                "it does not heed max_tokens. Name the output with target='...'."
            )
        return Output(tuple(tokens), text)
    return Output(None, text)


def _check_ids(line: Line, tokens: Any, start: int, target: tuple[int, ...]) -> None:
    """Where the answer names the tokens by id, they must be the output's."""
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
        return
    named = tokens[start : start + len(target)]
    if all(token.startswith(_ID) for token in named) and named != [f"{_ID}{t}" for t in target]:
        raise ModelError(
            f"{line.place} gave the log-probabilities of tokens that were not sent: this version "
            "of the server cannot be relied on."
        )
