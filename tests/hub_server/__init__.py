"""A Hugging Face Hub on loopback, for tests: real HTTP for the real clients, with faults to order.

    with HubServer() as hub:
        hub.add_user("hf_writer", "me")
        hub.fail("POST", "/commit/", status=500)      # once
        ...                                           # HF_ENDPOINT=hub.url

It speaks what ``huggingface_hub`` and ``datasets`` ask for: repositories and branches, preupload,
LFS, NDJSON commits with a parent, pull requests, trees, path information, downloads with ETags,
redirects and byte ranges, tokens and private repositories.
"""

from hub_server.faults import Fault
from hub_server.server import HubServer, Request
from hub_server.store import Blob, Repo

__all__ = ["Blob", "Fault", "HubServer", "Repo", "Request"]
