"""The command line: ``main`` has the commands, the others what they do."""

from proxyspex_hf.cli.main import main

__all__ = ["main"]
