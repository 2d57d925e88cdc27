"""The bench of indices: its truth, its scores, and ours on games small enough for a unit test."""

import json
from itertools import combinations, permutations

import indices
import numpy as np
import pytest
from harness.cache import ResultCache
from harness.games import (
    ERRORS,
    Estimates,
    Game,
    GameError,
    accuracy,
    effects_at_the_input,
    index_scores,
    read_game,
    read_games,
    relative_error,
)
from harness.index_methods import PUBLIC, method_named

from proxyspex_hf.core import FourierSpectrum, all_masks, exact_spectrum

N = 6


def game(n=N, seed=0):
    return Game("g", n, np.random.default_rng(seed).normal(size=2**n))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "games").mkdir()
    np.savez(tmp_path / "games" / "tiny.npz", values=game().values, n=N)
    return tmp_path / "games"


def value(g, members):
    return g.values[sum(1 << i for i in members)]


def test_truth_is_what_the_definitions_give():
    g = game(5)
    orders = list(permutations(range(5)))
    for i in range(5):
        gains = [value(g, o[: o.index(i) + 1]) - value(g, o[: o.index(i)]) for o in orders]
        assert g.truth["SV"][i,] == pytest.approx(np.mean(gains))
    everything = set(range(5))
    for i, j in combinations(range(5), 2):
        without = [value(g, everything - out) for out in ({i}, {j}, {i, j})]
        whole = value(g, everything)
        assert g.truth["single"][i,] == pytest.approx(whole - without[0])
        expected = whole - without[0] - without[1] + without[2]
        assert g.truth["pair"][i, j] == pytest.approx(expected)
    sizes = {name: len(scores) for name, scores in g.truth.items()}
    assert sizes == {
        "SV": 5, "FSII": 15, "FSII pairs": 10, "SII pairs": 10, "single": 5, "pair": 10,
    }  # fmt: skip


def test_accuracy_of_the_truth_and_of_nothing():
    g = game()
    exact = accuracy(g, Estimates(exact_spectrum(g.values)))
    assert exact["errors"].keys() == set(ERRORS)
    assert max(exact["errors"].values()) < 1e-9
    assert exact["r2"] == pytest.approx({"0.1": 1, "0.5": 1, "0.9": 1}, abs=1e-9)
    nothing = accuracy(g, Estimates(FourierSpectrum.from_dict({(): 0.3}, N)))
    assert list(nothing["errors"].values()) == pytest.approx([1.0] * len(ERRORS))
    assert all(r2 <= 1e-9 for r2 in nothing["r2"].values())


def test_given_scores_go_before_those_of_the_spectrum():
    g = game()
    exact = exact_spectrum(g.values)
    doubled = {s: 2 * v for s, v in g.truth["SV"].items()} | {(): 7.0}
    found = accuracy(g, Estimates(exact, {"SV": doubled}))
    assert found["errors"]["SV"] == pytest.approx(1.0)
    assert found["errors"]["FSII"] < 1e-9
    alone = accuracy(g, Estimates(scores={"SV": doubled}))
    assert alone == {"errors": {"SV": pytest.approx(1.0)}, "r2": {}}


def test_r2_weighs_each_subset_by_its_probability():
    g = game(3)
    spectrum = FourierSpectrum.from_dict({(): 0.2, (1,): -0.4}, 3)
    masks = all_masks(3)
    weights = np.array([np.prod(np.where(m, 0.9, 0.1)) for m in masks])
    mean = weights @ g.values
    missed = weights @ (g.values - spectrum.evaluate(masks)) ** 2
    expected = 1 - missed / (weights @ (g.values - mean) ** 2)
    assert accuracy(g, Estimates(spectrum))["r2"]["0.9"] == pytest.approx(expected)


def test_relative_error_counts_what_is_missing_and_what_is_too_many():
    assert relative_error({(0,): 1.0, (2,): 2.0}, {(0,): 3.0, (1,): 1.0}) == pytest.approx(0.9)
    assert relative_error({(0,): 1.0}, {(0,): 0.0}) is None


def test_effects_of_a_spectrum_are_those_of_its_values():
    g = game()
    spectrum = exact_spectrum(g.values)
    by_value, by_spectrum = (effects_at_the_input(f, N) for f in (g, spectrum.evaluate))
    for kind in ("single", "pair"):
        assert by_spectrum[kind] == pytest.approx(by_value[kind])
    assert sum(index_scores(spectrum)["SV"].values()) == pytest.approx(g.values[-1] - g.values[0])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"values": np.zeros(4)}, "no entry 'n'"),
        ({"n": 2}, "no entry 'values'"),
        ({"n": 16, "values": np.zeros(2)}, "n is 16, expected 2 to 15"),
        ({"n": 3, "values": np.zeros(4)}, r"expected 8 finite values, got shape \(4,\)"),
        ({"n": 2, "values": np.full(4, np.nan)}, "finite"),
    ],
)
def test_what_is_no_game_is_refused(tmp_path, entries, message):
    np.savez(tmp_path / "bad.npz", **entries)
    with pytest.raises(GameError, match=message):
        read_game(tmp_path / "bad.npz")


def test_method_names():
    assert not method_named("ours:density=uniform,proxy=gaussian").public
    assert method_named("ours@ShaplEIG").masks_of == "ShaplEIG"
    assert method_named("ProxySHAP:adjustment=true").settings == {"adjustment": True}
    with pytest.raises(ValueError, match="unknown method 'theirs'"):
        method_named("theirs")
    with pytest.raises(TypeError, match="colour"):
        method_named("ours:colour=red")
    # What is asked has been decided already.
    with pytest.raises(TypeError, match="density"):
        method_named("ours@ShaplEIG:density=uniform")


def test_with_every_mask_asked_ours_is_exact(folder, tmp_path, capsys):
    out = tmp_path / "rows.json"
    given = ["--games", str(folder), "--alphas", "5", "--seeds", "1", "--json", str(out)]
    assert indices.main([*given, "--methods", "ours"]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["calls"], row["budget"]) == (64, 78)
    assert max(row["errors"].values()) < 1e-9
    assert min(row["r2"].values()) > 1 - 1e-9
    assert "| 5 | ours | 64 | 1 | 0.000 |" in capsys.readouterr().out


def test_held_out_masks_count(folder, tmp_path, capsys):
    out = tmp_path / "rows.json"
    given = ["--games", str(folder), "--alphas", "3", "1", "--seeds", "1", "--json", str(out)]
    assert indices.main([*given, "--methods", "ours:n_test=5,density=0.3+0.7"]) == 0
    fitted, refused = json.loads(out.read_text())["rows"]
    assert (fitted["calls"], fitted["budget"]) == (47, 47)
    assert "error" in refused
    printed = capsys.readouterr()
    assert "0 of 1" in printed.out
    assert "on tiny, α = 1, seed 0" in printed.err


def test_quick(tmp_path):
    out = tmp_path / "rows.json"
    assert indices.main(["--quick", "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["n"], row["calls"], row["budget"], row["method"]) == (14, 53, 53, "ours")
    assert row["errors"].keys() == set(ERRORS)
    assert all(0 < error < 1 for error in row["errors"].values())
    assert all(0 < r2 < 1 for r2 in row["r2"].values())


def test_results_in_the_repository_are_of_its_games():
    options = indices.arguments([])
    games = {g.content_hash: g for g in read_games(options.games)}
    rows = ResultCache(options.cache).rows().values()
    assert {row["content"] for row in rows} <= games.keys()
    for row in rows:
        assert method_named(row["method"]).base in PUBLIC
        assert row["libraries"]["shapiq"] in row["version"]
        if "error" not in row:
            assert len(row["asked"]) <= row["budget"]
            asked = np.array(row["asked"])
            assert ((asked >= 0) & (asked < 2 ** row["n"])).all()
