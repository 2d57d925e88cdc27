"""Explain a film review near its actual text, and ask the model whether the explanation is right.

    python examples/01_review.py [--out DIR]

Takes about a minute on two cores and needs no network. Writes ``review.html`` and ``review.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transformers import pipeline

from proxyspex_hf import DEMO_MODEL, InteractionExplainer
from proxyspex_hf.demo import demo_review


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--alpha", type=float, default=2.0)
    given = parser.parse_args()

    pipe = pipeline("text-classification", model=DEMO_MODEL)
    explainer = InteractionExplainer(pipe, alpha=given.alpha)
    explanation = explainer(demo_review())
    print(explanation)

    print("\nFaith-Shapley interactions of two words:")
    pairs = explanation.interactions("FSII", order=2).of_order(2)
    for members, value in pairs.top(5):
        words = " × ".join(explanation.features.labels[i] for i in members)
        print(f"  {value:+.3f}  {words}")

    print("\nRemoving the words that matter most (predicted, then by the model itself):")
    for check in explainer.check_removal(explanation, ks=[1, 2, 3, 5]):
        print(f"  {check.solution.predicted:+.2f}  {check.actual:+.2f}  without {check.labels}")

    explanation.save(given.out / "review.json")
    explanation.to_html(given.out / "review.html")
    print(f"\nwrote {given.out / 'review.html'}")


if __name__ == "__main__":
    main()
