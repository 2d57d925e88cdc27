"""What was made stays as it is: copied, pickled, hashed, and saved whatever overflowed in it."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_factory import captioned_record, make_record, review_record, with_doubt

from proxyspex_hf import InputError, InteractionExplanation
from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import ExplanationRecord, Target

RECORDS = [captioned_record(), with_doubt(review_record(n_extra=30))]
COPIES: list[Callable[[Any], Any]] = [
    lambda it: pickle.loads(pickle.dumps(it)),
    copy.copy,
    copy.deepcopy,
]


def arrays(record: ExplanationRecord) -> list[np.ndarray[Any, Any]]:
    queries, spectrum = record.queries, record.spectrum
    found = [queries.masks, queries.values, queries.densities]
    found += [spectrum.support, spectrum.coefficients]
    if record.doubt is not None:
        found += [record.doubt.kernel.relevance, record.doubt.kernel.pairs]
    return found


@pytest.mark.parametrize("again", COPIES)
@pytest.mark.parametrize("record", RECORDS)
def test_copies_are_equal_and_as_immutable(again: Callable[[Any], Any], record: Any) -> None:
    explanation = InteractionExplanation(record)
    explanation.top(3)  # what was derived is not carried along
    other = again(explanation)
    assert other == explanation
    assert len({other, explanation}) == 1
    assert other.top(3) == explanation.top(3)
    for array in arrays(other.record):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(TypeError):
        other.record.provenance.versions["torch"] = "1"
    with pytest.raises(AttributeError):
        other.record = record


def test_what_a_mapping_holds_cannot_be_changed_through_it() -> None:
    record = captioned_record()
    record.settings.arguments["others"].append("changed")
    assert record.settings.arguments == {"question": None, "others": [["x", 1.5]]}
    assert hash(record) == hash(captioned_record())
    assert len({record.settings, record.fit, record.provenance, record.features}) == 4


@pytest.mark.parametrize(
    ("r2", "stored"),
    [(-np.inf, -np.finfo(float).max), (np.inf, np.finfo(float).max), (np.nan, None)],
)
def test_what_overflowed_is_saved_loaded_and_shown(
    r2: float, stored: float | None, tmp_path: Path
) -> None:
    record = make_record("not a bad film")
    scores = (DensityScore(0.5, r2, r2, 10, (-np.inf, 0.5)),)
    fit = replace(record.fit, cv_r2=r2, dropped_energy=np.inf, cv=({"r2": r2},))
    spectrum = FourierSpectrum.from_dict({(): 0.0, (0,): 2e306, (0, 1): -2e306}, 4)
    explanation = InteractionExplanation(
        replace(record, faithfulness=scores, fit=fit, spectrum=spectrum)
    )
    with np.errstate(all="ignore"):
        assert max(abs(i.effect) for i in explanation.top(9)) == 8e306
        assert str(explanation)
        assert explanation.to_html()
    explanation.save(tmp_path / "e.json")
    loaded = InteractionExplanation.load(tmp_path / "e.json")
    assert loaded == explanation
    (score,) = loaded.scores
    assert (score.r2, score.interval, loaded.record.fit.cv_r2) == (stored, None, stored)


def test_half_characters_are_refused_when_something_is_made_and_when_it_is_saved(
    tmp_path: Path,
) -> None:
    record = make_record("not a bad film")
    with pytest.raises(InputError, match="a feature's text holds half a character"):
        Features(("a \ud83d",), (), "features")
    with pytest.raises(InputError, match="the text holds half a character"):
        replace(record, text=record.text + "\udc00")
    with pytest.raises(InputError, match="the label holds half"):
        replace(record, target=Target("\ud800", 0, "logit", None))
    named = replace(record, provenance=replace(record.provenance, model="m\ud83d"))
    with pytest.raises(InputError, match=r"cannot be saved: provenance\.model holds half"):
        InteractionExplanation(named).save(tmp_path / "e.json")
    assert list(tmp_path.iterdir()) == []


def test_null_bytes_in_paths_are_told(tmp_path: Path) -> None:
    explanation = InteractionExplanation(make_record("not a bad film"))
    for action in (explanation.save, explanation.to_html, InteractionExplanation.load):
        with pytest.raises(InputError, match=r"null (byte|character)"):
            action(str(tmp_path / "a\0b"))


def test_saving_leaves_the_umask_to_the_system(tmp_path: Path) -> None:
    explanation = InteractionExplanation(make_record("not a bad film"))
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            path = tmp_path / "other"
            path.touch()
            seen.add(stat.S_IMODE(path.stat().st_mode))
            path.unlink()

    before = os.umask(0o027)
    try:
        thread = threading.Thread(target=watch)
        thread.start()
        for _ in range(50):
            explanation.save(tmp_path / "e.json")
        done.set()
        thread.join()
    finally:
        os.umask(before)
    assert seen == {0o640}
    assert stat.S_IMODE((tmp_path / "e.json").stat().st_mode) == 0o640
