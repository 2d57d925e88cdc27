"""Which regions of a photo decide what a classifier among candidate labels sees in it?

    pip install scikit-image
    python examples/04_images.py [--out DIR]

Takes about a minute on two cores, with the small CLIP that ships, which tells icons apart.
The same picture is explained by a grid of patches and by superpixels. Writes ``patches.html``
and ``superpixels.html``.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, InteractionExplainer

LABELS = ["a penguin", "a guitar", "a cloud"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--alpha", type=float, default=2.0)
    parser.add_argument("--image", help="the path of another picture")
    given = parser.parse_args()

    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP)
    explainer = InteractionExplainer(pipe, alpha=given.alpha, value="margin", image_masking="mean")
    value = {
        "image": given.image or import_module("03_clip").pairs()[0][0],
        "candidate_labels": LABELS,
        "hypothesis_template": "this is a photo of {}",
    }
    for name, patches in (("patches", (7, 7)), ("superpixels", "superpixels")):
        explanation = explainer(value, patches=patches)
        print(f"\nBy {name}:\n{explanation}")
        explanation.to_html(given.out / f"{name}.html")
        print(f"wrote {given.out / f'{name}.html'}")


if __name__ == "__main__":
    main()
