"""The options of commands that ask a served model."""

from __future__ import annotations

import argparse
import os
from typing import Any

from proxyspex_hf.errors import InputError

#: Where a token is read from that should not stand in the list of processes.
TOKEN_VARIABLE = "PROXYSPEX_SERVER_TOKEN"  # noqa: S105


def add_server_options(parser: Any) -> None:
    """Add them in a group of their own."""
    group = parser.add_argument_group("served models")
    group.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="URL",
        help="ask the inference server there, such as http://host:8000/v1, and load no weights; "
        "given several times, they are replicas. --model is then the model's name on it",
    )
    group.add_argument("--tokenizer", help="Hub id or directory (default: --model)")
    group.add_argument(
        "--dialect",
        help="completions, sglang, completions-text, classify or endpoint (default: found out by "
        "asking the server)",
    )
    group.add_argument("--labels", help="names of a classifier's classes, separated by commas")
    group.add_argument("--concurrency", type=int, help="requests in flight (default 16)")
    group.add_argument(
        "--patience", type=float, metavar="SECONDS", help="how long to try again (default 300)"
    )
    group.add_argument(
        "--server-token",
        help=f"access token of the server (default: the variable {TOKEN_VARIABLE})",
    )


_ONLY_SERVED = ("tokenizer", "dialect", "labels", "concurrency", "patience", "server_token")


def check_server_options(given: argparse.Namespace) -> None:
    """Refuse what has no meaning without a server.

    Raises:
        InputError: such an option.
    """
    for name in _ONLY_SERVED:
        if not given.server and getattr(given, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} only makes sense with --server: give --server URL."
            )


def served_model(given: argparse.Namespace) -> Any:
    """The served model that the options name.

    Raises:
        InputError: an option that cannot be used, or one of a model that is loaded here.
    """
    from proxyspex_hf.hf.served.model import ServedModel  # slow to import: not for --help

    for name in ("quantization", "device"):
        if getattr(given, name, None) is not None:
            raise InputError(f"--{name} has no meaning with --server: the server decides it.")
    more = {
        name: getattr(given, name)
        for name in ("tokenizer", "dialect", "concurrency", "patience")
        if getattr(given, name) is not None
    }
    if given.labels is not None:
        more["labels"] = [label.strip() for label in given.labels.split(",")]
    token = given.server_token or os.environ.get(TOKEN_VARIABLE) or None
    task = given.task or "text-generation"
    return ServedModel(given.server, model=given.model, task=task, token=token, **more)
