"""OpenAI-style completions of servers that take texts only, such as llama-cpp-python's.

The server reads the text with its own tokenizer. So the number of tokens is compared with ours, and
the output's entries are counted from the end: some servers give none for what begins a text.
"""

from __future__ import annotations

from typing import Any

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.dialects.base import Output, counted, only_choice, scores_of
from proxyspex_hf.hf.served.dialects.completions import Completions, output_of
from proxyspex_hf.hf.served.line import Line
from proxyspex_hf.hf.served.question import Question


class CompletionsOfText(Completions):
    """``POST /v1/completions`` with ``echo`` and ``logprobs``; prompts are texts."""

    name = "completions-text"
    takes = "text"

    def scores(self, line: Line, question: Question) -> FloatArray:
        prompt = str(question.prompt)
        answer = line.post(
            "/v1/completions",
            {
                "model": self.model,
                "prompt": prompt + question.said,
                "max_tokens": 1,
                "temperature": 0,
                "echo": True,
                "logprobs": 1,
            },
        )
        choice = only_choice(line, answer, self.model)
        given = choice.get("logprobs")
        values = given.get("token_logprobs") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(values, list):
            raise self.missing(line)
        counted(line, answer, question.count)
        generated = _generated(line, answer)
        stop, wanted = len(values) - generated, len(question.target)
        if stop < wanted:
            raise ModelError(
                f"{line.place} gave {len(values)} log-probabilities, {wanted} of them are needed: "
                f"some are left out. {self.flag}"
            )
        place = slice(stop - wanted, stop)
        _check_place(line, given, place, len(prompt), question.said)
        return scores_of(values[place], line, self)

    def output(self, line: Line, prompt: tuple[int, ...] | str, most: int) -> Output:
        answer = line.post(
            "/v1/completions",
            {"model": self.model, "prompt": prompt, "max_tokens": most, "temperature": 0},
        )
        return output_of(line, None, only_choice(line, answer, self.model).get("text"), most)


def _generated(line: Line, answer: dict[str, Any]) -> int:
    """How many of the entries are of what was generated."""
    usage = answer.get("usage")
    found = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if type(found) is not int or not 0 <= found <= 1:
        raise ModelError(
            f"{line.place} does not say how many tokens it generated, so the entries of the output "
            "cannot be told from those behind it."
        )
    return found


def _check_place(line: Line, given: dict[str, Any], place: slice, start: int, said: str) -> None:
    """The entries must be those of the output, by their texts or their offsets.

    Raises:
        ModelError: they are of other characters: a token reaches over the boundary.
    """
    tokens, offsets = given.get("tokens"), given.get("text_offset")
    by_text = isinstance(tokens, list) and all(isinstance(t, str) for t in tokens[place])
    if by_text and "".join(tokens[place]) == said:  # type: ignore[index]
        return
    # A character may be divided between tokens, whose texts then do not add up.
    by_offset = isinstance(offsets, list) and all(type(o) is int for o in offsets[place])
    if by_offset and "\ufffd" in "".join(tokens[place] if by_text else ["\ufffd"]):  # type: ignore[index]
        first = offsets[place][0]  # type: ignore[index]
        if first == start:
            return
    raise ModelError(
        f"{line.place} reads the text in other tokens where the prompt meets the output. Give "
        "prompts with a chat template, so that they always end alike, or a server that takes ids."
    )
