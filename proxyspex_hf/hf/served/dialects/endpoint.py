"""Hugging Face Inference Endpoints and what speaks like them, by the Hub's own client: texts in,
scores by label out."""

from __future__ import annotations

from typing import Any

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.served.dialects.base import ClassDialect, numbers_of
from proxyspex_hf.hf.served.line import Line, Lost, refusal

#: Labels that are asked for where it is not known how many there are: convention.
_MOST_LABELS = 1000


class Endpoint(ClassDialect):
    """``InferenceClient.text_classification`` with ``function_to_apply="none"``."""

    name = "endpoint"
    takes = "text"

    def says(self, line: Line) -> dict[str, str]:  # noqa: ARG002 - such a server says nothing
        return {"id": self.model}

    def logits(self, line: Line, item: tuple[int, ...] | str) -> FloatArray:
        by_label = self._by_label(line, str(item))
        if self.labels is None:
            self.labels = tuple(sorted(by_label))
        if set(by_label) != set(self.labels):
            raise ModelError(
                f"{line.place} gave scores for {len(by_label)} labels, expected the "
                f"{len(self.labels)} of this model: it does not take top_k, or is another model."
            )
        return numbers_of([by_label[label] for label in self.labels], line)

    def _by_label(self, line: Line, text: str) -> dict[str, Any]:
        from huggingface_hub import InferenceClient

        client = InferenceClient(model=line.url, token=line.token, timeout=line.timeout)
        most = _MOST_LABELS if self.labels is None else len(self.labels)
        try:
            rows = client.text_classification(text, top_k=most, function_to_apply="none")
            return {str(row.label): row.score for row in rows}
        except Exception as error:
            raise _told(line, error) from error


def _told(line: Line, error: Exception) -> Exception:
    """What the client's error means."""
    import httpx2
    from huggingface_hub.errors import (
        HfHubHTTPError,
        InferenceTimeoutError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return InputError("offline mode is on: unset HF_HUB_OFFLINE to ask an endpoint.")
    if isinstance(error, InferenceTimeoutError):
        return Lost("the endpoint is not ready")
    response = getattr(error, "response", None)
    if isinstance(error, (HfHubHTTPError, httpx2.HTTPStatusError)) and response is not None:
        return refusal(line, "text classification", response.status_code, response.headers, "")
    if isinstance(error, (httpx2.TransportError, OSError)):
        return Lost(f"the connection failed ({type(error).__name__})")
    return ModelError(
        f"{line.place} answered in a form that no text classification has ({type(error).__name__})."
    )
