"""vLLM's ``/classify``: raw logits of token ids."""

from __future__ import annotations

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.dialects.base import ClassDialect, counted, listed_says, numbers_of
from proxyspex_hf.hf.served.line import Line


class Classify(ClassDialect):
    """``POST /classify`` with ``use_activation: false``."""

    name = "classify"

    def says(self, line: Line) -> dict[str, str]:
        return listed_says(line, self.model)

    def logits(self, line: Line, item: tuple[int, ...] | str) -> FloatArray:
        answer = line.post(
            "/classify",
            {"model": self.model, "input": [list(item)], "use_activation": False},
        )
        data = answer.get("data")
        first = data[0] if isinstance(data, list) and len(data) == 1 else None
        if not isinstance(first, dict):
            raise ModelError(f"{line.place} answered /classify with no list of one result.")
        counted(line, answer, len(item))
        return numbers_of(first.get("probs"), line)
