"""Files that fill the disk, from anyone, of any kind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx2
from PIL import Image
from ports import free_port

from attacks.outcome import Attack, Outcome
from attacks.visitor import Visitor, an_app

__all__ = ["ATTACKS"]

_MB = 2**20


def _filler(i: int, size: int) -> bytes:
    return i.to_bytes(8, "big") + os.urandom(8) + bytes(size - 16)


def many_files(long: bool) -> Outcome:
    number, size = (120 if long else 60), 5 * _MB - 3000
    with an_app() as app:
        stranger = Visitor(app)
        strangers = Counter(stranger.upload(_filler(i, size)).status_code for i in range(3))
        closed = Visitor.with_pass(app)
        unopened = closed.upload(_filler(0, 1000)).status_code
        visitor = Visitor.with_pass(app)
        with visitor.open():
            got = Counter(visitor.upload(_filler(i, size)).status_code for i in range(number))
            one = app.house.uploads.held() / _MB
        all_of_them: Counter[int] = Counter()
        for _ in range(6 if long else 3):
            other = Visitor.with_pass(app)
            with other.open():
                for i in range(10):
                    all_of_them[other.upload(_filler(i, size)).status_code] += 1
        total = app.house.uploads.held() / _MB
        where = app.house.uploads.folder
        # Beside another app of this process, its files lie with those of the first.
        own = where.is_relative_to(app.folders.uploads.parent)
        inside = where.parent.name.startswith("proxyspex_hf-")
    held = set(strangers) == {403} and unopened == 403 and one <= 40 and total <= 100 and inside
    return Outcome(
        "files that fill the disk",
        f"{number} files of 5 MB by one page, 10 each by others, some without a page",
        held and not (own and where.exists()),
        f"without a pass {dict(strangers)}, without an open page {unopened}; one page {dict(got)}, "
        f"{one:.0f} MB; others {dict(all_of_them)}, {total:.0f} MB in all; at the end none",
    )


def odd_uploads(long: bool) -> Outcome:
    """What is not a picture, or says another size or name than it has."""
    with an_app() as app:
        visitor = Visitor.with_pass(app)
        with visitor.open():
            size = app.house.uploads.largest
            large = [
                visitor.upload(bytes(n)).status_code for n in (size + 2**15, 4 * size, 20 * size)
            ]

            def parts() -> list[bytes]:
                return [b"x" * 1000] * 10

            chunked = visitor.post("upload", content=iter(parts())).status_code
            names = [
                "../../../tmp/evil.png",
                "a\0b.png",
                "x" * 400 + ".png",
                "/etc/passwd",
                "x.svg",
            ]
            markup = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
            served = []
            outside = []
            for name in [*names, "x.svg", "x.html", "x.xhtml", "x.js"]:
                answer = visitor.upload(markup, name)
                if answer.status_code != 200:
                    continue
                path = answer.json()[0]
                if not Path(path).resolve().is_relative_to(app.house.uploads.folder.resolve()):
                    outside.append(path)
                got = httpx2.get(f"{app.url}gradio_api/file={path}")
                served.append(got.headers.get("content-security-policy", ""))
    safe = all("sandbox" in policy and "default-src 'none'" in policy for policy in served)
    return Outcome(
        "odd uploads",
        "files beyond the limit, without a length, with names of other places, of markup",
        set(large) == {413} and chunked == 411 and not outside and safe and len(served) > 3,
        f"too large {large}, without a length {chunked}, kept outside {outside}; {len(served)} "
        f"served, none as what may run: {safe}",
    )


def used_files_go(long: bool) -> Outcome:
    picture = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(picture, "PNG")
    with an_app() as app:
        visitor = Visitor.with_pass(app)
        with visitor.open():
            path = visitor.upload(picture.getvalue()).json()[0]
            there = Path(path).exists()
            data = {"path": path, "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}}
            visitor.ask("read", data)
            read = "error" not in visitor.answer()
            left = Path(path).exists()
    return Outcome(
        "files that were used",
        "a picture is uploaded and read",
        there and read and not left,
        f"there before: {there}; read: {read}; there after: {left}",
    )


def left_by_a_crash(long: bool) -> Outcome:
    """Two runs with files and answers: one is killed, one is told to end."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "TMPDIR": home, "HF_HUB_OFFLINE": "1"}
        kept: list[int] = []
        for end in ("kill", "terminate"):
            command = [
                sys.executable,
                "-m",
                "proxyspex_hf.cli.main",
                "app",
                "--port",
                str(free_port()),
            ]
            with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as app:
                said = app.stdout.readline() if app.stdout is not None else ""
                time.sleep(0.2)
                kept.append(len(list(Path(home).glob("proxyspex_hf-*"))))
                getattr(app, end)()
                app.wait(30)
            kept.append(len(list(Path(home).glob("proxyspex_hf-*"))))
        code = app.returncode
    return Outcome(
        "what a crash leaves",
        "SIGKILL to a running app, then another start, then SIGTERM",
        kept == [1, 1, 1, 0] and code == 0,
        f"directories while it runs, after SIGKILL, at the next start, after SIGTERM: {kept}; exit "
        f"code {code}; it said {said.strip()}",
    )


ATTACKS: tuple[Attack, ...] = (many_files, odd_uploads, used_files_go, left_by_a_crash)
