"""``dist/space`` as it would be pushed: complete, pinned, and working from its own files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist") / "space"
    build = [sys.executable, str(ROOT / "space" / "build.py"), "--out", str(out)]
    done = subprocess.run(build, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_the_requirements_are_pins_of_what_the_package_asks_for(space: Path) -> None:
    """A Space installs them before its other files are there, together with ``gradio[mcp]`` and
    ``spaces``, which hold some of Gradio's own requirements below our pins."""
    lines = (space / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+(\[oauth\])?==[0-9][\w.]*", line) for line in asked)
    names = {line.split("==")[0].lower().replace("_", "-") for line in asked}
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [*package["dependencies"], *package["optional-dependencies"]["hub"]]
    wanted = {re.split(r"[^\w-]", each)[0].lower() for each in own}
    assert names == wanted | {"gradio[oauth]"}


def test_the_package_lies_beside_the_app(space: Path) -> None:
    for name in ("app/examples/review.json", "viz/assets/main.js", "assets/clip/model.safetensors"):
        assert (space / "proxyspex_hf" / name).is_file()
    assert not list(space.glob("*.whl"))
    (licences,) = space.glob("*.dist-info/licenses")
    assert {path.name for path in licences.iterdir()} == {"LICENSE", "NOTICE"}


def test_its_front_matter_says_what_runs(space: Path) -> None:
    from proxyspex_hf.app.models import PUBLIC

    front = front_matter(space)
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"gradio=={front['sdk_version']}" in pins
    assert f"gradio[oauth]=={front['sdk_version']}" in (space / "requirements.txt").read_text()
    assert front["sdk"] == "gradio"
    assert (space / front["app_file"]).is_file()
    assert front["models"] == [choice.name for choice in PUBLIC]
    assert front["hf_oauth"] is True
    assert len(front["short_description"]) <= 60
    # Of the two that ZeroGPU has, the one that the package runs on.
    assert front["python_version"] == "3.12.12"


def test_it_runs_from_its_own_files_alone(space: Path) -> None:
    """The command and the app of the folder, without the checkout."""
    code = (
        "import sys, urllib.request\n"
        "import app, proxyspex_hf\n"
        "from proxyspex_hf.app import running\n"
        "from proxyspex_hf.cli.main import main\n"
        "from proxyspex_hf.demo import DEMO_MODEL, demo_review\n"
        f"assert proxyspex_hf.__file__.startswith({str(space)!r})\n"
        "assert app.settings.account == 'person' and not app.settings.models.any_model\n"
        "assert callable(app.launch)  # not the module of that name\n"
        "with running(app.settings) as at:\n"
        "    page = urllib.request.urlopen(at.url).read().decode()\n"
        "assert 'minute.' in page\n"
        "assert len(demo_review().split()) >= 100\n"
        "asked = ['explain', 'not a good film', '--model', DEMO_MODEL, '--top', '99', '--json']\n"
        "sys.exit(main(asked))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=space,
        env={**os.environ, "PYTHONPATH": str(space)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    labels = {label for row in said["effects"] for label in row["labels"]}
    assert labels == {"not", "a", "good", "film"}
