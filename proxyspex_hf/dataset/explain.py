"""explain_dataset: every row of a data set explained, in this process or by a cluster."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from proxyspex_hf.checks import as_integer, one_of
from proxyspex_hf.core.progress import Progress, ProgressCallback
from proxyspex_hf.dataset.finished import LONGEST_LIST, Done, Pending, lines_of
from proxyspex_hf.dataset.shards import Shards, shards_of
from proxyspex_hf.dataset.sources import Columns, begun, length_of, opened, rows_of
from proxyspex_hf.dataset.worker import Explainer, Worker, check_explainer
from proxyspex_hf.errors import InputError
from proxyspex_hf.explainer import InteractionExplainer
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.progress_bar import progress_callback

_log = logging.getLogger(__name__)


@dataclass
class DatasetRun:
    """What a call has done.

    Attributes:
        rows: rows that were read.
        explained, failed: those with an explanation now, and those with an error, now or before.
        known: those that were explained before.
        shards: where they are: a commit's address each, or a file.
        errors: row numbers and what is wrong with them, the first 1,000.

    Example:
        >>> DatasetRun(rows=2, explained=1, failed=1).known
        0
    """

    rows: int = 0
    explained: int = 0
    failed: int = 0
    known: int = 0
    shards: list[str] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)


def explain_dataset(
    dataset: Any,
    column: str | Mapping[str, str],
    explainer: Explainer,
    *,
    push_to: str | None = None,
    out: str | Path | None = None,
    engine: Literal["ray"] | None = None,
    workers: int = 2,
    num_gpus: float = 0,
    shard_size: int = 100,
    cache_dir: str | Path | None = None,
    config_name: str = "explanations",
    private: bool | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    progress: bool | ProgressCallback | None = None,
) -> DatasetRun:
    """Explain every row of a data set; rows stream in, explanations out as shards.

    Killed and called again, it resumes: no finished input is explained twice. A row that cannot be
    explained has its error in the shard's list, ``rows/…jsonl``; where memory ran out, the error is
    in ``errors`` alone, and the same call asks the row again. A network or a server that is gone is
    not a row's fault, and is raised. Under ``accelerate launch`` the batches of each row are
    divided among the processes.

    Args:
        dataset: a ``datasets.Dataset`` or ``IterableDataset``, a Ray data set, rows (mappings), or
            a path to Parquet or JSON Lines.
        column: the column that is explained, or several by the names that the task gives its
            input: ``{"context": "story", "question": "query"}``.
        explainer: an explainer, or a function without arguments that makes one: with an engine, it
            runs where the work is done, and nothing large travels.
        push_to: ``"owner/name"`` of a data set on the Hub, one commit per shard. It is made, and
            whether you may write there is asked, before the first row is explained, but after the
            columns and, unless an engine's workers make it, the explainer have been checked.
        out: a folder instead, with the same layout.
        engine: ``"ray"`` divides the rows among actors (extra ``[ray]``); default this process.
        workers: how many actors; with ``engine`` only.
        num_gpus: GPUs of each actor; with ``engine`` only.
        shard_size: rows of one shard; fewer where their errors make its list too long to read.
        cache_dir: where the model's answers and finished explanations lie until they are sent: on
            storage that all workers share; default the explainer's own, and else a folder in
            ``HF_HOME``, where answers are not kept.
        config_name: the collection within the data set or folder.
        private: whether a new data set on the Hub is private; default the account's setting.
        revision: branch of the data set to push to; default ``main``.
        token: access token, or True for the stored one; default that, if there is one.
        progress: as the option of an explainer.

    Raises:
        InputError: an argument that cannot be used.
        ModelError: the model's server or network is gone.
        HubError: you may not push there, or a shard could not be pushed; what it holds stays on
            disk.

    Example:
        >>> rows = [{"text": "not good"}, {"text": ""}]
        >>> run = explain_dataset(rows, "text", explainer, out="explained", progress=False)
        >>> run.explained, run.errors
        (1, {1: 'the text is empty: there is nothing to mask. Give a text with words.'})
    """
    columns = Columns(column)
    if engine is not None:
        one_of("engine", engine, ["ray"])
    elif (workers, num_gpus) != (2, 0):
        raise InputError(
            "workers and num_gpus belong to an engine: give engine='ray' with them, or leave them "
            "out."
        )
    as_integer("workers", workers, 1, 10_000)
    size = as_integer("shard_size", shard_size, 1, 100_000)
    shards = shards_of(push_to, out, config_name, **_of_hub(push_to, private, revision, token))
    source = opened(dataset)
    processes = Processes()
    folder = _pending_folder(cache_dir, explainer, shards)
    known: set[str] = set()
    # Rows and explainer first: what is wrong with them shall not make a data set on the Hub.
    if engine == "ray":
        from proxyspex_hf.dataset.with_ray import worked_by_ray

        check_explainer(explainer)
        make = partial(Worker, explainer, folder, known, cache_dir)
        results = worked_by_ray(source, columns, make, workers=workers, num_gpus=num_gpus)
    else:
        rows = begun(rows_of(source, columns))
        results = Worker(explainer, folder, known, cache_dir).all(rows)
    finished = processes.from_first(shards.finished)
    known.update(done.input for done in finished)
    collected = _Collected(shards, Pending(folder), size, known, finished, processes.first)
    told = progress_callback(progress if processes.first else False)
    total, begin = 0 if told is None else length_of(source), time.perf_counter()
    for done in results:
        collected.take(done)
        if told is not None:
            count = collected.run.rows
            # Of a stream, whose end is not known, there is one more until it ends.
            told(Progress("rows", count, total or count + 1, time.perf_counter() - begin))
    collected.close()
    count = collected.run.rows
    if told is not None and count != total:
        told(Progress("rows", count, count, time.perf_counter() - begin))
    return collected.run


def _of_hub(
    push_to: str | None, private: bool | None, revision: str | None, token: str | bool | None
) -> dict[str, Any]:
    given = {"private": private, "revision": revision, "token": token}
    named = [name for name, value in given.items() if value is not None]
    if push_to is None and named:
        raise InputError(f"{named[0]} belongs to push_to: give push_to='owner/name'.")
    return given if push_to is not None else {}


def _pending_folder(cache_dir: str | Path | None, explainer: Explainer, shards: Shards) -> Path:
    own = explainer.options.cache_dir if isinstance(explainer, InteractionExplainer) else None
    base = cache_dir if cache_dir is not None else own
    if base is None:
        from proxyspex_hf.hub.outbox import outbox_home

        base = outbox_home().parent
    name = hashlib.sha256(shards.place.encode()).hexdigest()[:16]
    return Path(base) / "finished" / name


class _Collected:
    """Gathers what became of rows into shards."""

    def __init__(
        self,
        shards: Shards,
        pending: Pending,
        size: int,
        known: set[str],
        finished: Sequence[Done],
        writes: bool,
    ) -> None:
        self.run = DatasetRun()
        self._known = known
        self._before = {done.input: done for done in finished}
        self._listed = {(done.row, done.input) for done in finished}
        self._sent: dict[str, Done] = {}
        self._shards, self._pending, self._size, self._writes = shards, pending, size, writes
        self._open: list[Done] = []
        self._bytes = 0  # of their list

    def take(self, done: Done) -> None:
        self.run.rows += 1
        before = self._before.get(done.input)
        twin = before or self._sent.get(done.input)
        if twin is not None:  # what stands twice in a data set is explained once
            done = replace(twin, row=done.row)
        if before is not None and done.error is None:
            self.run.known += 1
        elif done.error is None:
            self.run.explained += 1
        else:
            self.run.failed += 1
            if len(self.run.errors) < 1000:
                self.run.errors[done.row] = done.error
        if done.again or (before is not None and (done.row, done.input) in self._listed):
            return
        size = len(lines_of([done]))
        if self._bytes + size > LONGEST_LIST:
            self.close()
        self._open.append(done)
        self._bytes += size
        if len(self._open) >= self._size:
            self.close()

    def close(self) -> None:
        """Send what is open."""
        done, self._open, self._bytes = self._open, [], 0
        if not done or not self._writes:
            return
        records = []
        new = [
            each
            for each in done
            if each.error is None
            and each.input not in self._before
            and each.input not in self._sent
        ]
        elsewhere: set[str] = set()
        for key in dict.fromkeys(each.input for each in new):
            record = self._pending.get(key)
            if record is None:
                # Perhaps another call has sent it meanwhile: two share this folder. It may do so
                # while this one looks, too.
                if key not in elsewhere:
                    elsewhere = {each.input for each in self._shards.finished()}
                if key in elsewhere:
                    continue
                raise InputError(
                    f"a finished explanation is missing in {self._pending.folder}: give cache_dir "
                    "on storage that all workers share."
                )
            records.append(record)
        self.run.shards.append(self._shards.add(records, done))
        self._pending.drop(each.input for each in done)
        self._sent.update((each.input, each) for each in done)
        self._known.update(self._sent)
        _log.info("%d rows in %s", len(done), self.run.shards[-1])
