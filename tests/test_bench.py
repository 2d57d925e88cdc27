"""The bench's own logic, on problems small enough for a unit test."""

import hashlib
import json
from pathlib import Path

import kernel_steps
import numpy as np
import pytest
import tables
import whole_input
from harness.cache import ResultCache
from harness.implementations import implementation, own_version, parse_settings
from harness.measure import exact_r2, head, measure, measure_within
from harness.problems import TableError, read_table, read_tables
from harness.report import markdown, spread
from harness.synthetic_problems import synthetic_problem
from make_tables import draw_masks

import proxyspex_hf
from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.errors import InputError

N = 10
TRUTH = FourierSpectrum.from_dict({(): 1.0, (0,): 2.0, (1,): -1.5, (0, 1): 1.0, (4,): 0.5}, N)


def entries(seed=0):
    """A table of TRUTH's values, as ``make_tables`` writes it."""
    masks = draw_masks(N, n_fit=70, n_test=40, n_test_density=20, seed=seed)
    asked = np.concatenate([masks["uniform"], masks["test"]])
    out = {
        "n": N,
        "n_train": 70,
        "masks": np.packbits(asked, axis=1),
        "values": TRUTH.evaluate(asked),
        "mixed_masks": np.packbits(masks["mixed"], axis=1),
        "mixed_values": TRUTH.evaluate(masks["mixed"]),
        "mixed_density": masks["mixed_density"],
    }
    for name in ("test50", "test70", "test90"):
        out[f"{name}_masks"] = np.packbits(masks[name], axis=1)
        out[f"{name}_values"] = TRUTH.evaluate(masks[name])
    return out


@pytest.fixture
def table(tmp_path):
    np.savez(tmp_path / "tiny.npz", **entries())
    return read_table(tmp_path / "tiny.npz")


def test_drawn_masks_are_apart_and_have_their_density():
    masks = draw_masks(40, n_fit=300, n_test=200, n_test_density=100, seed=3)
    assert masks["uniform"].shape == masks["mixed"].shape == (300, 40)
    assert masks["uniform"][0].all()
    assert masks["mixed"][0].all()
    fitted = {m.tobytes() for m in np.concatenate([masks["uniform"], masks["mixed"]])}
    for name, density in (("test", 0.5), ("test50", 0.5), ("test70", 0.7), ("test90", 0.9)):
        assert not fitted & {m.tobytes() for m in masks[name]}
        assert abs(masks[name].mean() - density) < 0.02
    for density in (0.5, 0.7, 0.9):
        drawn = masks["mixed"][1:][masks["mixed_density"][1:] == density]
        assert 98 <= len(drawn) <= 101
        assert abs(drawn.mean() - density) < 0.03
    # Any top rows are a mixture as well.
    assert {0.5, 0.7, 0.9} == set(masks["mixed_density"][:10].tolist())


def test_read_table(table):
    assert (table.name, table.n, table.synthetic) == ("tiny", N, False)
    assert {k: len(v) for k, (_, v) in table.fit.items()} == {"uniform": 70, "mixed": 70}
    assert {k: len(v) for k, (_, v) in table.tests.items()} == {
        "uniform": 40, "50": 20, "70": 20, "90": 20,
    }  # fmt: skip
    for masks, values in [*table.fit.values(), *table.tests.values()]:
        assert np.allclose(values, TRUTH.evaluate(masks))
    assert table.full_value == pytest.approx(TRUTH.evaluate(np.ones((1, N)))[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test70_masks": None}, "no entry 'test70_masks'"),
        ({"n": None}, "no entry 'n'"),
        ({"n_train": 200}, "n_train is 200, of 110 rows"),
        ({"values": np.full(110, np.nan)}, "finite values"),
        ({"mixed_values": np.zeros(9)}, r"expected \(9, 10\) mixed_masks"),
        ({"mixed_masks": np.zeros((70, 2), np.uint8)}, "row 0 of the mixed masks"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, change, message):
    changed = {k: v for k, v in (entries() | change).items() if v is not None}
    np.savez(tmp_path / "bad.npz", **changed)
    with pytest.raises(TableError, match=message):
        read_tables(tmp_path)


def test_seeds_choose_rows(table):
    m = table.budget(2.0, "uniform")
    assert m == 66
    assert table.budget(2.2, "uniform") is None
    top, _ = table.rows(2.0, "uniform", 0)
    assert np.array_equal(top, table.fit["uniform"][0][:m])
    drawn, values = table.rows(2.0, "uniform", 1)
    again, _ = table.rows(2.0, "uniform", 1)
    other, _ = table.rows(2.0, "uniform", 2)
    assert np.array_equal(drawn, again)
    assert not np.array_equal(drawn, other)
    assert drawn[0].all()
    assert len(np.unique(drawn, axis=0)) == m
    assert np.allclose(values, TRUTH.evaluate(drawn))


def test_measure_against_the_truth(table):
    row = measure(table, implementation("lasso"), 2.0, "uniform", 0)
    assert row["terms"] <= N + 1
    assert row["max_order"] == 1
    masks, values = table.tests["70"]
    masks0, values0 = table.rows(2.0, "uniform", 0)
    predicted = implementation("lasso").fit(masks0, values0, 0).spectrum.evaluate(masks)
    expected = 1 - np.square(predicted - values).sum() / np.square(values - values.mean()).sum()
    assert row["r2"]["70"] == pytest.approx(expected, abs=1e-6)
    # What TRUTH holds beside single features is out of LASSO's reach.
    assert 0.5 < row["r2"]["uniform"] < 0.95
    full = implementation("lasso").fit(masks0, values0, 0).spectrum.evaluate(np.ones((1, N)))[0]
    assert row["full_error"] == pytest.approx(
        abs(full - table.full_value) / table.value_range, abs=1e-6
    )


def test_lasso_is_the_regression_itself(table):
    from sklearn.linear_model import LassoCV

    masks, values = table.rows(2.0, "mixed", 0)
    model = LassoCV(eps=1e-3, alphas=100, cv=5, max_iter=5000).fit(masks, values)
    found = implementation("lasso").fit(masks, values, 0)
    assert np.allclose(found.spectrum.evaluate(masks), model.predict(masks))


def test_exact_r2_is_that_over_all_masks():
    from proxyspex_hf.core import all_masks

    found = FourierSpectrum.from_dict({(): 0.7, (0,): 1.8, (2, 3): 0.2}, N)
    masks = all_masks(N)
    values, predicted = TRUTH.evaluate(masks), found.evaluate(masks)
    expected = 1 - np.square(predicted - values).sum() / np.square(values - values.mean()).sum()
    assert exact_r2(TRUTH, found) == pytest.approx(expected)
    assert exact_r2(TRUTH, TRUTH) == 1.0


def test_synthetic_problem_has_noise_only_where_it_is_fitted():
    problem = synthetic_problem("t", TRUTH, alpha=4, n_test=50, noise=0.5, seed=1)
    assert problem.name == "t_n10"
    assert problem.budget(4, "mixed") == 133
    for masks, values in problem.tests.values():
        assert np.allclose(values, TRUTH.evaluate(masks))
    for masks, values in problem.fit.values():
        errors = values - TRUTH.evaluate(masks)
        assert errors[0] == 0
        # Standard deviation of the function: the root of 2² + 1.5² + 1² + 0.5².
        assert errors.std() == pytest.approx(0.5 * 7.5**0.5, rel=0.2)


def test_settings():
    assert parse_settings("n_coefficients=50,refine=none,max_order=null") == {
        "n_coefficients": 50, "refine": "none", "max_order": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="expected setting=value, got 'k'"):
        parse_settings("k")
    with pytest.raises(InputError, match="unknown proxy 'nothing'"):
        implementation("nothing")


def test_cache_is_keyed_by_who_and_from_what(tmp_path, table):
    cache = ResultCache(tmp_path / "deep" / "c.jsonl")
    how = implementation("lasso")
    top = head(table, how, 2, "uniform", 0)
    assert cache.get(top) is None
    cache.add(top | {"terms": 3})
    assert cache.get(top)["terms"] == 3
    for change in (
        {"version": "other"}, {"alpha": 4.0}, {"sampling": "mixed"}, {"seed": 1},
        {"method": "shapiq"}, {"content": "0"},
    ):  # fmt: skip
        assert cache.get(top | change) is None
    cache.add(top | {"terms": 4})
    assert cache.get(top | {"table": "renamed"})["terms"] == 4
    with (tmp_path / "deep" / "c.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match="line 3 is not a result"):
        cache.get(top)


def test_own_results_are_of_this_code():
    how = implementation("default")
    assert how.version == own_version() == implementation("boosting:seed=1").version
    core = Path(proxyspex_hf.__file__).parent / "core"
    digest = hashlib.sha256()
    for path in sorted(core.rglob("*.py")):
        digest.update(path.relative_to(core).as_posix().encode() + path.read_bytes())
    assert f"core {digest.hexdigest()[:12]}, " in how.version


def test_content_hash_follows_any_value(tmp_path, table):
    changed = entries()
    changed["test90_values"][3] += 1e-9
    np.savez(tmp_path / "other.npz", **changed)
    assert read_table(tmp_path / "other.npz").content_hash != table.content_hash
    np.savez(tmp_path / "same.npz", **entries())
    assert read_table(tmp_path / "same.npz").content_hash == table.content_hash


def test_a_process_of_its_own_gives_the_same_and_can_run_out_of_time(table):
    here = measure(table, implementation("lasso"), 2.0, "uniform", 1)
    there = measure_within(120, table, "lasso", 2.0, "uniform", 1)
    for key in ("r2", "terms", "full_error", "content", "masks"):
        assert there[key] == here[key]
    with pytest.raises(TimeoutError, match="more than 0 s"):
        measure_within(0, table, "lasso", 2.0, "uniform", 1)


def row(seed, r2, **changes):
    return {
        "table": "a|b", "alpha": 2.0, "sampling": "mixed", "method": "m", "seed": seed,
        "masks": 66, "r2": {"uniform": r2, "50": r2, "70": None, "90": r2 - 1},
        "terms": 10 + seed, "full_error": 0.01 * (seed + 1), "seconds": 1.5, "load": 0.0,
    } | changes  # fmt: skip


def test_markdown_sums_up_seeds():
    lines = markdown([row(0, 0.5), row(1, 0.75), row(2, 0.625)]).splitlines()
    assert len(lines) == 3
    assert lines[2] == (
        "| a\\|b | 2 | 66 | mixed | m | 0.625 (0.500 to 0.750) | 0.625 (0.500 to 0.750) | – "
        "| -0.375 (-0.500 to -0.250) |  | 11 (10 to 12) | 2.0% (at most 3.0%) "
        "| 1.5 (1.5 to 1.5) |"
    )
    loaded = markdown([row(0, 0.5, load=1.2)]).splitlines()[2]
    assert loaded.endswith("| 1.5 * |")
    failed = markdown([{**row(0, 0.5), "error": "took more than 9 s"}]).splitlines()[2]
    assert "took more than 9 s" in failed
    assert spread([None]) == "–"


def test_command(tmp_path, table, capsys, monkeypatch):
    out = tmp_path / "rows.json"
    given = ["--tables", str(tmp_path), "--alphas", "2", "9", "--methods", "lasso", "--seeds", "2"]
    given += ["--own-cache", str(tmp_path / "own.jsonl")]
    assert tables.main([*given, "--json", str(out)]) == 0
    printed = capsys.readouterr()
    assert "tiny has too few rows for α = 9 uniform, α = 9 mixed: left out" in printed.err
    assert printed.out.count("| tiny | 2 | 66 |") == 2
    kept = json.loads(out.read_text())
    assert len(kept["rows"]) == 4
    assert kept["machine"]["versions"]["numpy"] == np.__version__
    # A second run finds everything kept; --time measures afresh.
    monkeypatch.setattr(tables, "measure", lambda *given: pytest.fail("measured again"))
    assert tables.main([*given, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["rows"] == kept["rows"]
    monkeypatch.setattr(tables, "measure", measure)
    assert tables.main([*given, "--time"]) == 0
    assert "| × lasso |" in capsys.readouterr().out
    assert tables.main(["--tables", str(tmp_path / "none")]) == 2
    assert "no tables" in capsys.readouterr().err


def test_cached_public_results_are_shown_where_nothing_is_installed(
    tmp_path, table, capsys, monkeypatch
):
    monkeypatch.setattr(tables, "implementation", lambda name: None)
    cache = ResultCache(tmp_path / "c.jsonl")
    how = tables.Implementation("shapiq", "1.4.1", tables.absent, public=True)
    cache.add(head(table, how, 2, "uniform", 0) | row(0, 0.5, method="shapiq", sampling="uniform"))
    given = ["--tables", str(tmp_path), "--alphas", "2", "--seeds", "2"]
    options = [*given, "--cache", str(cache.path), "--methods", "shapiq", "spectralexplain"]
    assert tables.main(options) == 0
    printed = capsys.readouterr()
    assert "shapiq is not installed: cached results of 1.4.1" in printed.err
    assert "spectralexplain is not installed: left out" in printed.err
    assert printed.out.count("| tiny | 2 | 66 | uniform | shapiq | 0.500 |") == 1
    assert printed.out.count("shapiq |") == 1


def test_results_in_the_repository_can_be_read():
    path = Path(tables.RESULTS) / "public.jsonl"
    for found in ResultCache(path).rows().values():
        assert found["method"] in tables.PUBLIC
        assert "error" in found or set(found["r2"]) == {"uniform", "50", "70", "90"}


def test_more_steps_of_learning_a_kernel_end_nearer(tmp_path, capsys):
    np.savez(tmp_path / "tiny.npz", **entries())
    given = ["--tables", str(tmp_path), "--steps", "2", "30", "--json", str(tmp_path / "out.json")]
    assert kernel_steps.main(given) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(rows) == 2 * 2 * len(kernel_steps.UNITS) * 2 * 2  # sampling, reach, memory, steps
    by_steps = {steps: [r["above"] for r in rows if r["steps"] == steps] for steps in (2, 30)}
    assert min(by_steps[30]) == 0.0 <= min(by_steps[2])
    assert np.mean(by_steps[2]) > np.mean(by_steps[30]) + 1
    assert "| 1/√n | 20 | 30 |" in capsys.readouterr().out


def test_the_whole_input_is_met_for_the_effects_there(tmp_path, capsys):
    steep = entries()
    steep["values"][0] += 5.0  # the whole input, which no other mask shares
    np.savez(tmp_path / "tiny.npz", **steep)
    out = tmp_path / "out.json"
    given = ["--tables", str(tmp_path), "--samplings", "uniform", "--alphas", "2"]
    assert whole_input.main([*given, "--weights", "0", "10", "--json", str(out)]) == 0
    rows = {row["way"]: row for row in json.loads(out.read_text())["rows"]}
    assert list(rows) == ["weight 0", "weight 10", "LASSO"]
    assert rows["weight 10"]["effects"] < 0.8 * rows["weight 0"]["effects"]
    assert "| tiny | 2 | uniform |" in capsys.readouterr().out


def test_a_whole_input_that_is_moved_away_is_let_go(tmp_path, capsys):
    np.savez(tmp_path / "tiny.npz", **entries())
    given = ["--tables", str(tmp_path), "--samplings", "mixed", "--alphas", "2"]
    assert whole_input.main([*given, "--apart", "0", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    still, moved = (next(line for line in lines if f"| {by} |" in line) for by in ("0", "20"))
    assert "| no |" in still
    assert "| yes |" in moved
