"""``proxyspex-hf app`` as a process: it says where, answers, and ends at Ctrl-C."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from gradio import Blocks

from proxyspex_hf.app import Settings
from proxyspex_hf.cli.main import main


def test_it_starts_answers_and_ends_cleanly() -> None:
    command = [sys.executable, "-m", "proxyspex_hf", "app", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        known = re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d{3,4}/", url)
        assert known is not None, process.stderr.read() if process.stderr else ""
        assert process.stdout.readline() == "Ctrl-C ends it.\n"
        with urllib.request.urlopen(url) as page:
            assert "minute." in page.read().decode()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err
    finally:
        process.kill()


def test_arguments_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--task", "text-generation"]) == 2
    assert "--task says what --model does" in capsys.readouterr().err
    for port in ("-1", "65536", "99999"):
        assert main(["app", "--port", port, "--model", "/nothing/there"]) == 2
        assert f"--port must be from 0 to 65535, got {port}." in capsys.readouterr().err
    assert main(["app", "--allow-host", "http://example.org"]) == 2
    assert "'http://example.org' is not the name of a host" in capsys.readouterr().err
    assert main(["app", "--proxied"]) == 2
    assert "--proxied needs the name by which people call the app" in capsys.readouterr().err
    assert main(["app", "--model", "/nothing/there"]) == 2
    assert "cannot load '/nothing/there'" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["app", "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use. Choose another" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("port", [None, 0, 8123])
@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("192.0.2.1", "Cannot assign requested address"),  # of no machine: for documentation
        ("no such host", "Name or service not known"),
    ],
)
def test_a_host_that_is_not_ours_is_refused_at_once(
    port: int | None,
    host: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Blocks, "launch", None)  # Gradio would try port after port
    given = [] if port is None else ["--port", str(port)]
    assert main(["app", "--host", host, *given]) == 2
    assert capsys.readouterr().err == (
        f"proxyspex-hf: cannot listen on {host}, port {port or 'any'}: {says}. Choose another "
        "--host or --port.\n"
    )


@pytest.mark.parametrize(
    ("host", "account"),
    [
        ("127.0.0.1", "machine"),
        ("::1", "machine"),
        ("localhost", "machine"),
        ("0.0.0.0", "nobody"),
        ("::", "nobody"),
        ("192.168.0.2", "nobody"),
        ("my-machine", "nobody"),
    ],
)
def test_only_an_app_for_this_machine_alone_uses_its_login(
    monkeypatch: pytest.MonkeyPatch, host: str, account: str
) -> None:
    given: list[Settings] = []

    @contextmanager
    def run(settings: Settings, **_where: Any) -> Iterator[Any]:
        given.append(settings)
        yield SimpleNamespace(url="", wait=lambda: None)

    monkeypatch.setattr("proxyspex_hf.app.running", run, raising=False)
    assert main(["app", "--host", host]) == 0
    assert given[0].account == account
    assert given[0].models.any_model == (account == "machine")


@pytest.mark.parametrize(
    ("name", "more", "account"),
    [
        ("example.org", [], "nobody"),
        ("localhost:9000", [], "machine"),
        ("example.org", ["--proxied"], "nobody"),
        ("localhost:9000", ["--proxied"], "nobody"),
    ],
)
def test_a_name_of_its_own_makes_it_an_app_for_others(
    monkeypatch: pytest.MonkeyPatch, name: str, more: list[str], account: str
) -> None:
    given: list[Settings] = []

    @contextmanager
    def run(settings: Settings, **_where: Any) -> Iterator[Any]:
        given.append(settings)
        yield SimpleNamespace(url="", wait=lambda: None)

    monkeypatch.setattr("proxyspex_hf.app.running", run, raising=False)
    assert main(["app", "--allow-host", name, *more]) == 0
    assert given[0].access.proxied == bool(more)
    assert given[0].access.hosts == (name,)
    assert given[0].account == account
