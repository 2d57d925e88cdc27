"""The package and its docs use the words of CONTRIBUTING.md, and none that it avoids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_SECTION = re.compile(r"^## Words\n(.*?)^## ", re.MULTILINE | re.DOTALL)


def avoided() -> list[str]:
    """The patterns of the table's first column; a cell may hold several in backticks."""
    section = _SECTION.search((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert section is not None
    found = []
    for row in re.findall(r"^\| (`.*?`) \| [^|]+ \|$", section[1], re.MULTILINE):
        found += [cell.replace("\\|", "|") for cell in re.findall(r"`([^`]+)`", row)]
    return found


AVOIDED = avoided()
FOLDERS = {"proxyspex_hf": "*.py", "docs": "*.md", "examples": "*.md", "space": "*.md"}
FILES = sorted(
    path
    for path in (
        *(path for folder, kind in FOLDERS.items() for path in (ROOT / folder).rglob(kind)),
        *ROOT.glob("*.md"),
    )
)


def test_the_table_is_read() -> None:
    assert len(AVOIDED) >= 20
    every = "|".join(AVOIDED)
    for phrase in ("the same call goes on from there", "a Stranger's file", "500 at the most"):
        assert re.search(every, phrase, re.IGNORECASE), phrase
    for phrase in ("there is no file", "what is going on", "at most 500", "it is no longer there"):
        assert not re.search(every, phrase, re.IGNORECASE), phrase


@pytest.mark.parametrize("phrase", AVOIDED)
def test_no_file_uses_an_avoided_phrase(phrase: str) -> None:
    pattern = re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE)
    found = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if path.name == "CONTRIBUTING.md":
            text = _SECTION.sub("## ", text)
        # A phrase may be broken over two lines, in a comment or a string, too.
        joined = re.sub(r"\s*\n\s*(?:#:? ?)?", " ", text)
        found += [
            f"{path.relative_to(ROOT)}: …{joined[max(0, m.start() - 30) : m.end() + 20]}…"
            for m in pattern.finditer(joined)
        ]
    assert not found, "\n".join(found)
