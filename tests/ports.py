"""Ports for the servers that tests start."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port that nobody listens on at this moment, below those that systems give to clients: the
    clients of other tests would take it before the server does."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port of a hundred is free")
