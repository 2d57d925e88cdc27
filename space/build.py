"""Makes ``dist/space``: the Space as it can be pushed to the Hub.

    make space        # or: python space/build.py [--out DIR]

The folder holds ``app.py``, ``README.md``, the package of this checkout as its wheel has it, and
the requirements: what the package itself asks for, at the versions of ``constraints.txt``. A Space
installs its requirements before any other of its files is there, so they cannot name a wheel among
these; and it installs packages of its own with them, so that what only Gradio needs is left to it.
To publish it:

    hf repos create me/proxyspex --type space --space-sdk gradio
    hf upload me/proxyspex dist/space . --repo-type space
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
HERE = ROOT / "space"


def pins() -> dict[str, str]:
    """Normalised name -> the line of ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = (line.split("#")[0].strip() for line in lines)
    return {_name(line.split("==")[0]): line for line in found if "==" in line}


def needed(wheel: Path, extras: tuple[str, ...] = ("", "hub")) -> list[str]:
    """What the wheel asks for, each pinned, by name.

    Raises:
        SystemExit: something is not pinned.
    """
    known = pins()
    asked = map(Requirement, _requires(wheel))
    names = {
        _name(each.name)
        for each in asked
        if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in extras)
    }
    missing = sorted(names - set(known))
    if missing:
        raise SystemExit(f"not pinned in constraints.txt: {', '.join(missing)}")
    return [known[name] for name in sorted(names)]


def _requires(wheel: Path) -> list[str]:
    """What a wheel says that it needs; what is installed may be of another checkout."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        said = Parser().parsestr(archive.read(name).decode("utf-8"))
    return list(said.get_all("Requires-Dist") or [])


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def build(out: Path) -> None:
    """Make the folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
        subprocess.run(wheel, cwd=ROOT, check=True, capture_output=True)
        (made,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(made) as archive:
            archive.extractall(out)  # with its metadata, licences and notices
        lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
        lines += needed(made)
    (out / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("app.py", "README.md"):
        shutil.copy(HERE / name, out / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "space")
    given = parser.parse_args()
    build(given.out)
    print(f"{given.out}: {', '.join(sorted(path.name for path in given.out.iterdir()))}")


if __name__ == "__main__":
    main()
