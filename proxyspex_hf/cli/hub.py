"""The commands for the Hub: push, pull and list."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from proxyspex_hf.cli.show import add_output, check_output, print_explanation
from proxyspex_hf.errors import InputError


def add_hub_commands(commands: Any) -> None:
    """Add them to the subparsers of the command line."""
    push = commands.add_parser("push", help="add explanations to a data set on the Hub")
    push.add_argument(
        "files",
        nargs="+",
        type=Path,
        help="files written by --out or save(), or a folder that a failed push left",
    )
    push.add_argument("repo", help="owner/name of the data set; made if there is none")
    push.add_argument("--private", action="store_true", help="make a new data set private")
    push.add_argument("--create-pr", action="store_true", help="propose them as a pull request")
    push.add_argument("-m", "--commit-message", help="default: how many explanations are added")
    _where(push, config=None)
    push.set_defaults(run=_push)

    pull = commands.add_parser("pull", help="read an explanation from the Hub")
    pull.add_argument("repo", help="owner/name of the data set")
    pull.add_argument("id", nargs="?", help="id or its first six digits; see list")
    pull.add_argument(
        "--all", type=Path, metavar="DIR", help="save every explanation there, and print none"
    )
    _where(pull)
    add_output(pull)
    pull.set_defaults(run=_pull)

    listed = commands.add_parser("list", help="list the explanations of a data set on the Hub")
    listed.add_argument("repo", help="owner/name of the data set")
    listed.add_argument("--json", action="store_true", help="print one JSON object per line")
    _where(listed)
    listed.set_defaults(run=_list)


def _where(parser: argparse.ArgumentParser, config: str | None = "explanations") -> None:
    group = parser.add_argument_group("where")
    own = "" if config else " (default: as in a folder; of files, explanations)"
    group.add_argument("--config-name", default=config, help=f"collection within it{own}")
    group.add_argument("--revision", help="branch, tag or commit (default: main)")
    group.add_argument("--token", help="access token (default: hf auth login, or HF_TOKEN)")


def _place(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "config_name": given.config_name,
        "revision": given.revision,
        "token": given.token,
    }


def _push(given: argparse.Namespace) -> int:
    from proxyspex_hf.sharing import push_explanations, read_collected

    collections = defaultdict(list)
    for file in given.files:
        for config, explanation in read_collected(file):
            collections[given.config_name or config].append(explanation)
    for config, explanations in collections.items():
        done = push_explanations(
            explanations,
            given.repo,
            private=True if given.private else None,
            create_pr=given.create_pr,
            commit_message=given.commit_message,
            **{**_place(given), "config_name": config},
        )
        known = len(set(done.ids)) - len(done.added)
        said = f"{len(done.added)} added" + (f", {known} already there" if known else "")
        said += f" in {config}" if len(collections) > 1 else ""
        sys.stdout.write(f"{done.repo_id}: {said}\n{done.url}\n")
        for identity in dict.fromkeys(done.ids):
            sys.stdout.write(f"{identity}\n")
    return 0


def _pull(given: argparse.Namespace) -> int:
    from proxyspex_hf.explanation import InteractionExplanation
    from proxyspex_hf.hub.rows import content_id
    from proxyspex_hf.sharing import pull_explanations

    if given.all is not None:
        if given.id or given.out or given.html or given.image or given.json:
            raise InputError(
                "--all saves every explanation: leave out the id, --out, --html, --image and "
                "--json."
            )
        if not given.all.is_dir():
            raise InputError(f"--all must name a directory that exists, got {given.all}.")
        for explanation in pull_explanations(given.repo, **_place(given)):
            path = given.all / f"{content_id(explanation.record)}.json"
            explanation.save(path)
            sys.stdout.write(f"wrote {path}\n")
        return 0
    check_output(given)
    explanation = InteractionExplanation.from_hub(given.repo, given.id, **_place(given))
    if given.out is not None:
        explanation.save(given.out)
    return print_explanation(given, explanation)


def _list(given: argparse.Namespace) -> int:
    from proxyspex_hf.explanation import InteractionExplanation
    from proxyspex_hf.viz.wording import listed_effects, visible

    for entry in InteractionExplanation.list_hub(given.repo, **_place(given)):
        if given.json:
            sys.stdout.write(json.dumps(vars(entry), ensure_ascii=False) + "\n")
            continue
        strongest = listed_effects(entry.strongest, visible)
        strongest = strongest or "no effect can be told from zero"
        sys.stdout.write(
            f"{entry.id[:8]}  {visible(entry.created)[:10]}  {visible(entry.target)} of "
            f"{visible(entry.model)}: {visible(entry.text)[:60]}\n          {strongest}\n"
        )
    return 0
