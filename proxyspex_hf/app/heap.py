"""The memory of a process that runs for weeks: what was freed goes back to the system.

glibc gives every thread a heap of its own, and each run of an explanation happens in other threads:
the holes that runs leave are spread over dozens of heaps and fit nobody. Two minutes of
``python tests/bench/app_load.py`` grew the process by 550 MB that no object held; in one heap, as
fast, by 60 MB. Other allocators have neither call, and keep their own ways.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

#: ``M_ARENA_MAX`` of ``malloc.h``.
_ARENA_MAX = -8


def share_one_heap() -> None:
    """Let all threads that are started from now on allocate from the same heap."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(_ARENA_MAX, 1)


def return_memory() -> None:
    """Give what is free to the system."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
