"""What a call costs, measured in a process of its own: seconds, and megabytes over the start.

Run as a script it is that process: it imports what is called once, then forks for every call, so
that no call sees what another left behind.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

__all__ = ["Call", "Cost", "costs", "summed_up"]

TESTS = Path(__file__).parents[1]
#: What a refusal may cost.
MOST_MEGABYTES, MOST_SECONDS = 300.0, 5.0
#: A call that would take the machine with it is stopped here.
_ADDRESS_SPACE = 12 * 2**30
_OURS = ("SchemaError", "InputError", "HubError")


@dataclass(frozen=True)
class Call:
    """``module:function`` and its arguments, which JSON can hold."""

    name: str
    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Cost:
    """What a call did.

    Attributes:
        outcome: ``"returned ..."``, or the error's type and text.
    """

    name: str
    outcome: str
    seconds: float
    megabytes: float

    @property
    def refused(self) -> bool:
        """With one of the package's own errors."""
        return self.outcome.split(":")[0] in _OURS

    @property
    def cheap(self) -> bool:
        return self.megabytes <= MOST_MEGABYTES and self.seconds <= MOST_SECONDS

    def __str__(self) -> str:
        return f"{self.name}: {self.seconds:.1f} s, {self.megabytes:.0f} MB, {self.outcome[:110]}"


def costs(calls: Sequence[Call]) -> list[Cost]:
    """What each call costs."""
    jobs = json.dumps([[call.name, call.function, list(call.arguments)] for call in calls])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run(
        [sys.executable, str(Path(__file__))],
        input=jobs,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return [Cost(*json.loads(line)) for line in done.stdout.splitlines()]


def summed_up(found: Sequence[Cost]) -> str:
    """The most of all, and what did not hold."""
    worst = max(cost.megabytes for cost in found), max(cost.seconds for cost in found)
    bad = [str(cost) for cost in found if not (cost.refused and cost.cheap)]
    said = f"{len(found)} tried, at most {worst[0]:.0f} MB and {worst[1]:.1f} s"
    return "; ".join([said, *bad])


def _megabytes(field: str) -> float:
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: the most so far is all that is known
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(x for x in status.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) / 1024


def _measured(name: str, function: str, arguments: list[Any]) -> Cost:
    module, _, called = function.partition(":")
    call = getattr(import_module(module), called)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
        before, start = _megabytes("VmRSS"), time.process_time()
        try:
            outcome = f"returned {call(*arguments)}"
        except BaseException as error:  # noqa: BLE001  whatever it is, it is told
            outcome = f"{type(error).__name__}: {error}"
        seconds, over = time.process_time() - start, _megabytes("VmHWM") - before
        os.write(writer, json.dumps([name, outcome[:300], seconds, over]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return Cost(*json.loads(said)) if said else Cost(name, f"died with {status}", 0.0, 0.0)


def main() -> None:
    for job in json.loads(sys.stdin.read()):
        cost = _measured(*job)
        print(json.dumps([cost.name, cost.outcome, cost.seconds, cost.megabytes]), flush=True)


if __name__ == "__main__":
    main()
