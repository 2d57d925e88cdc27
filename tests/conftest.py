"""Fixtures: real pipelines with real weights, and one headless browser."""

from __future__ import annotations

import os
import signal
import threading

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# SPEX's decoders: compiling them is most of their time. At 0 numba cannot keep them, and warns.
os.environ.setdefault("NUMBA_OPT", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # a process each core: no more threads there
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell ignores Ctrl-C in what it starts in the background, and so would all that tests start.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import chromium
from hypothesis import settings
from left_out import (  # noqa: F401  (hooks)
    pytest_make_collect_report,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
from order import pytest_collection_modifyitems  # noqa: F401  (a hook)

from proxyspex_hf.demo import DEMO_MODEL

# A busy machine makes single examples slow; what must be quick is measured in tests/bench.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

#: Milliseconds that a page may take to come to what a test waits for; a busy machine is slow.
PATIENCE = 120_000
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    executable = chromium()
    if executable is None:
        pytest.skip("needs a browser, which python tests/chromium.py could not install")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        own = browser.new_context

        def new_context(**options: Any) -> Any:
            context = own(**options)
            context.set_default_timeout(PATIENCE)
            return context

        browser.new_context = new_context
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pipe() -> Any:
    """The shipped sentiment classifier."""
    from transformers import pipeline

    return pipeline("text-classification", model=DEMO_MODEL, device="cpu")


@pytest.fixture(scope="session")
def short_text() -> str:
    return "It could have been great, but the plot is dull and never funny."
