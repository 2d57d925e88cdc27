"""Make the held-out pictures that the examples explain: ``examples/pictures/held_out.png``.

    python examples/train/held_out.py

Each has icons that never met while the small CLIP trained; their captions are in ``held_out.txt``
beside it, a line each, from the left and from the top. The first picture is the app's example.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from clip_measure import pairs
from icons import NAMES
from PIL import Image
from scenes import EDGE, Scene, caption, compose

FOLDER = Path(__file__).parents[1] / "pictures"
COLUMNS, ROWS = 12, 8
#: Not the seeds of training and of the measurements.
SEED = 7
#: Two icons side by side, and one that no word of the caption names.
FIRST = (("penguin", 48, (0, 48)), ("guitar", 48, (48, 48)), ("cloud", 48, (16, 0)))


def main() -> None:
    _, captions, pictures = pairs(COLUMNS * ROWS * 2, SEED)
    first = {each.text: i for i, each in reversed(list(enumerate(captions)))}
    taken = sorted(first.values())[: COLUMNS * ROWS]  # no caption twice
    captions, pictures = [captions[i] for i in taken], pictures[taken]
    names, edges, corners = zip(*FIRST, strict=True)
    shown = tuple(NAMES.index(name) for name in names)
    scene = Scene(np.array(shown), np.array(edges), np.array(corners))
    captions[0] = caption(shown[:2])
    pictures[0] = compose(np.random.default_rng(SEED), [scene])[0][0]
    tiles = pictures.reshape(ROWS, COLUMNS, EDGE, EDGE, 3).transpose(0, 2, 1, 3, 4)
    sheet = Image.fromarray(tiles.reshape(ROWS * EDGE, COLUMNS * EDGE, 3))
    sheet.save(FOLDER / "held_out.png", optimize=True)
    lines = "".join(f"{each.text}\n" for each in captions)
    (FOLDER / "held_out.txt").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
