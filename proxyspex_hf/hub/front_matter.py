"""The metadata at the head of a card: our keys set, every other line left as a person wrote it.

What huggingface_hub reads as metadata is read here, what only looks like it is read where it is
clear, and what is not understood is never written over: the push is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from proxyspex_hf.errors import HubError

#: The same with spaces behind the first dashes, or with nothing between the fences.
_LOOSE = re.compile(
    r"\A\s*---[ \t]*(?:\r\n|\r|\n)(.*?)(?:^---[ \t]*(?:\r\n|\r|\n|\Z))", re.DOTALL | re.MULTILINE
)
_BEGINS = re.compile(r"\A\s*---[ \t]*(?:[\r\n]|\Z)")
_KEY = re.compile(r"""^(?:"([^"]+)"|'([^']+)'|([A-Za-z_][\w.-]*))[ \t]*:(?=\s|$)""")
#: Characters of metadata, and values once aliases are written out. Ours are 500; the reader takes
#: a second for 100,000 characters.
_MOST_TEXT = 128 * 1024
_MOST_VALUES = 20_000
_WHAT = "the metadata at the head of the repository's README.md"
_THEN = "Correct it on the Hub, then push again."


def split(card: str) -> tuple[str, str]:
    """The front matter without its fences, and the rest.

    Raises:
        HubError: it begins, and does not end.
    """
    card = card.removeprefix("\ufeff")
    found = REGEX_YAML_BLOCK.search(card)
    if found is not None:
        front = found[2]
        ending = found[3][: len(found[3]) - len(found[3].lstrip("\r\n"))]
        return (front + ending if front else ""), card[found.end() :]
    found = _LOOSE.match(card)
    if found is not None:
        return found[1], card[found.end() :]
    if _BEGINS.match(card):
        raise HubError(
            f"{_WHAT} begins with a line of three dashes, but no such line ends it. {_THEN} (A "
            "horizontal rule can be written as three asterisks.)"
        )
    return "", card


def join(front: str, body: str) -> str:
    """The card again."""
    return f"---\n{front}---\n{body}"


def parsed(front: str) -> dict[str, Any]:
    """What the front matter says.

    Raises:
        HubError: it is not YAML, or no mapping, or says something twice or without end.
    """
    if len(front) > _MOST_TEXT:
        raise HubError(f"{_WHAT} has more than {_MOST_TEXT} characters. {_THEN}")
    try:
        _check(yaml.compose(front, Loader=yaml.SafeLoader), {})
        data = yaml.safe_load(front)
    # What a tag makes of its text can fail in many ways.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())[:300]
        raise HubError(f"{_WHAT} is not YAML: {said}. {_THEN}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise HubError(
            f"{_WHAT} must be YAML keys and values, it is {type(data).__name__}. {_THEN}"
        )
    return data


def _check(node: yaml.Node | None, sizes: dict[int, int]) -> int:
    """How many values there are below ``node``, each as often as an alias repeats it.

    Raises:
        ValueError: too many, or a key is there twice, of which readers take the first or the last.
    """
    if node is None:
        return 0
    if id(node) in sizes:
        if sizes[id(node)] < 0:
            raise ValueError("an alias leads into itself")
        return sizes[id(node)]
    sizes[id(node)] = -1
    size = 1
    if isinstance(node, yaml.MappingNode):
        names = Counter(
            (key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)
        )
        twice = next((value for (_, value), count in names.items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"the key {twice[:50]!r} is there twice")
        size += sum(_check(key, sizes) + _check(value, sizes) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check(item, sizes) for item in node.value)
    if size > _MOST_VALUES:
        raise ValueError(f"it has more than {_MOST_VALUES} values")
    sizes[id(node)] = size
    return size


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
        understood = parsed(out) == wanted
    except HubError:
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
