"""What the model said in words: a probability where the value has one, and what flips it.

The page says the same of every input that a reader makes by taking features out; it computes it
from the :class:`Scale`, so both speak alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from proxyspex_hf.core.effects import removal_masks
from proxyspex_hf.core.intervals import prediction_intervals
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz.terms import Term, main_effects, ranked_terms, spell, told_apart
from proxyspex_hf.viz.wording import decimals_for, raises, score_name, shortened, signed

#: Shares this near to even are called so, and those beyond ``_CLEAR`` clear: convention.
_BARELY, _CLEAR = 0.6, 0.95
#: Features taken out one after another in search of a flip; a longer list would be no sentence.
_MOST_OUT = 5
#: Less than this share of the input's value and its largest effect is a rounding error of sums.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Scale:
    """How a value reads.

    Attributes:
        share: what makes a share from 0 to 1 of it: the identity, exp(v), exp(-v) or the logistic
            function; None where it has none.
        of: what the share is: the probability of a label, or the likelihood of an output.
        up: 1 where a larger value speaks for the label or output, -1 where a smaller one does.
        even: the value at which label and the rest are equally likely; None where there is none.
        hint: what the direction means, where that is not plain.
    """

    share: Literal["identity", "exp", "exp-minus", "logistic"] | None
    of: Literal["probability", "likelihood", "score"]
    up: Literal[1, -1] = 1
    even: float | None = None
    hint: str | None = None

    def read(self, value: float) -> float | None:
        """The share that a value stands for."""
        if self.share == "identity":
            return min(1.0, max(0.0, value))
        if self.share in ("exp", "exp-minus"):
            return math.exp(min(0.0, value if self.share == "exp" else -value))
        if self.share == "logistic":
            return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, value))))
        return None


_SCALES = {
    "log-odds": Scale("logistic", "probability", even=0.0),
    "probability": Scale("identity", "probability", even=0.5),
    "log-probability": Scale("exp", "probability", even=math.log(0.5)),
    "margin": Scale(None, "score", even=0.0),
    "log-perplexity": Scale(
        "exp-minus",
        "likelihood",
        up=-1,
        hint="Lower means likelier: a token's likelihood is exp(\N{MINUS SIGN}log-perplexity).",
    ),
    "contrastive loss": Scale(
        None,
        "score",
        up=-1,
        hint="Lower means that image and caption fit better than the other pairs.",
    ),
}


def scale_of(target: Target) -> Scale:
    """How the explained value reads."""
    plain = Scale(None, "score")
    return plain if _judged_on(target) else _SCALES.get(target.kind, plain)


def _judged_on(target: Target) -> str | None:
    """The examples over which the number is a mean, as where attention heads are explained; None
    where it is of one input, and may be a share of it."""
    before = f"{target.kind} on "
    if target.index is not None or not target.label.startswith(before):  # a class has a place
        return None
    return target.label.removeprefix(before)


def _named(target: Target) -> str:
    """What the number is of, in a sentence that says which number it is."""
    return shortened(_judged_on(target) or target.label)


def speaks_for(kind: str, target: Target) -> bool:
    """Whether a feature or a combination speaks for what the model said, whichever way its value
    goes, and whichever sign its effect has: that of an OR is of what its members share."""
    return raises(kind) == (scale_of(target).up > 0)


@dataclass(frozen=True)
class Verdict:
    """What the model says of one input.

    Attributes:
        before, name, after: the sentence, of which ``name`` is the label or the output; untrusted.
    """

    before: str
    name: str
    after: str

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.before}{self.name}{self.after}"


def verdict_of(record: ExplanationRecord, value: float) -> Verdict:
    """What a value of the explained number says, in words.

    >>> from proxyspex_hf.app.examples import load_example
    >>> record = load_example("review").record
    >>> verdict_of(record, record.full_value).text[-1]
    '.'
    """
    target, scale = record.target, scale_of(record.target)
    label, share = _named(target), scale.read(value)
    if share is None:
        decimals = _digits(record, value)
        if target.kind == "margin":
            leads = "leads" if value > 0 else "trails"
            size = signed(abs(value), decimals)[1:]
            return Verdict("", label, f" {leads} the next label by {size}.")
        name, before, after = score_name(target), "", "."
        if target.index is None:  # a sentence of its own, not the name of a class
            before, after = "“", "”."
        said = signed(value, decimals)
        return Verdict(f"{name[:1].upper()}{name[1:]} {said} for {before}", label, after)
    if scale.of == "likelihood":
        return Verdict("“", label, f"” is {percent_text(share)} likely, token by token.")
    if target.index is None:
        return Verdict("“", label, f"” is {percent_text(share)} likely.")
    if target.other is not None and share < 0.5:
        label, share = shortened(target.other), 1.0 - share
    return Verdict(f"{percent_text(share)} ", label, f"{_adverb(share, _is_predicted(target))}.")


def _digits(record: ExplanationRecord, value: float) -> int:
    """Digits of a value that stands alone: about three figures of it, unless it should be zero."""
    effects = [term.effect for term in ranked_terms(record)[:1]]
    largest = max(map(abs, (record.full_value, record.empty_value, *effects)))
    return decimals_for([value if abs(value) > _ROUNDING * largest else largest])


def percent_text(share: float) -> str:
    """``57%``, without claiming 0% or 100%; halves up, as on the page."""
    if share < 0.005:
        return "under 1%"
    return "over 99%" if share >= 0.995 else f"{math.floor(100.0 * share + 0.5)}%"


def _is_predicted(target: Target) -> bool:
    """Whether the model predicts what is explained: of many labels, with less than half maybe."""
    return target.label == target.predicted


def _adverb(share: float, predicted: bool) -> str:
    if share > _CLEAR:
        return ", clearly"
    if 0.5 <= share < _BARELY:
        return ", barely"
    return ", just not" if 1.0 - _BARELY < share < 0.5 and not predicted else ""


@dataclass(frozen=True)
class Flip:
    """What turns the verdict, or moves it most.

    Attributes:
        members: the features to take out; empty where no effect is told from zero.
        value: what the explanation predicts then.
        flips: whether the verdict turns; None where the point at which it would is not known, or
            the interval leaves it open.
        interval: 90% of what the model may give then, where that leaves it open.
    """

    members: tuple[int, ...]
    value: float
    flips: bool | None
    interval: tuple[float, float] | None = None


def flip(record: ExplanationRecord) -> Flip:
    """The fewest features found whose removal turns the verdict, taken out one after another: for
    sure, or, where no such are found, as is predicted.

    Where no turning point is known, the one feature without which it falls the most, or, where it
    falls without none, the one that moves it most. Only features that are told from zero are taken.
    """
    spectrum, n = record.spectrum, len(record.features)
    up, even = scale_of(record.target).up, _turning_point(record)
    able = [e.members[0] for e in main_effects(record) if e.is_sure]
    value = float(spectrum.evaluate(np.ones((1, n), dtype=np.bool_))[0])
    if not able:
        return Flip((), value, None if even is None else False)
    # Away from the side of even on which the model is, which the explanation may miss; without
    # one, towards the less likely.
    down = up if even is None or record.full_value * up >= even * up else -up
    out: list[int] = []
    perhaps = None
    for _ in range(min(_MOST_OUT, len(able)) if even is not None else 1):
        left = [i for i in able if i not in out]
        values = spectrum.evaluate(removal_masks(n, [[*out, i] for i in left]))[1:]
        best = int(np.argmin(values * down))
        if even is None and values[best] * down >= value * down:  # all speak against it
            best = int(np.argmax(np.abs(values - value)))
        out.append(left[best])
        value = float(values[best])
        if even is not None and (value - even) * down < 0:
            found = _judged(record, out, value, even, flips=True)
            if found.flips:
                return found
            perhaps = perhaps or found
    return perhaps or _judged(record, out, value, even, flips=False)


def _judged(
    record: ExplanationRecord, out: Sequence[int], value: float, even: float | None, *, flips: bool
) -> Flip:
    """A flip, or none, as predicted; its interval where that lies on both sides of even."""
    members = tuple(sorted(out))
    if even is None:
        return Flip(members, value, None)
    if record.is_exact or record.posterior is None:
        return Flip(members, value, flips)
    without = removal_masks(len(record.features), [members])[1:]
    with np.errstate(all="ignore"):  # a stored kernel may make no sense
        low, high = prediction_intervals(record.spectrum, record.posterior, without)[0].tolist()
    if not -math.inf < low < even < high < math.inf:
        return Flip(members, value, flips)
    return Flip(members, value, None, (low, high))


def _turning_point(record: ExplanationRecord) -> float | None:
    """The value at which the verdict turns, where it is known.

    Of many labels, one that is predicted with less than half loses to the next one somewhere below,
    which its own value does not say.
    """
    target, scale = record.target, scale_of(record.target)
    if scale.even is None or target.other is not None or not _is_predicted(target):
        return scale.even
    return scale.even if record.full_value * scale.up > scale.even * scale.up else None


def flip_parts(record: ExplanationRecord, found: Flip) -> list[tuple[str, str]]:
    """The sentence of a flip: (kind, text), kind ``"text"`` or ``"quoted"`` for a feature's."""
    if not found.members:
        return []
    speller = spell(record)
    start = "Even without " if found.flips is False else "Without "
    parts = [
        ("text", start),
        *listed([told_apart(member) for member in speller(Term(found.members, 0.0))]),
    ]
    says = short_verdict(record, found.value)
    if found.interval is not None:
        says = f"{says.removesuffix('.')} (90%: {_range(record, found.value, found.interval)})."
    return [*parts, ("text", f": {says}")]


def _range(record: ExplanationRecord, value: float, interval: tuple[float, float]) -> str:
    """The ends of an interval as what the verdict of the value names."""
    scale = scale_of(record.target)
    shares = [share for share in map(scale.read, interval) if share is not None]
    if not shares:
        digits = _digits(record, value)
        return " to ".join(signed(end, digits) for end in interval)
    share = scale.read(value)
    if record.target.other is not None and share is not None and share < 0.5:
        shares = [1.0 - each for each in shares]
    return " to ".join(map(percent_text, sorted(shares)))


def short_verdict(record: ExplanationRecord, value: float) -> str:
    """The same for a sentence that follows: what the output is was said before."""
    scale = scale_of(record.target)
    share = scale.read(value)
    named = scale.of == "probability" and record.target.index is not None
    if named or record.target.kind == "margin":
        return verdict_of(record, value).text
    if share is not None:
        return f"{percent_text(share)} likely."
    return f"{signed(value, _digits(record, value))}."


def listed(labels: Sequence[str], word: str = "and") -> list[tuple[str, str]]:
    """``“a”, “b” and “c”`` as pieces."""
    parts: list[tuple[str, str]] = []
    for place, label in enumerate(labels):
        if place:
            parts.append(("text", f" {word} " if place == len(labels) - 1 else ", "))
        parts.append(("quoted", label))
    return parts


def scale_data(target: Target) -> dict[str, Any]:
    """The scale for the page."""
    scale = scale_of(target)
    return {
        "share": scale.share,
        "of": scale.of,
        "up": scale.up,
        "even": scale.even,
        "hint": scale.hint,
        "name": score_name(target),
        "margin": target.kind == "margin",
        "label": _named(target),
        "quoted": target.index is None,
        "other": None if target.other is None else shortened(target.other),
        "predicted": _is_predicted(target),
    }
