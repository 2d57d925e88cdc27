"""The scripts of examples/paper: whole at their tiniest setting, and on known functions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.core.baselines.synthetic import complete_hierarchy
from proxyspex_hf.core.hierarchy import hierarchy_rates

PAPER = Path(__file__).parents[1] / "examples" / "paper"
FIGURES = ("figure01", "figure03", "figure05", "figure06", "figure07", "figure12", "figure13")
MODULES = (
    *FIGURES, "shortcuts", "common", "cases", "inputs", "articles", "drawing", "claims", "measures",
    "measures_proxies", "reading", "page",
)  # fmt: skip


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a script of the folder by its name."""
    monkeypatch.setattr(sys, "path", [str(PAPER), *sys.path])
    yield import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared: what one script fitted, the next finds."""
    return tmp_path_factory.mktemp("cache")


def known_case(paper: Any, tmp_path: Path, n: int = 10, **sizes: Any) -> tuple[Any, Any]:
    truth = complete_hierarchy(n, n_sets=2, order=3, seed=1)
    explainer = InteractionExplainer(truth.evaluate)
    cases = paper("cases")
    memory = paper("common").Memory(tmp_path)
    names = [f"x{i}" for i in range(n)]
    settings = cases.Sizes(1, (1, 2), (30, 20), (20,), **sizes)
    return truth, cases.Case("known", "a", explainer, names, memory, settings, 3)


def test_results_are_kept_by_all_that_decides_them(paper: Any, tmp_path: Path) -> None:
    memory = paper("common").Memory(tmp_path)
    asked = []

    def compute() -> dict[str, Any]:
        asked.append(1)
        return {"value": 0.1 + 0.2}

    first = memory.recall(compute, what="a", alpha=2)
    again = paper("common").Memory(tmp_path)
    assert again.recall(compute, what="a", alpha=2) == first == {"value": 0.1 + 0.2}
    assert (len(asked), again.computed) == (1, 0)
    again.recall(compute, what="a", alpha=4)
    again.code = "another algorithm"
    again.recall(compute, what="a", alpha=2)
    assert (len(asked), again.computed) == (3, 2)


def test_masks_of_a_smaller_alpha_are_the_first_and_tests_are_apart(
    paper: Any, tmp_path: Path
) -> None:
    _, case = known_case(paper, tmp_path, n=40)
    np.testing.assert_array_equal(case.masks(1), case.masks(8)[: len(case.masks(1))])
    densities = paper("cases").DENSITIES
    mixed = case.masks(8, densities)
    taken = {row.tobytes() for row in (*case.masks(8), *mixed)}
    assert {row.tobytes() for row in case.masks(3, densities)} <= taken
    assert len(np.unique(mixed, axis=0)) == len(mixed) == len(case.masks(8))
    third = len(mixed) // 3
    for place, density in enumerate(densities):
        part = mixed[2 if place == 0 else place * third : (place + 1) * third]
        assert part.mean() == pytest.approx(density, abs=0.05)
        tests, values = case.tests(density)
        assert values.shape == (len(tests),)
        assert tests.mean() == pytest.approx(density, abs=0.1)
        assert not any(row.tobytes() in taken for row in tests)


def test_a_fit_is_read_again_bit_for_bit_and_asks_nothing(paper: Any, tmp_path: Path) -> None:
    truth, case = known_case(paper, tmp_path)
    first = case.fit("default", 2)
    asked = case.asker.calls
    assert asked == first.asked + 30
    assert first.seconds > 0
    _, again = known_case(paper, tmp_path)
    second = again.fit("default", 2)
    assert again.asker.calls == 0
    assert second.spectrum == first.spectrum
    assert second.proxy_r2 == first.proxy_r2
    masks, values = again.tests()
    np.testing.assert_array_equal(values, truth.evaluate(masks))
    error = np.square(first.spectrum.evaluate(masks) - values).sum()
    assert again.r2(first.spectrum) == pytest.approx(
        1 - error / np.square(values - values.mean()).sum()
    )


def test_a_question_about_articles_leaves_out_a_name(
    paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    articles = paper("articles")
    folder = tmp_path / "bbcnews" / "data" / "arts"
    folder.mkdir(parents=True)
    for i, text in enumerate(
        ("Two\n\nBo Ek saw Ana Karl.\nAna Karl saw Bo Ek.", "Three\n\nRain.", "One\n\nIt rained.")
    ):
        (folder / f"{i}.txt").write_text(text, "utf-8")
    monkeypatch.setattr(articles, "folder_of", lambda *_: tmp_path)
    monkeypatch.setattr(articles, "GROUPS", (("Ana Karl", "arts", ("One", "Two")),))
    ((group, question),) = articles.groups()
    assert [article.title for article in group] == ["One", "Two"]
    assert [article.body for article in group] == [
        "It rained.",
        "Bo Ek saw Ana Karl. Ana Karl saw Bo Ek.",
    ]
    assert question == 'Which name is missing in "Bo Ek saw ____."'


def test_spex_needs_the_first_size_that_is_as_faithful(paper: Any) -> None:
    needs = paper("figure01").spex_needs
    scored = [(100, 0.1), (200, 0.8), (400, 0.7), (800, 0.9)]
    assert needs(scored, 50, 0.75) == {"spex_masks": 200, "times": 4.0}
    assert needs(scored, 50, 0.95) == {"spex_masks": None, "times": 16.0}


def test_the_time_to_reach_an_r2_is_the_quickest_runs(paper: Any) -> None:
    shared = {"dataset": "d", "input": "i", "method": "m", "model_seconds": 1.0, "fit_seconds": 2.0}
    rows = [
        {**shared, "masks": 10, "r2": 0.75, "seconds": 3.0},
        {**shared, "masks": 20, "r2": 0.82, "seconds": 9.0},
        {**shared, "masks": 40, "r2": 0.81, "seconds": 5.0},
    ]
    found = {row["level"]: row for row in paper("figure13").reached(rows)}
    assert found[0.8]["seconds"] == 5.0
    assert found[0.8]["masks"] == 40
    assert found[0.9]["seconds"] is None


def test_the_k_curve_of_a_known_function_rises_to_one(paper: Any, tmp_path: Path) -> None:
    truth, case = known_case(paper, tmp_path)
    masks = case.masks(8)
    head = {**case.head, "terms": len(truth) - 1}
    rows = paper("figure05").truncated(head, truth, masks, truth.evaluate(masks))
    curve = [row["share"] for row in rows]
    assert curve == sorted(curve)
    assert rows[-1]["k"] == 10
    assert curve[-1] < 1.0
    assert rows[0]["r2"] == pytest.approx(1.0)


def test_the_rates_are_those_of_the_papers_example(paper: Any, tmp_path: Path) -> None:
    _, case = known_case(paper, tmp_path, n=4)
    example = FourierSpectrum.from_dict({(): 4.0, (1,): 3.0, (2,): 2.0, (1, 3): 1.0}, 4)
    assert hierarchy_rates(example, [4]).dsr == pytest.approx([7 / 8])
    figure = paper("figure03")
    figure.KS = (2, 4, 50)
    masks = case.masks(8)
    rows = figure.rates(case, "exact", example, masks, example.evaluate(masks))
    assert [row["k"] for row in rows] == [2, 4]
    assert rows[1]["dsr"] == pytest.approx(7 / 8)
    assert rows[1]["r2_of_k"] == pytest.approx(1.0)
    assert rows[1]["energy_to_order_3"] == pytest.approx(1.0)


def test_fifty_held_out_pairs_are_explained_among_others(paper: Any, tmp_path: Path) -> None:
    inputs, study = paper("inputs"), SimpleNamespace(seed=0)
    pairs, others = inputs._pairs(study, inputs.DATASETS["captions"].full)
    captions = [caption for _, caption in (*pairs, *others)]
    assert (len(pairs), len(others), len(set(captions))) == (50, 32, 82)
    assert {image.size for image, _ in pairs} == {(96, 96)}


#: Made as the others are, of the same cases, in ten seconds each: ``make test-slow`` makes them.
SLOW = ("figure05", "figure06", "figure07", "figure13")


@pytest.mark.parametrize(
    "name", [name for name in FIGURES if name not in SLOW or "PAPER" in os.environ]
)
def test_a_figure_is_made_and_made_again_without_the_model(
    paper: Any,
    cache: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, common = paper(name), paper("common")
    if name == "figure12":
        monkeypatch.setattr(module, "PROXIES", ("default", "lasso"))
        monkeypatch.setattr(module, "TABLES", {"lm_tom_n29": "story, n = 29"})
    if name == "figure07":
        monkeypatch.setattr(module, "RS", (2,))
    given = ["--tiny", "--cache", str(cache), "--out", str(tmp_path)]
    common.run(name, module.__doc__, module.measure, module.draw, ("dataset",), given)
    first = json.loads((tmp_path / f"{name}.json").read_text())
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = first["rows"]
    assert first["setting"] == "tiny"
    expected = {"peak", "story, n = 29"} if name == "figure12" else {"sentiment", "captions"}
    found = {row["dataset"] for row in rows}
    assert found >= expected or (name == "figure03" and found >= {"sentences"})
    checks = {"figure06": r2_in_range, "figure01": r2_in_range, "figure07": removal_was_asked}
    checks.get(name, lambda _: None)(rows)
    capsys.readouterr()
    common.run(name, module.__doc__, module.measure, module.draw, ("dataset",), given)
    assert "asked" not in capsys.readouterr().err
    again = json.loads((tmp_path / f"{name}.json").read_text())
    for row in (*rows, *again["rows"]):
        row.pop("seconds", None)  # of removal sets: they are found anew
    assert again["rows"] == rows


def test_data_sets_that_are_left_out_keep_their_rows_and_what_they_were_made_with(
    paper: Any, tmp_path: Path
) -> None:
    common = paper("common")
    given = ["--tiny", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    r2 = 0.5

    def measure(study: Any) -> dict[str, Any]:
        names = [name for name in ("first", "second") if study.counts.get(name) != 0]
        rows = [{"dataset": name, "input": name, "r2": r2} for name in names]
        return {"rows": rows, "more": list(rows), "limit": 3}

    def made(*more: str) -> Any:
        common.run("figure", "", measure, lambda *_: None, ("dataset",), [*given, *more])
        return json.loads((tmp_path / "figure.json").read_text())

    first = made()
    assert list(first["made with"]) == ["first", "second"]
    assert first["made with"]["first"]["versions"]["numpy"] == np.__version__
    first["made with"]["first"]["core"] = "of another day"
    (tmp_path / "figure.json").write_text(json.dumps(first))
    r2 = 0.75
    again = made("--inputs", "first=0", "--keep")
    for key in ("rows", "more"):
        assert [(row["dataset"], row["r2"]) for row in again[key]] == [
            ("first", 0.5),
            ("second", 0.75),
        ]
    assert again["made with"]["first"]["core"] == "of another day" != common.core_code()
    assert again["made with"]["second"]["core"] == common.core_code()
    assert [row["dataset"] for row in made("--inputs", "first=0")["rows"]] == ["second"]
    with pytest.raises(SystemExit, match="--keep: the JSON has seed 0, not 1"):
        made("--inputs", "first=0", "--keep", "--seed", "1")


def r2_in_range(rows: list[dict[str, Any]]) -> None:
    found = {(row["dataset"], row["method"], row["alpha"]): row["r2"] for row in rows}
    assert 0.8 < found["sentiment", "default", 1] <= 1.0
    assert found["sentiment", "lasso", 1] < found["sentiment", "default", 1]
    assert all(r2 <= 1.0 for r2 in found.values())


def removal_was_asked(rows: list[dict[str, Any]]) -> None:
    assert {row["method"] for row in rows} >= {"default", "paper", "lasso", "default, mixed"}
    for row in rows:
        assert row["change"] >= 0
        assert len(row["removed"]) == row["r"]
        assert np.isfinite(row["predicted"])


def test_a_figure_without_inputs_says_so(
    paper: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        paper("common").run(
            "figure", "", lambda _: {"rows": []}, lambda *_: None, ("dataset",),
            ["--cache", str(tmp_path), "--out", str(tmp_path), "--inputs", "captions=0"],
        )  # fmt: skip
    assert "no input is left" in capsys.readouterr().err
    assert not (tmp_path / "figure.json").exists()


def test_a_title_says_which_line_is_of_fewer_inputs(paper: Any) -> None:
    drawing = paper("drawing")
    _, axes = drawing.panels(1, 1)
    rows = [{"method": m, "input": i} for m in ("default", "lasso") for i in "abc"]
    drawing.head(axes[0][0], "Reviews", rows)
    assert axes[0][0].get_title() == "Reviews, 3 inputs"
    rows += [{"method": "spex", "input": "a"}]
    rows += [{"method": "default", "fitted": "mixed", "input": i} for i in "ab"]
    drawing.head(axes[0][0], "Reviews", rows)
    assert axes[0][0].get_title() == "Reviews, 3 inputs\nSPEX: 1, default, mixed masks: 2"


def test_the_first_inputs_get_more(paper: Any) -> None:
    sizes = paper("cases").Sizes(
        4, (2,), deeper=((3, {"mixed": False}), (1, {"alphas": (2, 8), "alpha_of_one": 2}))
    )
    assert [sizes.of(place).alphas for place in (1, 2, 4)] == [(2, 8), (2,), (2,)]
    assert [sizes.of(place).mixed for place in (1, 2, 4)] == [False, False, True]
    assert [sizes.of(place).alpha for place in (1, 2, 4)] == [2, 2, 2]


def test_medians_are_over_the_inputs_that_have_both(paper: Any) -> None:
    shared, spread = paper("reading").shared, paper("reading").spread
    rows = [
        {"input": name, "alpha": alpha, "method": "default", "r2": r2}
        for name, alpha, r2 in (("a", 2, 0.5), ("a", 4, 0.6), ("b", 2, 0.9))
    ]
    assert [row["input"] for row in shared(rows, "alpha", (2, 4))] == ["a", "a"]
    assert paper("measures")._gain(rows, "default") == (0.5, 0.6)
    assert spread([0.25]) == "0.250"
    assert spread([-0.5, 1, 0]) == "0.000 (−0.500 to 1.000)"


def test_shortcuts_stand_beside_what_they_leave_out(paper: Any, tmp_path: Path) -> None:
    _, case = known_case(paper, tmp_path)
    shortcuts = paper("shortcuts")
    rows = []
    for trees in ((5,), (5, 40)):
        case.sizes = replace(case.sizes, trees=trees)
        rows.append(shortcuts.grid(case))
    assert [row["how"] for row in rows] == ["5 trees", "40 trees"]
    assert rows[0]["r2"] < rows[1]["r2"]
    assert shortcuts.decoded(case) == []  # no number of SPEX's masks is asked for
    spectrum = FourierSpectrum.from_dict({(): 4.0, (1,): 3.0, (2,): 2.0, (1, 3): 1.0}, 4)
    assert [paper("figure03").interactions(spectrum, k) for k in (2, 3)] == [0, 1]


def test_the_page_says_what_the_results_say(paper: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper("page").main(["--check"]) == 0, capsys.readouterr().out
