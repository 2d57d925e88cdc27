from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from proxyspex_hf.errors import InputError
from proxyspex_hf.studies.data.packed import PackedMasks

dense = hnp.arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 40)))


@settings(deadline=None)
@given(dense, st.data())
def test_bits_say_what_the_booleans_say(masks: np.ndarray, data: st.DataObject) -> None:
    packed = PackedMasks.pack(masks)
    m, n = masks.shape
    assert len(packed) == m
    assert packed.n_features == n
    np.testing.assert_array_equal(packed.unpack(slice(None)), masks)
    np.testing.assert_array_equal(packed.counts(), masks.sum(axis=1))
    columns = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=6)), dtype=np.intp)
    np.testing.assert_array_equal(packed.columns(columns), masks[:, columns])
    first = data.draw(st.integers(0, m - 1))
    rows = slice(first, data.draw(st.integers(first, m)))
    np.testing.assert_array_equal(packed.columns(columns, rows), masks[rows][:, columns])
    blocks = [packed.unpack(rows) for rows in packed.blocks(data.draw(st.integers(1, 9)))]
    np.testing.assert_array_equal(np.concatenate(blocks), masks)


@settings(deadline=None)
@given(dense)
def test_bits_beyond_the_last_feature_are_not_read(masks: np.ndarray) -> None:
    packed = PackedMasks.pack(masks)
    spare = -masks.shape[1] % 8
    dirty = packed.bits.copy()
    dirty[:, -1] |= np.uint8((1 << spare) - 1)
    other = PackedMasks(dirty, masks.shape[1])
    np.testing.assert_array_equal(other.unpack(slice(None)), masks)
    np.testing.assert_array_equal(other.counts(), masks.sum(axis=1))


def test_files_are_mapped(tmp_path: Path) -> None:
    packed = PackedMasks.sample(21, 50, seed=3)
    packed.save(tmp_path / "masks.npy")
    packed.bits.tofile(tmp_path / "masks.bin")
    for name in ("masks.npy", "masks.bin"):
        opened = PackedMasks.open(tmp_path / name, 21)
        assert isinstance(opened.bits, np.memmap)
        np.testing.assert_array_equal(opened.bits, packed.bits)


def test_masks_are_saved_whole_into_the_file_they_are_mapped_from(tmp_path: Path) -> None:
    path = tmp_path / "masks.npy"
    PackedMasks.sample(3000, 2000, seed=3).save(path)
    mapped = PackedMasks.open(path, 3000)
    before = mapped.bits.copy()
    mapped.save(path)
    np.testing.assert_array_equal(PackedMasks.open(path, 3000).bits, before)
    np.testing.assert_array_equal(mapped.bits, before)
    with pytest.raises(InputError, match=r"\.npy file, got the name 'masks'"):
        mapped.save("masks")
    with pytest.raises(InputError, match="cannot write"):
        mapped.save(tmp_path / "none" / "masks.npy")
    assert [file.name for file in tmp_path.iterdir()] == ["masks.npy"]


@pytest.mark.parametrize("density", [0.5, 0.2])
def test_a_larger_sample_begins_with_the_smaller(tmp_path: Path, density: float) -> None:
    few = PackedMasks.sample(70, 100, density=density, seed=1)
    many = PackedMasks.sample(70, 4000, density=density, seed=1, path=tmp_path / "masks.npy")
    np.testing.assert_array_equal(few.bits, many.bits[:100])
    np.testing.assert_array_equal(PackedMasks.open(tmp_path / "masks.npy", 70).bits, many.bits)
    # 280,000 draws: five standard deviations.
    assert abs(many.counts().mean() / 70 - density) < 5 * np.sqrt(0.25 / 280_000)
    assert not np.array_equal(few.bits, PackedMasks.sample(70, 100, density=density, seed=2).bits)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PackedMasks(np.zeros((3, 2), np.int64), 16), "uint8"),
        (lambda: PackedMasks(np.zeros(3, np.uint8), 16), "uint8"),
        (lambda: PackedMasks(np.zeros((3, 2), np.uint8), 17), "3 columns"),
        (lambda: PackedMasks(np.zeros((0, 2), np.uint8), 16), "at least one row"),
        (lambda: PackedMasks(np.zeros((3, 2), np.uint8), 0), "n_features"),
        (lambda: PackedMasks.sample(5, 5, density=1.0), "density"),
        (lambda: PackedMasks.sample(5, 5, density="a"), "density must lie .* got 'a'"),
        (lambda: PackedMasks.sample(5, 5, density=None), "density must lie .* got None"),
        (lambda: PackedMasks.sample(5, 0), "n_masks"),
        (lambda: PackedMasks.pack(np.full((2, 2), 2)), "1 = kept"),
    ],
)
def test_what_cannot_be_masks(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # type: ignore[operator]


def test_files_that_hold_no_masks(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"12345")
    with pytest.raises(InputError, match="whole number of rows of 2 bytes"):
        PackedMasks.open(tmp_path / "odd.bin", 9)
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(InputError, match="not a file of packed masks"):
        PackedMasks.open(tmp_path / "text.npy", 9)
    with pytest.raises(InputError, match="not a file of packed masks"):
        PackedMasks.open(tmp_path / "missing.npy", 9)
    # An array of objects would be unpickled: it is refused.
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not a file of packed masks"):
        PackedMasks.open(tmp_path / "objects.npy", 8)
