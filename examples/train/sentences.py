"""The short texts that the teacher labels: sentences, fragments of them, and masked variants."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from reviews import Review, mask_words

CUES = re.compile(
    r"\b(?:not|\w+n['\u2019]t|cannot|never|no|none|nothing|neither|nor|without|hardly|barely|scarcely"
    r"|lacks?|but|although|though|despite|however|yet|instead|too|rather|far from)\b",
    re.IGNORECASE,
)
"""Words that turn, weaken or weigh what other words say."""

FEWEST, MOST = 4, 40  # words in a sentence
FRAGMENT = 8  # words in a fragment, at most


def sentences(reviews: Iterable[Review]) -> list[str]:
    """Split long reviews where a sentence ends; keep what is neither very short nor very long."""
    parts = (
        part
        for review in reviews
        if review.source == "imdb"
        for part in re.split(r"(?<=[.!?])[\"')]*\s+", review.text)
    )
    return [part for part in dict.fromkeys(parts) if FEWEST <= len(part.split()) <= MOST]


def _fragment(text: str, rng: random.Random) -> str:
    """Cut a few words out of a sentence, most often from just before one of the cues."""
    words = text.split()
    at = [i for i, word in enumerate(words) if CUES.search(word)]
    start = rng.choice(at) - rng.choice((0, 0, 1, 2)) if at else rng.randrange(len(words))
    return " ".join(words[max(0, start) :][: rng.randint(1, FRAGMENT)]).rstrip(",;:-")


def _letters(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def distillation_texts(
    reviews: Sequence[Review],
    whole: int,
    fragments: int,
    masked: int,
    leave_out: Iterable[str],
    seed: int,
) -> list[str]:
    """Draw the texts that the teacher is to label; none of them is one of `leave_out`.

    All short training texts; `whole` sentences of the long ones, three quarters of them with a
    cue; `fragments` of such sentences; and `masked` of all these with 10 to 70% of the words
    replaced by [MASK].
    """
    rng = random.Random(seed)
    pool = sentences(reviews)
    rng.shuffle(pool)
    turning = [text for text in pool if CUES.search(text)]
    plain = [text for text in pool if not CUES.search(text)]
    texts = [r.text for r in reviews if r.source != "imdb"]
    texts += turning[: 3 * whole // 4] + plain[: whole - 3 * whole // 4]
    for i in range(fragments):
        texts.append(_fragment(rng.choice(plain if i % 4 == 0 else turning), rng))
    texts += [
        mask_words(text.split(), rng.uniform(0.1, 0.7), rng) for text in rng.sample(texts, masked)
    ]
    banned = {_letters(text) for text in leave_out}
    return [text for text in dict.fromkeys(texts) if _letters(text) not in banned]
