"""Several processes, as ``accelerate launch`` starts them: who runs which batch, and the gathering.

Each round, every process runs one batch and all of them learn all answers. Batches are the same as
in one process, so the values are, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed

from proxyspex_hf.errors import InputError

T = TypeVar("T")


class Processes:
    """The group this process belongs to; a group of one where none was started.

    Attributes:
        count: how many processes there are.
        index: which one this is.
    """

    def __init__(self) -> None:
        self._group = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not self._group and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._group = _joined()
        self.count = torch.distributed.get_world_size() if self._group else 1
        self.index = torch.distributed.get_rank() if self._group else 0

    @property
    def first(self) -> bool:
        """Whether this process speaks for all: writes files, shows progress."""
        return self.index == 0

    def gathered(self, own: T) -> list[T]:
        """What each process has, in their order, in all of them."""
        if not self._group or self.count == 1:
            return [own]
        every: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(every, own)
        return every

    def from_first(self, make: Callable[[], T]) -> T:
        """What ``make()`` gives in the first process, in all of them."""
        if not self._group or self.count == 1:
            return make()
        box: list[Any] = [make() if self.first else None]
        torch.distributed.broadcast_object_list(box, src=0)
        made: T = box[0]
        return made


def _joined() -> bool:
    """Join the group that ``accelerate launch`` (or torchrun) has prepared."""
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise InputError(
            "several processes were launched (WORLD_SIZE is set), which needs accelerate: "
            "pip install 'proxyspex-hf[large]'."
        ) from error
    PartialState(cpu=not torch.cuda.is_available())
    return torch.distributed.is_initialized()
