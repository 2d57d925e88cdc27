"""How the command line shows what it has: text, JSON, pages and pictures; compare and summary."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from proxyspex_hf.errors import HubError, InputError, ProxySpexError


def add_output(parser: argparse.ArgumentParser, *, saved: bool = False) -> None:
    """The options of what is written and printed.

    Args:
        saved: the explanation is a file already.
    """
    group = parser.add_argument_group("output")
    if not saved:
        group.add_argument("--out", type=Path, metavar="E.JSON", help="save the explanation")
    group.add_argument("--html", type=Path, metavar="E.HTML", help="write the page")
    group.add_argument(
        "--image", type=Path, metavar="E.SVG", help="write the story as a picture, .svg or .png"
    )
    _printed(group)


def _printed(group: Any, top: int = 10) -> None:
    group.add_argument("--json", action="store_true", help="print the ranked list as JSON")
    group.add_argument("--top", type=int, default=top, help=f"rows to print (default {top})")
    group.add_argument("--ascii", action="store_true", help="print nothing but ASCII")


def add_show_commands(commands: Any) -> None:
    """Add ``compare`` and ``summary`` to the subparsers of the command line."""
    comparing = commands.add_parser(
        "compare",
        help="two saved explanations side by side",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  proxyspex-hf compare before.json after.json --html difference.html",
    )
    comparing.add_argument("first", type=Path, help="file written by --out or save()")
    comparing.add_argument("second", type=Path, help="another one, of the same kind of number")
    comparing.add_argument("--names", nargs=2, metavar=("A", "B"), help="what to call the two")
    comparing.add_argument("--html", type=Path, metavar="C.HTML", help="write both, and the table")
    _printed(comparing)
    comparing.set_defaults(run=_compare)

    summary = commands.add_parser(
        "summary",
        help="which words and combinations recur in many explanations",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  proxyspex-hf summary *.json --html summary.html\n"
        "  proxyspex-hf summary --repo me/explanations --label POSITIVE",
    )
    summary.add_argument("files", nargs="*", type=Path, help="files, or folders of a data set")
    summary.add_argument("--repo", metavar="OWNER/NAME", help="a data set: its newest 10,000")
    summary.add_argument("--config", default="explanations", help="collection in the data set")
    summary.add_argument("--revision", help="branch, tag or commit of the data set")
    summary.add_argument("--label", help="only explanations of this label or output")
    summary.add_argument("--html", type=Path, metavar="S.HTML", help="write a page with examples")
    _printed(summary, 15)
    summary.set_defaults(run=_summary)


def _compare(given: argparse.Namespace) -> int:
    from proxyspex_hf.comparison import compare
    from proxyspex_hf.explanation import InteractionExplanation

    check_output(given, given.first, given.second)
    names = given.names or (given.first.stem, given.second.stem)
    first = InteractionExplanation.load(given.first)
    found = compare(first, InteractionExplanation.load(given.second), names)
    if given.html is not None:
        found.to_html(given.html)
    rows = [
        {
            "labels": d.labels,
            "effects": d.effects,
            "difference": d.difference,
            "interval": d.interval,
        }
        for d in found.top(given.top)
    ]
    _say(given, {"names": found.names, "differences": rows}, found.to_text(top=given.top))
    return 0


def _summary(given: argparse.Namespace) -> int:
    from proxyspex_hf.overview import explanations_summary, hub_summary
    from proxyspex_hf.sharing import read_explanations

    check_output(given, *given.files)
    if bool(given.files) == bool(given.repo):
        raise InputError("give files or folders to summarize, or --repo for a data set.")
    if given.repo:
        where = {"config_name": given.config, "revision": given.revision}
        found = hub_summary(given.repo, most=10_000, **where)
    else:
        files = (each for place in given.files for each in read_explanations(place))
        found = explanations_summary(files)
    if given.html is not None:
        found.to_html(given.html)
    rows = [
        {
            "words": r.words,
            "count": r.count,
            "total": r.total,
            "mean": r.mean,
            "interval": r.interval,
            "raising": r.raising,
        }
        for r in found.top(given.top, label=given.label)
    ]
    data = {
        "explanations": len(found.explanations),
        "note": found.note,
        "label": given.label,
        "recurring": rows,
    }
    _say(given, data, found.to_text(top=given.top, label=given.label))
    return 0


def print_explanation(given: argparse.Namespace, explanation: Any) -> int:
    """Write what was asked for, and print the rest."""
    from proxyspex_hf.viz import render_text

    if given.html is not None:
        explanation.to_html(given.html)
    if given.image is not None:
        explanation.to_image(given.image)
    text = render_text(explanation.record, top=given.top).rstrip() + "\n"
    for path in (getattr(given, "out", None), given.html, given.image):
        if path is not None:
            text += f"wrote {path}\n"
    _say(given, _ranked(explanation, given.top), text)
    return 0


def _ranked(explanation: Any, top: int) -> dict[str, Any]:
    """What a program wants of an explanation; the whole of it is in the file of ``--out``."""
    from proxyspex_hf.viz.verdict import verdict_of

    record = explanation.record
    return {
        "verdict": verdict_of(record, record.full_value).text,
        "target": record.target.label,
        "kind": record.target.kind,
        "value": record.full_value,
        "all_out": record.empty_value,
        "effects": [
            {
                "labels": found.labels,
                "members": found.members,
                "effect": found.effect,
                "interval": found.interval,
                "kind": found.kind,
            }
            for found in explanation.top(top)
        ],
        "faithfulness": [
            {"density": score.density, "r2": score.r2, "interval": score.interval}
            for score in record.faithfulness
        ],
        "model_calls": len(record.queries),
    }


def _say(given: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    if given.json:
        sys.stdout.write(json.dumps(data, ensure_ascii=given.ascii, indent=1) + "\n")
        return
    sys.stdout.write(_plain(text) if given.ascii else text)


#: Our own signs, as near as ASCII comes; anything else is spelled out.
_ASCII = str.maketrans(
    {"█": "#", "░": "-", "×": "x", "…": "...", "±": "+/-", "²": "2", "“": '"', "”": '"', "·": "-"}
    | {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "∅": "{}", "α": "alpha", "’": "'"}
    | dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
)


def _plain(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def check_output(given: argparse.Namespace, *sources: Path) -> None:
    """Find out before the model is asked a thousand times, not after.

    Args:
        sources: files that the command reads, which no output may replace.

    Raises:
        InputError: a place that cannot be written, that is read, or that is given twice, or a
            number of rows below one.
    """
    from proxyspex_hf.files import check_writable, replaces

    if given.top < 1:
        raise InputError(f"--top must be at least 1, got {given.top}.")
    image = getattr(given, "image", None)
    if image is not None and image.suffix.lower() not in (".svg", ".png"):
        raise InputError(f"--image must end in .svg or .png, got {image.name!r}.")
    outputs: dict[str, Path] = {}
    for option in ("--out", "--html", "--image"):
        path = getattr(given, option.removeprefix("--"), None)
        if path is None:
            continue
        check_writable(path)
        if any(replaces(path, source) for source in sources):
            raise InputError(f"{option} {path} would replace a file that this command reads.")
        for other, before in outputs.items():
            if replaces(path, before):
                raise InputError(f"{other} and {option} name the same file, {path}.")
        outputs[option] = path


#: Arguments of Python that are options of the command line.
_OPTIONS = (
    *("target", "value", "budget", "alpha", "density", "question", "rounds", "masking", "features"),
    *("mask_token", "max_order", "batch_size", "seed", "device", "quantization", "task", "label"),
    *("cache_dir", "top", "model", "tokenizer", "dialect", "labels", "concurrency", "patience"),
    *("max_new_tokens", "engine", "workers", "num_gpus", "shard_size", "config_name"),
)
#: The last group is there where no value follows, not even "...".
_ARGUMENT = re.compile(
    rf"(?<![\w-])({'|'.join(_OPTIONS)}|push_to|token)=(?=([\s,;:)`]|\.(?!\.)|$)?)"
)


def in_options(error: ProxySpexError, given: argparse.Namespace) -> str:
    """A message that names arguments of Python, for someone who gave options."""
    named = {"push_to": "push"}
    if getattr(given, "server", None) and not isinstance(error, HubError):
        named["token"] = "server-token"  # noqa: S105
    elif not hasattr(given, "token"):
        named["token"] = ""  # no option, but an environment variable of the Hub

    def option(found: re.Match[str]) -> str:
        name = named.get(found[1], found[1]).replace("_", "-")
        if not name:
            return found[0]
        return f"--{name} " if found[2] is None else f"--{name}"

    return _ARGUMENT.sub(option, str(error))
