"""The metadata at the head of a card: our keys set, every other line left as a person wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from proxyspex_hf.errors import HubError

__all__ = ["join", "split", "with_keys"]

_FENCED = re.compile(r"\A---[ \t]*\r?\n(.*?)(?:^---[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"""^(?:"([^"]+)"|'([^']+)'|([A-Za-z_][\w.-]*))[ \t]*:(?=\s|$)""")


def split(card: str) -> tuple[str, str]:
    """The front matter without its fences, and the rest."""
    found = _FENCED.match(card)
    return (found[1], card[found.end() :]) if found else ("", card)


def join(front: str, body: str) -> str:
    """The card again."""
    return f"---\n{front}---\n{body}"


def parsed(front: str) -> dict[str, Any]:
    """What the front matter says.

    Raises:
        HubError: it is not YAML, or no mapping.
    """
    try:
        data = yaml.safe_load(front)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HubError(
            "the metadata at the head of the repository's README.md is not YAML: "
            f"{' '.join(str(error).split())}. Correct it on the Hub, then push again."
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise HubError(
            "the metadata at the head of the repository's README.md must be YAML keys and values, "
            f"it is {type(data).__name__}. Correct it on the Hub, then push again."
        )
    return data


def with_keys(front: str, values: Mapping[str, Any]) -> str:
    """``front`` with ``values`` set: their lines are replaced or added, all others stay, comments
    and order included.

    Raises:
        HubError: ``front`` is not YAML.
    """
    before = parsed(front)
    changed = {name: value for name, value in values.items() if before.get(name) != value}
    wanted = {**before, **changed}
    out = front if not front or front.endswith("\n") else f"{front}\n"
    for name, value in changed.items():
        out = _replaced(out, name, _dump({name: value}))
    # A layout that the line-wise edit does not understand is written anew rather than broken.
    try:
        understood = yaml.safe_load(out) == wanted
    except (yaml.YAMLError, ValueError):
        understood = False
    return out if understood else _dump(wanted)


def _replaced(front: str, name: str, block: str) -> str:
    lines = front.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if _key_of(line) == name), None)
    if start is None:
        return front + block
    stop = start + 1
    # A value goes on in indented lines and, for a list, in lines that begin with a dash.
    while stop < len(lines) and re.match(r"[ \t]+\S|-(?:\s|$)", lines[stop]):
        stop += 1
    return "".join([*lines[:start], block, *lines[stop:]])


def _key_of(line: str) -> str | None:
    found = _KEY.match(line)
    return None if found is None else found[1] or found[2] or found[3]


def _dump(data: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True))
