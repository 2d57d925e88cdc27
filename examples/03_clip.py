"""Which patches of an image belong with which words of its caption?

    pip install easy-vqa
    python examples/03_clip.py [--out DIR]

Takes about a minute on two cores, with the small CLIP that ships. Explains a held-out image and
its caption by the image-text logit, and by the paper's contrastive loss against 32 other pairs.
Writes ``clip.html``, ``clip_loss.html`` and ``clip.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from easy_vqa import get_test_image_paths, get_test_questions
from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, InteractionExplainer

COLORS = {"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"}
SHAPES = {"circle", "rectangle", "triangle"}


def pairs() -> list[tuple[str, str]]:
    """The held-out images with the captions that their questions and answers give."""
    facts: dict[int, dict[str, str]] = {}
    for _, answer, image in zip(*get_test_questions(), strict=True):
        kind = "color" if answer in COLORS else "shape" if answer in SHAPES else None
        if kind is not None:
            facts.setdefault(image, {})[kind] = answer
    paths = get_test_image_paths()
    return [
        (str(paths[i]), f"there is a {fact['color']} {fact['shape']} in the image")
        for i, fact in facts.items()
        if len(fact) == 2
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--alpha", type=float, default=2.0)
    given = parser.parse_args()

    (image, caption), *others = pairs()[2:35]
    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP)
    explainer = InteractionExplainer(pipe, alpha=given.alpha, patches=(6, 8))
    explanation = explainer({"image": image, "text": caption})
    print(explanation)
    mixed = [
        pair
        for pair in explanation.top(200, order=2)
        if pair.members[0] < explanation.features.text_start <= pair.members[1]
    ]
    print("\nA patch with a word:")
    for pair in mixed[:5]:
        print(f"  {pair}")

    loss = explainer({"image": image, "text": caption, "others": others}, value="contrastive loss")
    print("\nBy the contrastive loss against 32 other pairs (less is better):")
    for interaction in loss.top(5):
        print(f"  {interaction}")
    explanation.save(given.out / "clip.json")
    explanation.to_html(given.out / "clip.html")
    loss.to_html(given.out / "clip_loss.html")
    print(f"\nwrote {given.out / 'clip.html'} and {given.out / 'clip_loss.html'}")


if __name__ == "__main__":
    main()
