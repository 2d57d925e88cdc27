"""What each kind of server answers, by one forward pass of the model it holds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch

KINDS = ("vllm", "sglang", "llama-cpp", "classify", "endpoint", "transformers")


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Answers:
    """One model behind one kind of interface.

    Attributes:
        pipe: a pipeline whose model and tokenizer answer.
        kind: one of ``KINDS``.
        name: what the model is called.
    """

    def __init__(self, pipe: Any, kind: str, name: str) -> None:
        self.pipe, self.kind, self.name = pipe, kind, name
        self._lock = threading.Lock()
        self._is_over = False

    def close(self) -> None:
        """Stop computing. A thread that is inside torch when the process ends aborts it."""
        self._is_over = True
        with self._lock:
            """What is computed now is waited for."""

    def get(self, path: str) -> dict[str, Any]:
        if path == "/v1/models" and self.kind not in ("endpoint",):
            return {
                "object": "list",
                "data": [{"id": self.name, "root": self.name, "max_model_len": 200}],
            }
        if path == "/version" and self.kind in ("vllm", "classify"):
            return {"version": "0.32.0"}
        if path == "/get_model_info" and self.kind == "sglang":
            return {"model_path": self.name, "tokenizer_path": self.name, "is_generation": True}
        raise Refused(404, "Not Found")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        routes = {
            ("vllm", "/v1/completions"): self._completions,
            ("llama-cpp", "/v1/completions"): self._completions_of_text,
            ("transformers", "/v1/completions"): self._text_alone,
            ("sglang", "/generate"): self._generate,
            ("classify", "/classify"): self._classify,
            ("endpoint", "/"): self._endpoint,
        }
        route = routes.get((self.kind, path))
        if route is None:
            raise Refused(404, "Not Found")
        if body.get("model") not in (None, self.name):
            raise Refused(404, f"The model `{body['model']}` does not exist.")
        return route(body)

    @property
    def tokenizer(self) -> Any:
        return self.pipe.tokenizer

    def _log_probabilities(self, ids: Sequence[int]) -> list[float | None]:
        """Of each token after those before it; none of the first."""
        rows = self._logits(ids).log_softmax(-1)
        return [None, *(float(rows[i, token]) for i, token in enumerate(ids[1:]))]

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        with self._lock, torch.inference_mode():
            if self._is_over:
                raise ConnectionAbortedError("the server is closed")
            return self.pipe.model(input_ids=torch.tensor([list(ids)])).logits[0].double()

    def _generated(self, ids: Sequence[int], most: int) -> list[int]:
        made: list[int] = []
        for _ in range(most):
            made.append(int(self._logits([*ids, *made])[-1].argmax()))
            if made[-1] == self.pipe.model.config.eos_token_id:
                break
        return made

    def _completions(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = body["prompt"]
        if not isinstance(ids, list) or not ids:
            raise Refused(400, "prompt must be token ids here")
        made = self._generated(ids, body["max_tokens"])
        choice: dict[str, Any] = {"index": 0, "text": self.tokenizer.decode(made)}
        if body.get("return_token_ids"):
            choice["token_ids"] = made
        if body.get("echo") and body.get("logprobs") is not None:
            every = [*ids, *made]
            by_id = body.get("return_tokens_as_token_ids")
            choice["logprobs"] = {
                "tokens": [f"token_id:{i}" if by_id else self.tokenizer.decode([i]) for i in every],
                "token_logprobs": self._log_probabilities(every),
            }
        return self._choices(choice, len(ids), len(made))

    def _choices(self, choice: dict[str, Any], read: int, made: int) -> dict[str, Any]:
        usage = {"prompt_tokens": read, "completion_tokens": made}
        return {"model": self.name, "choices": [choice], "usage": usage}

    def _completions_of_text(self, body: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(body["prompt"], str):
            raise Refused(500, "Internal Server Error")
        ids = self.tokenizer(body["prompt"])["input_ids"]
        made = self._generated(ids, body["max_tokens"])
        choice: dict[str, Any] = {"index": 0, "text": self.tokenizer.decode(made)}
        if body.get("echo"):
            every = [*ids, *made]
            texts = [self.tokenizer.decode([i]) for i in every]
            offsets = [len(self.tokenizer.decode(every[:i])) for i in range(len(every))]
            # As this server does, no entry for what begins the text.
            choice["logprobs"] = {
                "tokens": texts[1:],
                "token_logprobs": self._log_probabilities(every)[1:],
                "text_offset": offsets[1:],
            }
        return self._choices(choice, len(ids), len(made))

    def _text_alone(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        if not isinstance(prompt, str):
            raise Refused(400, "prompt must be a string")
        ids = self.tokenizer(prompt)["input_ids"]
        made = self._generated(ids, body["max_tokens"])
        return self._choices({"index": 0, "text": self.tokenizer.decode(made)}, len(ids), len(made))

    def _generate(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = body["input_ids"]
        made = self._generated(ids, body["sampling_params"]["max_new_tokens"])
        about: dict[str, Any] = {"prompt_tokens": len(ids), "completion_tokens": len(made)}
        if body.get("return_logprob"):
            start = body["logprob_start_len"]
            values = self._log_probabilities(ids)
            values[start] = None
            about["input_token_logprobs"] = [
                [values[i], ids[i], None] for i in range(start, len(ids))
            ]
        return {"text": self.tokenizer.decode(made), "output_ids": made, "meta_info": about}

    def _class_logits(self, ids: Sequence[int]) -> torch.Tensor:
        with self._lock, torch.inference_mode():
            if self._is_over:
                raise ConnectionAbortedError("the server is closed")
            return self.pipe.model(input_ids=torch.tensor([list(ids)])).logits[0].double()

    def _classify(self, body: dict[str, Any]) -> dict[str, Any]:
        data, read = [], 0
        for place, ids in enumerate(body["input"]):
            logits = self._class_logits(ids)
            if body.get("use_activation", True):
                logits = logits.softmax(-1)
            read += len(ids)
            data.append({"index": place, "probs": logits.tolist(), "num_classes": len(logits)})
        return {"model": self.name, "data": data, "usage": {"prompt_tokens": read}}

    def _endpoint(self, body: dict[str, Any]) -> Any:
        logits = self._class_logits(self.tokenizer(body["inputs"])["input_ids"])
        given = body.get("parameters") or {}
        if given.get("function_to_apply") != "none":
            logits = logits.softmax(-1)
        labels = self.pipe.model.config.id2label
        rows = [{"label": labels[i], "score": float(v)} for i, v in enumerate(logits)]
        rows.sort(key=lambda row: -row["score"])
        return [rows[: given.get("top_k") or 5]]
