"""Every model class of transformers that a task can hold: is a value what the pipeline says?

Tiny, random, sharp models × tokenizers × maskings. The reference is the pipeline itself on the
masked input (for text-generation, the model's own generation, made to say it). The verdicts:

- equal: within 1e-4 (float32) of it, relative to the largest value, at least 1;
- refused: an error of this package, in words;
- different, foreign (an exception of another library): there must be none;
- unbuilt: no tiny model of the class could be made, with the reason;
- pipeline fails: the pipeline itself cannot answer.

    python tests/bench/architectures.py --tasks text-generation --json out.jsonl
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers as tf
from harness.tiny_architectures import CLASSES, built, classes, config_of
from harness.tiny_tokenizers import DECODERS, ENCODERS, tokenizer
from PIL import Image

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.errors import ModelError, ProxySpexError
from proxyspex_hf.hf.saying import forced_log_probabilities

TEXT = "It could have been great, but the plot is dull and never funny."
LABELS = {0: "entailment", 1: "neutral", 2: "contradiction"}
TOLERANCE = 1e-4
#: Seconds for one case: beyond it the class is not tiny.
PATIENCE = 40


@dataclass(frozen=True)
class Case:
    """One thing to try."""

    task: str
    kind: str
    name: str
    tokenizer: str
    masking: str

    @property
    def key(self) -> str:
        return " ".join([self.task, self.kind, self.tokenizer, self.masking])


@dataclass
class Verdict:
    """What came of a case."""

    key: str
    name: str
    verdict: str
    way: str = ""
    difference: float = 0.0
    spread: float = 0.0
    message: str = ""


TEXT_TASKS = (
    "text-classification",
    "zero-shot-classification",
    "token-classification",
    "fill-mask",
    "text-generation",
    "feature-extraction",
)
#: Image classifiers, too; other images, pairs and recordings are tried in tests/hf.
TASKS = (*TEXT_TASKS, "image-classification")


def cases(tasks: Sequence[str], every_tokenizer: bool) -> Iterator[Case]:
    """Each class with one tokenizer of its kind (in turn), or with all of them."""
    for task in tasks:
        kinds = DECODERS if task == "text-generation" else ENCODERS
        names = [n for n in kinds if not (task in ("fill-mask",) and n == "t5")]
        for place, (kind, name) in enumerate(classes(task)):
            chosen = names if every_tokenizer else [names[place % len(names)]]
            for each in chosen if task in TEXT_TASKS else ["-"]:
                for masking in ("mask", "delete") if task in TEXT_TASKS else ("mask",):
                    yield Case(task, kind, name, each, masking)


def pipeline_of(case: Case) -> Any:
    """The pipeline of a case, around a tiny model."""
    settings: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    if case.task in TEXT_TASKS:
        tok = copy.deepcopy(tokenizer(case.tokenizer))
        parts["tokenizer"] = tok
        settings = {
            "vocab_size": len(tok),
            "pad_token_id": tok.pad_token_id,
            "bos_token_id": tok.bos_token_id if tok.bos_token_id is not None else 0,
            "eos_token_id": tok.eos_token_id if tok.eos_token_id is not None else 2,
            "decoder_start_token_id": tok.pad_token_id,
        }
    config = config_of(case.kind, **{k: v for k, v in settings.items() if v is not None})
    config.id2label, config.label2id = LABELS, {v: k for k, v in LABELS.items()}
    model = built(case.name, config)
    if case.task == "image-classification":
        parts["image_processor"] = tf.CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        )
    classes_of = {
        "image-classification": tf.ImageClassificationPipeline,
        "text-classification": tf.TextClassificationPipeline,
        "zero-shot-classification": tf.ZeroShotClassificationPipeline,
        "token-classification": tf.TokenClassificationPipeline,
        "fill-mask": tf.FillMaskPipeline,
        "text-generation": tf.TextGenerationPipeline,
        "feature-extraction": tf.FeatureExtractionPipeline,
    }
    return classes_of[case.task](model=model, device="cpu", task=case.task, **parts)


def masks_of(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = [np.ones(n, bool), np.zeros(n, bool), np.arange(n) % 2 == 0]
    return np.concatenate([np.stack(ends), rng.random((6, n)) < rng.uniform(0.2, 0.9, (6, 1))])


def case_is_text(pipe: Any) -> bool:
    return pipe.tokenizer is not None


def classified(pipe: Any, function: Any, mask: np.ndarray) -> float:
    count = {} if case_is_text(pipe) else {"top_k": len(LABELS)}
    settings = {"top_k": None, "function_to_apply": "none", **count}
    said = pipe(function.masked_input(mask), **settings)
    return float(next(s["score"] for s in said if s["label"] == function.target.label))


def zero_shot(pipe: Any, function: Any, mask: np.ndarray) -> float:
    said = pipe(function.masked_input(mask), candidate_labels=["film", "politics"])
    scores = dict(zip(said["labels"], said["scores"], strict=True))
    return float(scores[function.target.label])


def embedded(pipe: Any, function: Any, mask: np.ndarray) -> float:
    own, whole = (
        np.array(pipe(text)[0]).mean(0) for text in (function.masked_input(mask), function.text)
    )
    return float(own @ whole / np.linalg.norm(own) / np.linalg.norm(whole))


def said(pipe: Any, function: Any, mask: np.ndarray) -> float:
    """The log-perplexity of the target as the model generates it, with its own cache."""
    inputs = pipe.preprocess(function.masked_input(mask), **function.stages.preprocess)
    given = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
    if not given["input_ids"].shape[1]:
        given = {}
    with torch.inference_mode():
        rows = forced_log_probabilities(pipe.model, given, function.target_ids)
    return -rows.double().mean().item()


def at_site(pipe: Any, function: Any, mask: np.ndarray) -> float:
    """By the slow path: the pipeline's own stages, one mask at a time."""
    return float(function.score(function.by_pipeline(mask))[0])


REFERENCES: dict[str, Callable[[Any, Any, np.ndarray], float]] = {
    "text-classification": classified,
    "image-classification": classified,
    "zero-shot-classification": zero_shot,
    "feature-extraction": embedded,
    "text-generation": said,
}


def asked(case: Case, pipe: Any) -> Any:
    """The value function of a case."""
    explainer = InteractionExplainer(pipe, masking=case.masking)
    if case.task == "image-classification":
        pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return explainer.value_function(Image.fromarray(pixels), patches=(3, 3))
    if case.task == "zero-shot-classification":
        given = {"text": TEXT, "candidate_labels": ["film", "politics"]}
        return explainer.value_function(given, value="probability")
    if case.task == "token-classification":
        return explainer.value_function({"text": TEXT, "word": "plot"})
    if case.task == "fill-mask":
        return explainer.value_function(TEXT.replace("great", pipe.tokenizer.mask_token))
    if case.task == "text-generation":
        return explainer.value_function(TEXT, target=" but never dull")
    return explainer.value_function(TEXT)


def judged(case: Case) -> Verdict:
    """Try one case."""
    result = Verdict(case.key, case.name, "unbuilt")
    try:
        pipe = pipeline_of(case)
        if sum(weight.numel() for weight in pipe.model.parameters()) > 30e6:
            raise ValueError("not tiny")
    except Exception as error:  # noqa: BLE001 - any library's: it is the verdict
        result.message = f"{type(error).__name__}: {error}"[:300]
        return result
    try:
        function = asked(case, pipe)
        masks = masks_of(function.n_features)
        values = function(masks)
    except TimeoutError:
        raise
    except ProxySpexError as error:
        own = isinstance(error, ModelError) and "pipeline" in str(error)
        result.verdict, result.message = "pipeline fails" if own else "refused", str(error)[:300]
        return result
    except Exception as error:  # noqa: BLE001
        result.verdict, result.message = "foreign", f"{type(error).__name__}: {error}"[:300]
        return result
    result.way = str(function.way)
    reference = REFERENCES.get(case.task, at_site)
    try:
        expected = np.array([reference(pipe, function, mask) for mask in masks])
    except Exception as error:  # noqa: BLE001
        result.verdict, result.message = "pipeline fails", f"{type(error).__name__}: {error}"[:300]
        return result
    result.difference = float(np.abs(values - expected).max())
    result.spread = float(expected.std())
    close = result.difference <= TOLERANCE * max(1.0, float(np.abs(expected).max()))
    result.verdict = "equal" if close else "different"
    return result


def within_patience(case: Case) -> Verdict:
    """Try one case, but not for ever."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"longer than {PATIENCE} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        return judged(case)
    except TimeoutError as error:
        return Verdict(case.key, case.name, "unbuilt", message=str(error))
    finally:
        signal.alarm(0)


def report(found: Sequence[Verdict]) -> str:
    """The table of verdicts and ways by task, and all that is not equal."""
    verdicts = ["equal", "refused", "pipeline fails", "unbuilt", "different", "foreign"]
    ways = ["together", "equal sizes", "alone", "pipeline"]
    tasks = [task for task in CLASSES if any(v.key.startswith(task) for v in found)]
    lines = ["| task | classes | " + " | ".join(verdicts + ways) + " |"]
    lines.append("|---" * (2 + len(verdicts) + len(ways)) + "|")
    for task in tasks:
        own = [v for v in found if v.key.startswith(task + " ")]
        by_verdict, by_way = Counter(v.verdict for v in own), Counter(v.way for v in own)
        numbers = [by_verdict[v] for v in verdicts] + [by_way[w] for w in ways]
        built_of = {v.name for v in own if v.verdict != "unbuilt"}
        cells = [task, str(len(built_of)), *map(str, numbers)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    insensitive = [v.key for v in found if v.verdict == "equal" and v.spread < 1e-6]
    lines.append(f"Equal, but hardly changed by any mask: {len(insensitive)}. {insensitive[:20]}")
    lines += [
        f"{each.verdict:14s} {each.key} {each.name} {each.way} "
        f"{each.difference:.1e}/{each.spread:.1e} {each.message}"
        for each in found
        if each.verdict != "equal"
    ]
    return "\n".join(lines)


def run(wanted: Sequence[Case], known: dict[str, Verdict], file: Any) -> list[Verdict]:
    """Try what is not known yet, a line each."""
    found = []
    for case in wanted:
        if case.key in known:
            found.append(known[case.key])
            continue
        begin = time.perf_counter()
        found.append(within_patience(case))
        if file is not None:
            file.write(json.dumps(asdict(found[-1])) + "\n")
            file.flush()
        last = found[-1]
        print(f"{last.verdict:14s} {time.perf_counter() - begin:5.1f} s {last.key} {last.way}")
    return found


def quiet() -> None:
    """No words but our own."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    tf.utils.logging.set_verbosity(50)
    torch.set_num_threads(1)


def main() -> None:
    """See the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--families", nargs="+", help="only these model types")
    parser.add_argument("--every-tokenizer", action="store_true", help="not one a class, in turn")
    parser.add_argument("--every", type=int, default=1, help="only each k-th class")
    parser.add_argument("--json", type=Path, help="JSON lines; what is in it is not tried again")
    args = parser.parse_args()
    quiet()
    wanted = list(cases(args.tasks, args.every_tokenizer))
    if args.families:
        wanted = [case for case in wanted if case.kind in args.families]
    names = sorted({case.kind for case in wanted})[:: args.every]
    wanted = [case for case in wanted if case.kind in names]
    known: dict[str, Verdict] = {}
    if args.json is not None and args.json.exists():
        rows = [json.loads(line) for line in args.json.read_text().splitlines()]
        known = {row["key"]: Verdict(**row) for row in rows}
    file = None if args.json is None else args.json.open("a")
    found = run(wanted, known, file)
    print(report(found))
    if any(v.verdict in ("different", "foreign") for v in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
