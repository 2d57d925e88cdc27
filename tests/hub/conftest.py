"""A running Hub with two people, and explanations to share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from hub_server.clients import point_to
from record_factory import captioned_record, make_record, review_record

from proxyspex_hf import InteractionExplanation

REPO = "me/explanations"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """The server; this process is logged in there as ``me``."""
    with HubServer() as server:
        server.add_user("hf_me", "me")
        server.add_user("hf_you", "you")
        server.add_user("hf_reader", "reader", can_write=False)
        point_to(server, monkeypatch, tmp_path / "home")
        yield server


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Where explanations wait that could not be pushed."""
    return tmp_path / "home" / "proxyspex_hf" / "outbox"


@pytest.fixture(scope="session")
def review() -> InteractionExplanation:
    return InteractionExplanation(review_record())


@pytest.fixture(scope="session")
def captioned() -> InteractionExplanation:
    return InteractionExplanation(captioned_record())


@pytest.fixture(scope="session")
def several() -> list[InteractionExplanation]:
    """Five different ones of a short text."""
    text = "It is not a bad film, it is a dull one"
    return [InteractionExplanation(make_record(text, seed=seed)) for seed in range(5)]
