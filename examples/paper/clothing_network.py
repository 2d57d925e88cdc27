"""Section 5.1 of the paper with a convolutional network: training images that interact.

A network of two convolutions is trained on thousands of random halves of 5,000 images of clothing,
and the margin of each of 60 test images is explained by the training images, as figure08.py does
with a kernel regression and 500. One training image in ten is a planted near-duplicate of another.
Initial weights and the order of the images are the same in all trainings, so that what differs is
the data; how much of a margin is the seed's is measured by training a hundred subsets once more.

    apt-get install dataset-fashion-mnist
    python examples/paper/clothing_network.py --jobs 2            # 5,000 trainings
    python examples/paper/clothing_network.py --trainings 300     # to try it

Killed in the middle, the same command resumes where it stopped. Writes clothing_network.json.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from figure08 import FASHION, N_CLASSES, Images, agreement, check_neighbours, load

from proxyspex_hf.progress_bar import ProgressBar
from proxyspex_hf.studies.data.attribution import DataAttribution
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.point import PointAttribution
from proxyspex_hf.studies.data.training import retrain

PER_CLASS, TESTS_PER_CLASS = 500, 6
EPOCHS, BATCH, RATE = 6, 100, 5e-3
#: Random halves from which a named pair is taken, and subsets that are trained under another seed.
BASES, AGAIN = 4, 100


class Network:
    """``train(kept, seed)``: margins of the test images for a network trained on ``kept``.

    Pixels in squares of four are averaged, then come 5 by 5 and 3 by 3 convolutions of stride 2
    with 12 and 24 channels, and a linear layer; Adam. The order of the images in an epoch is one of
    all of them, of which the kept ones remain.
    """

    def __init__(self, images: Images, seed: int = 0) -> None:
        self.train, self.tests = halved(images.train), halved(images.test)
        self.labels = images.train_labels.astype(np.int64)
        self.test_labels = images.test_labels.astype(np.int64)
        self.seed = seed

    def logits(self, kept: np.ndarray) -> np.ndarray:
        import torch
        from torch import nn

        torch.set_num_threads(1)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = nn.Sequential(
                *(nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.ReLU()),
                *(nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU()),
                *(nn.Flatten(), nn.Linear(24 * 4 * 4, N_CLASSES)),
            ).to(memory_format=torch.channels_last)
        images, labels = torch.from_numpy(self.train), torch.from_numpy(self.labels)
        is_kept = np.zeros(len(self.labels), bool)
        is_kept[kept] = True
        rng = np.random.default_rng(self.seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
        for _ in range(EPOCHS):
            order = rng.permutation(len(self.labels))
            for rows in torch.from_numpy(order[is_kept[order]]).split(BATCH):
                loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            return network(torch.from_numpy(self.tests)).double().numpy()

    def __call__(self, kept: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG002  (one for all)
        logits = self.logits(kept)
        rows = np.arange(len(logits))
        own = logits[rows, self.test_labels].copy()
        logits[rows, self.test_labels] = -np.inf
        return own - logits.max(axis=1)


def halved(pictures: np.ndarray) -> np.ndarray:
    """(n, height, width) -> (n, 1, height / 2, width / 2) float32."""
    n, height, width = pictures.shape
    squares = pictures.reshape(n, 1, height // 2, 2, width // 2, 2)
    return squares.mean(axis=(3, 5)).astype(np.float32)


def named_pairs(found: PointAttribution) -> dict[str, tuple[int, ...]]:
    """The top pair of each kind, where there is one."""
    tops = {kind: getattr(found, kind)(2) for kind in ("synergistic", "redundant")}
    return {kind: top.members for kind, top in tops.items() if top is not None}


def check_pairs(
    attributions: list[PointAttribution], network: Network, cache: Path, jobs: int
) -> dict[str, Any]:
    """Train random halves with and without each named pair: what is lost, and how it interacts."""
    rng = np.random.default_rng(1)
    plan, masks = [], []
    n = attributions[0].n_features
    for found in attributions:
        for kind, members in named_pairs(found).items():
            plan.append((found, kind, members, len(masks)))
            for _ in range(BASES):
                kept = rng.random(n) < 0.5
                kept[list(members)] = True
                for gone in ((), members[:1], members[1:], members):
                    some = kept.copy()
                    some[list(gone)] = False
                    masks.append(some)
    report: dict[str, Any] = {"trainings": len(masks), "halves a pair": BASES}
    if not plan:
        return report
    packed = PackedMasks.pack(np.array(masks))
    margins = retrain(
        network,
        packed,
        cache / f"pairs-{hashlib.sha256(packed.bits.tobytes()).hexdigest()[:12]}",
        key="clothing network, pairs",
        n_tests=len(network.test_labels),
        n_jobs=jobs,
        progress=ProgressBar(),
    )
    signs = np.array([1, -1, -1, 1])
    for kind in ("synergistic", "redundant"):
        lost, interaction = [], []
        for found, own, _, first in plan:
            if own != kind:
                continue
            rows = slice(first, first + 4 * BASES)
            actual = np.asarray(margins[rows, found.point]).reshape(BASES, 4)
            told = found.predict(packed.unpack(rows)).reshape(BASES, 4)
            lost.append(((actual[:, 3] - actual[:, 0]).mean(), (told[:, 3] - told[:, 0]).mean()))
            interaction.append(((actual @ signs).mean(), (told @ signs).mean()))
        if len(lost) < 2:
            continue  # nothing correlates
        report[kind] = {
            "lost": agreement(*np.array(lost).T),
            "interaction": agreement(*np.array(interaction).T),
        }
    return report


def check_seed(network: Network, study: DataAttribution, cache: Path, jobs: int) -> float:
    """The correlation of a margin with that of another seed on the same subset, mean of all."""
    other = copy.copy(network)
    other.seed = 1
    again = retrain(
        other,
        PackedMasks.pack(study.masks.unpack(slice(0, AGAIN))),
        cache / "again",
        key="clothing network, another seed",
        n_tests=study.n_tests,
        n_jobs=jobs,
        progress=ProgressBar(),
    )
    pairs = zip(np.asarray(again).T, np.asarray(study.margins[: len(again)]).T, strict=True)
    return round(float(np.mean([np.corrcoef(one, two)[0, 1] for one, two in pairs])), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trainings", type=int, default=5_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes that train")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "clothing")
    options = parser.parse_args()
    if not FASHION.exists():
        sys.exit(f"{FASHION} is missing: apt-get install dataset-fashion-mnist")
    images = load(digits=False, per_class=PER_CLASS, tests_per_class=TESTS_PER_CLASS)
    n = len(images.train)
    network = Network(images)
    begin = time.perf_counter()
    study = DataAttribution.from_training(
        network,
        n,
        options.trainings,
        options.cache / "trainings",
        key="clothing network",
        n_tests=len(images.test),
        n_jobs=options.jobs,
        train_labels=images.train_labels,
        test_labels=images.test_labels,
        progress=ProgressBar(),
    )
    trained = time.perf_counter()
    attributions = study.explain(progress=ProgressBar())
    explained = time.perf_counter()
    correct = (network.logits(np.arange(n)).argmax(axis=1) == images.test_labels).mean()
    results = [
        {
            "point": found.point,
            "candidates": list(found.candidates),
            **{
                f"{kind}_2": {"members": list(members)}
                if (members := named_pairs(found).get(kind))
                else None
                for kind in ("synergistic", "redundant")
            },
        }
        for found in attributions
    ]
    rows = study.held_out_rows
    report = {
        "command": "python examples/paper/clothing_network.py "
        f"--trainings {options.trainings} --jobs {options.jobs}",
        "features": n,
        "trainings": len(study.masks),
        "test images": len(attributions),
        "of them right, trained on everything": round(float(correct), 3),
        "of the margins right, random halves": round(float((study.margins[rows] > 0).mean()), 3),
        "planted near-duplicates": len(images.duplicates),
        "correlation with another seed": check_seed(network, study, options.cache, options.jobs),
        "mean held-out R²": {
            key: round(float(np.mean([getattr(found, key) for found in attributions])), 3)
            for key in ("r2", "linear_r2", "lasso_r2")
        },
        "above the linear datamodel": sum(f.r2 > f.linear_r2 for f in attributions),
        "sets beyond noise": sum(len(found.screening.found) for found in attributions),
        "near neighbours": check_neighbours(results, images),
        "pairs": check_pairs(attributions, network, options.cache, options.jobs),
        "seconds": {
            "training, where none was kept": round(trained - begin),
            "explaining": round(explained - trained),
        },
        "r2 by point": [round(found.r2, 3) for found in attributions],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "clothing_network.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
