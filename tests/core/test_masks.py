from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyspex_hf.checks import as_masks
from proxyspex_hf.core.masks import all_masks, budget_for, sample_masks
from proxyspex_hf.errors import InputError


@pytest.mark.parametrize(
    ("n", "alpha", "expected"), [(44, 1, 240), (44, 2, 480), (105, 4, 2820), (29, 1, 141)]
)
def test_budget_is_the_papers(n: int, alpha: float, expected: int) -> None:
    assert budget_for(n, alpha) == expected == round(alpha * n * math.log2(n))


@pytest.mark.parametrize("alpha", [0, -1, math.nan, math.inf, "2"])
def test_budget_refuses_a_senseless_alpha(alpha: object) -> None:
    with pytest.raises(InputError, match="alpha must be a positive number"):
        budget_for(10, alpha)  # type: ignore[arg-type]


@given(n=st.integers(1, 40), m=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_masks_are_distinct_seeded_and_anchored(n: int, m: int, seed: int) -> None:
    masks = sample_masks(n, m, seed=seed)
    assert len({row.tobytes() for row in masks}) == len(masks) <= m
    assert len(masks) == min(m, 2**n) or n < 8
    assert masks[0].all()
    assert len(masks) == 1 or not masks[1].any()
    assert np.array_equal(masks, sample_masks(n, m, seed=seed))


@pytest.mark.parametrize("density", [0.5, 0.7, 0.9])
def test_density_is_the_share_that_is_kept(density: float) -> None:
    masks = sample_masks(50, 2000, density=density, anchors=False, seed=1)
    # 100,000 coin flips: three standard errors are below 0.005.
    assert abs(masks.mean() - density) < 0.005


def test_excluded_masks_are_never_drawn_again() -> None:
    first = sample_masks(6, 40, seed=0)
    second = sample_masks(6, 64, seed=1, exclude=first, anchors=False)
    assert len(second) == 24
    assert not {r.tobytes() for r in first} & {r.tobytes() for r in second}


def test_all_masks_counts_in_binary() -> None:
    assert all_masks(3)[5].tolist() == [True, False, True]
    assert len(np.unique(all_masks(10), axis=0)) == 1024
    with pytest.raises(InputError, match="2\\^21"):
        all_masks(21)


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 4)), np.zeros((2, 0)), [[2, 0]], [["a", "b"]]])
def test_as_masks_refuses_what_is_no_mask(bad: object) -> None:
    with pytest.raises(InputError, match="masks must"):
        as_masks(bad)


def test_as_masks_takes_a_row_and_numbers() -> None:
    assert as_masks([1, 0, 1]).tolist() == [[True, False, True]]
    with pytest.raises(InputError, match="3 columns, got 2"):
        as_masks([[1, 0]], 3)
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        sample_masks(4, 4, density=1.0)
