"""Figures 8, 14 and 15 of the paper: training images that interact (section 5.1, appendix C.1).

A kernel ridge regression is trained on thousands of random halves of a training set of ten classes
of clothing, and the margin of each test image is explained by the training images. One training
image in ten is a near-duplicate, planted as a check: another one, moved by a pixel, with noise.

    apt-get install dataset-fashion-mnist       # Fashion-MNIST; without it, --digits
    python examples/paper/figure08.py --quick   # minutes: n = 200, 2,000 trainings, 10 test images
    python examples/paper/figure08.py --full    # n = 500, 5,000 trainings, 30 test images

Killed in the middle, the same command resumes where it stopped. Writes figure08.png (triples),
figure14.png (synergistic pairs), figure15.png (redundant pairs) and figure08.json to ``--out``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from proxyspex_hf.core import FourierSpectrum, ProxySPEX
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.progress_bar import ProgressBar
from proxyspex_hf.studies.data.attribution import DataAttribution
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.training import retrain

FASHION = Path("/usr/share/datasets/fashion-mnist")
NEIGHBOURS = 5
CLOTHING = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "trainer", "bag", "ankle boot"),
)
N_CLASSES = len(CLOTHING)


@dataclass(frozen=True)
class Images:
    """Training and test images, (n, height, width) in 0 to 1, their classes, and what was planted.

    ``duplicates`` are the (original, near-duplicate) pairs among the training images.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    duplicates: list[tuple[int, int]]
    names: tuple[str, ...]


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes in the IDX format."""
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", dimensions, 4).astype(int)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def load(*, digits: bool, per_class: int, tests_per_class: int, seed: int = 0) -> Images:
    """Random images of each class; a tenth of each class is replaced by near-duplicates."""
    if digits:
        from sklearn.datasets import load_digits

        pictures, labels = load_digits(return_X_y=True)
        pictures = pictures.reshape(-1, 8, 8) / 16.0
        order = np.random.default_rng(seed).permutation(len(labels))
        pools = [(pictures[order[:1200]], labels[order[:1200]])]
        pools.append((pictures[order[1200:]], labels[order[1200:]]))
    else:
        pools = [
            (
                read_idx(FASHION / f"{part}-images-idx3-ubyte.gz") / 255.0,
                read_idx(FASHION / f"{part}-labels-idx1-ubyte.gz").astype(int),
            )
            for part in ("train", "t10k")
        ]
    rng = np.random.default_rng(seed)
    chosen = []
    for (pictures, labels), count in zip(pools, (per_class, tests_per_class), strict=True):
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(labels == c), count, replace=False)
                for c in range(N_CLASSES)
            ]
        )
        chosen.append((pictures[rows].copy(), labels[rows]))
    (train, train_labels), (test, test_labels) = chosen
    duplicates = []
    for first in range(0, len(train), per_class):
        for k in range(max(1, per_class // 10)):
            original, copy = first + k, first + per_class - 1 - k
            moved = np.roll(train[original], 1, axis=int(rng.integers(2)))
            train[copy] = np.clip(moved + 0.05 * rng.standard_normal(moved.shape), 0.0, 1.0)
            duplicates.append((original, copy))
    names = tuple(map(str, range(N_CLASSES))) if digits else CLOTHING
    return Images(train, train_labels, test, test_labels, duplicates, names)


class KernelRidge:
    """``train(kept, seed)``: margins of the test images for the model fitted to ``kept``.

    Radial basis functions of the pixels, width by the median distance, ten one-hot outputs.
    """

    def __init__(self, images: Images, penalty: float = 0.1) -> None:
        flat = images.train.reshape(len(images.train), -1)
        tests = images.test.reshape(len(images.test), -1)
        width = np.median(squared_distances(flat, flat))
        self.kernel = np.exp(-squared_distances(flat, flat) / width)
        self.test_kernel = np.exp(-squared_distances(tests, flat) / width)
        self.outputs = np.eye(N_CLASSES)[images.train_labels] - 1.0 / N_CLASSES
        self.test_labels = images.test_labels
        self.penalty = penalty

    def __call__(self, kept: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG002  (not random)
        if len(kept) == 0:
            return np.zeros(len(self.test_labels))
        gram = self.kernel[np.ix_(kept, kept)]
        gram[np.diag_indices(len(kept))] += self.penalty
        logits = self.test_kernel[:, kept] @ cho_solve(cho_factor(gram), self.outputs[kept])
        rows = np.arange(len(logits))
        own = logits[rows, self.test_labels].copy()
        logits[rows, self.test_labels] = -np.inf
        return own - logits.max(axis=1)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * a @ b.T, 0.0)


def explain(study: DataAttribution, point: int, cache: Path) -> dict[str, Any]:
    """One test point, from the cache where it is there."""
    file = cache / f"point-{point}.json"
    if file.exists():
        return json.loads(file.read_text())
    (found,) = study.explain([point])
    fitting = study.fitting_rows
    lasso = ProxySPEX("lasso", n_coefficients=study.n_features, refine="none").fit(
        study.masks.unpack(fitting), study.margins[fitting, point]
    )
    held_out = study.held_out_rows
    result = {
        "point": point,
        "r2": found.r2,
        "lasso_r2": r2_score(
            study.margins[held_out, point], lasso.spectrum.evaluate(study.masks.unpack(held_out))
        ),
        "least_squares_r2": found.linear_r2,
        "candidates": list(found.candidates),
        "screened": [(list(s.members), s.z) for s in found.screening.found],
        "tested": found.screening.tested,
        "spectrum": [(list(s), c) for s, c in found.spectrum.to_dict().items()],
        "lasso": [(list(s), c) for s, c in lasso.spectrum.to_dict().items()],
    }
    for order in (2, 3):
        for kind in ("synergistic", "redundant"):
            top = getattr(found, kind)(order)
            result[f"{kind}_{order}"] = top and {
                "members": list(top.members),
                "value": top.value,
                "target_class": top.target_class,
            }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(result))
    partial.replace(file)
    return result


def spectrum_of(rows: list[Any], n: int) -> FourierSpectrum:
    return FourierSpectrum.from_dict({tuple(members): value for members, value in rows}, n)


def named_sets(result: dict[str, Any], count: int) -> list[tuple[int, ...]]:
    """The pairs of figures 14 and 15, then the largest pairs and triples of the spectrum."""
    sets = [
        tuple(result[f"{kind}_2"]["members"])
        for kind in ("synergistic", "redundant")
        if result[f"{kind}_2"]
    ]
    ranked = sorted(result["spectrum"], key=lambda row: -abs(row[1]))
    sets += [tuple(members) for members, _ in ranked if len(members) in (2, 3)]
    return list(dict.fromkeys(sets))[:count]


def check_removals(
    results: list[dict[str, Any]], trainer: KernelRidge, n: int, n_bases: int, cache: Path
) -> dict[str, Any]:
    """Train with and without what the explanations name, and compare with what they predict.

    For every named set R and every base training set (everything, and random halves that hold R)
    all of R's members are taken away in every combination: the margin lost with all of R, and the
    interaction, the alternating sum over R's subsets, which is 0 for a linear datamodel.
    """
    rng = np.random.default_rng(1)
    plan, masks = [], []
    for result in results:
        for members in named_sets(result, 10):
            for base in range(n_bases + 1):
                kept = np.ones(n, bool) if base == 0 else rng.random(n) < 0.5
                kept[list(members)] = True
                plan.append((result, members, "all" if base == 0 else "half", len(masks)))
                for subset in range(2 ** len(members)):
                    some = kept.copy()
                    some[[i for k, i in enumerate(members) if subset >> k & 1]] = False
                    masks.append(some)
    packed = PackedMasks.pack(np.array(masks))
    digest = hashlib.sha256(packed.bits.tobytes()).hexdigest()[:12]
    margins = retrain(
        trainer,
        packed,
        cache / f"check-{digest}",
        key="figure 8, removals",
        n_tests=len(trainer.test_labels),
        progress=ProgressBar(),
    )
    rows: dict[str, list[dict[str, Any]]] = {"all": [], "half": []}
    for result, members, where, first in plan:
        variants = slice(first, first + 2 ** len(members))
        actual = np.asarray(margins[variants, result["point"]])
        signs = np.array([(-1) ** (bin(s).count("1")) for s in range(len(actual))])
        row: dict[str, Any] = {"point": result["point"], "members": members}
        row["lost"], row["interaction"] = float(actual[-1] - actual[0]), float(signs @ actual)
        for name in ("spectrum", "lasso"):
            predicted = spectrum_of(result[name], n).evaluate(packed.unpack(variants))
            row[f"lost {name}"] = float(predicted[-1] - predicted[0])
            row[f"interaction {name}"] = float(signs @ predicted)
        rows[where].append(row)
    report: dict[str, Any] = {"trainings": len(masks)}
    for where, some in rows.items():
        for what, name in (("lost", "spectrum"), ("lost", "lasso"), ("interaction", "spectrum")):
            actual = np.array([row[what] for row in some])
            predicted = np.array([row[f"{what} {name}"] for row in some])
            report[f"{where}: {what}, {name}"] = agreement(actual, predicted)
    report["pairs of figure 14 and 15"] = pair_signs(results, rows["half"])
    return report


def agreement(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """How well changes are predicted; the chance level pairs the two at random. What never varies
    correlates with nothing: None."""
    varies = np.ptp(actual) > 0 and np.ptp(predicted) > 0
    up, up_predicted = float((actual > 0).mean()), float((predicted > 0).mean())
    return {
        "n": len(actual),
        "correlation": round(float(np.corrcoef(actual, predicted)[0, 1]), 3) if varies else None,
        "r2": round(1 - float(np.square(actual - predicted).sum() / np.square(actual).sum()), 3),
        "sign agreement": round(float(((actual > 0) == (predicted > 0)).mean()), 3),
        "sign agreement by chance": round(up * up_predicted + (1 - up) * (1 - up_predicted), 3),
    }


def pair_signs(results: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether the named pairs interact, on average over random halves, in the direction named."""
    out: dict[str, Any] = {}
    for kind in ("synergistic", "redundant"):
        right, total = 0, 0
        for result in results:
            top = result[f"{kind}_2"]
            if top is None:
                continue
            seen = [
                row["interaction"]
                for row in rows
                if row["point"] == result["point"] and list(row["members"]) == top["members"]
            ]
            right += (float(np.mean(seen)) > 0) == (top["value"] > 0)
            total += 1
        out[kind] = {"right direction": right, "pairs": total, "by chance": total / 2}
    return out


def check_neighbours(results: list[dict[str, Any]], images: Images) -> dict[str, Any]:
    """How often named pairs are near neighbours among the training images, and planted duplicates.

    Two chance levels: all pairs of the same two classes, and those of them among the test point's
    candidates, which all resemble it.
    """
    flat = images.train.reshape(len(images.train), -1)
    distance = squared_distances(flat, flat)
    np.fill_diagonal(distance, np.inf)
    rank = distance.argsort(axis=1).argsort(axis=1)
    near = (rank < NEIGHBOURS) | (rank.T < NEIGHBOURS)
    planted = np.zeros_like(near)
    for i, j in images.duplicates:
        planted[i, j] = planted[j, i] = True
    labels = images.train_labels
    out: dict[str, Any] = {"neighbours": NEIGHBOURS}
    for kind in ("redundant", "synergistic"):
        hits: dict[str, list[float]] = {}
        for result in results:
            top = result[f"{kind}_2"]
            if top is None:
                continue
            i, j = top["members"]
            alike = np.sort(np.stack(np.broadcast_arrays(labels[:, None], labels)), axis=0)
            same = (alike == np.sort(labels[[i, j]])[:, None, None]).all(axis=0)
            same &= np.triu(np.ones_like(same), 1)
            among = np.zeros(len(labels), bool)
            among[result["candidates"]] = True
            few = same & among[:, None] & among
            for name, matrix in (("near", near), ("planted", planted)):
                hits.setdefault(name, []).append(float(matrix[i, j]))
                hits.setdefault(f"{name} by chance", []).append(float(matrix[same].mean()))
                hits.setdefault(f"{name} by chance among candidates", []).append(
                    float(matrix[few].mean()) if few.any() else 0.0
                )
        out[kind] = {"pairs": len(hits.get("near", []))} | {
            name: round(float(np.mean(values)), 3) for name, values in hits.items()
        }
    return out


def draw(
    path: Path, results: list[dict[str, Any]], images: Images, kinds: list[str], order: int
) -> None:
    """One row a test image: itself, then the members of its interactions."""
    import matplotlib.pyplot as plt

    columns = 3 if len(kinds) == 1 else 1
    width = 1 + order * len(kinds)
    height = -(-len(results) // columns)
    figure, axes = plt.subplots(
        height, width * columns, figsize=(1.05 * width * columns, 1.25 * height), squeeze=False
    )
    colour = {"synergistic": "#1b7837", "redundant": "#b2182b"}
    for axis in axes.flat:
        axis.axis("off")
    for place, result in enumerate(results):
        row, column = place % height, place // height * width
        cells = [(images.test[result["point"]], images.test_labels[result["point"]], "black")]
        for kind in kinds:
            top = result[f"{kind}_{order}"]
            cells += [
                (images.train[i], images.train_labels[i], colour[kind])
                for i in (top["members"] if top else [])
            ]
            cells += [None] * (0 if top else order)
        for axis, cell in zip(axes[row, column : column + width], cells, strict=True):
            if cell is None:
                continue
            picture, label, edge = cell
            axis.imshow(picture, cmap="gray_r")
            axis.set_title(images.names[label], fontsize=6, color=edge, pad=2)
            axis.axis("on")
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set(color=edge, linewidth=2)
    figure.suptitle(
        "black: test image; "
        + ", ".join(f"{'green' if k == 'synergistic' else 'red'}: {k}" for k in kinds),
        fontsize=8,
    )
    figure.tight_layout(pad=0.4, rect=(0, 0, 1, 0.98))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="n = 200; the default")
    size.add_argument("--full", "--medium", action="store_true", dest="full", help="n = 500")
    parser.add_argument("--digits", action="store_true", help="scikit-learn's digits instead")
    parser.add_argument("--jobs", type=int, default=1, help="processes that train")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "figure08")
    options = parser.parse_args()
    if not options.digits and not FASHION.exists():
        sys.exit(f"{FASHION} is missing: apt-get install dataset-fashion-mnist, or give --digits")
    per_class, tests, trainings = (50, 3, 5_000) if options.full else (20, 1, 2_000)
    images = load(digits=options.digits, per_class=per_class, tests_per_class=tests)
    n = len(images.train)
    name = f"{'digits' if options.digits else 'fashion'}-{n}-{trainings}"
    cache = options.cache / name
    cache.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)

    trainer = KernelRidge(images)
    study = DataAttribution.from_training(
        trainer,
        n,
        trainings,
        cache / "trainings",
        key=f"figure 8, {name}",
        n_tests=len(images.test),
        n_jobs=options.jobs,
        train_labels=images.train_labels,
        test_labels=images.test_labels,
        progress=ProgressBar(),
    )
    results = []
    for point in range(len(images.test)):
        results.append(explain(study, point, cache))
        r = results[-1]
        print(
            f"test image {point}: held-out R² {r['r2']:.3f}, LASSO {r['lasso_r2']:.3f}, "
            f"least squares {r['least_squares_r2']:.3f}; {len(r['screened'])} sets beyond noise",
            flush=True,
        )
    report = {
        "command": "python examples/paper/figure08.py "
        + ("--full" if options.full else "--quick")
        + (" --digits" if options.digits else ""),
        "features": n,
        "trainings": trainings,
        "test images": len(results),
        "planted near-duplicates": len(images.duplicates),
        "mean held-out R²": {
            key: round(float(np.mean([r[key] for r in results])), 3)
            for key in ("r2", "lasso_r2", "least_squares_r2")
        },
        "spectrum above LASSO": sum(r["r2"] > r["lasso_r2"] for r in results),
        "near neighbours": check_neighbours(results, images),
        "removals": check_removals(results, trainer, n, 4 if options.full else 8, cache),
        "points": [
            {k: v for k, v in r.items() if k not in ("spectrum", "lasso", "candidates", "screened")}
            | {"screened": len(r["screened"])}
            for r in results
        ],
    }
    (options.out / "figure08.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({k: v for k, v in report.items() if k != "points"}, indent=1))
    triples = [r for r in results if r["synergistic_3"] or r["redundant_3"]]
    triples.sort(key=lambda r: -max_triple(r))
    draw(options.out / "figure08.png", triples[:6], images, ["synergistic", "redundant"], 3)
    draw(options.out / "figure14.png", results, images, ["synergistic"], 2)
    draw(options.out / "figure15.png", results, images, ["redundant"], 2)


def max_triple(result: dict[str, Any]) -> float:
    """How large a test image's third-order interactions are, by which figure 8 chooses."""
    tops = (result["synergistic_3"], result["redundant_3"])
    return max(abs(top["value"]) if top else 0.0 for top in tops)


if __name__ == "__main__":
    main()
