"""Makes ``dist/space``: the Space as it can be pushed to the Hub.

    make space        # or: python space/build.py [--out DIR]

The folder holds ``app.py``, ``README.md``, the wheel of this checkout, and the requirements: that
wheel and what it needs, at the versions of ``constraints.txt``. To publish it:

    hf repos create me/proxyspex --type space --space-sdk gradio
    hf upload me/proxyspex dist/space . --repo-type space
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
HERE = ROOT / "space"


def pins() -> dict[str, str]:
    """Normalised name -> the line of ``constraints.txt``."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = (line.split("#")[0].strip() for line in lines)
    return {_name(line.split("==")[0]): line for line in found if "==" in line}


def needed(wheel: Path, extras: tuple[str, ...] = ("", "hub", "space")) -> list[str]:
    """What the wheel and everything that it brings need here, each pinned, by name.

    Raises:
        SystemExit: something is not pinned.
    """
    known, seen = pins(), set()
    wanted = [(_requires(wheel), extras)]
    while wanted:
        texts, chosen = wanted.pop()
        for text in texts:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in chosen):
                continue
            key = (_name(requirement.name), tuple(sorted(requirement.extras)))
            if key not in seen and key[0] != "proxyspex-hf":
                seen.add(key)
                wanted.append((requires(requirement.name) or [], ("", *requirement.extras)))
    names = {name for name, _ in seen}
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


def build(out: Path) -> Path:
    """Make the folder; gives the wheel in it."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run(wheel, cwd=ROOT, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    template = (HERE / "requirements.txt").read_text(encoding="utf-8")
    lines = [*template.replace("@wheel@", made.name).rstrip().splitlines()]
    lines += [pin for pin in needed(made) if not pin.startswith("gradio==")]
    (out / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("app.py", "README.md"):
        shutil.copy(HERE / name, out / name)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "space")
    given = parser.parse_args()
    wheel = build(given.out)
    print(f"{given.out}: {wheel.name} and {len(list(given.out.iterdir())) - 1} other files")


if __name__ == "__main__":
    main()
