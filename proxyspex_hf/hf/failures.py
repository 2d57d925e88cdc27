"""What a model's failure means: no memory, a network that may come back, or an error of its own."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from proxyspex_hf.checks import as_integer, as_positive, quoted
from proxyspex_hf.errors import InputError

T = TypeVar("T")

#: How libraries without an error class of their own say that memory ran out, in lower case.
_NO_MEMORY = (
    "out of memory",
    "outofmemory",
    "not enough memory",
    "insufficient memory",
    "allocate memory",
    "failed to allocate",
    "unable to allocate",
    "memory allocation fail",
    "alloc_failed",
    "bad_alloc",
    "resource_exhausted",
    "resource exhausted",
    "pt_devmem allocation failed",
    "cudnn_status_not_supported",
)
#: Seconds between two tries at most: convention.
_LONGEST_WAIT = 60.0


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the nearest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def first_line(error: BaseException) -> str:
    """The beginning of what an error says, or its type where it says nothing."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    return (str(said).strip() or repr(error)).splitlines()[0][:300]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, whoever says so and in whichever words."""
    return any(_says_no_memory(cause) for cause in causes(error))


def _says_no_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if not isinstance(error, Exception):
        return False
    text = f"{type(error).__name__}: {error}".lower()
    return any(words in text for words in _NO_MEMORY)


@dataclass(frozen=True)
class Retry:
    """When a function that asks a network is asked again.

    Attributes:
        times: further tries of one batch.
        wait: seconds before the first of them; each later wait is twice as long, a minute at most.
        on: errors after which it is tried again; any other is raised at once.

    Raises:
        InputError: a negative number, a wait that is not positive, or no error classes.

    Example:
        >>> Retry(times=3, on=(ConnectionError,)).waits()
        (1.0, 2.0, 4.0)
    """

    times: int = 3
    wait: float = 1.0
    on: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)

    def __post_init__(self) -> None:
        as_integer("retry times", self.times, 0, 1000)
        as_positive("retry wait", self.wait)
        kinds = (self.on,) if isinstance(self.on, type) else self.on
        good = isinstance(kinds, tuple) and kinds
        if not good or not all(isinstance(k, type) and issubclass(k, Exception) for k in kinds):
            raise InputError(
                "retry on must be error classes, such as (ConnectionError,); got "
                f"{quoted(self.on)}."
            )
        object.__setattr__(self, "on", tuple(kinds))

    def waits(self) -> tuple[float, ...]:
        """Seconds before each further try."""
        doublings = min(self.times, math.ceil(math.log2(_LONGEST_WAIT)) + 32)
        waits = [min(self.wait * 2.0**i, _LONGEST_WAIT) for i in range(doublings)]
        return (*waits, *[_LONGEST_WAIT] * (self.times - doublings))

    def applies(self, error: BaseException) -> bool:
        """Whether another try may help."""
        return any(isinstance(cause, self.on) for cause in causes(error))


def tried_again(call: Callable[[], T], retry: Retry | None) -> T:
    """What ``call()`` gives, tried again as the policy says."""
    for wait in () if retry is None else retry.waits():
        try:
            return call()
        except Exception as error:
            if retry is None or not retry.applies(error):
                raise
            time.sleep(wait)
    return call()


def is_transient(error: BaseException, retry: Retry | None) -> bool:
    """Whether a failure is of a network, which half of a batch would meet as well."""
    return Retry().applies(error) or (retry is not None and retry.applies(error))
