"""The command line: ``proxyspex-hf explain | show | compare | explain-dataset | app | push …``.

Exit codes: 0 done; 1 the model or a file failed; 2 the arguments or the input cannot be used;
3 some rows of a data set have errors; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from proxyspex_hf import __version__
from proxyspex_hf.cli.app import add_app_command
from proxyspex_hf.cli.dataset import add_dataset_command
from proxyspex_hf.cli.hub import add_hub_commands
from proxyspex_hf.cli.parser import Command
from proxyspex_hf.cli.served import add_server_options, check_server_options, served_model
from proxyspex_hf.cli.show import (
    add_output,
    add_show_commands,
    check_output,
    in_options,
    print_explanation,
)
from proxyspex_hf.errors import InputError, ProxySpexError, ProxySpexWarning

#: Of a model that is loaded here, where none is named.
_TASK = "text-classification"
#: Leads to the file, if it is one, that a shell put there.
_STDIN = Path("/dev/stdin")
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    _open_what_is_closed()
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal without our signs still shows the rest
            stream.reconfigure(errors="replace")
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        with warnings.catch_warnings():
            # What a reader must know is printed with the result, once.
            warnings.simplefilter("ignore", ProxySpexWarning)
            return run(options)
    except InputError as error:
        return _complain(in_options(error, options), EXIT_USAGE)
    except ProxySpexError as error:
        return _complain(in_options(error, options), EXIT_FAILED)
    except KeyboardInterrupt as error:
        said = ["interrupted; no file was left incomplete.", *getattr(error, "__notes__", ())]
        return _complain(" ".join(said), EXIT_INTERRUPTED)
    except UnicodeDecodeError as error:
        return _complain(f"the input is not text: {error}", EXIT_USAGE)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return EXIT_OK
    except OSError as error:
        return _complain(_of_system(error), EXIT_FAILED)


def _open_what_is_closed() -> None:
    """A program that is started without standard output or error (``>&-``) has None for them."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _of_system(error: OSError) -> str:
    """What the system says, of which file where it says one; a network has no such number."""
    if isinstance(error, (ConnectionError, TimeoutError)) or error.strerror is None:
        return f"{type(error).__name__}: {error}"
    where = "" if error.filename is None else f" {error.filename}"
    return f"cannot read or write{where}: {error.strerror}"


def _complain(what: object, code: int) -> int:
    sys.stderr.write(f"proxyspex-hf: {what}\n")
    return code


_EXAMPLES = """\
examples:
  proxyspex-hf explain "It is not a bad film" --html e.html
  proxyspex-hf explain - --model owner/name --target POSITIVE < review.txt
  proxyspex-hf explain "not bad" --out e.json --image e.svg
  proxyspex-hf show e.json --top 20
  proxyspex-hf compare before.json after.json
  proxyspex-hf summary *.json
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="proxyspex-hf",
        description="Which combinations of the inputs made a model say that?",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"proxyspex-hf {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=Command)

    explain = commands.add_parser(
        "explain",
        help="explain a text under a model",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    explain.add_argument("text", help="the text, or - to read standard input")
    explain.add_argument(
        "--model",
        help="directory or Hub id, or its name on --server (default: a classifier of film "
        "reviews that ships)",
    )
    explain.add_argument(
        "--task",
        help="a transformers task (default: text-classification; text-generation with --server)",
    )
    explain.add_argument("--target", help="label or its index (default: the predicted one)")
    explain.add_argument(
        "--features",
        default="words",
        choices=["words", "sentences", "tokens"],
        help="what a mask takes out",
    )
    explain.add_argument("--value", help="logit, margin, log-perplexity … (default: the task's)")
    explain.add_argument(
        "--quantization", choices=["8bit", "4bit"], help="quantize with bitsandbytes"
    )
    explain.add_argument(
        "--sibling", metavar="MODEL", help="a cheaper model that is explained first, to ask less"
    )
    explain.add_argument("--cache-dir", help="directory that keeps every answer of the model")
    explain.add_argument(
        "--masking",
        default="mask",
        choices=["mask", "delete"],
        help="replace a feature, or take it away",
    )
    explain.add_argument("--mask-token", help="text that replaces a masked feature")
    explain.add_argument("--device", help="cpu, cuda, cuda:1, mps … (default: the pipeline's)")
    explain.add_argument("--max-new-tokens", type=int, help="length of a generated output")
    add_server_options(explain)
    _effort(explain)
    add_output(explain)
    explain.set_defaults(run=_explain)

    show = commands.add_parser("show", help="show a saved explanation")
    show.add_argument("file", type=Path, help="file written by --out or save()")
    add_output(show, saved=True)
    show.set_defaults(run=_show)

    demo = commands.add_parser("demo", help="explain a real review with the shipped model")
    _effort(demo)
    add_output(demo)
    demo.set_defaults(run=_demo)

    add_show_commands(commands)
    add_dataset_command(commands)
    add_app_command(commands)
    add_hub_commands(commands)
    return parser


def _effort(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("effort")
    group.add_argument("--alpha", type=float, help="fit alpha * n * log2(n) masks (default 2)")
    group.add_argument(
        "--budget",
        type=_budget,
        metavar="N",
        help="exact number of masks to fit instead, or auto: as many as --r2 needs",
    )
    group.add_argument("--r2", type=float, help="with --budget auto: R² to reach, such as 0.9")
    group.add_argument(
        "--question",
        choices=["any", "input", "shapley", "subsets"],
        help="what the masks should tell: any (default), effects at the input, Shapley values, or "
        "uniform subsets as in the paper",
    )
    group.add_argument("--rounds", type=int, help="rounds in which masks are chosen (default 4)")
    group.add_argument(
        "--density",
        help="draw all masks at once instead: wide, mixed (0.5, 0.7, 0.9), uniform (the paper's), "
        "or shares of the features to keep, such as 0.5,0.9",
    )
    group.add_argument("--max-order", type=int, help="largest interaction to look for")
    group.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same explanation"
    )
    group.add_argument("--batch-size", type=int, help="masked inputs in one forward pass")
    group.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="progress bars (default: in a terminal)",
    )


def _budget(given: str) -> int | str:
    """A number of masks, or the word for as many as a goal needs."""
    try:
        return given if given == "auto" else int(given)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a whole number of masks or auto, got {given!r}"
        ) from None


def _options(given: argparse.Namespace) -> dict[str, Any]:
    shown = sys.stderr.isatty() if given.progress is None else given.progress
    options: dict[str, Any] = {"seed": given.seed, "progress": shown}
    for name in ("alpha", "budget", "question", "rounds", "max_order", "batch_size"):
        if getattr(given, name) is not None:
            options[name] = getattr(given, name)
    if given.r2 is not None:
        from proxyspex_hf.core.queries import Goal  # slow to import: not for --help

        options["goal"] = Goal(r2=given.r2)
    if given.density is not None:
        options["density"] = _density(given.density)
    return options


def _density(given: str) -> Any:
    """A name, or numbers."""
    from proxyspex_hf.core.queries import DENSITIES  # slow to import: not for --help

    if given in DENSITIES:
        return given
    try:
        return [float(share) for share in given.split(",")]
    except ValueError:
        raise InputError(
            f"--density takes {', '.join(DENSITIES)} or numbers between 0 and 1 with commas "
            f"between them, got {given!r}."
        ) from None


def _explain(given: argparse.Namespace) -> int:
    piped = given.text == "-"
    text = _standard_input() if piped else given.text
    options = _options(given)
    named = ("target", "features", "masking", "mask_token", "value", "cache_dir", "max_new_tokens")
    for name in named:
        if getattr(given, name) is not None:
            options[name] = getattr(given, name)
    check_output(given, *([_STDIN] if piped else []))
    check_server_options(given)
    pipe = served_model(given) if given.server else _local_pipeline(given)
    if _is_index(pipe, given.target):
        options["target"] = int(given.target)
    if given.sibling is not None:
        options["sibling"] = _sibling(given, pipe.task, options["progress"])
    return _explain_with(given, pipe, text, options)


def _standard_input() -> str:
    """The text that is piped in, without the mark with which some programs begin one.

    Raises:
        InputError: it is closed.
    """
    if sys.stdin is None:
        raise InputError("standard input is closed: pipe a text in, or give it instead of -.")
    return sys.stdin.read().removeprefix("\ufeff")


def _sibling(given: argparse.Namespace, task: str, progress: bool) -> Any:
    """The explainer of the cheaper model, for the same task on the same device."""
    from proxyspex_hf.explainer import InteractionExplainer

    named = argparse.Namespace(model=given.sibling, task=task, device=given.device)
    return InteractionExplainer(
        _pipeline(named), progress=progress, features=given.features, batch_size=given.batch_size
    )


def _local_pipeline(given: argparse.Namespace) -> Any:
    """The pipeline that was named, or the shipped one, with a word about it."""
    if given.model is None:
        from proxyspex_hf.demo import DEMO_MODEL

        if given.task not in (None, _TASK):
            raise InputError(f"--task {given.task} needs a --model that does it.")
        given.model = DEMO_MODEL
        sys.stderr.write(
            "Using the small classifier of film reviews that ships; --model names another.\n"
        )
    return _pipeline(given)


def _is_index(pipe: Any, target: str | None) -> bool:
    """Whether a target is the number of a class, not the name of one or a text."""
    if target is None or not target.isdecimal() or pipe.task == "text-generation":
        return False
    if hasattr(pipe, "model"):
        return target not in (pipe.model.config.id2label or {}).values()
    return pipe.started is not None and target not in pipe.labels


def _demo(given: argparse.Namespace) -> int:
    from proxyspex_hf.demo import DEMO_MODEL, demo_review

    check_output(given)
    given.model, given.task, given.device = DEMO_MODEL, "text-classification", "cpu"
    # Log-odds are what a reader sees as a probability.
    options = {**_options(given), "value": "log-odds"}
    return _explain_with(given, _pipeline(given), demo_review(), options)


def _explain_with(given: argparse.Namespace, pipe: Any, text: str, options: dict[str, Any]) -> int:
    from proxyspex_hf.explainer import InteractionExplainer

    explanation = InteractionExplainer(pipe)(text, **options)
    if given.out is not None:
        explanation.save(given.out)
    return print_explanation(given, explanation)


def _show(given: argparse.Namespace) -> int:
    from proxyspex_hf.explanation import InteractionExplanation

    check_output(given, given.file)
    return print_explanation(given, InteractionExplanation.load(given.file))


def _pipeline(given: argparse.Namespace) -> Any:
    from proxyspex_hf.hf.loading import load_pipeline, quieten
    from proxyspex_hf.hf.tasks.table import check_task_name

    quieten()
    if given.task is not None:
        check_task_name(given.task)  # before minutes of loading, not after
    quantization = getattr(given, "quantization", None)
    where = "device" if quantization is None else "device_map"
    where_to: dict[str, Any] = {where: given.device}
    try:
        return load_pipeline(
            given.model, task=given.task or _TASK, quantization=quantization, **where_to
        )
    except InputError as error:
        if "cannot load" not in str(error):
            raise
        raise InputError(
            f"{error} (--model takes a directory or a Hub id, --task a transformers task)"
        ) from error
