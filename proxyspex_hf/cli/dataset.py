"""The command that explains every row of a data set."""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

from proxyspex_hf.cli.served import add_server_options, check_server_options, served_model
from proxyspex_hf.errors import InputError

#: Exit code where rows have errors, but all of them were read.
_SOME_FAILED = 3


def add_dataset_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    parser = commands.add_parser(
        "explain-dataset", help="explain every row of a data set, here or on a Ray cluster"
    )
    parser.add_argument(
        "data", help="Parquet or JSON Lines (a file, a folder), or owner/name of a data set"
    )
    parser.add_argument("--column", required=True, help="the column to explain")
    parser.add_argument("--split", default="train", help="split of a data set on the Hub")
    parser.add_argument(
        "--data-config", metavar="NAME", help="its configuration, if it has several"
    )
    parser.add_argument("--model", help="directory or Hub id of the model, or its name on --server")
    parser.add_argument("--task", help="a transformers task (default: what the model's class says)")
    parser.add_argument(
        "--quantization", choices=["8bit", "4bit"], help="quantize with bitsandbytes"
    )
    group = parser.add_argument_group("where the explanations go")
    group.add_argument("--push", metavar="OWNER/NAME", help="a data set on the Hub")
    group.add_argument("--out", type=Path, metavar="FOLDER", help="a folder instead")
    group.add_argument("--config-name", default="explanations", help="collection within it")
    group.add_argument("--private", action="store_true", help="make a new data set private")
    group.add_argument("--shard-size", type=int, default=100, help="rows in a commit (default 100)")
    group = parser.add_argument_group("how")
    group.add_argument(
        "--engine", choices=["ray"], help="where the work is done (default: this process)"
    )
    group.add_argument("--workers", type=int, default=2, help="actors of the cluster (default 2)")
    group.add_argument("--num-gpus", type=float, default=0, help="GPUs of each actor (default 0)")
    group.add_argument(
        "--cache-dir", help="directory that keeps answers, on storage that all workers share"
    )
    group.add_argument("--alpha", type=float, help="fit alpha * n * log2(n) masks (default 2)")
    group.add_argument("--budget", type=int, help="exact number of masks to fit instead")
    group.add_argument(
        "--features", choices=["words", "sentences", "tokens"], help="what a mask takes out"
    )
    group.add_argument(
        "--masking", choices=["mask", "delete"], help="replace a feature, or take it away"
    )
    group.add_argument("--target", help="label, or the output to explain")
    group.add_argument("--max-new-tokens", type=int, help="length of a generated output")
    group.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same explanations"
    )
    group.add_argument("--no-progress", action="store_true", help="no progress bar")
    add_server_options(parser)
    parser.set_defaults(run=_explain_dataset)


_OPTIONS = ("alpha", "budget", "features", "masking", "target", "max_new_tokens")


def _explain_dataset(given: argparse.Namespace) -> int:
    check_server_options(given)
    if given.model is None and not given.server:
        raise InputError("name a model: --model with a directory or a Hub id, or --server URL.")
    from proxyspex_hf.dataset.explain import explain_dataset

    options = {name: getattr(given, name) for name in _OPTIONS if getattr(given, name) is not None}
    run = explain_dataset(
        _opened(given),
        given.column,
        partial(_explainer, given, {**options, "seed": given.seed}),
        push_to=given.push,
        out=given.out,
        engine=given.engine,
        workers=given.workers,
        num_gpus=given.num_gpus,
        shard_size=given.shard_size,
        cache_dir=given.cache_dir,
        config_name=given.config_name,
        private=True if given.private else None,
        progress=False if given.no_progress else None,
    )
    known = f", {run.known:,} known before" if run.known else ""
    sys.stdout.write(
        f"{run.rows:,} rows: {run.explained:,} explained, {run.failed:,} with an error{known}\n"
    )
    for row, error in list(run.errors.items())[:10]:
        sys.stdout.write(f"row {row}: {error}\n")
    for shard in run.shards:
        sys.stdout.write(f"{shard}\n")
    return _SOME_FAILED if run.failed else 0


def _explainer(given: argparse.Namespace, options: dict[str, Any]) -> Any:
    """The explainer, where the work is done."""
    from proxyspex_hf.explainer import InteractionExplainer

    if given.server:
        return InteractionExplainer(served_model(given), **options)
    from proxyspex_hf.hf.loading import quieten

    quieten()
    return InteractionExplainer.from_pretrained(
        given.model, task=given.task, quantization=given.quantization, **options
    )


def _opened(given: argparse.Namespace) -> Any:
    """A file, a folder, or a data set on the Hub."""
    from proxyspex_hf.dataset.sources import FILE_ENDS

    is_file = Path(given.data).exists() or Path(given.data).suffix in FILE_ENDS
    if is_file or given.data.count("/") != 1:
        if given.data_config is not None:
            raise InputError("--data-config belongs to a data set on the Hub, named owner/name.")
        return given.data
    try:
        import datasets
    except ImportError as error:
        raise InputError("a data set on the Hub needs: pip install datasets.") from error
    try:
        return datasets.load_dataset(
            given.data, given.data_config, split=given.split, streaming=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"cannot open the data set {given.data!r:.100}: {_said_of_opening(error)}"
        ) from error


def _said_of_opening(error: Exception) -> str:
    """What `datasets` says, in a line; of configurations in our words how to name one."""
    # It lists them in the lines after the first, and then how load_dataset is called.
    said = " ".join(str(error).split("Example of usage")[0].split()) or repr(error)
    if re.search(r"available configs|BuilderConfig", said):
        return f"{said[:1000]} Give one as --data-config."
    return (str(error).strip() or repr(error)).splitlines()[0][:300]
