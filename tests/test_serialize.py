"""Files: what is saved is what is loaded; what is not an explanation is refused with a reason."""

from __future__ import annotations

import copy
import json
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_factory import captioned_record, review_record, with_doubt

from proxyspex_hf import InputError, InteractionExplanation, ProxySpexError, SchemaError
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.record.json_reader import parsed_bytes
from proxyspex_hf.record.serialize import record_from_json, record_to_json


@pytest.fixture(scope="module")
def explanation() -> InteractionExplanation:
    return InteractionExplanation(review_record())


def test_load_restores_what_save_wrote(explanation: InteractionExplanation, tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    explanation.save(path)
    loaded = InteractionExplanation.load(path)
    assert loaded == explanation
    np.testing.assert_array_equal(loaded.record.queries.masks, explanation.record.queries.masks)
    np.testing.assert_array_equal(loaded.record.queries.values, explanation.record.queries.values)
    assert loaded.record.provenance.created == explanation.record.provenance.created
    assert loaded.spectrum == explanation.spectrum
    assert loaded.to_html() == explanation.to_html()
    assert [p.name for p in tmp_path.iterdir()] == ["e.json"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444


def test_files_of_schema_version_1_are_read_for_ever() -> None:
    path = Path(__file__).parent / "data" / "explanation_v1.json"
    old = InteractionExplanation.load(path)
    assert old.text == "not bad"
    assert old.record.schema_version == 1
    assert old.spectrum.to_dict() == {(): 0.5, (0,): 0.25, (0, 1): -0.75}
    assert old.predict([[1, 1]]).tolist() == [0.5 - 0.25 - 0.75]
    assert old.faithfulness == {0.5: 1.0, 0.9: None}


def test_files_of_schema_version_2_are_read_for_ever() -> None:
    path = Path(__file__).parent / "data" / "explanation_v2.json"
    old = InteractionExplanation.load(path)
    assert old.record.schema_version == 2
    coefficients = {(): 0.5, (0,): -0.5, (5,): -0.25, (0, 5): 1.0, (3, 4, 6): 0.125}
    same = captioned_record(FourierSpectrum.from_dict(coefficients, 7))
    assert old.record == replace(same, schema_version=2)
    picture = old.record.picture
    assert picture is not None
    assert (picture.width, picture.height) == (6, 4)
    assert old.features.regions[2] == (((0, 2), (3, 2), (3, 4), (0, 4)),)
    assert old.features.labels[4:] == ("a", "red", "dot")
    assert "4 patches and 3 words" in repr(old)
    assert old.features.text_start == 4
    assert old.record.parts[1].name == "caption"
    assert old.record.settings.arguments == {"others": [["x", 1.5]], "question": None}
    assert old.record.provenance.noise_floor == 0.25


def test_older_files_are_shown_by_effects_at_the_input_without_intervals() -> None:
    old = InteractionExplanation.load(Path(__file__).parent / "data" / "explanation_v2.json")
    without = ~np.eye(7, dtype=bool)
    whole = float(old.predict(np.ones((1, 7)))[0])
    lost = whole - old.predict(without)
    found = {i.members: i for i in old.top(40)}
    for i in range(7):
        assert (found[i,].effect if (i,) in found else 0.0) == pytest.approx(lost[i])
    both = np.ones((1, 7))
    both[0, [0, 5]] = 0
    joint = whole - float(old.predict(both)[0])
    assert found[0, 5].effect == pytest.approx(lost[0] + lost[5] - joint)
    assert {i.interval for i in found.values()} == {None}
    assert "±" not in str(old)
    assert "add up" not in str(old)


def test_files_of_schema_version_3_are_read_for_ever() -> None:
    new = InteractionExplanation.load(Path(__file__).parent / "data" / "explanation_v3.json")
    record = new.record
    assert record.schema_version == 3
    assert new.text == "not a bad film, but a slow and a long one"
    assert record.queries.n_fit == len(record.queries) == 40
    assert (record.queries.densities == 0.0).sum() == 2 + 20  # the rest was drawn
    assert [score.interval is None for score in record.faithfulness] == [False, False, True]
    assert record.doubt is not None
    assert record.doubt.kernel.relevance.shape == (11,)
    best = new.top(1)[0]
    assert best.labels == ("not", "bad", "but")
    assert best.effect == pytest.approx(1.562993723)
    assert best.interval == pytest.approx((0.529931298, 1.562993723), rel=1e-6)


def test_a_doubt_and_the_scores_intervals_are_stored(tmp_path: Path) -> None:
    explanation = InteractionExplanation(with_doubt(review_record()))
    explanation.save(tmp_path / "e.json")
    loaded = InteractionExplanation.load(tmp_path / "e.json")
    assert loaded == explanation
    assert loaded.record.doubt == explanation.record.doubt
    assert loaded.scores[0].interval == pytest.approx((0.79, 0.92))
    assert [i.interval for i in loaded.top(5)] == [i.interval for i in explanation.top(5)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("relevance", [0.3] * 3),
        ("relevance", [-1.0] * 135),
        ("relevance", [float("nan")] * 135),
        ("tilt", 101.0),
        ("noise", -0.1),
        ("product", "1"),
        ("product", 1e13),
        ("scale", 0.0),
        ("pairs", [1.0] * 101),
        ("level", float("inf")),
    ],
)
def test_a_doubt_that_is_no_kernel_is_refused(name: str, value: Any) -> None:
    data = record_to_json(with_doubt(review_record()))
    data["doubt"][name] = value
    with pytest.raises(ProxySpexError, match=r"doubt|kernel|features"):
        record_from_json(data)


def test_nothing_half_written_is_left(
    explanation: InteractionExplanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.json"
    path.write_text("what was there before")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explanation.save(path)
    assert path.read_text() == "what was there before"
    assert [p.name for p in tmp_path.iterdir()] == ["e.json"]


def test_places_that_cannot_be_written_or_read(
    explanation: InteractionExplanation, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        explanation.save(tmp_path / "missing" / "e.json")
    with pytest.raises(InputError, match="cannot write"):
        explanation.to_html(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*No such file or directory"):
        InteractionExplanation.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an explanation"),
        (b"\x89PNG\r\n\x1a\n", "is not an explanation"),
        (b"{", "is not an explanation"),
        (b"[" * 100_000, "is not an explanation"),
        (b"[1, 2]", "must be a JSON object"),
        (b"{}", "this is not an explanation: 'format' is None"),
        (b'{"format": "proxyspex-hf/explanation"}', "the field schema_version is missing"),
        (
            b'{"format": "proxyspex-hf/explanation", "schema_version": 4}',
            "schema version 4, .* reads up to 3: upgrade",
        ),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "e.json"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=message):
        InteractionExplanation.load(path)


CHANGES: list[tuple[tuple[Any, ...], Any, str]] = [
    (("task",), 7, "task must be a text"),
    (("text",), "short", "reach beyond the end of the text"),
    (("features", "kind"), "letters", "features.kind is 'letters', expected one of words"),
    (("features", "labels"), ["a"], "one label per span"),
    (("features", "spans", 0), [0], "lists of 2 integers"),
    (("features", "spans", 0), [5, 2], "ordered, disjoint"),
    (("features", "spans", 0), [True, 2], "integers"),
    (("spectrum", "n_features"), 3, "spectrum.support must hold indices from 0 to 2"),
    (("spectrum", "n_features"), 10**9, "integer from 1 to"),
    (("spectrum", "support", 0), [1], "must ascend by size"),
    (("spectrum", "coefficients", 0), "1", "finite numbers"),
    (("spectrum", "coefficients", 0), float("nan"), "finite numbers"),
    (("spectrum", "coefficients", 0), 10**400, "finite numbers"),
    (("spectrum", "coefficients"), [1.0], "coefficients"),
    (("queries", "masks"), "!!", "not base64"),
    (("queries", "masks"), "AAAA", "has 3 bytes, expected"),
    (("queries", "n_fit"), 10**8, "queries.n_fit must be an integer"),
    (("queries", "n_fit"), 0, "queries.n_fit must be an integer from 2 to"),
    (("queries", "n_fit"), 1, "queries.n_fit must be an integer from 2 to"),
    (("queries", "densities"), [0.5], "densities"),
    (("queries", "densities", 3), 1.0, r"queries.densities must lie in \[0, 1\)"),
    (("queries", "densities", 3), -0.1, r"queries.densities must lie in \[0, 1\)"),
    (("queries", "values", 3), -1.1e306, r"queries.values must be within ±1e\+306"),
    (("spectrum", "coefficients", 1), -5.1e306, r"must add up to at most 5e\+306"),
    (("spectrum", "coefficients", 1), 1.7e308, r"must add up to at most 5e\+306"),
    (("faithfulness", 0, "density"), 2.0, "must lie in"),
    (("faithfulness", 0, "r2"), "good", "finite number"),
    (("settings", "masking"), "blur", "settings.masking"),
    (("settings", "seed"), -1, "settings.seed"),
    (("fit", "cv"), [[]], "fit.cv must hold objects"),
    (("provenance", "notes"), [1], "list of texts"),
    (("provenance", "versions"), {"numpy": 2}, "provenance.versions.numpy must be a text"),
    (("provenance", "seconds"), {"model": "1"}, "provenance.seconds.model"),
]


@pytest.mark.parametrize(("place", "value", "message"), CHANGES)
def test_damaged_fields_are_named(
    explanation: InteractionExplanation, place: tuple[Any, ...], value: Any, message: str
) -> None:
    data = json.loads(json.dumps(record_to_json(explanation.record)))
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(SchemaError, match=message):
        record_from_json(data)


PICTURE_CHANGES: list[tuple[tuple[Any, ...], Any, str]] = [
    (("picture",), None, "there is no picture"),
    (("picture", "png"), "!!", "picture.png is not base64"),
    (("picture", "png"), "AAAA", "not a PNG file"),
    (("picture", "width"), 7, "has 6 x 4 pixels, not 7 x 4"),
    (("features", "regions", 0), [[0, 0, 3, 0, 3]], "an x and a y"),
    (("features", "regions", 0), [[0, 0, 3, 1, 3, 2, 0, 2]], "straight above or beside"),
    (("features", "regions", 0), [[0, 0, 9, 0, 9, 2, 0, 2]], "beyond the edge of the picture"),
    (("features", "regions", 0), 7, "lists of outlines"),
    (("features", "regions"), [], "one label per span or region"),
    (("features", "region_kind"), None, "regions need a region_kind"),
    (("features", "region_kind"), "words", "features.region_kind"),
    (("features", "kind"), "features", "neither spans nor regions"),
    (("parts", 1, "stop"), 10**6, "'caption' overlaps another or leaves the text"),
    (("parts", 1, "start"), 1, "'caption' overlaps"),
    (("settings", "image_masking"), "paint", "settings.image_masking"),
    (("settings", "arguments"), {"a": {"b": [[[[[1]]]]]}}, "settings.arguments must hold plain"),
    (("provenance", "noise_floor"), "low", "provenance.noise_floor"),
    (("provenance", "model_bytes"), -1, "provenance.model_bytes"),
    (("target", "index"), -1, "target.index"),
]


@pytest.mark.parametrize(("place", "value", "message"), PICTURE_CHANGES)
def test_damaged_pictures_and_regions_are_named(
    place: tuple[Any, ...], value: Any, message: str
) -> None:
    data = json.loads(json.dumps(record_to_json(captioned_record())))
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(SchemaError, match=message):
        record_from_json(data)


def test_unknown_fields_are_ignored(explanation: InteractionExplanation) -> None:
    data = record_to_json(explanation.record)
    data["added_later"] = {"x": 1}
    data["features"]["added_later"] = [1]
    assert record_from_json(data) == explanation.record


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-3, 3), max_size=3),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_files_never_crash_with_a_foreign_error(
    explanation: InteractionExplanation, data: st.DataObject
) -> None:
    record = data.draw(st.sampled_from([explanation.record, captioned_record()]))
    mutated = copy.deepcopy(record_to_json(record))
    inner: Any = mutated
    for _ in range(data.draw(st.integers(1, 4))):
        keys = list(inner) if isinstance(inner, dict) else list(range(min(len(inner), 5)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if isinstance(inner[key], (dict, list)) and data.draw(st.booleans()):
            inner = inner[key]
        else:
            inner[key] = data.draw(JUNK)
            break
    try:
        record = record_from_json(mutated)
    except ProxySpexError:
        return
    # Accepted: then it is whole, and can be shown, evaluated and saved again.
    again = InteractionExplanation(record)
    assert np.isfinite(again.predict(record.queries.masks)).all()
    assert str(again)
    assert again.to_html()
    assert record_from_json(json.loads(json.dumps(record_to_json(record)))) == record


def test_the_page_of_the_format_names_every_field() -> None:
    page = (Path(__file__).parents[1] / "docs" / "format.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    kept = record_to_json(review_record())
    kept["picture"] = dict.fromkeys(("png", "width", "height"))
    inner = (
        "features",
        "picture",
        "target",
        "spectrum",
        "queries",
        "fit",
        "settings",
        "provenance",
    )
    fields = {name for name in kept if name not in inner}
    fields |= {f"{name}.{part}" for name in inner for part in kept[name]}
    assert named == fields


def told_by_a_sibling(relevance: list[float] | None) -> Any:
    """A record whose process for intervals knows what a cheaper model says."""
    record = with_doubt(review_record())
    assert record.doubt is not None
    n = len(record.features)
    spectrum = FourierSpectrum.from_dict({(): 0.5, (0,): 1.0, (1, n - 1): -0.25}, n)
    own = None if relevance is None else np.array((relevance * n)[:n])
    kernel = replace(record.doubt.kernel, sibling=Sibling(spectrum, own, 2.0), shared=0.5)
    return replace(record, doubt=replace(record.doubt, kernel=kernel))


@pytest.mark.parametrize("relevance", [None, [0.1, 0.0, 2.0]])
def test_what_a_sibling_said_is_read_as_it_was_written(relevance: list[float] | None) -> None:
    record = told_by_a_sibling(relevance)
    data = record_to_json(record)
    assert record_from_json(json.loads(json.dumps(data))) == record
    found = data["doubt"]["sibling"]
    assert (found.get("relevance") is None) == (relevance is None)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("sibling", "scale"), 0.0),
        (("sibling", "scale"), -1.0),
        (("sibling", "relevance"), [0.1]),
        (("sibling", "relevance"), "negative"),
        (("sibling", "coefficients"), [1e300, 1.0, 1.0]),
        (("sibling", "n_features"), 3),
        (("shared",), -0.5),
        (("shared",), 1e300),
    ],
)
def test_what_a_sibling_cannot_have_said_is_refused(place: tuple[str, ...], value: Any) -> None:
    record = told_by_a_sibling([0.1])
    data = record_to_json(record)
    inside = data["doubt"]
    for name in place[:-1]:
        inside = inside[name]
    n = len(record.features)
    inside[place[-1]] = [0.1] * (n - 1) + [-1e-9] if value == "negative" else value
    with pytest.raises(ProxySpexError):
        record_from_json(data)


@pytest.mark.parametrize(
    ("lost", "exact"), [(0.0, True), (1e-30, True), (1e-22, False), (1e-10, False), (1.0, False)]
)
def test_exact_is_what_lost_no_more_than_rounding(lost: float, exact: bool) -> None:
    record = captioned_record(FourierSpectrum.from_dict({(): 0.5, (0,): 1.0}, 7))
    for scale in (1.0, 1e3):
        spectrum = record.spectrum.with_coefficients(record.spectrum.coefficients * scale)
        fit = replace(record.fit, method="exact", dropped_energy=lost * scale**2)
        queries = replace(record.queries, values=record.queries.values * scale)
        assert replace(record, spectrum=spectrum, fit=fit, queries=queries).is_exact == exact
    assert not replace(record, fit=replace(record.fit, method="blend")).is_exact


def test_what_a_text_takes_is_told_from_its_widest_character() -> None:
    taken = {wide: parsed_bytes(f"a{wide}".encode()) for wide in ("a", "é", "Ā", "中", "🎬")}
    # Bytes of the text, times those that Python gives each character beside the widest.
    assert taken == {"a": 2, "é": 3, "Ā": 2 * 3, "中": 2 * 4, "🎬": 4 * 5}
    assert parsed_bytes(b"[],") >= 64
