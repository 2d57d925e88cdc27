"""Writes what the docs say of the code from the code: the command line's options, and tables.

    python docs/tools/generated.py            # docs/cli.md and docs/tables.md
    python docs/tools/generated.py --check    # 1 where one of them says something else

What lies between ``<!-- generated: NAME -->`` and ``<!-- /generated -->`` is written here, the rest
by hand. Options are laid out here and not by argparse, whose layout changes with Python's version.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from proxyspex_hf import errors
from proxyspex_hf.cli.main import _parser
from proxyspex_hf.core.algorithm import PROXIES
from proxyspex_hf.core.indices import INDICES
from proxyspex_hf.hf.served.dialects.base import ScoringDialect
from proxyspex_hf.hf.served.model import _CLASSES, _SCORING
from proxyspex_hf.hf.tasks.table import _TAKEN_BY, SERVED_TASKS, TASKS

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "cli.md", ROOT / "docs" / "tables.md")
_SECTION = re.compile(
    r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<old>.*?)(<!-- /generated -->)", re.DOTALL
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, tell what is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if new != old:
            stale = True
            if check:
                sys.stderr.write(
                    f"{page.relative_to(ROOT)} is stale: python docs/tools/generated.py\n"
                )
            else:
                page.write_text(new, encoding="utf-8")
    return int(check and stale)


def filled(text: str) -> str:
    """The page with all of its sections written anew."""

    def written(found: re.Match[str]) -> str:
        made = "\n".join(SECTIONS[found["name"]]()).strip("\n")
        return f"{found[1]}\n{made}\n\n{found[4]}"

    return _SECTION.sub(written, text)


def commands() -> Iterator[str]:
    """Every command with its arguments and options, by group."""
    parser = _parser()
    (subparsers,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    told = {choice.dest: choice.help for choice in subparsers._choices_actions}
    yield from _table(
        ("command", "does"),
        ([f"[`{name}`](#{name})", told[name] or ""] for name in subparsers.choices),
    )
    for name, command in subparsers.choices.items():
        yield f"\n## {name}\n"
        yield f"{_sentence(told[name])}\n"
        yield f"```text\n{_usage(name, command)}\n```\n"
        for group in command._action_groups:
            actions = [a for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
            if actions:
                title = {"positional arguments": "arguments"}.get(group.title or "", group.title)
                yield from _table((title or "", "meaning"), map(_option, actions))
                yield ""
        if command.epilog:
            yield f"```text\n{command.epilog.strip()}\n```\n"


def _usage(name: str, command: argparse.ArgumentParser) -> str:
    places = [_argument(a) for a in command._get_positional_actions()]
    return " ".join(["proxyspex-hf", name, *places, "[options]"])


def _argument(action: argparse.Action) -> str:
    word = str(action.metavar or action.dest)
    return {"?": f"[{word}]", "*": f"[{word} ...]", "+": f"{word} [{word} ...]"}.get(
        str(action.nargs), word
    )


def _option(action: argparse.Action) -> list[str]:
    if not action.option_strings:
        return [f"`{_argument(action)}`", _sentence(action.help)]
    takes = ""
    if action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction):
        if action.choices:
            takes = " {" + ",".join(map(str, action.choices)) + "}"
        elif isinstance(action.metavar, tuple):
            takes = " " + " ".join(action.metavar)
        else:
            takes = " " + str(action.metavar or action.dest.upper().replace("_", "-"))
    names = ", ".join(f"`{name}{takes}`" for name in action.option_strings)
    meaning = action.help or ""
    default = action.default
    if default not in (None, False, [], argparse.SUPPRESS) and "default" not in meaning:
        meaning += f" (default {default})"
    return [names, _sentence(meaning)]


def indices() -> Iterator[str]:
    """The interaction indices."""
    yield from _table(
        ("index", "other names", "sets", "order by default", "a score of ∅"),
        (
            [
                f"`{entry.name}`",
                ", ".join(f"`{alias}`" for alias in entry.aliases),
                "single features" if entry.only_singles else "up to `order`",
                "all" if entry.default_order is None else str(entry.default_order),
                "yes" if entry.scores_empty else "no",
            ]
            for entry in INDICES
        ),
    )


def proxies() -> Iterator[str]:
    """What may be fitted to the answers."""
    yield from _table(
        ("proxy", "what it is"),
        (
            # "paper" is a setting of another one, and described where it is made.
            [f"`{name}`", _first(getattr(type(proxy), name, type(proxy)))]
            for name, proxy in PROXIES.items()
        ),
    )


def tasks() -> Iterator[str]:
    """The pipelines' tasks, and the options that only some of them take."""
    yield from _table(
        ("task", "what is explained", "served", "options that only some take"),
        (
            [
                f"`{task}`",
                _first(bound),
                "yes" if task in SERVED_TASKS else "no",
                ", ".join(f"`{name}`" for name, taken in _TAKEN_BY.items() if task in taken),
            ]
            for task, bound in TASKS.items()
        ),
    )


def dialects() -> Iterator[str]:
    """How inference servers are asked."""
    yield from _table(
        ("dialect", "task", "prompts are sent as", "what is asked"),
        (
            [
                f"`{kind.name}`",
                f"`text-{'generation' if issubclass(kind, ScoringDialect) else 'classification'}`",
                {"ids": "token ids", "text": "texts"}[kind.takes],
                _first(kind),
            ]
            for kind in (*_SCORING, *_CLASSES)
        ),
    )


def raised() -> Iterator[str]:
    """The package's errors, and Python's that catch them too."""
    rows = []
    for name, found in sorted(vars(errors).items()):
        if not (isinstance(found, type) and issubclass(found, Exception)):
            continue
        bases = ", ".join(f"`{base.__name__}`" for base in found.__bases__)
        rows.append([f"`{name}`", bases, _first(found)])
    yield from _table(("error", "is also a", "meaning"), rows)


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "indices": indices,
    "proxies": proxies,
    "tasks": tasks,
    "dialects": dialects,
    "errors": raised,
}


def _first(described: Any) -> str:
    """The first paragraph of a docstring, as Markdown."""
    text = " ".join((inspect.getdoc(described) or "").split("\n\n")[0].split())
    text = re.sub(r":\w+:`[~.]*([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def _sentence(text: str | None) -> str:
    return (text or "").strip()


def _table(head: tuple[str, ...], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    sys.exit(main())
