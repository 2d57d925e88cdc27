"""Ray Data as the engine: rows stream through actors that hold the explainer.

A killed actor is started anew by Ray and its rows are given to it again; what it had finished lies
in the shared folder and is not explained again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from proxyspex_hf.dataset.finished import Done
from proxyspex_hf.dataset.sources import Columns, Row, rows_of
from proxyspex_hf.dataset.worker import Worker
from proxyspex_hf.errors import InputError, ModelError, ProxySpexError
from proxyspex_hf.hf.failures import causes, first_line

#: Rows of one block: few, so that actors share them evenly to the end. Convention.
_BLOCK = 4
#: The column in which rows travel that this process has read.
_CARRIED = "row of proxyspex_hf"


class _Actor:
    """One worker in the cluster, made once and kept."""

    def __init__(self, make: Callable[[], Worker], columns: Columns) -> None:
        self._worker, self._columns = make(), columns

    def __call__(self, given: dict[str, Any]) -> dict[str, Any]:
        if _CARRIED in given:
            row = Row(**json.loads(given[_CARRIED]))
        else:
            row = self._columns.input_of(0, given)
        (done,) = self._worker.some([row])
        # Texts, so that a block has one type whatever its rows became.
        return {"done": json.dumps(asdict(done))}


def worked_by_ray(
    source: Any,
    columns: Columns,
    make: Callable[[], Worker],
    *,
    workers: int,
    num_gpus: float,
) -> Iterator[Done]:
    """What became of each row, in order; the work begins with the first that is asked for.

    Raises:
        InputError: Ray is not installed, a column that is not there, or an input that cannot
            travel.
        ModelError: the cluster failed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("engine='ray' needs: pip install 'proxyspex-hf[ray]'.") from error
    if not ray.is_initialized():
        # Whoever has started Ray has their own settings.
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        logging.getLogger("ray.data").setLevel(logging.WARNING)
    is_ray = isinstance(source, ray.data.Dataset)
    if is_ray:
        columns.check(source.columns())
        rows = source.select_columns(list(dict.fromkeys(columns.names)))
    else:
        carried = [{_CARRIED: _carried(row)} for row in rows_of(source, columns)]
        if not carried:
            return iter(())
        blocks = max(1, len(carried) // _BLOCK)
        rows = ray.data.from_items(carried, override_num_blocks=blocks)
    return _worked(rows, columns, make, workers=workers, num_gpus=num_gpus, is_ray=is_ray)


def _worked(
    rows: Any,
    columns: Columns,
    make: Callable[[], Worker],
    *,
    workers: int,
    num_gpus: float,
    is_ray: bool,
) -> Iterator[Done]:
    import ray
    import ray.data

    done = rows.map(
        _Actor,
        fn_constructor_args=(make, columns),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=num_gpus or None,
    )
    # A data set has the settings of when it was made; these are of its rows' places.
    done.context.enable_progress_bars = False
    done.context.execution_options.preserve_order = True
    try:
        for number, each in enumerate(done.iter_rows()):
            found = Done(**json.loads(each["done"]))
            yield replace(found, row=number) if is_ray else found
    except ray.exceptions.RayError as error:
        raise _ours(error) from error


def _carried(row: Row) -> str:
    try:
        return json.dumps(asdict(row) | {"value": _plain(row.value)})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"row {row.number} holds more than texts and numbers, which cannot travel to a cluster "
            "from here: give a Ray data set, such as ray.data.read_parquet(...)."
        ) from error


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _ours(error: BaseException) -> ProxySpexError:
    """The error of a worker as this package's."""
    told = getattr(error, "cause", None)  # Ray's own way to carry what a worker raised
    for cause in (*causes(error), *(causes(told) if isinstance(told, BaseException) else ())):
        if isinstance(cause, ProxySpexError):
            return cause
    return ModelError(f"the cluster failed: {type(error).__name__}: {first_line(error)}")
