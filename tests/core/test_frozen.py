"""Data that never changes, however it is copied."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from proxyspex_hf.core import FourierSpectrum, interactions, sample_masks
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.queries import Queries


def spectrum() -> FourierSpectrum:
    return FourierSpectrum.from_dict({(): 1.0, (0, 2): -0.0, (1,): 0.5}, 4)


def queries() -> Queries:
    masks = sample_masks(4, 10, seed=0)
    return Queries(masks, np.arange(10.0), 10, np.full(10, 0.5))


MADE = {
    "spectrum": spectrum,
    "interactions": lambda: interactions(spectrum(), "SII"),
    "queries": queries,
    "kernel": lambda: MaskKernel(np.ones(4), 0.0, 1.0, 0.1, 0.01, np.zeros(2)),
}


@pytest.mark.parametrize("name", MADE)
def test_copies_are_equal_hash_alike_and_stay_read_only(name: str) -> None:
    one: Any = MADE[name]()
    others = [MADE[name](), copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))]
    assert len({one, *others}) == 1
    for other in others:
        assert other == one
        arrays = [v for v in vars(other).values() if isinstance(v, np.ndarray)]
        assert arrays
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_content_decides() -> None:
    other = spectrum().with_coefficients(np.array([1.0, 0.5, 0.25]))
    assert other != spectrum()
    assert spectrum() != interactions(spectrum(), "SII")
    negative = spectrum().with_coefficients(np.array([1.0, 0.5, 0.0]))
    assert negative == spectrum()  # 0.0 equals -0.0
    assert hash(negative) == hash(spectrum())
