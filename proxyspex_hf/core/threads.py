"""One BLAS thread at a time: sums in another order change the last bits."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _libraries(imported: int) -> ThreadpoolController:  # noqa: ARG001  (the key)
    """Finding them reads the process's whole memory map; they change only with what is imported."""
    return ThreadpoolController()


def one_blas_thread() -> Any:
    """A context in which the BLAS libraries of this process use one thread."""
    return _libraries(len(sys.modules)).limit(limits=1, user_api="blas")
