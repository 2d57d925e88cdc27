"""The package as others meet it: imports, the wheel, and rules that no line may break."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import build_dist
import pytest
import yaml

import proxyspex_hf

ROOT = Path(__file__).parents[1]
STORED = ROOT / "tests" / "data" / "explanation_v2.json"
SOURCES = sorted((ROOT / "proxyspex_hf").rglob("*.py"))


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_core_loads_nothing_of_hugging_face() -> None:
    """One import after the other in one process, then an explanation shown and fitted again."""
    heavy = [
        *("torch", "transformers", "datasets", "huggingface_hub"),
        *("httpx2", "gradio", "tokenizers"),
    ]
    fitting = ["lightgbm", "sklearn", "pandas", "pyarrow", "scipy.stats"]
    code = (
        "import sys\n"
        f"def heavy(more=[]): return [m for m in {heavy} + more if m in sys.modules]\n"
        "import proxyspex_hf; print(heavy())\n"
        "import proxyspex_hf.core; print(heavy())\n"
        "import proxyspex_hf.viz; print(heavy())\n"
        "import proxyspex_hf.studies; print(heavy())\n"
        f"e = proxyspex_hf.InteractionExplanation.load({str(STORED)!r})\n"
        "str(e), e.to_html(), e.removal_curve([1, 2]), proxyspex_hf.compare(e, e)\n"
        f"print(heavy({fitting}))\n"
        "e.refit(); print(heavy(), 'lightgbm' in sys.modules)\n"
    )
    assert python(code).split("\n") == ["[]"] * 5 + ["[] True", ""]


def test_the_command_line_says_how_it_is_used_without_loading_anything() -> None:
    heavy = ["numpy", "PIL", "torch", "transformers", "pyarrow", "huggingface_hub", "gradio"]
    for command in ("explain", "explain-dataset", "show", "push", "app"):
        code = (
            "import sys\nfrom proxyspex_hf.cli.main import main\n"
            f"try: main([{command!r}, '--help'])\nexcept SystemExit: pass\n"
            f"print([name for name in {heavy} if name in sys.modules])"
        )
        assert python(code).splitlines()[-1] == "[]", command


def test_a_checkout_that_is_not_installed_explains() -> None:
    """It has no metadata; what was asked of the model must not be lost for that."""
    printed = python(
        "import importlib.metadata as m\n"
        "known = m.distribution\n"
        "def distribution(name):\n"
        "    if name.replace('_', '-') == 'proxyspex-hf':\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "m.distribution = distribution\n"
        "from proxyspex_hf import InteractionExplainer\n"
        "given = InteractionExplainer(lambda masks: masks[:, 0] * 2.0)\n"
        "made = given(['a', 'b', 'c'], progress=False)\n"
        "print(made.refit(n_coefficients=2).record.provenance.versions['proxyspex-hf'])"
    )
    assert printed.strip() == proxyspex_hf.__version__


def test_every_public_name_can_be_had() -> None:
    for name in proxyspex_hf.__all__:
        assert getattr(proxyspex_hf, name) is not None
    assert set(proxyspex_hf.__all__) <= set(dir(proxyspex_hf))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = proxyspex_hf.nothing


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_library_code_keeps_the_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500  # one idea a file; nobody reads more at once
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.Assert), f"assert at line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "eval", "exec"), f"line {node.lineno}"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {"pickle", "marshal", "shelve", "dill"} & {n.split(".")[0] for n in names}
        if isinstance(node, ast.keyword):
            assert node.arg != "trust_remote_code"


def test_two_builds_are_the_same_and_hold_what_they_must(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Licences, notices, model cards, no tests; ``test_space.py`` uses a wheel."""
    assert build_dist.main(["--out", str(tmp_path)]) == 0
    assert capfd.readouterr().out.count("PASSED") == 2


def test_the_release_files_agree_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == proxyspex_hf.__version__
    assert citation["license"] == "Apache-2.0"
    assert citation["preferred-citation"]["url"].endswith("2505.17495")
    folder = ROOT / ".github"
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.yml")}
    read = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in files.items()}
    jobs = read["workflows/ci.yml"]["jobs"]
    assert ".ci/run" in [step.get("run") for step in jobs["run"]["steps"]]
    tested = {each["python"] for each in jobs["core"]["strategy"]["matrix"]["include"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if ":: 3." in line]
    assert tested == set(said)
    assert project["requires-python"] == f">={min(said, key=lambda v: int(v[2:]))}"
    release = read["workflows/publish.yml"]
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    # No workflow may write to the repository, and none holds a token.
    for name in ("workflows/ci.yml", "workflows/publish.yml"):
        assert read[name]["permissions"] == {"contents": "read"}
        assert "secrets." not in files[name].read_text(encoding="utf-8")


def test_every_notice_names_what_ships() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    named = [path for line in notice.splitlines() for path in line.split(", ")]
    named = [path for path in named if path.startswith(("proxyspex_hf/", "tests/"))]
    assert len(named) >= 6
    for path in named:
        assert (ROOT / path).exists(), path
    shipped = [*(ROOT / "proxyspex_hf" / "assets").iterdir()]
    shipped += (ROOT / "proxyspex_hf" / "app" / "examples").glob("*.json")
    for path in shipped:
        place = path.relative_to(ROOT).as_posix()
        own = {"proxyspex_hf/app/examples/short.json"}  # our sentence under our classifier
        assert place in named or place in own, place
