"""Records for tests: any text, a given or a seeded spectrum, everything else plausible."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.masks import sample_masks
from proxyspex_hf.core.posterior import Doubt
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import Queries
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.record.inputs import FeatureKind, Features, Part, Picture
from proxyspex_hf.record.record import ExplanationRecord, FitReport, Provenance, Settings, Target

__all__ = [
    "REVIEW",
    "additive",
    "captioned_record",
    "constant",
    "from_effects",
    "make_record",
    "random_spectrum",
    "review_record",
    "senseless_doubts",
    "with_doubt",
    "word_features",
]

REVIEW = """\
I went in expecting very little, and for the first half hour I was not surprised: the plot \
is thin, the jokes are old, and the score never stops telling you what to feel. But then \
something odd happens. The two leads, who have been hardly more than posters until the train \
scene, start to listen to each other, and the film is suddenly not bad at all.

It is no masterpiece. The villain could have been cut without loss, and the ending, far from \
being a surprise, is one you will have guessed by the second reel. Yet I left the cinema \
smiling, which I cannot say of anything else this summer. If you only see one sequel this \
year, you could do much worse than this warm, clumsy and strangely moving little picture."""


def word_features(text: str, kind: FeatureKind = "words") -> Features:
    """One feature a run of letters and marks between white space, punctuation left in gaps."""
    found = list(re.finditer(r"\w+(?:'\w+)*", text)) or list(re.finditer(r"\S+", text))
    return Features(
        labels=tuple(match.group() for match in found),
        spans=tuple(match.span() for match in found),
        kind=kind,
    )


def from_effects(effects: Mapping[tuple[int, ...], float], n: int) -> FourierSpectrum:
    """A spectrum with the given effects at the input I(T); the key ``()`` is f(N), the whole input.

    f(N∖R) = Σ_{T⊆R} (-1)^|T| I(T), and a feature's indicator of being removed is (1 + χ_i) / 2:
    F(S) = Σ_{T⊇S} (-1/2)^|T| I(T).
    """
    coefficients: dict[tuple[int, ...], float] = {}
    for members, value in effects.items():
        share = value * (-0.5) ** len(members)
        for size in range(len(members) + 1):
            for part in combinations(members, size):
                coefficients[part] = coefficients.get(part, 0.0) + share
    return FourierSpectrum.from_dict({t: v for t, v in coefficients.items() if v}, n)


def random_spectrum(n: int, k: int = 40, seed: int = 0, max_order: int = 4) -> FourierSpectrum:
    """``k`` seeded coefficients, smaller with the order."""
    rng = np.random.default_rng(seed)
    coefficients: dict[tuple[int, ...], float] = {(): float(rng.normal())}
    for _ in range(20 * k):
        size = min(n, int(rng.integers(1, max_order + 1)))
        members = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        coefficients[members] = float(rng.normal() / size) * 0.5 * (-1) ** size
        if len(coefficients) > k:
            break
    return FourierSpectrum.from_dict(coefficients, n)


def make_record(
    text: str,
    spectrum: FourierSpectrum | None = None,
    *,
    features: Features | None = None,
    seed: int = 0,
    target: Target | None = None,
    provenance: Mapping[str, Any] | None = None,
    **changes: Any,
) -> ExplanationRecord:
    """A record of ``text``; ``provenance`` and ``changes`` replace single fields of it."""
    features = features or word_features(text)
    n = len(features)
    spectrum = spectrum or random_spectrum(n, seed=seed)
    masks = sample_masks(n, 200, density=0.7, seed=seed)
    noise = np.random.default_rng(seed).normal(0, 0.02, len(masks))
    record = ExplanationRecord(
        task="text-classification",
        text=text,
        picture=changes.pop("picture", None),
        features=features,
        target=target or Target("POSITIVE", 1, "logit", "POSITIVE"),
        spectrum=spectrum,
        queries=Queries(
            masks=masks,
            values=spectrum.evaluate(masks) + noise,
            n_fit=int(0.8 * len(masks)),
            densities=np.full(len(masks), 0.7),
        ),
        faithfulness=(
            DensityScore(0.5, 0.87, 0.71, 64),
            DensityScore(0.7, 0.83, 0.69, 64),
            DensityScore(0.9, 0.62, 0.48, 64),
        ),
        fit=FitReport(
            method="boosting",
            chosen="depth 5, 1000 trees, learning rate 0.01",
            refinement="ridge on the kept coefficients",
            cv_r2=0.84,
            dropped_energy=0.0,
        ),
        settings=Settings(
            features=features.kind,
            masking="mask",
            mask_token="[MASK]",
            alpha=4.0,
            budget=len(masks),
            n_coefficients=200,
            max_order=None,
            sampling="mixture of 0.5, 0.7 and 0.9",
            seed=seed,
        ),
        provenance=Provenance(
            model="acme/distil-sentiment",
            revision="3f1c2ab",
            dtype="float32",
            device="cpu",
            versions={"proxyspex_hf": "0.1.0", "transformers": "5.13.0", "torch": "2.12.0"},
            created="2026-03-01T09:30:00+00:00",
            seconds={"model": 11.2, "fit": 4.5, "held out": 2.1},
        ),
    )
    if provenance:
        changes["provenance"] = replace(record.provenance, **provenance)
    return replace(record, **changes)


def additive(record: ExplanationRecord) -> ExplanationRecord:
    """The same, of a model that an additive explanation follows."""
    scores = tuple(replace(score, linear_r2=0.9) for score in record.faithfulness)
    return replace(record, faithfulness=scores)


def constant(record: ExplanationRecord) -> ExplanationRecord:
    """The same, of a model that gives one value whatever it is asked."""
    asked = record.queries
    values = np.full(len(asked), record.full_value)
    return replace(record, queries=Queries(asked.masks, values, asked.n_fit, asked.densities))


def with_doubt(
    record: ExplanationRecord, noise: float = 0.001, sibling: Sibling | None = None
) -> ExplanationRecord:
    """The same with intervals: a kernel made by hand, no mask held out, some masks chosen."""
    queries = record.queries
    # Without the neighbours of the whole input: effects there are not known outright.
    kept = queries.masks.sum(axis=1)
    n = queries.masks.shape[1]
    asked = (kept < n - 1) | (kept == n)
    queries = Queries(
        queries.masks[asked], queries.values[asked], int(asked.sum()), queries.densities[asked]
    )
    densities = np.where(np.arange(len(queries)) % 3 == 0, 0.0, queries.densities)
    densities[:2] = 0.0
    kernel = MaskKernel(
        relevance=np.full(len(record.features), 0.3),
        tilt=0.1,
        product=0.02,
        single=0.05,
        noise=noise,
        pairs=np.array([0.01]),
        sibling=sibling,
        shared=0.0 if sibling is None else 0.3,
    )
    values = queries.values
    scores = [
        replace(score, n_masks=30, interval=(score.r2 - 0.08, score.r2 + 0.05))
        for score in record.faithfulness
        if score.r2 is not None
    ]
    return replace(
        record,
        queries=Queries(queries.masks, values, len(queries), densities),
        faithfulness=tuple(scores),
        doubt=Doubt(kernel, float(values.mean()), float(values.std()) or 1.0),
    )


def senseless_doubts(n: int) -> list[Doubt]:
    """Doubts that a file may hold, within its bounds, and that make no finite intervals."""
    sound: dict[str, Any] = {
        "relevance": np.full(n, 0.3),
        "tilt": 0.1,
        "product": 0.5,
        "single": 0.2,
        "noise": 0.1,
        "pairs": np.zeros(0),
    }
    changes: list[dict[str, Any]] = [
        {"tilt": 100.0},
        {"tilt": -100.0},
        {"relevance": np.full(n, 100.0)},
        {"product": 1e12, "noise": 0.0},
        {"product": 0.0, "single": 0.0, "noise": 0.0},
        {"single": 1e12, "pairs": np.full(3, 1e12)},
    ]
    kernels = [MaskKernel(**(sound | change)) for change in changes]
    odd = [(0.0, 1e12), (1e300, 1.0), (0.0, 1e-300)]
    return [Doubt(kernel, 0.0, 1.0) for kernel in kernels] + [
        Doubt(MaskKernel(**sound), level, scale) for level, scale in odd
    ]


def review_record(seed: int = 0, n_extra: int = 150) -> ExplanationRecord:
    """A film review of some 130 words with combinations of one to four, and a faint tail."""
    features = word_features(REVIEW)
    labels, n = features.labels, len(features)

    def at(*words: str) -> tuple[int, ...]:
        found = [labels.index(words[-1])]
        for word in reversed(words[:-1]):  # the nearest one before
            found.insert(0, max(i for i in range(found[0]) if labels[i] == word))
        return tuple(found)

    effects: dict[tuple[int, ...], float] = {
        (): 0.21,
        at("not", "bad"): 0.92,
        at("bad"): -0.78,
        at("moving"): 0.71,
        at("warm"): 0.52,
        at("smiling"): 0.47,
        at("thin"): -0.44,
        at("could", "much", "worse"): 0.41,
        at("worse"): -0.39,
        at("no", "masterpiece"): -0.36,
        at("masterpiece"): 0.31,
        at("not", "surprised"): -0.27,
        (*at("suddenly", "not", "bad"), labels.index("all")): 0.24,
        at("clumsy"): -0.23,
        at("strangely", "moving"): 0.21,
        at("hardly", "until", "listen"): 0.19,
        at("But", "bad"): 0.17,
        at("thin", "Yet"): 0.16,
        at("Yet"): 0.15,
        at("without", "loss"): -0.13,
        at("odd"): -0.12,
        at("old"): -0.12,
        at("If", "only", "worse"): 0.11,
        at("far", "from", "surprise"): -0.1,
        at("cannot", "anything"): 0.09,
        at("stops", "feel"): -0.08,
    }
    rng = np.random.default_rng(seed)
    while len(effects) < n_extra:
        size = int(rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1]))
        members = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        effects.setdefault(members, float(rng.normal() * 0.03))
    return make_record(REVIEW, from_effects(effects, n), seed=seed)


#: 6 x 4 pixels, a red dot on white.
_DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAYAAAAECAIAAAAiZtkUAAAAHUlEQVR4nGP8//8/AypgYmBgOMnIiCzE"
    "iF0VGgAAdB8GzCT2hbkAAAAASUVORK5CYII="
)


def captioned_record(spectrum: FourierSpectrum | None = None) -> ExplanationRecord:
    """An image of four patches with a caption of three words, as an image-text model has it."""
    corners = [(x, y) for y in (0, 2) for x in (0, 3)]
    regions = tuple((((x, y), (x + 3, y), (x + 3, y + 2), (x, y + 2)),) for x, y in corners)
    features = Features(
        labels=(*(f"row {y}, column {x}" for y in (1, 2) for x in (1, 2)), "a", "red", "dot"),
        spans=((5, 6), (7, 10), (11, 14)),
        kind="words",
        regions=regions,
        region_kind="patches",
    )
    effects = {(): 0.5, (0,): 1.0, (5,): 0.5, (0, 5): 2.0, (3, 4, 6): -0.25}
    record = make_record(
        "This a red dot",
        spectrum or from_effects(effects, 7),
        features=features,
        task="zero-shot-image-classification",
        target=Target("This a red dot", None, "similarity", None),
        picture=Picture(base64.b64decode(_DOT), 6, 4),
        parts=(Part("template", 0, 5), Part("caption", 5, 14)),
        provenance={"quantization": "int8", "noise_floor": 0.25, "model_bytes": 1024},
    )
    settings = replace(
        record.settings,
        image_masking="zero",
        arguments={"question": None, "others": [["x", 1.5]]},
    )
    return replace(record, settings=settings)
