"""Pointing the real clients to the loopback server, in this process or in another one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hub_server.server import HubServer

__all__ = ["environment_for", "point_to"]

#: Waits of the clients are this many times shorter.
_FASTER = 200


def point_to(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, home: Path, token: str | None = "hf_me"
) -> None:
    """Set in this process what the environment would have set before the client was imported."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    values = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
    }
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    if token is None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / _FASTER))
    close_session()


def environment_for(hub: HubServer, home: Path, token: str = "hf_me") -> dict[str, str]:
    """The environment of a process that shall talk to this server."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(home),
        "HF_TOKEN": token,
    }
