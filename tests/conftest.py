"""Fixtures: real pipelines with real weights, and one headless browser."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from left_out import (  # noqa: F401  (hooks)
    pytest_make_collect_report,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)

from proxyspex_hf.demo import DEMO_MODEL

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists() and "CI" not in os.environ:
        pytest.skip(f"needs a browser at {CHROMIUM}")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def pipe() -> Any:
    """The shipped sentiment classifier."""
    from transformers import pipeline

    return pipeline("text-classification", model=DEMO_MODEL, device="cpu")


@pytest.fixture(scope="session")
def short_text() -> str:
    return "It could have been great, but the plot is dull and never funny."
