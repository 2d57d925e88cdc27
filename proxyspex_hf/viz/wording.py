"""Numbers, verdicts and untrusted text in words that both pictures share."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.record.record import ExplanationRecord, Target

#: R² from here on is called good, or fair; below FAIR it is poor, below 0 worse than a constant.
GOOD, FAIR = 0.8, 0.5
#: From this density on, masks are the neighbourhood of the actual input.
NEAR_INPUT = 0.85
#: Answers that differ by less than this share of their standard deviation repeat well enough: such
#: noise would lower an R² by 0.001 or so.
_NOISY = 0.05

_NOUNS = {
    "words": ("word", "words"),
    "sentences": ("sentence", "sentences"),
    "tokens": ("token", "tokens"),
    "spans": ("span", "spans"),
    "documents": ("document", "documents"),
    "patches": ("patch", "patches"),
    "superpixels": ("region", "regions"),
    "segments": ("stretch", "stretches"),
}
#: Numbers from ``_LARGE`` on have an exponent, and those below ``_SMALL`` that need more digits.
_LARGE, _SMALL, _MOST_DECIMALS = 1e9, 1e-4, 6
#: A number that starts more digits than this after the last one shown is a rounding error of sums.
_ROUNDING = 8
#: Zero-width, yet part of how words of some scripts and emoji are written.
_JOINERS = "\u200c\u200d"


def nouns(record: ExplanationRecord) -> tuple[str, str]:
    """What one feature, and several, are called."""
    features = record.features
    one, many = _NOUNS.get(features.kind, ("feature", "features"))
    if features.regions and features.spans:
        region, regions = _NOUNS.get(features.region_kind or "", ("region", "regions"))
        return f"{region} or {one}", f"{regions} and {many}"
    return one, many


def counted_nouns(record: ExplanationRecord) -> list[tuple[str, str, int, int]]:
    """Of regions and pieces of text: what one and several are called, first index, and how many.

    “3 of 48 patches and 1 of 8 words” is a count; “4 patches and words” would be none.
    """
    features = record.features
    regions, spans = len(features.regions), len(features.spans)
    if not (regions and spans):
        return [(*nouns(record), 0, len(features))]
    region = _NOUNS.get(features.region_kind or "", ("region", "regions"))
    text = _NOUNS.get(features.kind, ("feature", "features"))
    return [(*region, 0, regions), (*text, regions, spans)]


def counted(record: ExplanationRecord) -> str:
    """How many features there are of each kind, as in “48 patches and 1 word”."""
    each = counted_nouns(record)
    return " and ".join(f"{count:,} {one if count == 1 else many}" for one, many, _, count in each)


def of_kind(count: int, kind: str) -> str:
    """The same where only the features' kind is known, as in a listing."""
    one, many = _NOUNS.get(kind, ("feature", "features"))
    return f"{count:,} {one if count == 1 else many}"


def all_gone(record: ExplanationRecord) -> str:
    """``all words masked``: what becomes of the features in the mask that keeps none.

    Regions of a picture, and stretches of sound, are never deleted.
    """
    features, many = record.features, nouns(record)[1]
    if record.settings.masking == "mask" or not features.spans:
        return f"all {many} masked"
    if not features.regions:
        return f"all {many} deleted"
    (_, regions, _, _), (_, words, _, _) = counted_nouns(record)
    return f"all {regions} masked and all {words} deleted"


def score_name(target: Target) -> str:
    """What the explained number is called in a sentence. (A pipeline's own "score" is a
    probability: a logit is not called so.)"""
    return "score" if target.kind == "value" else visible(target.kind)


def shortened(text: str, most: int = 200) -> str:
    """``text``, cut where it would fill the page."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def decimals_for(effects: Iterable[float]) -> int:
    """Digits after the point that show about three figures of the largest effect, at least one.

    Of more than ``_MOST_DECIMALS`` numbers have an exponent instead.
    """
    largest = max(map(abs, effects), default=0.0)
    return max(1, 2 - round(math.log10(largest))) if largest > 0 else 2


def enough(value: float, decimals: int) -> int:
    """``decimals``, or as many as show the first digit of a number that they would round to zero.

    A rounding error, far below what they show, stays zero.
    """
    size = abs(value)
    if size >= 0.5 * 10.0**-decimals or size < 10.0 ** -(decimals + _ROUNDING):
        return decimals
    return -int(f"{size:.0e}".split("e")[1])


def signed(value: float, decimals: int, minus: str = "\N{MINUS SIGN}") -> str:
    """``+1.30``: the sign is always there, since colour alone says nothing.

    Only zero reads as zero: see :func:`enough`.
    """
    text = _size(abs(value), decimals)
    return f"{minus if value < 0 and float(text) else '+'}{text}"


def number(
    value: float,
    interval: tuple[float, float] | None,
    decimals: int | None = None,
    minus: str = "-",
) -> str:
    """``+1.80 ± 0.20``: half of the interval's width; the value alone where that would round to 0.

    Of a lopsided interval, ± would tell other ends than it has, and of any, as rounded, it could
    seem to hold zero where it does not, or not where it does: then the ends are given instead.
    """
    decimals = decimals_for([value]) if decimals is None else decimals
    low, high = (value, value) if interval is None else interval
    half = (high - low) / 2.0
    if not half or half < 0.5 * 10.0**-decimals:
        decimals = enough(value, decimals)
    elif low <= 0.0 <= high and abs(value) < 0.5 * 10.0**-decimals:
        value = 0.0  # its digits say nothing beside the interval
    text = signed(value, decimals, minus)
    if not half or half < 0.5 * 10.0**-decimals:  # narrower than the last digit that is shown
        return text
    centred = abs(value - (low + high) / 2.0) <= half / 2.0
    if centred:
        shown = _size(half, decimals)
        if (float(_size(abs(value), decimals)) > float(shown)) == (low > 0.0 or high < 0.0):
            return f"{text} ± {shown}"
    return f"{text} ({interval_text((low, high), decimals, minus)})"


def interval_text(interval: tuple[float, float], decimals: int, minus: str = "-") -> str:
    """``+1.60 to +2.00``."""
    return " to ".join(signed(end, decimals, minus) for end in interval)


def listed_effects(found: Iterable[tuple[str, float]], spelled: Callable[[str], str]) -> str:
    """``not × bad +1.80, bad −0.61``: in a listing, with the digits of the largest.

    Args:
        found: untrusted words and their effect.
        spelled: how a place writes such words.
    """
    effects = list(found)
    decimals = decimals_for(effect for _, effect in effects)
    return ", ".join(f"{spelled(words)} {signed(effect, decimals)}" for words, effect in effects)


def _size(value: float, decimals: int) -> str:
    """A number of at least zero; ``1.30e+12`` and ``1.30e-07`` where it would be long.

    The page's ``sizeText`` says the same.
    """
    if math.isinf(value):  # the effects of a file may be
        return "inf"
    if value >= _LARGE:
        return _scientific(value, 2)
    decimals = enough(value, decimals)
    if decimals <= _MOST_DECIMALS or value >= _SMALL:
        return _fixed(value, min(decimals, _MOST_DECIMALS))
    if value < 0.5 * 10.0**-decimals:
        return "0"
    exponent = int(f"{value:.16e}".split("e")[1])
    return _scientific(value, max(0, min(_MOST_DECIMALS, exponent + decimals)))


def _fixed(value: float, decimals: int) -> str:
    """``value`` of at least zero, halves up as in a browser: Python's are rounded to even."""
    return f"{_half_up(value, decimals):.{decimals}f}"


def _scientific(value: float, digits: int) -> str:
    return f"{_half_up(value, digits - int(f'{value:.16e}'.split('e')[1])):.{digits}e}"


def _half_up(value: float, decimals: int) -> float:
    if value >= 2.0**53 and decimals >= 0:  # has no fraction
        return value
    return float(Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def sentence(
    labels: Sequence[str],
    kind: str,
    value: float,
    interval: tuple[float, float] | None,
) -> str:
    """What a feature or a combination does at the input, in words, and how much."""
    shown = [visible(label) for label in labels]
    if kind in _TOGETHER:
        return in_quotes(together_parts(shown, kind, value, interval, minus="-"))
    does = "lowers" if kind == "lowers alone" else "raises"
    return f"“{shown[0]}” {does} it: {number(value, interval)}"


def in_quotes(parts: Iterable[tuple[str, str]]) -> str:
    """Pieces of a sentence as one text."""
    return "".join(f"“{text}”" if what == "quoted" else text for what, text in parts)


#: What raising and lowering the value mean, in the sentence's words, where not just that.
_MEANS = {
    "log-perplexity": ("make it less likely", "make it likelier"),
    "contrastive loss": ("make the two fit worse", "make the two fit better"),
}
#: Of a combination: whether it raises the value, and whether either member is enough.
_TOGETHER = {
    "both needed": (True, False),
    "either is enough": (True, True),
    "lowers together": (False, False),
    "either one lowers": (False, True),
}


def raises_together(kind: str) -> bool:
    """Whether a combination raises the value: of an OR, its effect has the other sign."""
    return _TOGETHER[kind][0]


def raises(kind: str) -> bool:
    """Whether a feature or a combination raises the value."""
    return kind == "alone" or (kind in _TOGETHER and raises_together(kind))


def together_parts(
    labels: Sequence[str],
    kind: str,
    value: float,
    interval: tuple[float, float] | None,
    target_kind: str = "",
    decimals: int | None = None,
    minus: str = "\N{MINUS SIGN}",
) -> list[tuple[str, str]]:
    """A combination as a sentence of pieces: ``"text"``, ``"quoted"`` for a label, ``"number"``.

    Of an OR, the number is what its members share: what one alone hides of the others' loss.
    """
    raises, either = _TOGETHER[kind]
    up, down = _MEANS.get(target_kind, ("raise it", "lower it"))
    does, last = up if raises else down, len(labels) - 1
    joint = " or " if either else " and "
    parts: list[tuple[str, str]] = []
    for place, label in enumerate(labels):
        if place:
            parts.append(("text", joint if place == last else ", "))
        parts.append(("quoted", label))
    if not either and (value > 0) == raises:
        said = number(value, interval, decimals, minus)
        return [*parts, ("text", f" work together to {does}: "), ("number", said)]
    # Where the sign is that of a correction to smaller sets, it would contradict the sentence.
    if value < 0 and interval is not None:
        interval = (-interval[1], -interval[0])
    said = number(abs(value), interval, decimals, minus).removeprefix("+")
    if not either:
        return [*parts, ("text", f" all take part to {does}, by "), ("number", said)]
    one = "either" if len(labels) == 2 else "any one"
    return [*parts, ("text", f": {one} is enough to {does}; they share "), ("number", said)]


_KIND_WORDS = {
    "alone": ("raises it", "raises it"),
    "both needed": ("both needed", "all needed"),
    "either is enough": ("either is enough", "any one is enough"),
    "lowers alone": ("lowers it", "lowers it"),
    "lowers together": ("lower it together", "lower it together"),
    "either one lowers": ("either one lowers it", "any one lowers it"),
}


def kind_words(kind: str, order: int) -> str:
    """What a feature, a pair or a larger combination does, in two or three words."""
    pair, more = _KIND_WORDS[kind]
    return pair if order <= 2 else more


def ordinal(rank: int) -> str:
    """``21st``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank:,}{'th' if rank % 100 in (11, 12, 13) else ending}"


def percent(share: float) -> str:
    """``90%``."""
    return f"{100 * share:.3g}%"


def r2_text(r2: float | None, minus: str = "\N{MINUS SIGN}") -> str:
    """R² with two digits, or a dash."""
    if r2 is None:
        return "\N{EN DASH}"
    text = _fixed(abs(r2), 2)
    return f"{minus if r2 < 0 and float(text) else ''}{text}"


def r2_interval(score: DensityScore, minus: str = "\N{MINUS SIGN}") -> str:
    """`` (0.80 to 0.91)``, or nothing where there is no interval."""
    if score.r2 is None or score.interval is None or score.interval[0] == score.interval[1]:
        return ""
    return f" ({' to '.join(r2_text(end, minus) for end in score.interval)})"


def verdict(r2: float | None) -> str:
    """good, fair, poor, worse than a constant, or not measured."""
    if r2 is None:
        return "not measured"
    if r2 < 0:
        return "worse than a constant"
    return "good" if r2 >= GOOD else "fair" if r2 >= FAIR else "poor"


def how_sure(record: ExplanationRecord) -> str:
    """One line of how far to trust it where it matters: close to the actual input."""
    many = nouns(record)[1]
    if record.is_exact:
        asked = f"the model was asked about every subset of the {many}."
        return f"Exact for the answers that came: {asked}" if differs(record) else f"Exact: {asked}"
    measured = [score for score in record.faithfulness if score.r2 is not None]
    if not measured:
        return "How well the explanation follows the model was not measured."
    score = max(measured, key=lambda score: score.density)
    if score.r2 is None:
        return ""
    words = {"good": "follows the model well", "fair": "follows the model fairly"}
    says = words.get(verdict(score.r2), "does not follow the model")
    near = (
        "Close to this input"
        if score.density >= NEAR_INPUT
        else (f"With {percent(score.density)} of the {many} kept")
    )
    return f"{near} the explanation {says}: R² {r2_text(score.r2)}{r2_interval(score)}."


def differs(record: ExplanationRecord) -> float | None:
    """How far answers to the same masks were apart, where the numbers shown are touched by it."""
    noise, values = record.provenance.noise_floor, record.queries.values
    largest = float(np.abs(values).max())
    # Divided first: the squares of the largest numbers would overflow.
    if not noise or (largest and noise / largest <= _NOISY * float(np.std(values / largest))):
        return None
    return noise


def near_input_warning(record: ExplanationRecord, minus: str = "\N{MINUS SIGN}") -> str | None:
    """A warning where the explanation cannot be trusted around the actual input, else None."""
    if record.is_exact:
        return None
    near = [score for score in record.faithfulness if score.density >= NEAR_INPUT]
    measured: list[DensityScore] = [score for score in near if score.r2 is not None]
    many = nouns(record)[1]
    if not measured:
        return (
            f"How far the explanation holds close to the actual input (few {many} taken out) was "
            "not measured."
        )
    score = max(measured, key=lambda score: score.density)
    if score.r2 is None or score.r2 >= FAIR:
        return None
    return (
        f"Close to the actual input (masks that keep {percent(score.density)} of the {many}) the "
        f"explanation is {verdict(score.r2)}: R² {r2_text(score.r2, minus)}"
        f"{r2_interval(score, minus)}. Do not rely on it for what a few {many} do."
    )


def visible(text: str) -> str:
    """``text`` on one line, with control and direction characters spelled out (``\\x1b``).

    Runs of white space become one space; a text of nothing else is spelled out too.
    """
    joined = " ".join(text.split()) if text.strip() else repr(text)[1:-1].replace(" ", "␣")
    return "".join(map(_spelled, joined)) or "(empty)"


def _spelled(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in _JOINERS):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character
