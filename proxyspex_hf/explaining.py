"""From bound inputs to explanations: all of them are asked together, then each is fitted."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from proxyspex_hf.beforehand import Told, kernel_of
from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.core.attribution import Attribution, explain
from proxyspex_hf.core.inquiry import Asked, Inquiry, inquiry
from proxyspex_hf.core.progress import ProgressCallback, Rounds
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.queries import Plan
from proxyspex_hf.errors import ProxySpexError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.answers import Asker, ask_together, noise_floor
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.progress_bar import progress_callback
from proxyspex_hf.recording import make_record


def explained(
    pipe: Any,
    inputs: Sequence[Sequence[Asker]],
    chosen: ExplainerOptions,
    *,
    keep: bool,
    known: Asked | None = None,
    told: Mapping[Asker, Told] | None = None,
) -> list[InteractionExplanation | ProxySpexError]:
    """The explanation of what each asker asks, in order.

    Args:
        inputs: the askers of each input: one, or one a label. Those of one input share its masks.
        keep: an input that cannot be explained has its error in its place.
        known: what the only asker was asked before.
        told: what siblings say.

    Raises:
        InputError: options that do not fit an input.
        ModelError: the model failed.
    """
    progress = progress_callback(chosen.progress if Processes().first else False)
    made: dict[Asker, InteractionExplanation | ProxySpexError] = {}
    start = kernel_of(chosen.warm_start) if known is None else None
    told = told or {}
    groups = [inputs]
    if chosen.warm_start is True:
        groups = [inputs[:1], inputs[1:]]
    for group in groups:
        running: list[_Running] = []
        for askers in group:
            with _kept(made, askers, keep):
                how = chosen.plan(askers[0].bound.n_features)
                running.append(_Running(askers, how, chosen.seed, known, start, told))
        _ask_all(running, progress, keep)
        for run in running:
            for place, asker in enumerate(run.askers):
                with _kept(made, [asker], keep):
                    if asker.error is not None:
                        raise asker.error
                    said = told.get(asker)
                    algorithm = chosen.algorithm(start, None if said is None else said.sibling)
                    found = run.explained(place, algorithm, progress)
                    noise = noise_floor(asker, found.queries.masks, chosen.noise)
                    record = make_record(pipe, asker, chosen, algorithm, found, noise, said)
                    made[asker] = InteractionExplanation(record)
        first = made[group[0][0]] if group else None
        if isinstance(first, InteractionExplanation):
            start = kernel_of(first)
    return [made[asker] for askers in inputs for asker in askers]


class _Running:
    """One input in the middle of its rounds.

    Attributes:
        masks: what is to be asked next; None when all is asked.
    """

    def __init__(
        self,
        askers: Sequence[Asker],
        how: Plan,
        seed: int,
        known: Asked | None,
        start: MaskKernel | None,
        told: Mapping[Asker, Told],
    ) -> None:
        self.askers, self.how, self._seed = askers, how, seed
        self._known, self._kernel, self._told = known, start, told
        self._seconds = {"model": 0.0, "masks": 0.0}
        self._start()

    def _start(self) -> None:
        self._live = [asker for asker in self.askers if asker.error is None]
        self._asked: Asked | None = None
        said = [self._told.get(asker) for asker in self._live]
        self._steps: Inquiry = inquiry(
            self.how,
            self._seed,
            known=self._known,
            start=self._kernel,
            siblings=[None if each is None else each.sibling for each in said],
        )
        self.masks: BoolArray | None = None
        if self._live:
            self._advance(None)

    @property
    def live(self) -> Sequence[Asker]:
        """Who still asks: those without an error."""
        return self._live

    def answered(self, values: Sequence[FloatArray], seconds: float) -> None:
        """Take the values of ``masks``, one array for each that is live."""
        self._seconds["model"] += seconds
        if any(asker.error is not None for asker in self._live):
            # The others start again without it; what they were answered is known.
            self._start()
        else:
            self._advance(values)

    def explained(
        self, place: int, algorithm: ProxySPEX, progress: ProgressCallback | None
    ) -> Attribution:
        """Fit the answers of one asker."""
        if self._asked is None:
            raise RuntimeError("an input was fitted before it was asked")
        queries = self._asked.queries(self._live.index(self.askers[place]))
        return explain(queries, self.how, algorithm, self._seconds, progress)

    def _advance(self, values: Sequence[FloatArray] | None) -> None:
        start = time.perf_counter()
        try:
            self.masks = next(self._steps) if values is None else self._steps.send(values)
        except StopIteration as done:
            self.masks, self._asked = None, done.value
        self._seconds["masks"] += time.perf_counter() - start


def _ask_all(running: Sequence[_Running], progress: ProgressCallback | None, keep: bool) -> None:
    """Ask every input's next masks together until none has more."""
    rounds = Rounds(progress, sum(run.how.calls * len(run.askers) for run in running))
    while open_ := [run for run in running if run.masks is not None]:
        askers: list[Asker] = []
        masks: list[BoolArray] = []
        for run in open_:
            askers += run.live
            masks += [run.masks for _ in run.live if run.masks is not None]
        start = time.perf_counter()
        tell = rounds.of(sum(map(len, masks)))
        values = iter(ask_together(askers, masks, tell, keep=keep))
        seconds = time.perf_counter() - start
        for run in open_:
            run.answered([next(values) for _ in run.live], seconds / len(open_))


@contextmanager
def _kept(made: dict[Asker, Any], askers: Sequence[Asker], keep: bool) -> Iterator[None]:
    """With ``keep``, an error inside becomes what was made in the askers' place."""
    try:
        yield
    except ProxySpexError as error:
        if not keep:
            raise
        made.update((asker, error) for asker in askers)


def placed(error: ProxySpexError, position: int, count: int) -> ProxySpexError:
    """An error that says which input of a list it is about."""
    named = copy.copy(error)  # with all else that it says, such as a status
    named.args = (f"inputs[{position}] of {count}: {error}",)
    named.__cause__ = error
    return named
