"""Explaining rows with one explainer: in this process, or as an actor of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from proxyspex_hf.dataset.finished import Done, Pending, explainer_key, input_key, short_error
from proxyspex_hf.dataset.sources import Row, taken
from proxyspex_hf.errors import InputError, ModelError, ProxySpexError
from proxyspex_hf.explainer import InteractionExplainer
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.failures import causes, is_out_of_memory, is_transient
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.hf.served.line import Lost
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.tasks.table import FUNCTION, task_of
from proxyspex_hf.record.record import ExplanationRecord

#: An explainer, or a function without arguments that makes one where the work is done.
Explainer = InteractionExplainer | Callable[[], InteractionExplainer]
#: Rows that are asked together in one process, so that batches stay full: convention.
_TOGETHER = 8


def check_explainer(explainer: Explainer) -> None:
    """Find out what can be known of an explainer where it is not made yet.

    Raises:
        InputError: it is none, nor what could make one, or cannot explain a data set.
    """
    if isinstance(explainer, InteractionExplainer):
        explainer_key(explainer)
    elif not callable(explainer):
        raise _no_explainer(explainer)


def _no_explainer(found: Any) -> InputError:
    return InputError(
        "explainer must be an InteractionExplainer or a function that makes one, got "
        f"{type(found).__name__}."
    )


class Worker:
    """Explains rows: in this process, or as an actor of a cluster.

    Args:
        explainer: or what makes it.
        folder: of finished explanations.
        known: keys of inputs that shards hold already.
        cache_dir: for the model's answers.
    """

    def __init__(
        self,
        explainer: Explainer,
        folder: Path,
        known: set[str],
        cache_dir: str | Path | None,
    ) -> None:
        check_explainer(explainer)
        made = explainer if isinstance(explainer, InteractionExplainer) else explainer()
        if not isinstance(made, InteractionExplainer):
            raise _no_explainer(made)
        self._explainer, self._known = made, known
        self._options: dict[str, Any] = {"errors": "keep", "progress": False}
        own = task_of(made.pipe) == FUNCTION or callable(made.options.value)
        if cache_dir is not None and not own:
            # Of a user's own function only what is finished is kept.
            self._options["cache_dir"] = cache_dir
        self._pending = Pending(folder)
        self._key = explainer_key(made)

    def all(self, rows: Iterable[Row]) -> Iterator[Done]:
        """What became of each row, in order."""
        source = iter(rows)
        failed = None
        while failed is None:
            some, failed = taken(source, _TOGETHER)
            if not some and failed is None:
                return
            yield from self.some(some)
        raise failed

    def some(self, rows: Sequence[Row]) -> list[Done]:
        """The same for a few that are asked together.

        Raises:
            InputError: several labels a row, or a place that cannot be written.
            ModelError: the model's server or network is gone, or serves another model.
        """
        keys = [
            input_key(self._key, row.value if row.error is None else [row.number, row.error])
            for row in rows
        ]
        # One process decides for all of them, which ask the rest together.
        decided = Processes().from_first(
            lambda: [self._finished(row, key) for row, key in zip(rows, keys, strict=True)]
        )
        open_ = [place for place, done in enumerate(decided) if done is None]
        made = self._made([rows[place].value for place in open_]) if open_ else []
        # Explanations first, so that they are kept where another row's failure is raised.
        order = sorted(zip(open_, made, strict=True), key=lambda pair: _is_error(pair[1]))
        new = {place: self._done(rows[place].number, keys[place], each) for place, each in order}
        return [new[place] if done is None else done for place, done in enumerate(decided)]

    def _finished(self, row: Row, key: str) -> Done | None:
        """What became of a row that needs no explanation; None of one that does."""
        if row.error is not None:
            return Done(row.number, key, error=short_error(row.error))
        if key in self._known:
            return Done(row.number, key)
        kept = self._pending.get(key)
        return None if kept is None else Done(row.number, key, id=_id_of(kept))

    def _made(self, values: Sequence[Any]) -> Sequence[Any]:
        """The explanation of each input, or its error; what no input is to blame for, such as a
        full disk, is raised."""
        explainer = self._explainer
        return explainer._each(list(values), explainer.options.changed(self._options))

    def _done(self, number: int, key: str, made: Any) -> Done:
        if isinstance(made, Mapping):
            raise InputError(
                "several labels per row make several explanations: explain one target at a time, "
                "each with a config_name of its own."
            )
        if isinstance(made, InteractionExplanation):
            if Processes().first:
                self._pending.keep(key, made.record)
            return Done(number, key, id=_id_of(made.record))
        pipe = self._explainer.pipe
        fails_here = isinstance(pipe, ServedModel) and any(map(_is_own_failure, causes(made)))
        if not isinstance(made, ProxySpexError) or (is_transient(made, None) and not fails_here):
            raise made
        if isinstance(made, ModelError) and isinstance(pipe, ServedModel):
            pipe.check()
        said = str(made.__cause__ or made)  # without its place among those asked together
        return Done(number, key, error=short_error(said), again=is_out_of_memory(made))


def _is_own_failure(error: BaseException) -> bool:
    """Whether a server answered that it failed itself: where it answers another question, that was
    of what it was asked. Gateways and servers that are full have statuses of their own."""
    return isinstance(error, Lost) and error.status == 500


def _is_error(made: Any) -> bool:
    return isinstance(made, Exception)


def _id_of(record: ExplanationRecord | None) -> str | None:
    from proxyspex_hf.hub.rows import content_id

    return None if record is None else content_id(record)
