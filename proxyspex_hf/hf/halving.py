"""Running a batch of items through a model that may not take it whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError, ProxySpexError
from proxyspex_hf.hf.failures import Retry, first_line, is_out_of_memory, is_transient, tried_again


@dataclass
class Halving:
    """What fails is halved, whatever it says of memory: either half may pass, and in the end one
    item is known to fail.

    Attributes:
        run: items to their rows, (b, …).
        size: how large an item is for the model, in tokens or the like.
        retry: when a batch is tried again as it is.
        room: items times their size that the model takes at once, where more of them failed; what
            is larger is no longer tried.
    """

    run: Callable[[Sequence[bytes]], FloatArray]
    size: Callable[[bytes], int]
    retry: Retry | None = None
    room: int | None = None

    def whole(self, items: Sequence[bytes]) -> FloatArray:
        """The rows of all items, halved where memory ran out alone; errors as :meth:`parts`."""
        return np.concatenate([rows for _, rows in self.parts(items, only_memory=True)])

    def parts(
        self, items: Sequence[bytes], *, only_memory: bool = False
    ) -> Iterator[tuple[Sequence[int], FloatArray]]:
        """Places among the items and their rows, as they come, in order.

        Args:
            only_memory: halve where memory ran out alone.

        Raises:
            ModelError: the model fails on the first item that has no rows, or the network does.
        """
        pending = [(0, len(items))]
        while pending:
            start, stop = pending.pop()
            fits = self._fits(items[start:stop])
            if start + fits < stop:
                pending.append((start + fits, stop))
                stop = start + fits
            batch = items[start:stop]
            try:
                rows = tried_again(partial(self.run, batch), self.retry)
            except Exception as error:
                is_own = isinstance(error, ProxySpexError) and error.__cause__ is None
                ends = is_own or len(batch) == 1 or is_transient(error, self.retry)
                if ends or (only_memory and not is_out_of_memory(error)):
                    raise self._failure(batch, error) from error
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                self.room = len(batch) // 2 * max(map(self.size, batch))
                pending.append((start, stop))
            else:
                yield range(start, stop), rows

    def _fits(self, items: Sequence[bytes]) -> int:
        if self.room is None:
            return len(items)
        return max(1, min(len(items), self.room // max(map(self.size, items))))

    def _failure(self, items: Sequence[bytes], error: Exception) -> ProxySpexError:
        if is_out_of_memory(error):
            return too_large(error)
        if isinstance(error, ProxySpexError):
            return error
        inputs = "1 input" if len(items) == 1 else f"{len(items)} inputs"
        return ModelError(
            f"the model failed on {inputs} of up to {max(map(self.size, items))} tokens: "
            f"{type(error).__name__}: {first_line(error).removesuffix('.')}."
        )


def too_large(error: BaseException) -> ModelError:
    """Of one masked input that memory has no room for."""
    return ModelError(
        f"one masked input does not fit into memory ({first_line(error)}): explain a shorter "
        "input, or load the model in 8 bits."
    )
