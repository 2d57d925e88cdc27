from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.text.features import text_features


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("The sequel truly elevated the original", "The|sequel|truly|elevated|the|original"),
        ("Don't say it's \"bad\"... 3.5/10!", "Don't|say|it's|\"bad\"...|3.5/10!"),
        ("  two  spaces\n\tand lines ", "two|spaces|and|lines"),
        ("这部电影不好看，但“演员”很棒。", "这|部|电|影|不|好|看，|但|“演|员”|很|棒。"),
        ("هذا الفيلم ليس سيئًا، بل رائع!", "هذا|الفيلم|ليس|سيئًا،|بل|رائع!"),
        ("日本語のテキスト", "日|本|語|の|テキスト"),
        ("good 👍🏽 👨‍👩‍👧", "good|👍🏽|👨‍👩‍👧"),
    ],
)
def test_words(text: str, labels: str) -> None:
    assert list(text_features(text, "words").labels) == labels.split("|")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (
            'Dr. Smith left the U.S. in 1990. "It was bad!" he said. Really? Yes.\n\nNext one.',
            'Dr. Smith left the U.S. in 1990.|"It was bad!" he said.|Really?|Yes.|Next one.',
        ),
        ("这部电影不好看。但是演员很棒！真的吗？", "这部电影不好看。|但是演员很棒！|真的吗？"),
        ("One 👍 here. Two there.", "One 👍 here.|Two there."),
    ],
)
def test_sentences(text: str, labels: str) -> None:
    assert list(text_features(text, "sentences").labels) == labels.split("|")


@given(st.text(min_size=1).filter(str.strip), st.sampled_from(["words", "sentences"]))
def test_pieces_and_gaps_rebuild_the_text(text: str, kind: str) -> None:
    features = text_features(text, kind)  # type: ignore[arg-type]
    rebuilt, position = "", 0
    for label, (start, stop) in zip(features.labels, features.spans, strict=True):
        rebuilt += text[position:start] + label
        position = stop
    assert rebuilt + text[position:] == text
    covered = "".join(features.labels)
    assert "".join(covered.split()) == "".join(text.split())


def test_own_spans_and_tokens() -> None:
    text = "not bad at all"
    own = text_features(text, [(0, 7), (11, 14)])
    assert own.labels == ("not bad", "all")
    assert own.kind == "spans"
    # Two tokens for the bytes of one character are one feature.
    assert text_features("a👍", "tokens", [(0, 1), (1, 2), (1, 2)]).labels == ("a", "👍")


@pytest.mark.parametrize(
    ("text", "features", "message"),
    [
        ("", "words", "the text is empty"),
        (" \n\t", "words", "the text is empty"),
        (7, "words", "expected a text"),
        ("a b", "letters", "features='letters' is unknown"),
        ("a b", "spans", "is unknown"),
        ("a b", [], "no spans to mask"),
        ("a b", [(0, 9)], "outside the text of 3 characters"),
        ("a b", [(1, 1)], "or is empty"),
        ("a b", [(2, 3), (0, 1)], "ordered and disjoint"),
        ("a b", [(0, 2), (1, 3)], "ordered and disjoint"),
        ("a b", [1, 2], "character ranges"),
        ("a b", None, "character ranges"),
    ],
)
def test_bad_input_is_refused(text: object, features: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_features(text, features)  # type: ignore[arg-type]
