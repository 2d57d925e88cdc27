"""What a sibling brings: R² by the model's own answers, with one and without.

    python tests/bench/sibling.py                          # every pair: an hour
    python tests/bench/sibling.py --pairs layer bits4 --words 44 --seeds 3

*layer* and *bits4* explain the shipped classifier on the demo's review as users do (masks chosen
in rounds), with a copy of it as the sibling: without its last layer, or with weights rounded to 4
bits. *bert* and *tomatoes* are value tables of six-layer encoders (``data/``), whose masks are
drawn with 0.5, 0.7 and 0.9 of the features kept; their sibling is the shipped two-layer classifier.
*other* is a sibling of random weights, which has nothing to say.

The sibling is explained from 8 n log2 n masks, as by default. R² is of masks that nothing was
fitted to, at each density: medians over seeds, and the worst difference to the same seed without a
sibling.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from harness.command import command_line
from harness.report import Row, describe, grouped, machine, markdown_table, write_json

from proxyspex_hf import DEMO_MODEL, InteractionExplainer
from proxyspex_hf.core import Cached, FunctionOfMasks, ProxySPEX, sample_masks
from proxyspex_hf.core.attribution import Attribution, attribute
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, r2_score
from proxyspex_hf.core.masks import budget_for
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import plan
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.demo import demo_review

HERE = Path(__file__).parent
TABLES = {"bert": "bert_s1_n49", "tomatoes": "sent_rotten_tomatoes_n44"}
#: Masks at each density on which R² is taken, where the model is at hand.
HELD_OUT = 500

Masks = np.ndarray[Any, np.dtype[np.bool_]]
Values = np.ndarray[Any, np.dtype[np.float64]]


class Pair(NamedTuple):
    """A model and its sibling on one input.

    Attributes:
        spectrum: from α, seed and sibling to what was found, and the calls it took.
        tests: masks and the model's values by density.
        sibling: the set function of the cheaper model.
    """

    n: int
    spectrum: Callable[[float, int, Sibling | None], tuple[FourierSpectrum, int]]
    tests: dict[float, tuple[Masks, Values]]
    sibling: Callable[[Masks], Values]


def without_a_layer(model: Any) -> Any:
    out = copy.deepcopy(model)
    out.base_model.transformer.layer = out.base_model.transformer.layer[:-1]
    return out.eval()


def rounded(model: Any, bits: int = 4) -> Any:
    """Each row of each matrix to 2^bits - 1 levels about 0."""
    out = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in out.named_parameters():
            if weight.ndim == 2 and "embedding" not in name:
                step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
                weight.copy_((weight / step).round() * step)
    return out.eval()


def untrained(model: Any) -> Any:
    torch.manual_seed(0)
    return type(model)(model.config).eval()


COPIES: dict[str, Callable[[Any], Any]] = {
    "layer": without_a_layer,
    "bits4": rounded,
    "other": untrained,
}


def of_words(model: Any, words: Sequence[str]) -> Any:
    """The set function of a text's words under the shipped classifier, or a copy of it."""
    from transformers import pipeline

    pipe = pipeline("text-classification", model=DEMO_MODEL, device="cpu")
    pipe.model = model(pipe.model) if model else pipe.model
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1].tolist()
    spans = [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]
    explainer = InteractionExplainer(pipe, progress=False, target="POSITIVE", features=spans)
    return explainer.value_function(" ".join(words))


def copied(kind: str, n_words: int) -> Pair:
    words = demo_review().split()[:n_words]
    function = of_words(None, words)
    n = len(words)
    tests = {
        d: sample_masks(n, HELD_OUT, density=d, seed=10_000 + i, anchors=False)
        for i, d in enumerate(TEST_DENSITIES)
    }

    def spectrum(alpha: float, seed: int, told: Sibling | None) -> tuple[FourierSpectrum, int]:
        values_of = Cached(FunctionOfMasks(function, n))
        found = attribute(values_of, plan(n, alpha=alpha), ProxySPEX(seed=seed, sibling=told))
        return found.fit.spectrum, values_of.calls

    values = {d: (masks, function(masks)) for d, masks in tests.items()}
    return Pair(n, spectrum, values, of_words(COPIES[kind], words))


def tabled(name: str) -> Pair:
    table = np.load(HERE / "data" / f"{TABLES[name]}.npz", allow_pickle=False)
    n = int(table["n"])

    def read(key: str) -> Masks:
        return np.unpackbits(table[f"{key}_masks"], axis=1)[:, :n].astype(np.bool_)

    masks, values, density = read("mixed"), table["mixed_values"], table["mixed_density"]

    def spectrum(alpha: float, seed: int, told: Sibling | None) -> tuple[FourierSpectrum, int]:
        others = 1 + np.random.default_rng(seed).permutation(len(masks) - 1)
        rows = np.concatenate([[0], others])[: budget_for(n, alpha)]
        fit = ProxySPEX(seed=seed, sibling=told).fit(
            masks[rows], values[rows], densities=density[rows]
        )
        return fit.spectrum, len(rows)

    tests = {
        d: (read(f"test{100 * d:.0f}"), table[f"test{100 * d:.0f}_values"]) for d in TEST_DENSITIES
    }
    words = [str(word) for word in table["words"]]
    return Pair(n, spectrum, tests, of_words(None, words))


def told_by(pair: Pair) -> tuple[Sibling | None, dict[str, float]]:
    """What the sibling says, and its correlation with the model by density."""
    budget = min(4000, budget_for(pair.n, 8.0))
    function = Cached(FunctionOfMasks(pair.sibling, pair.n))
    found: Attribution = attribute(
        function, plan(pair.n, budget=budget), ProxySPEX(n_coefficients=1000)
    )
    doubt = found.fit.doubt
    alike = {
        f"{d:g}": float(np.corrcoef(pair.sibling(masks), values)[0, 1])
        for d, (masks, values) in pair.tests.items()
    }
    relevance = None if doubt is None else doubt.kernel.relevance
    return Sibling.of(found.fit.spectrum, found.queries.values, relevance), alike


def table(rows: Sequence[Row]) -> str:
    """A line for each pair and α, with and without the sibling."""
    lines = []
    for (pair, alpha), group in grouped(rows, ("pair", "alpha")).items():
        by_seed = {(row["seed"], row["told"]): row for row in group}
        seeds = sorted({seed for seed, _ in by_seed})
        alike = next(row["alike"] for row in group if row["told"])
        shown = [pair, " / ".join(f"{value:.2f}" for value in alike.values()), f"{alpha:g}"]
        shown.append(f"{statistics.median(row['calls'] for row in group):.0f}")
        for density in alike:
            without, told = (
                statistics.median(by_seed[seed, told]["r2"][density] for seed in seeds)
                for told in (False, True)
            )
            worst = min(
                by_seed[seed, True]["r2"][density] - by_seed[seed, False]["r2"][density]
                for seed in seeds
            )
            shown.append(f"{without:.3f} → {told:.3f} ({worst:+.3f})")
        lines.append(shown)
    densities = (f"R² {d:g}" for d in TEST_DENSITIES)
    return markdown_table(["pair", "correlation", "α", "calls", *densities], lines)


def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    known = [*COPIES, *TABLES]
    parser.add_argument("--pairs", nargs="+", choices=known, default=known)
    parser.add_argument("--words", type=int, default=44, help="of the review")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--json", type=Path, help="every run")
    options = parser.parse_args(given)

    rows: list[Row] = []
    for name in options.pairs:
        pair = copied(name, options.words) if name in COPIES else tabled(name)
        sibling, alike = told_by(pair)
        runs = itertools.product(options.alphas, range(options.seeds), (False, True))
        for alpha, seed, told in runs:
            spectrum, calls = pair.spectrum(alpha, seed, sibling if told else None)
            r2 = {
                f"{d:g}": r2_score(values, spectrum.evaluate(masks))
                for d, (masks, values) in pair.tests.items()
            }
            row = {"pair": name, "alpha": alpha, "seed": seed, "told": told}
            rows.append({**row, "calls": calls, "alike": alike, "r2": r2})
            print(rows[-1], file=sys.stderr, flush=True)
            if options.json is not None:
                write_json(options.json, rows)
    print(describe(machine()), end="\n\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
