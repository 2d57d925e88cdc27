"""What a GPU changes: values, quantized values, speed, and what happens where memory ends.

    make gpu                                     # the tests that need one, then this: gpu.json
    python tests/bench/gpu.py                    # an NVIDIA GPU of 16 GB or more; three minutes
    python tests/bench/gpu.py --device cpu --small

The shipped classifier on the GPU is compared with itself on the processor, whole, in 8 and in 4
bits. A language model of a billion random weights in bfloat16 shows the speed: masks a second
against the model's bare forward on the same batches, and against the pipeline's own calls. Then its
memory is limited, until batches do not fit: values must stay what they were, and nothing may be
asked for anew. Last it is loaded in 8 and in 4 bits. Ends with 1 where something is not as it must
be, and with 2, after one line that says why, where no GPU is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.command import command_line

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers as tf

from proxyspex_hf import DEMO_MODEL, InteractionExplainer
from proxyspex_hf.demo import demo_review

TESTS = Path(__file__).parents[1]
#: Name, whether it is as it must be, and what was measured.
Line = tuple[str, bool, str]


def uniform(n: int, count: int) -> np.ndarray:
    masks = np.random.default_rng(0).random((count, n)) < 0.5
    masks[0] = True
    return masks


def wall(run: Any, device: str) -> tuple[float, Any]:
    """Seconds, and what came."""
    _finish(device)
    start = time.perf_counter()
    came = run()
    _finish(device)
    return time.perf_counter() - start, came


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def state_of(model: Any) -> dict[str, tuple[str, str]]:
    return {name: (str(p.dtype), str(p.device)) for name, p in model.named_parameters()}


def r2(truth: np.ndarray, found: np.ndarray) -> float:
    return float(1.0 - np.square(truth - found).sum() / np.square(truth - truth.mean()).sum())


def classifier(device: str, masks: int) -> Iterator[Line]:
    """The shipped one: whole, in 8 bits, in 4 bits."""
    text = demo_review()
    own = InteractionExplainer.from_pretrained(DEMO_MODEL, target="POSITIVE", device_map="cpu")
    function = own.value_function(text)
    asked = uniform(function.n_features, masks)
    truth = function(asked)
    for name, least, options in (
        ("float32", 0.99999, {}),
        ("bfloat16", 0.99, {"dtype": torch.bfloat16}),
        ("8 bits", 0.98, {"quantization": "8bit"}),
        ("4 bits", 0.85, {"quantization": "4bit"}),
    ):
        explainer = InteractionExplainer.from_pretrained(
            DEMO_MODEL, target="POSITIVE", device_map=device, **options
        )
        before = state_of(explainer.pipe.model)
        function = explainer.value_function(text)
        seconds, found = wall(lambda f=function: f(asked), device)
        again = explainer.value_function(text)(asked)
        took, explanation = wall(lambda e=explainer: e(text, seed=1, progress=False), device)
        same = state_of(explainer.pipe.model) == before
        agrees = r2(truth, found)
        told = explanation.record.provenance.quantization
        yield (
            f"classifier, {name}",
            agrees >= least and same,
            f"R² to float32 on the processor {agrees:.5f}, largest difference "
            f"{np.abs(truth - found).max():.2g}; asked twice it differs by "
            f"{np.abs(found - again).max():.2g}; {masks / seconds:,.0f} masks/s; a whole "
            f"explanation {took:.1f} s, R² {explanation.faithfulness[0.5]:.3f}; "
            f"recorded as {told}; model unchanged: {same}",
        )


def generator(device: str, small: bool) -> Any:
    """A Llama of random weights, which says what it was never taught."""
    sys.path.insert(0, str(TESTS))
    from tiny_models import byte_level_tokenizer

    tokenizer = byte_level_tokenizer(mask=False)
    torch.manual_seed(0)
    wide, deep = (64, 2) if small else (2048, 20)
    config = tf.LlamaConfig(
        hidden_size=wide,
        intermediate_size=4 * wide,
        num_hidden_layers=deep,
        num_attention_heads=wide // 64 or 1,
        num_key_value_heads=wide // 64 or 1,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        max_position_embeddings=8192,
    )
    with torch.device(device):
        model = tf.LlamaForCausalLM(config).to(torch.bfloat16)
    return tf.TextGenerationPipeline(model=model.eval(), tokenizer=tokenizer, device=device)


class Inside:
    """Rows of each forward of a model that was begun, and the seconds of those that ended."""

    def __init__(self, model: Any, device: str) -> None:
        self.rows: list[int] = []
        self.seconds, self._since, self._device = 0.0, 0.0, device
        self._hooks = (
            model.register_forward_pre_hook(self._begun, with_kwargs=True),
            model.register_forward_hook(self._ended),
        )

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _begun(self, _model: Any, _args: Any, kwargs: Any) -> None:
        self.rows.append(len(kwargs["input_ids"]))
        _finish(self._device)
        self._since = time.perf_counter()

    def _ended(self, *_: Any) -> None:
        _finish(self._device)
        self.seconds += time.perf_counter() - self._since


def language_model(device: str, small: bool, masks: int) -> Iterator[Line]:
    """Speed, and what happens where memory ends."""
    pipe = generator(device, small)
    size = sum(p.numel() for p in pipe.model.parameters())
    words = ("the old story says that no bird of this wood sings at night " * 40).split()
    text = " ".join(words[: 30 if small else 120])
    explainer = InteractionExplainer(pipe, value="log-perplexity", target=" a good answer")
    function = explainer.value_function(text)
    asked = uniform(function.n_features, masks)
    values = function(asked)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    inside = Inside(pipe.model, device)
    seconds, values = wall(lambda: explainer.value_function(text)(asked), device)
    inside.remove()
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    texts = [
        " ".join(w for w, kept in zip(text.split(), row, strict=False) if kept) for row in asked
    ]
    one, _ = wall(lambda: [pipe(t, max_new_tokens=1) for t in texts[:16]], device)
    yield (
        "language model, speed",
        bool(np.isfinite(values).all()),
        f"{size / 1e9:.2f} billion weights in bfloat16, {len(function.features)} features, "
        f"{len(inside.rows)} forwards: {masks / seconds:,.0f} masks/s, "
        f"{inside.seconds / seconds:.0%} of the time in the model; "
        f"{one / 16 * masks / seconds:.1f} × as fast as one call of the pipeline a mask; "
        f"{peak:.1f} GiB at most",
    )
    if device == "cuda":
        yield _without_memory(explainer, pipe, text, asked, values)


def _without_memory(
    explainer: Any, pipe: Any, text: str, asked: np.ndarray, values: np.ndarray
) -> Line:
    """The same where a batch does not fit."""
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    free = 0.25 * 2**30
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + free) / whole)
    inside = Inside(pipe.model, "cuda")
    limited = InteractionExplainer(
        pipe, value="log-perplexity", target=" a good answer", batch_size=len(asked)
    )
    try:
        found = limited.value_function(text)(asked)
    finally:
        inside.remove()
        torch.cuda.set_per_process_memory_fraction(1.0)
    off = float(np.abs(found - values).max() / values.std())
    sizes = inside.rows
    rows = sum(sizes)
    return (
        "language model, no memory",
        off < 0.5 and max(sizes[-3:]) < len(asked),
        f"a batch of {len(asked)} with {free / 2**30:.2f} GiB free: forwards of {sizes[:6]} … "
        f"{sizes[-3:]} rows, {rows / len(asked):.1f} × the masks; values off by {off:.3f} standard "
        "deviations (bfloat16 by another batch)",
    )


def quantized_language_model(device: str, small: bool, masks: int) -> Iterator[Line]:
    """The language model in 8 and in 4 bits, beside its own bfloat16."""
    pipe = generator(device, small)
    words = ("the old story says that no bird of this wood sings at night " * 3).split()
    text, options = " ".join(words), {"value": "log-perplexity", "target": " a good answer"}
    function = InteractionExplainer(pipe, **options).value_function(text)
    asked = uniform(function.n_features, masks)
    truth = function(asked)
    with tempfile.TemporaryDirectory() as folder:
        pipe.model.save_pretrained(folder)
        pipe.tokenizer.save_pretrained(folder)
        del pipe, function
        for quantization in ("8bit", "4bit"):
            explainer = InteractionExplainer.from_pretrained(
                folder,
                task="text-generation",
                quantization=quantization,
                device_map=device,
                **options,
            )
            before = state_of(explainer.pipe.model)
            function = explainer.value_function(text)
            seconds, found = wall(lambda f=function: f(asked), device)
            again = explainer.value_function(text)(asked)
            alone = explainer.value_function(text)(asked[:1])
            same = state_of(explainer.pipe.model) == before
            yield (
                f"language model, {quantization}",
                bool(np.isfinite(found).all()) and same,
                f"R² to bfloat16 {r2(truth, found):.3f} (random weights); asked twice it differs "
                f"by {np.abs(found - again).max():.2g}, alone and in a batch by "
                f"{abs(float(found[0] - alone[0])):.2g}; {masks / seconds:,.0f} masks/s; model "
                f"unchanged: {same}",
            )


def needed_tests() -> dict[str, Any]:
    """What pytest says of the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(TESTS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    return {"exit code": done.returncode, "said": done.stdout.splitlines()[-1:]}


def main() -> int:
    parser = command_line(__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--masks", type=int, default=512)
    parser.add_argument("--tests", action="store_true", help="the tests that need a GPU, first")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        build = torch.version.cuda or "no"
        print(
            f"No GPU was measured: torch {torch.__version__} (built with {build} CUDA) sees no "
            "CUDA device here.",
            file=sys.stderr,
        )
        return 2
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    name = torch.cuda.get_device_name() if given.device == "cuda" else "the processor"
    report: dict[str, Any] = {
        "device": name,
        "torch": torch.__version__,
        "transformers": tf.__version__,
        "bitsandbytes": version("bitsandbytes") if find_spec("bitsandbytes") else None,
    }
    print(*report.values(), flush=True)
    if given.tests:
        report["tests"] = needed_tests()
    lines: list[Line] = []
    for part in (
        classifier(given.device, given.masks),
        language_model(given.device, given.small, given.masks),
        quantized_language_model(given.device, given.small, given.masks),
    ):
        try:
            for line in part:
                lines.append(line)
                print(f"{'ok    ' if line[1] else 'WRONG '} {line[0]}: {line[2]}", flush=True)
        except Exception as error:  # noqa: BLE001 - the other part is measured all the same
            lines.append((str(part), False, repr(error)))
            print(f"WRONG  {part}: {error!r}", flush=True)
            import traceback

            traceback.print_exc()
    if given.json is not None:
        report["measured"] = [dict(zip(("what", "good", "found"), x, strict=True)) for x in lines]
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    tested = report.get("tests", {"exit code": 0})["exit code"] == 0
    return int(not (tested and all(good for _, good, _ in lines)))


if __name__ == "__main__":
    sys.exit(main())
