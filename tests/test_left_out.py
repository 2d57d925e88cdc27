"""A skip fails in CI, and elsewhere one line says what was left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from left_out import ELSEWHERE

TESTS = Path(__file__).parent

SKIPPING = """
import pytest

def test_that_runs():
    pass

@pytest.mark.skipif(True, reason="no moon")
def test_marked():
    pass

@pytest.fixture
def star():
    pytest.skip("no star")

def test_with_a_fixture(star):
    pass

@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False
"""


def run(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "left_out", "-p", "no:cacheprovider"]
    kept = {
        name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")
    }
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(TESTS), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("ci", [False, True])
def test_a_skip_is_said_and_fails_in_ci(tmp_path: Path, ci: bool) -> None:
    done = run(tmp_path, SKIPPING, **({"CI": "true"} if ci else {}))
    if ci:
        assert done.returncode == 1
        assert "1 passed, 1 xfailed, 2 errors" in done.stdout
        assert "test_some.py::test_marked would be skipped" in done.stdout
        assert "leaves nothing out: no star" in done.stdout
    else:
        assert done.returncode == 0
        assert "1 passed, 2 skipped, 1 xfailed" in done.stdout
        assert f"Left out: 1 because: no moon; 1 because: no star; {ELSEWHERE}.\n" in done.stdout


def test_what_is_not_collected_is_counted_right() -> None:
    from attacks.run import attacks, kinds
    from attacks.test_attacks import SLOW
    from order import LONGEST
    from test_paper import SLOW as FIGURES

    names = {attack.__name__ for kind in kinds() for attack in attacks(kind)}
    assert names >= SLOW
    assert (len(SLOW), len(FIGURES)) == (6, 4)
    assert all((TESTS / name).is_file() for name in LONGEST)


def test_a_module_that_skips_itself_fails_in_ci(tmp_path: Path) -> None:
    text = 'import pytest\npytest.importorskip("no_such_package", reason="no package")\n'
    done = run(tmp_path, text, CI="true")
    assert done.returncode == 2
    assert "would be skipped, and CI leaves nothing out: no package" in done.stdout
