"""The app under load: many pages open, many people who explain, some who leave in the middle.

    python tests/bench/app_load.py                        # 2 minutes, 200 pages, 50 who explain
    python tests/bench/app_load.py --minutes 30 --json soak.json

The app runs in a process of its own, as strangers reach it. The curve has a row every few seconds:
seconds, megabytes of the app's process, pages opened, runs done, left in the middle, told to come
back, and errors. It ends with 1 where anything went wrong that is no "busy" in words, or where the
memory did not come back to its start by 100 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx2
from harness.command import command_line

#: Megabytes by which the app may be larger at the end.
GROWN = 100
WORDS = "not a bad film but the plot is dull and never funny for anyone at all".split()  # noqa: SIM905 - read as a text


def serve(port: int) -> None:
    """The app of strangers, until it is told to end."""
    import torch

    from proxyspex_hf.app import Models, Settings
    from proxyspex_hf.app.launch import launch
    from proxyspex_hf.app.models import SHIPPED

    torch.set_num_threads(1)
    launch(Settings(Models(SHIPPED), account="nobody"), port=port)


class Load:
    """People at one app.

    Attributes:
        came: what came of their runs.
        errors: what should not have been.
    """

    def __init__(self, url: str, config: dict[str, Any], seed: int) -> None:
        self.url = url
        self.functions = {d["api_name"]: d for d in config["dependencies"]}
        self.came: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.waits: list[float] = []
        self.pages = 0
        self.random = random.Random(seed)

    async def sit(self, http: httpx2.AsyncClient, until: float) -> None:
        """Open a page and leave it open."""
        try:
            page, headers = await self._opened(http)
            async with self._heartbeat(http, page, headers):
                self.pages += 1
                await asyncio.sleep(max(0.0, until - time.monotonic()))
        except httpx2.HTTPError as error:
            self.errors[f"page: {type(error).__name__}"] += 1

    async def use(self, http: httpx2.AsyncClient, until: float) -> None:
        """Open pages, one after another: explain, and sometimes leave in the middle."""
        while time.monotonic() < until:
            try:
                await self._one_visit(http, until)
            except (httpx2.HTTPError, KeyError, ValueError) as error:
                self.errors[f"run: {type(error).__name__} {str(error)[:80]}"] += 1
            await asyncio.sleep(self.random.uniform(0.1, 1.0))

    async def _one_visit(self, http: httpx2.AsyncClient, until: float = math.inf) -> None:
        page, headers = await self._opened(http)
        text = " ".join(self.random.choices(WORDS, k=self.random.randint(6, 24)))
        text = f"{page[:8]} {text}"
        async with self._heartbeat(http, page, headers):
            self.pages += 1
            form = ["film reviews (ships with the app)", "text-classification", text, "", None]
            await self._ask(http, page, headers, "begin", [None, *form, "words", 48, "", 2, 0])
            start = time.monotonic()
            await self._ask(http, page, headers, "explain", [])
            leaves = self.random.uniform(0.5, 8) if self.random.random() < 0.3 else 600
            leaves = max(0.1, min(leaves, until - time.monotonic()))  # all go home at the end
            try:
                async with asyncio.timeout(leaves):
                    last = await self._last(http, page, headers)
            except TimeoutError:
                self.came["left"] += 1
                return
        if "Done." in last and page[:8] not in last:
            self.errors["somebody else's explanation"] += 1
        elif "Done." in last:
            self.came["explained"] += 1
            self.waits.append(time.monotonic() - start)
        elif any(said in last for said in ("places to wait", "runs that go on", "runs go on")):
            self.came["busy, in words"] += 1
        else:
            self.errors[f"ended with {last[-200:]}"] += 1

    async def _opened(self, http: httpx2.AsyncClient) -> tuple[str, dict[str, str]]:
        answer = await http.get(self.url)
        answer.raise_for_status()
        headers = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
        return uuid.uuid4().hex, headers

    def _heartbeat(self, http: httpx2.AsyncClient, page: str, headers: dict[str, str]) -> Any:
        return http.stream("GET", f"{self.url}gradio_api/heartbeat/{page}", headers=headers)

    async def _ask(
        self, http: httpx2.AsyncClient, page: str, headers: dict[str, str], name: str, data: Any
    ) -> None:
        fn = self.functions[name]
        body = {"data": data, "fn_index": fn["id"], "session_hash": page}
        body["trigger_id"] = fn["targets"][0][0]
        route = "queue/join" if fn["queue"] else "run/predict"
        answer = await http.post(f"{self.url}gradio_api/{route}", json=body, headers=headers)
        answer.raise_for_status()

    async def _last(self, http: httpx2.AsyncClient, page: str, headers: dict[str, str]) -> str:
        url = f"{self.url}gradio_api/queue/data?session_hash={page}"
        told = ""
        async with http.stream("GET", url, headers=headers) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                told = f"{told}{json.dumps(message.get('output'))}"[-2_000_000:]
                if message["msg"] == "process_completed":
                    return told
        raise ValueError("the stream ended early")


def megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def loaded(url: str, pid: int, given: argparse.Namespace) -> dict[str, Any]:
    config = httpx2.get(f"{url}config", timeout=60).json()
    load = Load(url, config, given.seed)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx2.Timeout(120.0, pool=None)
    rows: list[list[float]] = []
    async with httpx2.AsyncClient(limits=limits, timeout=timeout) as http:
        # Each page is of a browser of its own.
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        await load._one_visit(http)  # what is loaded once is not growth
        load.came.clear()
        load.waits.clear()
        start, memory = time.monotonic(), megabytes(pid)
        until = start + 60 * given.minutes

        async def watch() -> None:
            while True:
                ended = sum(load.errors.values())
                counts = [load.came[k] for k in ("explained", "left", "busy, in words")]
                now = [round(time.monotonic() - start, 1), round(megabytes(pid), 1)]
                rows.append([*now, load.pages, *counts, ended])
                print(*rows[-1], flush=True)
                await asyncio.sleep(given.every)

        watching = asyncio.create_task(watch())
        sitting = [load.sit(http, until) for _ in range(given.pages - given.people)]
        await asyncio.gather(*sitting, *(load.use(http, until) for _ in range(given.people)))
        watching.cancel()
    await asyncio.sleep(given.after)
    return {
        "came": dict(load.came),
        "errors": dict(load.errors),
        "seconds to an explanation": [round(max(load.waits, default=0), 1), len(load.waits)],
        "megabytes": [round(memory, 1), round(megabytes(pid), 1)],
        "columns": ["seconds", "megabytes", "pages", "explained", "left", "busy", "errors"],
        "curve": rows,
    }


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--people", type=int, default=50, help="of the pages, those who explain")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between rows")
    parser.add_argument(
        "--after",
        type=float,
        default=80.0,
        help="seconds before the last look: the state of a page is kept for 60",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the curve is written")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return 0
    port = 7000 + random.SystemRandom().randrange(800)
    command = [sys.executable, __file__, "--serve", str(port)]
    with subprocess.Popen(command) as app:
        try:
            url = f"http://127.0.0.1:{port}/"
            for _ in range(240):
                try:
                    httpx2.get(f"{url}config", timeout=20)
                    break
                except httpx2.HTTPError:
                    time.sleep(0.5)
            found = asyncio.run(loaded(url, app.pid, given))
        finally:
            app.send_signal(signal.SIGTERM)
            code = app.wait(60)
    print(json.dumps({key: value for key, value in found.items() if key != "curve"}, indent=2))
    if given.json is not None:
        given.json.write_text(json.dumps(found), encoding="utf-8")
    before, after = found["megabytes"]
    return int(bool(found["errors"]) or after > before + GROWN or code != 0)


if __name__ == "__main__":
    sys.exit(main())
