"""What inputs of served models share: each masked input is one request, many are in flight."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.served.line import Line
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.value_function import BoundInput

#: Requests that are lined up at a time; answers are kept as they come.
_LINED_UP = 1024
#: Noise beyond which a reader should know of it: 10 times what float32 shows. Convention.
_TOLD = 1e-3


class ServedInput(BoundInput):
    """One input of a served model. Its items hold all that is asked, so inputs share requests.

    Attributes:
        model: the served model.
    """

    model: ServedModel
    remote = True
    batch_size = _LINED_UP

    def begin(self, served: ServedModel, options: FeatureOptions) -> None:
        """Take the model; its start-up test is made first.

        Raises:
            InputError: an option that has no meaning for a server.
            ModelError: the server cannot be used.
        """
        for name, instead in (("batch_size", "concurrency"), ("retry", "patience")):
            if getattr(options, name) is not None:
                raise InputError(
                    f"{name} has no meaning for a served model: give "
                    f"ServedModel(..., {instead}=...)."
                )
        self.model = served
        self.called = f"the model at {served.servers.lines[0].place}"
        served.servers.begin()
        noise, self.notes = served.started.noise, served.started.notes
        if noise > _TOLD:
            self.notes = (
                *self.notes,
                f"The server's answers to one and the same question differed by up to {noise:.2g} "
                "in one number, depending on what else it was asked.",
            )

    @abstractmethod
    def request(self, item: bytes) -> Callable[[Line], FloatArray]:
        """How one item is asked: gives its row of outputs."""

    def outputs(self, items: Sequence[bytes]) -> FloatArray:
        # A few, asked again beside others: what is compared needs no look at the model.
        calls = [self.request(item) for item in items]
        groups = self.model.servers.answers(calls, confirm=False)
        rows = {place: row for group in groups for place, row in group}
        return np.stack([rows[place] for place in range(len(items))])

    def answered(self, items: Sequence[bytes]) -> Iterator[tuple[Sequence[int], FloatArray]]:
        for group in self.model.servers.answers([self.request(item) for item in items]):
            places, rows = zip(*group, strict=True)
            yield places, np.stack(rows)

    @property
    def sharing(self) -> Hashable:
        return (type(self), id(self.model))
