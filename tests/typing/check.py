"""Checks what users see of the types: mypy and pyright on ``surface.py`` and on the code of the
README and the quick start. ``make types`` runs it; exit code 1 where either finds anything.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = ("README.md", "docs/quickstart.md")


def code_of(page: str) -> str:
    """The Python of a page, as one program."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if not blocks:
        raise SystemExit(f"{page} has no code: the pages checked here are {', '.join(PAGES)}")
    return "\n\n".join(blocks)


def main() -> int:
    """Run both checkers from the root, where their settings are."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(HERE / "surface.py")]
        for page in PAGES:
            place = Path(folder) / f"{Path(page).stem.lower()}_code.py"
            place.write_text(code_of(page), encoding="utf-8")
            files.append(str(place))
        commands = (
            [sys.executable, "-m", "mypy", *files],
            [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, *files],
        )
        codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
