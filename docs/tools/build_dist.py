"""Builds wheel and source distribution, twice, and checks what is in them.

    python docs/tools/build_dist.py [--out dist] [--tag v0.2.0]

Both builds must be the same, byte for byte: times in the archives are ``SOURCE_DATE_EPOCH``, by
default that of the last commit. All that it needs is installed with ``[dev]``; nothing is fetched.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What must be in every wheel, beside the code: licences, notices, model cards, weights, examples.
_IN_WHEEL = (
    "licenses/LICENSE",
    "licenses/NOTICE",
    "proxyspex_hf/py.typed",
    "proxyspex_hf/assets/clip/README.md",
    "proxyspex_hf/assets/clip/model.safetensors",
    "proxyspex_hf/assets/sentiment/README.md",
    "proxyspex_hf/assets/sentiment/model.safetensors",
    "proxyspex_hf/app/examples/short.json",
)
_IN_SOURCE = (
    "NOTICE",
    "LICENSE",
    "CITATION.cff",
    "Makefile",
    "tests/test_package.py",
    "docs/index.md",
)
#: Endings that belong into no distribution.
_NOWHERE = (".pyc", ".ipynb_checkpoints", ".DS_Store", ".orig")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--tag", default="", help="v and the version that the build must have")
    given = parser.parse_args(arguments)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", _now())}
    first = built(given.out, environment)
    with tempfile.TemporaryDirectory() as directory:
        second = built(Path(directory), environment)
    if first != second:
        raise SystemExit(f"two builds differ: {first} and {second}")
    for name in first:
        path = given.out / name
        if given.tag and f"-{given.tag.removeprefix('v')}" not in name:
            raise SystemExit(f"{name} is not the version of the tag {given.tag}.")
        found = contents(path)
        wanted = _IN_WHEEL if path.suffix == ".whl" else _IN_SOURCE
        missing = [each for each in wanted if not any(n.endswith(each) for n in found)]
        odd = [each for each in found if each.endswith(_NOWHERE)]
        if path.suffix == ".whl":
            odd += [each for each in found if not each.startswith("proxyspex_hf")]
        if missing or odd:
            raise SystemExit(f"{name} lacks {missing} and should not have {odd}")
        sys.stdout.write(f"{first[name]}  {name}  ({len(found)} files)\n")
    files = [str(given.out / name) for name in first]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    return 0


def built(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The SHA-256 of each distribution by its name."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    paths = [*folder.glob("proxyspex_hf-*.whl"), *folder.glob("proxyspex_hf-*.tar.gz")]
    if len(paths) != 2:
        raise SystemExit(f"{folder} must hold one build only, it has {len(paths)} files.")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def contents(path: Path) -> list[str]:
    """The files of an archive."""
    if path.suffix == ".whl":
        return zipfile.ZipFile(path).namelist()
    with tarfile.open(path) as archive:
        return archive.getnames()


def _now() -> str:
    """The time of the last commit; 1980, as early as an archive can say, where there is none."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "315532800"


if __name__ == "__main__":
    sys.exit(main())
