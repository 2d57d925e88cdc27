"""Pictures composed of one to three icons, their captions, and how much of a caption is seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from icons import EDGES, ICONS, NAMES, UNSEEN, drawings, phrase_of

EDGE = 96
#: Icons lie on a lattice of so many pixels: the model is small, and learns them sooner so.
STEP = 16
#: (first, second) -> how the first lies to the second.
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = (1, 0, 3, 2)
MASK = "[MASK]"
_PREFIXES = ("this is a photo of ", "a picture of ", "there is ")
#: One of so many pairs of icons never meets in training.
_HELD_OUT_ONE_IN = 10
#: Edges of the icons in pictures of one, two and three.
_EDGES = {1: (32, 48, 64), 2: (32, 48), 3: (32, 48)}
#: A relation is told where one offset is so many times the other.
_CLEARLY = 1.5

_BACKGROUNDS = ("plain", "shaded", "striped", "chequered", "cloudy")
_Y, _X = np.mgrid[:EDGE, :EDGE].astype(np.float32) / EDGE
#: Spreads 7 random levels over an edge, linearly.
_SOFT = np.maximum(0, 1 - np.abs(np.linspace(0, 6, EDGE)[:, None] - np.arange(7))).astype(
    np.float32
)

_SEEN = np.array([i for i, icon in enumerate(ICONS) if icon not in UNSEEN])
_WORDS = [name.split() for name in NAMES]


def held_out(first: int, second: int) -> bool:
    """Whether these two icons never meet in training."""
    low, high = sorted((first, second))
    return (low * 7919 + high * 104729) % 1009 % _HELD_OUT_ONE_IN == 0


@dataclass
class Scene:
    """What one picture shows: icons (k,), their edges, and their corners x, y in pixels."""

    icons: np.ndarray
    edges: np.ndarray
    corners: np.ndarray

    def _offset(self, i: int, j: int) -> tuple[float, float]:
        """From the j-th centre to the i-th, in pixels."""
        half = (int(self.edges[i]) - int(self.edges[j])) / 2
        (a, b), (c, d) = self.corners[i].tolist(), self.corners[j].tolist()
        return a - c + half, b - d + half

    def apart(self, i: int, j: int) -> bool:
        """Whether neither lies over the other."""
        return max(map(abs, self._offset(i, j))) >= (self.edges[i] + self.edges[j]) / 2

    def relation(self, i: int, j: int) -> int | None:
        """How the i-th icon lies to the j-th: an index of RELATIONS; None: askew."""
        x, y = self._offset(i, j)
        if abs(x) >= _CLEARLY * abs(y):
            return 0 if x < 0 else 1
        if abs(y) >= _CLEARLY * abs(x):
            return 2 if y < 0 else 3
        return None


@dataclass
class Caption:
    """A caption's words, and what each tells.

    Attributes:
        words: as written.
        nouns: the icons named.
        relation: how the first noun lies to the second, or None.
        tells: (words,) the noun (0, 1, …) that each word names, -1 for the relation, else -2.
    """

    words: list[str]
    nouns: tuple[int, ...]
    relation: int | None
    tells: np.ndarray

    @property
    def text(self) -> str:
        return " ".join(self.words)


def caption(nouns: tuple[int, ...], relation: int | None = None, prefix: str = "") -> Caption:
    """ "a dog", "a dog left of an apple", "a dog and an apple and a cat"."""
    words, tells = prefix.split(), [-2] * len(prefix.split())
    for place, noun in enumerate(nouns):
        if place:
            between = ["and"] if relation is None else RELATIONS[relation].split()
            words += between
            tells += [-2 if relation is None else -1] + [-2] * (len(between) - 1)
        named = phrase_of(NAMES[noun]).split()
        words += named
        tells += [-2] * (len(named) - len(_WORDS[noun])) + [place] * len(_WORDS[noun])
    return Caption(words, nouns, relation, np.array(tells))


def masked(given: Caption, keep: np.ndarray) -> str:
    return " ".join(w if k else MASK for w, k in zip(given.words, keep, strict=True))


def told(given: Caption, keep: np.ndarray) -> tuple[np.ndarray, float]:
    """What is left of it: the share of each noun's words, and whether the relation is told."""
    nouns = np.array([keep[given.tells == i].mean() for i in range(len(given.nouns))])
    return nouns, float(given.relation is not None and keep[given.tells == -1].all())


def draw_icons(
    rng: np.random.Generator, count: int, *, alone: bool = False, unknown: bool = False
) -> list[np.ndarray]:
    """The icons of so many pictures, one to three each.

    Args:
        alone: one each.
        unknown: two each, that never meet in training.
    """
    out: list[np.ndarray] = []
    while len(out) < count:
        most = 1 if alone else 2 if unknown else int(rng.choice([1, 2, 3], p=(0.2, 0.55, 0.25)))
        icons = rng.choice(_SEEN, most, replace=False)
        strange = [held_out(i, j) for i, j in combinations(icons.tolist(), 2)]
        if all(strange) if unknown else not any(strange):
            out.append(icons)
    return out


def arrange(rng: np.random.Generator, icons: np.ndarray) -> Scene:
    """Places for icons, none over another; two alone lie clearly beside or above each other."""
    while True:
        edges = rng.choice(_EDGES[len(icons)], len(icons))
        places = (EDGE - edges[:, None]) // STEP + 1
        for corners in (rng.random((20, len(icons), 2)) * places).astype(int) * STEP:
            scene = Scene(icons, edges, corners)
            if all(scene.apart(i, j) for i in range(len(icons)) for j in range(i)) and (
                len(icons) != 2 or scene.relation(0, 1) is not None
            ):
                return scene


def describe(rng: np.random.Generator, scene: Scene) -> Caption:
    """A caption that is true of it; with three icons, often of two of them only."""
    order = rng.permutation(len(scene.icons))
    prefix = rng.choice(_PREFIXES) if rng.random() < 0.2 else ""
    most = len(order)
    count = 1 if most == 1 else int(rng.choice([1, 2, most], p=(0.1, 0.75, 0.15)))
    nouns = tuple(int(scene.icons[i]) for i in order[:count])
    relation = scene.relation(order[0], order[1]) if count == 2 else None
    if rng.random() < 0.15:
        relation = None
    return caption(nouns, relation, str(prefix))


def spoiled(rng: np.random.Generator, given: Caption, scene: Scene) -> Caption:
    """Nearly the same caption, but false: the other way round, or of another icon."""
    nouns, relation = list(given.nouns), given.relation
    if relation is not None and rng.random() < 0.7:
        if rng.random() < 0.5:
            nouns.reverse()
        else:
            relation = OPPOSITE[relation]
    else:
        other = int(rng.choice(_SEEN))
        while other in scene.icons:
            other = int(rng.choice(_SEEN))
        nouns[rng.integers(len(nouns))] = other
    return caption(tuple(nouns), relation)


def background(rng: np.random.Generator) -> np.ndarray:
    """Plain, shaded, striped, chequered or cloudy, never near black: (96, 96, 3) of float32."""
    first = rng.integers(100, 256, 3).astype(np.float32)
    second = np.clip(first + rng.integers(-60, 61, 3), 80, 255).astype(np.float32)
    kind = rng.choice(_BACKGROUNDS, p=(0.4, 0.2, 0.1, 0.1, 0.2))
    amount = np.zeros((EDGE, EDGE), np.float32)
    angle, often = rng.random() * 2 * np.pi, 2 * np.pi * rng.integers(2, 7)
    along = np.float32(np.cos(angle)) * _X + np.float32(np.sin(angle)) * _Y
    if kind == "shaded":
        amount = (along - along.min()) / np.ptp(along)
    elif kind == "striped":
        amount = 0.5 + 0.5 * np.sin(often * along)
    elif kind == "chequered":
        across = np.float32(np.cos(angle)) * _Y - np.float32(np.sin(angle)) * _X
        amount = (np.sin(often * along) * np.sin(often * across) > 0).astype(np.float32)
    elif kind == "cloudy":
        amount = _SOFT @ rng.random((_SOFT.shape[1],) * 2).astype(np.float32) @ _SOFT.T
    return first + (second - first) * amount[..., None].astype(np.float32)


def compose(rng: np.random.Generator, scenes: list[Scene]) -> tuple[np.ndarray, np.ndarray]:
    """The pictures, (b, 96, 96, 3) of uint8, and each icon's ink, (b, 3, 96, 96), summing to 1."""
    drawn = drawings()
    pictures = np.rint([background(rng) for _ in scenes]).astype(np.uint8)
    ink = np.zeros((len(scenes), 3, EDGE, EDGE), np.float32)
    for b, scene in enumerate(scenes):
        for i, (icon, edge, (x, y)) in enumerate(
            zip(scene.icons, scene.edges, scene.corners, strict=True)
        ):
            drawing = drawn[int(edge)][icon]
            alpha = drawing[..., 3:].astype(np.float32) / 255
            place = pictures[b, y : y + edge, x : x + edge]
            place[:] = np.rint(alpha * drawing[..., :3] + (1 - alpha) * place)
            ink[b, i, y : y + edge, x : x + edge] = alpha[..., 0] / alpha.sum()
    return pictures, ink


def keep_pixels(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """Which pixels stay, (b, 96, 96): of a grid's patches, each picture keeps its share."""
    rows, columns = rng.integers(3, 9, 2)
    cells = rng.random((len(shares), rows, columns)) < shares[:, None, None]
    y, x = np.arange(EDGE) * rows // EDGE, np.arange(EDGE) * columns // EDGE
    kept: np.ndarray = cells[:, y[:, None], x[None]]
    return kept


def seen(
    scenes: list[Scene], visible: np.ndarray, captions: list[Caption], kept: list[np.ndarray]
) -> np.ndarray:
    """How much of what each caption could say is told and seen, 0 to 1: (pictures, captions).

    A noun counts by the share of its words that is told times the share of its icon's ink that is
    visible, (pictures, 3); the relation counts as one more noun, and a wrong one is taken away.
    """
    shown = np.zeros((len(scenes), len(ICONS)))
    facts: dict[tuple[int, int, int], list[tuple[int, float]]] = {}
    for b, scene in enumerate(scenes):
        shown[b, scene.icons] = visible[b, : len(scene.icons)]
        for i, first in enumerate(scene.icons):
            for j, second in enumerate(scene.icons):
                relation = scene.relation(i, j) if i != j else None
                if relation is not None:
                    both = min(visible[b, i], visible[b, j])
                    facts.setdefault((int(first), int(second), relation), []).append((b, both))
    out = np.zeros((len(scenes), len(captions)))
    for c, (given, keep) in enumerate(zip(captions, kept, strict=True)):
        nouns, relation = told(given, keep)
        parts = len(nouns) + (given.relation is not None)
        out[:, c] = shown[:, list(given.nouns)] @ nouns
        if given.relation is not None and relation:
            first, second = given.nouns
            for way, sign in enumerate(_signs(given.relation)):
                for b, both in facts.get((first, second, way), ()):
                    out[b, c] += sign * both * nouns.min()
        out[:, c] /= parts
    return np.clip(out, 0, 1)


def _signs(relation: int) -> list[float]:
    """What each relation that holds counts for the one that is told."""
    return [1.0 if way == relation else -1.2 for way in range(len(RELATIONS))]


if __name__ == "__main__":
    print(len(NAMES), len(set(NAMES)), sorted(NAMES), EDGES)
