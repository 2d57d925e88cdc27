"""Running the app: on this machine for ``proxyspex-hf app``, or as a Space."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import gradio as gr
import transformers

from proxyspex_hf.app import parts, viewer
from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.page import build
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.app.theme import theme

__all__ = ["Running", "launch", "running"]

#: Handlers that wait for a free place before a new person is told to come back.
_WAITING = 100


@dataclass(frozen=True)
class Running:
    """An app that answers.

    Attributes:
        url: where.
        demo: the Gradio app.
        folders: of the open pages.
    """

    url: str
    demo: gr.Blocks
    folders: Folders

    def wait(self) -> None:
        """Until it is interrupted (Ctrl-C)."""
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


@contextmanager
def running(
    settings: Settings, *, host: str | None = None, port: int | None = None
) -> Iterator[Running]:
    """Run the app while inside; afterwards everything that it kept is gone.

    Args:
        settings: what it allows.
        host: address to listen on; default what Gradio takes: this machine alone.
        port: default the first free one from 7860.

    Raises:
        OSError: the port is taken.
    """
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folders = Folders()
    demo = build(settings, folders)
    demo.queue(default_concurrency_limit=16, max_size=_WAITING)
    try:
        _, url, _ = demo.launch(
            prevent_thread_lock=True,
            quiet=True,
            server_name=host,
            server_port=port,
            share=False,
            inbrowser=False,
            show_error=False,
            ssr_mode=False,
            strict_cors=True,
            enable_monitoring=False,
            run_history=False,
            max_file_size=settings.limits.upload_bytes,
            footer_links=[],
            theme=theme(),
            css=f"{viewer.CSS}\n{parts.CSS}",
        )
        yield Running(str(url), demo, folders)
    finally:
        demo.close(verbose=False)
        folders.close()


def launch(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Run the app until it is interrupted; arguments and errors as :func:`running`."""
    with running(settings, host=host, port=port) as app:
        app.wait()
