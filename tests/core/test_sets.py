"""Sets as rows of indices: what is joined is what Python's sets of tuples say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proxyspex_hf.core.sets import as_sets, check_sets, differs, pack_support, stacked, united

SETS = st.lists(st.frozensets(st.integers(0, 5), max_size=4), max_size=8)


@given(st.lists(SETS, min_size=1, max_size=4))
def test_supports_are_joined_as_sets_are(parts: list[list[frozenset[int]]]) -> None:
    packed = [pack_support(part) for part in parts]
    wanted = {tuple(sorted(members)) for part in parts for members in part}
    joined = united(packed)
    assert as_sets(joined) == sorted(wanted, key=lambda t: (len(t), t))
    assert joined.dtype == np.int32
    check_sets(joined, 6)
    assert as_sets(stacked(packed)) == [tuple(sorted(s)) for part in parts for s in part]


def test_rows_that_differ_from_a_neighbour() -> None:
    rows = np.array([[0, 1], [0, 1], [0, 2], [1, -1]], dtype=np.int32)
    assert differs(rows, 1).tolist() == [True, False, True, True]
    assert differs(rows, -1).tolist() == [False, True, True, True]
    assert differs(rows[:0], 1).tolist() == []
