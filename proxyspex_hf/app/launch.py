"""Running the app: on this machine for ``proxyspex-hf app``, or as a Space."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from proxyspex_hf.app.access import Access
from proxyspex_hf.app.components import CSS
from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.gate import Gate
from proxyspex_hf.app.heap import return_memory, share_one_heap
from proxyspex_hf.app.house import House
from proxyspex_hf.app.page import build
from proxyspex_hf.app.page_policy import PagePolicy
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.app.theme import theme
from proxyspex_hf.app.unfinished import drop_handlers, drop_state, unanswered
from proxyspex_hf.app.uploads import kept_in
from proxyspex_hf.hf.loading import quieten

#: Handlers at a time: all explanations that may wait, and the others as many as Gradio's default.
_HANDLERS = 160
#: Pages whose state is kept; explanations and pictures are of a few megabytes.
_PAGES = 400
#: Seconds between two looks at who has gone, and how long the state of such a page is kept: long
#: enough for a connection that breaks off to come back.
_LOOK, _STATE_KEPT = 5.0, 60.0


@dataclass(frozen=True)
class Running:
    """An app that answers.

    Attributes:
        url: where.
        demo: the Gradio app.
        house: what the open pages share.
    """

    url: str
    demo: gr.Blocks
    house: House

    @property
    def folders(self) -> Folders:
        """Those of the open pages."""
        return self.house.folders

    def wait(self) -> None:
        """Until it is interrupted (Ctrl-C), or its process is told to end."""
        over = threading.Event()
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:  # else what is kept would stay on the disk
            before = signal.signal(signal.SIGTERM, lambda *_: over.set())
        with suppress(KeyboardInterrupt):
            over.wait()
        if in_main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def running(
    settings: Settings, *, host: str | None = None, port: int | None = None
) -> Iterator[Running]:
    """Run the app while inside; afterwards everything that it kept is gone.

    Args:
        settings: what it allows.
        host: address to listen on; default what Gradio takes: this machine alone.
        port: default the first free one from 7860; 0 is any free one, which ``url`` names.

    Raises:
        OSError: nothing can listen there: the host is not this machine's, or the port is taken.
    """
    free = _can_listen(host, port or 0)
    quieten()
    share_one_heap()
    folders = Folders()
    house = House.of(settings, folders)
    access = settings.access.listening_on(host)
    if port == 0:
        port = free
    with kept_in(folders.uploads) as uploads:
        house.uploads.folder = uploads
        demo = build(settings, folders, house)
        # Without a limit of all: explanations wait for their turns, and each client has limits.
        demo.queue(default_concurrency_limit=16, max_size=None)
        try:
            _, url, _ = demo.launch(
                prevent_thread_lock=True,
                quiet=True,
                server_name=f"[{host}]" if host and ":" in host.strip("[]") else host,
                server_port=port,
                share=False,
                inbrowser=False,
                show_error=False,
                ssr_mode=False,
                strict_cors=True,
                enable_monitoring=False,
                run_history=False,
                max_threads=_HANDLERS,
                state_session_capacity=_PAGES,
                max_file_size=settings.limits.upload_bytes,
                footer_links=[],
                theme=theme(),
                css=CSS,
                app_kwargs={
                    "lifespan": _guarded(demo, house, access),
                    "middleware": [Middleware(PagePolicy, framed_by=access.framed_by)],
                },
            )
            yield Running(str(url), demo, house)
        finally:
            demo.close(verbose=False)
            folders.close()


def _can_listen(host: str | None, port: int) -> int:
    """The port, of 0 a free one, if one can listen there.

    Gradio would take a host that is not ours for a hundred ports that are taken, seconds each, and
    0 for a port like any other.

    Raises:
        OSError: what the system says of that host and port.
    """
    address = (host or "127.0.0.1").strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name == "posix":  # connections of an app that has just ended do not hold its port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        return int(probe.getsockname()[1])


def _guarded(demo: gr.Blocks, house: House, access: Access) -> Any:
    """What goes on while the server runs: the gate stands, and who has gone is forgotten."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        # Here and not among the middlewares, which Gradio puts its own around: one of them answers
        # the preflight requests of any page. No request comes before this is done.
        app.middleware_stack = Gate(
            app.middleware_stack,
            access,
            house.presence,
            house.uploads,
            unanswered=lambda page: unanswered(demo, page),
        )
        looks = asyncio.create_task(_forget(demo, house))
        yield
        looks.cancel()
        await house.underway.close()
        with suppress(asyncio.CancelledError):
            await looks

    return lifespan


async def _forget(demo: gr.Blocks, house: House) -> None:
    """Let go of what pages left that are gone."""
    loop, left = asyncio.get_running_loop(), dict[str, float]()
    while True:
        await asyncio.sleep(_LOOK)
        for page in house.presence.forgotten():
            await drop_handlers(demo, page)
            left[page] = loop.time()
        over = [page for page, since in left.items() if loop.time() - since > _STATE_KEPT]
        for page in list(left):
            if house.presence.here(page):  # it came back
                del left[page]
            elif page in over:
                del left[page]
                drop_state(demo, page)
        if over:
            await asyncio.to_thread(return_memory)
        await asyncio.to_thread(house.uploads.sweep)


def launch(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Run the app until it is interrupted; arguments and errors as :func:`running`."""
    with running(settings, host=host, port=port) as app:
        app.wait()
