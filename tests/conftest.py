"""Fixtures: real pipelines with real weights, and small tokenizers of every kind."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from typing import Any

import pytest

from proxyspex_hf.demo import DEMO_MODEL


@pytest.fixture(scope="session")
def pipe() -> Any:
    """The shipped sentiment classifier."""
    from transformers import pipeline

    return pipeline("text-classification", model=DEMO_MODEL, device="cpu")


@pytest.fixture(scope="session")
def short_text() -> str:
    return "It could have been great, but the plot is dull and never funny."
