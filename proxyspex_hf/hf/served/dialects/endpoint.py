"""Hugging Face Inference Endpoints and what speaks like them: texts in, scores by label out.

Asked as ``huggingface_hub.InferenceClient.text_classification`` asks, but over a line of our own:
the client sends the token of whoever is logged in where none is given, follows redirects with the
text, and reads answers of any size.
"""

from __future__ import annotations

from typing import Any

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.dialects.base import ClassDialect, numbers_of
from proxyspex_hf.hf.served.line import Line, short_reason

#: Labels that are asked for where it is not known how many there are: convention.
_MOST_LABELS = 1000


class Endpoint(ClassDialect):
    """``POST`` of ``inputs`` with ``function_to_apply: "none"``, as ``InferenceClient`` asks."""

    name = "endpoint"
    takes = "text"
    names_classes = True

    def says(self, line: Line) -> dict[str, str]:  # noqa: ARG002 - such a server says nothing
        return {"id": self.model}

    def logits(self, line: Line, item: tuple[int, ...] | str) -> FloatArray:
        by_label = self._by_label(line, str(item))
        if self.labels is None:
            likely = self.likely or ()
            self.labels = likely if set(likely) == set(by_label) else tuple(sorted(by_label))
        if set(by_label) != set(self.labels):
            raise ModelError(
                f"{line.place} gave scores of {_named(by_label)}, expected those of "
                f"{_named(self.labels)}: pass the labels that it gives as labels=[...], unless it "
                "does not know top_k or serves another model."
            )
        return numbers_of([by_label[label] for label in self.labels], line)

    def _by_label(self, line: Line, text: str) -> dict[str, Any]:
        most = _MOST_LABELS if self.labels is None else len(self.labels)
        parameters = {"function_to_apply": "none", "top_k": most}
        rows = line.post_here({"inputs": text, "parameters": parameters})
        if isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], list):
            rows = rows[0]  # those of the first of several texts
        good = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        if not good or any(not isinstance(row.get("label"), str) for row in rows):
            raise ModelError(f"{line.place} answered in a form that no text classification has.")
        found = {row["label"]: row.get("score") for row in rows}
        if len(found) != len(rows):
            raise ModelError(f"{line.place} gave two scores of one label.")
        return found


def _named(labels: Any) -> str:
    listed = sorted(labels)
    shown = ", ".join(repr(short_reason(label)[:40]) for label in listed[:4])
    return f"{len(listed)} labels ({shown}{', …' * (len(listed) > 4)})"
