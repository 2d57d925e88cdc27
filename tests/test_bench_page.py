"""The bench's page and pictures, and its smaller scripts, on a few rows."""

import json

import curve
import growth
import numpy as np
import page
import pytest
import toolbox
from harness import sections
from pictures import PICTURES, write_pictures

MACHINE = {"cores": 2, "processor": "P", "python": "3.11", "versions": {"numpy": "2", "x": None}}


def row(method, r2, *, alpha=2.0, sampling="uniform", seed=0, **more):
    return {
        "table": "t_n9", "n": 9, "alpha": alpha, "sampling": sampling, "method": method,
        "seed": seed, "masks": int(29 * alpha), "synthetic": False, "terms": 20, "seconds": 1.0,
        "r2": {"uniform": r2, "50": r2, "70": r2 - 0.1, "90": r2 - 1.5}, "full_error": 0.021,
        "load": 0.0,
    } | more  # fmt: skip


ROWS = [
    row("default", 0.9), row("default", 0.94, seed=1), row("default", 0.92, seed=2),
    row("lasso", 0.5), row("shapiq", 0.8), row("spectralexplain", 0.85),
    row("shapiq", 0.88, alpha=4.0), row("default", 0.97, alpha=4.0),
    row("spectralexplain", 0.99, alpha=4.0, error="took more than 900 s"),
    row("default", 0.7, alpha=4.0, sampling="mixed"),
]  # fmt: skip


def result(rows):
    return {"machine": MACHINE, "rows": rows}


def test_inferences_set_ours_beside_the_better_public_one():
    lines = sections.inferences(result(ROWS)).splitlines()
    assert lines[2] == (
        "| t_n9 | 2 | 58 | **0.920 (0.900 to 0.940)** | 0.850 (spectralexplain) "
        "| 0.880 (shapiq) | – | 0.500 |"
    )
    assert lines[3].startswith("| t_n9 | 4 | 116 | **0.970** | 0.880 (shapiq) | – | – | – |")
    assert len(lines) == 4


def test_densities_by_what_was_fitted():
    lines = sections.densities(result(ROWS)).splitlines()
    assert "| t_n9 | 4 | mixed | default | 0.700 | 0.600 | -0.800 | 2.1% | 20 |" in lines
    assert not [line for line in lines if "spectralexplain" in line and "| 4 |" in line]


def test_synthetic_is_exact():
    known = [
        row("default", 1.0, synthetic=True, exact_r2=0.9996, table="peak_n9"),
        row("lasso", 1.0, synthetic=True, exact_r2=0.25, table="peak_n9"),
    ]
    lines = sections.synthetic(result([*known, *ROWS])).splitlines()
    assert lines[0] == "| function | α | masks | default | lasso |"
    assert lines[2:] == ["| peak_n9 | 2 | 58 | 1.000 | 0.250 |"]


def test_times_are_ratios_to_the_first():
    timed = [row("default", 0.9, seconds=2.0), row("shapiq", 0.8, seconds=15.0)]
    lines = sections.times(result(timed)).splitlines()
    assert lines[0].endswith("| seconds | × default |")
    assert lines[3] == "| t_n9 | 2 | uniform | shapiq | 0.800 | 15.00 | 7.5 |"
    busy = sections.times(result([row("default", 0.9, seconds=2.0, load=0.8)])).splitlines()
    assert busy[2] == "| t_n9 | 2 | uniform | default | 0.900 | 2.00 * | 1.0 |"


def curve_row(k, sparse, dense=0.8):
    at = dict.fromkeys(("uniform", "50", "70", "90"), dense)
    return row("default", sparse, k=k, dense_r2=at)


def test_curve_is_a_share_of_the_proxys_own():
    table = curve.markdown([curve_row(10, 0.4), curve_row(200, 0.78)], (10, 200)).splitlines()
    assert table[2] == "| t_n9 | 2 | uniform | 0.800 | 0.500 | 0.975 |"
    assert curve.kept_share(curve_row(10, 0.4, dense=-0.1)) is None
    # Mixed rows are judged near the input as well: mean of 0.4, 0.3 and -1.1.
    assert curve.judged(curve_row(10, 0.4)["r2"], "mixed") == pytest.approx(-0.4 / 3)


def test_curve_command(tmp_path, capsys):
    from test_bench import entries

    np.savez(tmp_path / "tiny.npz", **entries())
    out = tmp_path / "c.json"
    given = ["--tables", str(tmp_path), "--alphas", "2", "--ks", "1", "9", "--samplings", "uniform"]
    assert curve.main([*given, "--method", "lasso", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(r["k"], r["terms"]) for r in rows] == [(1, 2), (9, rows[1]["terms"])]
    assert rows[0]["r2"]["uniform"] < rows[1]["r2"]["uniform"]
    assert "| tiny | 2 | uniform |" in capsys.readouterr().out


def test_growth_tells_steps(tmp_path, capsys):
    out = tmp_path / "g.json"
    given = ["--sizes", "16", "--alpha", "2", "--method", "lasso", "--json", str(out)]
    assert growth.main(given) == 0
    (found,) = json.loads(out.read_text())["rows"]
    assert (found["n"], found["masks"], found["chosen"]) == (16, 128, "lasso")
    spent = sum(step["seconds"] for step in found["steps"].values())
    assert spent == pytest.approx(found["seconds"], rel=0.05, abs=0.05)
    assert "extracting" in found["steps"]
    peaks = [found["before_mib"], *(step["peak_mib"] for step in found["steps"].values())]
    assert peaks == sorted(peaks)
    assert 30 < found["before_mib"] <= found["peak_mib"] < 4096
    assert "| 16 | 128 | all |" in capsys.readouterr().out
    failed = growth.lines({"n": 9, "masks": 5, "error": "ended with exit code 1"})
    assert failed[0][:3] == ["9", "5", "ended with exit code 1"]


def test_growth_draws_as_many_masks_as_asked():
    for sampling, density in (("uniform", 0.5), ("mixed", 0.7)):
        masks = growth.draw(30, 400, sampling, 0)
        assert 399 <= len(masks) <= 401
        assert len(np.unique(masks, axis=0)) == len(masks)
        assert abs(masks.mean() - density) < 0.03


def test_growth_function_is_hierarchical():
    truth = toolbox.hierarchical(64, 200, 5, seed=0)
    assert len(truth) == 200
    assert truth.orders.max() == 5


PAGE = """# Title
<!-- bench: inferences -->
old | <b>
<!-- /bench -->
prose stays
<!-- bench: growth -->
kept
<!-- /bench -->
"""


def test_page_is_filled_between_markers(tmp_path, capsys):
    path, results = tmp_path / "f.md", tmp_path / "results"
    results.mkdir()
    path.write_text(PAGE)
    (results / "tables.json").write_text(json.dumps(result(ROWS)))
    given = ["--page", str(path), "--results", str(results), "--pictures", str(tmp_path / "p")]
    assert page.main([*given, "--check"]) == 1
    assert page.main(given) == 0
    filled = path.read_text()
    assert "old" not in filled
    assert "| t_n9 | 2 | 58 | **0.920 (0.900 to 0.940)** |" in filled
    assert filled.startswith("# Title\n<!-- bench: inferences -->\n| input |")
    assert "prose stays\n<!-- bench: growth -->\nkept\n<!-- /bench -->\n" in filled
    assert "growth: no growth.json" in capsys.readouterr().err
    assert page.main([*given, "--check"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- bench: nothing -->\n<!-- /bench -->", "no section 'nothing'"),
        ("<!-- bench: growth -->\n", "has no end"),
    ],
)
def test_page_refuses_markers_that_lead_nowhere(tmp_path, text, message):
    with pytest.raises(page.PageError, match=message):
        page.fill(text, tmp_path)


def test_the_pages_own_markers_are_known(tmp_path):
    text = (page.HERE.parents[1] / "docs" / "faithfulness.md").read_text("utf-8")
    _, left = page.fill(text, tmp_path)
    assert set(left) == set(sections.SECTIONS)


def test_the_page_says_what_the_results_in_the_repository_give():
    assert page.main(["--check"]) == 0


def test_pictures_show_what_the_rows_say(tmp_path):
    figure = PICTURES["inferences.png"][1](ROWS)
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert lines["proxyspex_hf"].get_xdata().tolist() == [2.0, 4.0]
    assert lines["proxyspex_hf"].get_ydata().tolist() == [0.92, 0.97]
    (results := tmp_path / "r").mkdir()
    (results / "tables.json").write_text(json.dumps(result(ROWS)))
    (results / "curve.json").write_text(
        json.dumps(result([curve_row(10, 0.4), curve_row(50, 0.7)]))
    )
    written = write_pictures(results, tmp_path / "p")
    assert [path.name for path in written] == ["inferences.png", "densities.png", "sparsity.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
