"""Which patches of a picture belong with which words of its caption?

    python examples/03_clip.py [--out DIR]

Takes about a minute on two cores, with the small CLIP that ships. Explains a held-out picture and
its caption by the image-text logit, and by the paper's contrastive loss against 32 other pairs.
Writes ``clip.html``, ``clip_loss.html`` and ``clip.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, InteractionExplainer

PICTURES = Path(__file__).parent / "pictures"
EDGE = 96  # of a picture on the sheet, in pixels


def pairs() -> list[tuple[Image.Image, str]]:
    """The held-out pictures with their captions (``train/held_out.py`` makes them)."""
    captions = (PICTURES / "held_out.txt").read_text(encoding="utf-8").splitlines()
    sheet = Image.open(PICTURES / "held_out.png").convert("RGB")
    columns = sheet.width // EDGE
    corners = [(i % columns * EDGE, i // columns * EDGE) for i in range(len(captions))]
    pictures = [sheet.crop((x, y, x + EDGE, y + EDGE)) for x, y in corners]
    return list(zip(pictures, captions, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--alpha", type=float, default=2.0)
    given = parser.parse_args()

    (image, caption), *others = pairs()[:33]
    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP)
    explainer = InteractionExplainer(pipe, alpha=given.alpha, patches=(6, 6))
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
