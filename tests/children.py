"""Other processes, forked from a server that has imported torch and transformers once.

A new interpreter spends some ten seconds of processor time on imports before it comes to what a
test is about. The children are processes all the same: they share no memory with the test, and die
by SIGKILL as any other. What a test says of starting up (the command, imports) wants a real start.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent

_context = multiprocessing.get_context("forkserver")


def _serve() -> None:
    """Start the server, once a process, with an environment that no test has changed meanwhile."""
    from multiprocessing import forkserver

    kept = dict(os.environ)
    # Another hash seed than here: what processes must agree on may not hang on it.
    os.environ |= {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    os.environ |= {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    try:
        _context.set_forkserver_preload(["children_imports"])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _run(code: str, environment: dict[str, str], out: str, errors: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    # A shell's background jobs ignore Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exec(compile(code, "<child>", "exec"), {"__name__": "__main__"})


class Child:
    """A process that runs ``code``; what it writes can be read while it runs."""

    def __init__(self, code: str, **environment: str) -> None:
        _serve()
        folder = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._out, self._errors = (Path(folder, name) for name in ("out", "errors"))
        self._out.touch()
        self._errors.touch()
        given = (code, {**os.environ, **environment}, str(self._out), str(self._errors))
        self.process: Any = _context.Process(target=_run, args=given, daemon=True)
        self.process.start()

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    @property
    def returncode(self) -> int | None:
        """As of ``subprocess``: negative for a signal."""
        code: int | None = self.process.exitcode
        return code

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait(self, timeout: float = 300) -> Child:
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"it did not end in {timeout} s:\n{self.stderr}")
        return self

    def done(self) -> str:
        """What a child wrote that ended well."""
        self.wait()
        assert self.returncode == 0, self.stderr
        return self.stdout
