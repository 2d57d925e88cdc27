"""The command that starts the app."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from typing import Any

from proxyspex_hf.cli.served import add_server_options, check_server_options, served_model
from proxyspex_hf.errors import InputError

_TASKS = (
    "text-classification",
    "text-generation",
    "zero-shot-image-classification",
    "image-classification",
)
_LAST_PORT = 2**16 - 1
_BY_ADDRESS = (
    "From other machines it answers by its address, or by the name given with --host; each other "
    "name must be allowed: --allow-host NAME."
)


def add_app_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    app = commands.add_parser("app", help="explore and explain in the browser, without code")
    app.add_argument("--port", type=int, help="default: the first free one from 7860; 0: any")
    app.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, this machine only). With any other, "
        "whoever can reach it can use the app; only listed models may be chosen then, and the Hub "
        "is asked without an account: public data sets are read, nothing is pushed",
    )
    app.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that the app answers to besides this machine's own and that of --host, such "
        "as example.org, or example.org:8443 for one port only; may be given several times",
    )
    app.add_argument(
        "--proxied",
        action="store_true",
        help="say that your reverse proxy stands in front of the app and nobody can bypass it: its "
        "X-Forwarded-For then says who sent a request. Needs --allow-host with the name that "
        "visitors use",
    )
    app.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="directory or Hub id of a model to offer first; may be given several times",
    )
    app.add_argument(
        "--task", choices=_TASKS, help="task of --model (default: what its class says)"
    )
    add_server_options(app)
    app.set_defaults(run=_app)


def _app(given: argparse.Namespace) -> int:
    if find_spec("gradio") is None:
        raise InputError("the app needs Gradio: pip install 'proxyspex-hf[space]'.")
    if given.task is not None and not given.model:
        raise InputError("--task says what --model does: give --model, too.")
    check_server_options(given)
    if given.server and len(given.model) > 1:
        raise InputError("with --server, --model names its model: give only one.")
    from proxyspex_hf.app import Access, Limits, Models, Settings, running
    from proxyspex_hf.app.access import authority, is_loopback

    if given.port is not None and not 0 <= given.port <= _LAST_PORT:
        raise InputError(f"--port must be from 0 to {_LAST_PORT}, got {given.port}.")
    if given.proxied and not given.allow_host:
        raise InputError(
            "--proxied needs the name by which people call the app: give --allow-host NAME, too."
        )
    access = Access(tuple(given.allow_host), proxied=given.proxied)
    # Another name is another machine's way here, through a tunnel or a proxy.
    names = [authority(name) for name in given.allow_host]
    own_names = all(name is not None and is_loopback(name[0]) for name in names)
    alone = own_names and is_loopback(given.host.strip("[]")) and not given.proxied
    # On the user's own machine, their patience is the limit.
    day = 24 * 3600.0
    own = Limits(characters=50_000, features=1000, calls=200_000, seconds=day)
    limits = own if alone else Limits()
    models = Models(any_model=alone)
    if given.server:
        given.model = given.model[0] if given.model else None
        models.offer_served(served_model(given))
    else:
        for name in reversed(given.model):
            models.offer(name, given.task)
    # Who else can reach the app must not act with this machine's login.
    settings = Settings(models, limits, account="machine" if alone else "nobody", access=access)
    try:
        with running(settings, host=given.host, port=given.port) as app:
            sys.stdout.write(f"{app.url}\nCtrl-C ends it.\n")
            if not alone and not given.allow_host:
                sys.stdout.write(f"{_BY_ADDRESS}\n")
            sys.stdout.flush()
            app.wait()
    except OSError as error:
        raise InputError(
            f"cannot listen on {given.host}, port {given.port or 'any'}: "
            f"{error.strerror or error}. Choose another --host or --port."
        ) from error
    return 0
