"""Lists on the page: their numbers keep their digits, whatever the scale."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from proxyspex_hf.app.components import listed, recurred
from proxyspex_hf.hub.entries import HubEntry
from proxyspex_hf.overview import Recurring


def entry(*strongest: tuple[str, float]) -> HubEntry:
    return HubEntry(
        id="0" * 64,
        created="2026-03-01T09:30:00+00:00",
        task="text-classification",
        model="acme/model",
        revision=None,
        text="not bad",
        target="POSITIVE",
        feature_kind="words",
        n_features=2,
        n_queries=4,
        strongest=strongest,
        orders=tuple(1 for _ in strongest),
        faithfulness=((0.9, 0.5),),
        file="a.parquet",
        row=0,
    )


@pytest.mark.parametrize(
    ("strongest", "said"),
    [
        ((("not × bad", 0.92), ("bad", -0.78)), "not × bad +0.92, bad −0.78"),
        ((("not", 1.2e-9), ("bad", -4.5e-10)), "not +1.20e-09, bad −4.5e-10"),
        ((("not", 1.2e12), ("bad", -0.004)), "not +1.20e+12, bad −0.004"),
        ((), "no effect can be told from zero"),
    ],
)
def test_a_row_has_the_digits_of_its_largest_effect(strongest: Any, said: str) -> None:
    (row,) = json.loads(listed([entry(*strongest)]))
    assert row["strongest"] == said


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({}, "2 words"),
        ({"n_features": 1}, "1 word"),
        ({"n_features": 1, "feature_kind": "patches"}, "1 patch"),
        ({"feature_kind": "superpixels"}, "2 regions"),
        ({"feature_kind": "odd"}, "2 features"),
        ({"task": "zero-shot-image-classification"}, "2 features"),  # patches and words
        ({"task": "image-classification", "text": "", "feature_kind": "patches"}, "2 patches"),
    ],
)
def test_a_row_counts_its_features(about: dict[str, Any], said: str) -> None:
    (row,) = json.loads(listed([replace(entry(), **about)]))
    assert f" · {said} · " in row["about"]


def test_what_recurs_has_the_digits_of_its_largest_mean() -> None:
    rows = [
        Recurring(("bad",), "", 3, 4, mean, interval, 0.0, (0,))
        for mean, interval in ((-2.5e-5, (-3e-5, -2e-5)), (4e-6, None))
    ]
    overview = SimpleNamespace(
        summarized=[SimpleNamespace(id="0" * 64, title="not bad")],
        recurring=rows,
        by_label={"POSITIVE": rows},
    )
    told = json.loads(recurred(overview, "about"))  # type: ignore[arg-type]
    assert [row["mean"] for row in told["groups"][0]["rows"]] == [
        *("−2.50e-05 ± 5.0e-06", "+4.0e-06")
    ]
