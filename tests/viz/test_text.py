"""The explanation in a terminal: what it says, and that labels cannot act on the terminal."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from record_factory import (
    additive,
    captioned_record,
    constant,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
)

from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz import render_text
from proxyspex_hf.viz.summary import facts
from proxyspex_hf.viz.wording import number


def columns(line: str) -> int:
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in line
    )


def test_the_whole_output() -> None:
    record = make_record(
        "It is not bad",
        from_effects({(): 0.5, (2, 3): 1.3, (3,): -1.0, (0, 3): 0.25}, 4),
        provenance={"notes": ("The text was cut.",)},
    )
    assert render_text(record, width=60) == (
        f"POSITIVE: logit {record.full_value:+.2f} (all words masked: {record.empty_value:+.2f}),\n"
        "acme/distil-sentiment\n"
        "Note: The text was cut.\n"
        "\n"
        "effect              combination\n"
        " +1.30  ██████████  not \N{MULTIPLICATION SIGN} bad (either one lowers it)\n"
        " -1.00  ░░░░░░░░    bad\n"
        " +0.25  ██          It \N{MULTIPLICATION SIGN} … bad (either one lowers it)\n"
        "\n"
        "keeps 50% of the words: R²  0.87 good, additive 0.71 (64\n"
        "  masks)\n"
        "keeps 70% of the words: R²  0.83 good, additive 0.69 (64\n"
        "  masks)\n"
        "keeps 90% of the words: R²  0.62 fair, additive 0.48 (64\n"
        "  masks)\n"
        f"{len(record.queries)} model calls ({record.queries.n_fit} fitted, "
        f"{len(record.queries) - record.queries.n_fit} held out)\n"
    )


def test_what_is_masked_and_what_is_deleted() -> None:
    record = captioned_record()
    assert "This a red dot: similarity +0.50 (all patches and words masked: " in head(record)
    settings = replace(record.settings, masking="delete")
    deleted = replace(record, settings=settings)
    assert "(all patches masked and all words deleted: " in head(deleted)
    features = replace(record.features, labels=record.features.labels[:4], spans=(), kind="patches")
    spectrum = from_effects({(): 0.5, (0, 3): 2.0}, 4)
    alone = make_record("", spectrum, features=features, picture=record.picture)
    assert "(all patches masked: " in head(replace(alone, settings=settings))
    assert "row 1, column 1 × row 2, column 2" in render_text(alone)
    assert repr(InteractionExplanation(record)).startswith(
        "InteractionExplanation('This a red dot', 4 patches and 3 words, "
    )
    assert ("Features", "4 patches and 3 words") in facts(record)


def head(record: ExplanationRecord) -> str:
    return render_text(record, width=200).split("\n\n")[0]


def test_features_are_quoted_where_they_would_run_together() -> None:
    target = Target("POSITIVE", 1, "log-odds", "POSITIVE", "NEGATIVE")
    effects = {(): 0.5, (0,): 0.4, (1,): 0.3}
    record = make_record("Well, funny. so", from_effects(effects, 3), target=target)
    assert "Without “Well” and “funny”: 55% NEGATIVE, barely." in head(record)


def test_a_margin_is_told_in_words_too() -> None:
    effects = {(): 0.5, (0,): 0.9, (1,): 0.3}
    target = Target("joy", 2, "margin", "joy")
    record = make_record("so very glad", from_effects(effects, 3), target=target)
    assert head(record).startswith(
        "joy leads the next label by 0.50. Without “so”: joy trails the next label by 0.40.\n"
        "joy: margin +0.50 ("
    )


def test_top_limits_the_rows_and_says_so() -> None:
    text = render_text(review_record(), top=3)
    assert "+0.92" in text
    assert "-0.78" in text
    assert "+0.52" not in text
    assert "… 146 more" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "text",
    [
        "This sequel is not bad at all, it is warm and strangely moving",
        "这部 电影 一点 也 不差 反而 让人 非常 感动 而且 很 有趣",
        "the pneumonoultramicroscopicsilicovolcanoconiosis" * 3 + " is bad",
    ],
)
def test_lines_stay_within_the_width(text: str, width: int) -> None:
    shown = render_text(make_record(text), width=width, top=30)
    assert max(map(columns, shown.splitlines())) <= width


def test_combinations_start_in_one_column() -> None:
    record = make_record("这部 电影 也 不差", from_effects({(0, 2): 1.0, (1,): -0.2, (3,): 0.1}, 4))
    rows = [line for line in render_text(record).splitlines() if line[:5].strip()[:1] in ("+", "-")]
    starts = {
        columns(row[: next(i for i, c in enumerate(row) if unicodedata.category(c) == "Lo")])
        for row in rows
    }
    assert len(rows) == 3
    assert len(starts) == 1


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("over\rwrite\x08\x08", r"over write\x08\x08"),
        ("\u202eevil", r"\u202eevil"),
        ("\u2066hidden\u2069", r"\u2066hidden\u2069"),
        ("\x00", r"\x00"),
        ("\n", r"\n"),
        ("   ", "␣␣␣"),
    ],
)
def test_control_characters_are_spelled_out(payload: str, shown: str) -> None:
    record = make_record(
        payload + "z",
        from_effects({(0,): 1.0}, 1),
        features=Features((payload,), ((0, len(payload)),), "tokens"),
        target=Target(payload, 0, "logit", payload * 2),
        provenance={"model": payload, "notes": (payload,)},
    )
    text = render_text(record, width=200)
    assert text.count(shown) >= 5
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"]


def test_color_is_asked_for() -> None:
    record = review_record()
    assert "\x1b" not in render_text(record)
    colored = render_text(record, color=True)
    for code in ("\x1b[33m", "\x1b[34m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == render_text(record)


def test_warnings_and_the_predicted_label() -> None:
    record = make_record(
        "some text",
        target=Target("NEGATIVE", 0, "logit", "POSITIVE"),
        faithfulness=(DensityScore(0.9, -1.3, None, 5),),
    )
    text = render_text(record, width=200)
    assert "The model predicts POSITIVE." in text
    assert "R² -1.30" in text
    assert "Warning: Close to the actual input (masks that keep 90% of the words)" in text
    unmeasured = render_text(make_record("some text", faithfulness=()), width=200)
    assert "faithfulness was not measured" in unmeasured


def test_an_empty_spectrum() -> None:
    empty = make_record("some text", from_effects({(): 1.0}, 2))
    text = render_text(constant(empty))
    assert "Nothing was found: the score does not depend on the words." in text
    # A fit that found no term of values that vary has not shown that they do not depend on it.
    assert "No effect of a word or of a combination can be told from zero." in render_text(empty)


def test_intervals_and_that_nothing_was_held_out() -> None:
    record = additive(
        with_doubt(make_record("It is not bad", from_effects({(): 0.5, (2,): 1.4, (3,): -1.0}, 4)))
    )
    found = record.effects[0]
    assert found.interval is not None
    low, high = found.interval
    assert low <= 1.4 <= high
    lines = render_text(record).splitlines()
    assert lines[2].lstrip().startswith("effect ± 90%  ")
    assert lines[3].lstrip().startswith(number(1.4, (low, high), 2))
    assert "No combination matters: the words add up." in lines
    assert "R²  0.62 (0.54 to 0.67) fair" in "\n".join(lines)
    assert "(worth 30" in "\n".join(lines)
    assert lines[-1] == "12 model calls"
    assert "add up" not in render_text(replace(record, doubt=None))


def test_arguments_are_checked() -> None:
    record = make_record("some text", random_spectrum(2, 3))
    with pytest.raises(InputError, match="top must be at least 1"):
        render_text(record, top=0)
    with pytest.raises(InputError, match="width must be at least 40"):
        render_text(record, width=39)
