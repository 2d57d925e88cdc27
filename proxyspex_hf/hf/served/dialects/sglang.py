"""SGLang's own ``/generate``: log-probabilities from a given position on, which keeps its cache of
prompts' beginnings."""

from __future__ import annotations

from typing import Any

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.dialects.base import Output, ScoringDialect, said, scores_of
from proxyspex_hf.hf.served.dialects.completions import output_of
from proxyspex_hf.hf.served.line import Line
from proxyspex_hf.hf.served.question import Question


class SGLang(ScoringDialect):
    """``POST /generate`` with ``input_ids`` and ``logprob_start_len``."""

    name = "sglang"
    flag = "SGLang gives them for return_logprob; a proxy in front of it may drop them."

    def says(self, line: Line) -> dict[str, str]:
        info = model_info(line)
        if info is None:
            raise ModelError(f"{line.place} says nothing of its model: it is not an SGLang server.")
        names = ("model_path", "tokenizer_path", "weight_version", "model_type")
        return {"id": self.model, **said(info, names)}

    def scores(self, line: Line, question: Question) -> FloatArray:
        start, wanted = len(question.prompt), len(question.target)
        answer = line.post(
            "/generate",
            {
                "input_ids": question.ids,
                "sampling_params": {"temperature": 0, "max_new_tokens": 1},
                "return_logprob": True,
                # The position before the output: what it says of itself has no number.
                "logprob_start_len": start - 1,
            },
        )
        about = answer.get("meta_info")
        entries = about.get("input_token_logprobs") if isinstance(about, dict) else None
        if not isinstance(about, dict) or not isinstance(entries, list):
            raise self.missing(line)
        read = about.get("prompt_tokens")
        if read is not None and read != question.count:
            raise ModelError(
                f"{line.place} read another number of tokens than the {question.count} that were "
                "sent."
            )
        rows = [entry for entry in entries if isinstance(entry, list) and len(entry) >= 2]
        own = rows[-wanted:]
        if len(rows) != len(entries) or len(entries) not in (wanted, wanted + 1):
            raise ModelError(
                f"{line.place} gave {len(entries)} log-probabilities for {wanted} tokens: some are "
                "left out."
            )
        if [row[1] for row in own] != list(question.target):
            raise ModelError(
                f"{line.place} gave the log-probabilities of tokens that were not sent: this "
                "version of the server cannot be relied on."
            )
        return scores_of([row[0] for row in own], line, self)

    def output(self, line: Line, prompt: tuple[int, ...] | str, most: int) -> Output:
        answer = line.post(
            "/generate",
            {
                "input_ids": list(prompt),
                "sampling_params": {"temperature": 0, "max_new_tokens": most},
            },
        )
        return output_of(line, answer.get("output_ids"), answer.get("text"), most)


def model_info(line: Line) -> dict[str, Any] | None:
    """What SGLang says of its model, under the path of newer versions or of older ones; None of
    another server."""
    for path in ("/model_info", "/get_model_info"):
        info = line.get_if_there(path)
        if info is not None and isinstance(info.get("model_path"), str):
            return info
    return None
