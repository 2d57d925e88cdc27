"""Is the explanation of a quantized model that of the model itself?

    pip install 'proxyspex-hf[large]'
    python examples/05_quantized.py [--out DIR]

Takes about a minute on two cores. Loads the shipped classifier in float32, int8 and nf4, explains
the same text under each, and says how far the values agree. Writes ``float32.html``, ``int8.html``
and ``nf4.html``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from proxyspex_hf import DEMO_MODEL, InteractionExplainer

TEXT = "It could have been great, but the plot is dull and never funny."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--budget", type=int, default=200)
    given = parser.parse_args()

    values, compared = {}, None
    for name, quantization in (("float32", None), ("int8", "8bit"), ("nf4", "4bit")):
        explainer = InteractionExplainer.from_pretrained(
            DEMO_MODEL, quantization=quantization, budget=given.budget, target="NEGATIVE"
        )
        explanation = explainer(TEXT)
        record = explanation.record
        # Each model has chosen masks of its own: they are compared on those of the first.
        compared = explanation if name == "float32" else compared
        values[name] = explainer.ask(compared, compared.record.queries.masks)
        made = record.provenance
        print(f"\n{name}: {made.model_bytes / 1e6:.1f} MB, {made.quantization or 'as trained'}")
        if made.noise_floor is not None:
            print(f"  the same mask in other batches: at most {made.noise_floor:.1e} apart")
        for interaction in explanation.top(5):
            print(f"  {interaction}")
        explanation.to_html(given.out / f"{name}.html")
    truth = values["float32"]
    for name in ("int8", "nf4"):
        error = np.square(values[name] - truth).sum() / np.square(truth - truth.mean()).sum()
        print(f"R² of {name} values to float32 ones, same masks: {1 - error:.4f}")


if __name__ == "__main__":
    main()
