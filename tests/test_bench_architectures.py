"""A few model classes of each task, as the bench of all of them tries them."""

from __future__ import annotations

import pytest
from architectures import Case, Verdict, cases, judged, report
from harness.tiny_architectures import classes

#: Encoders, decoders, encoder-decoders, recurrent and hybrid models, sliding windows, experts.
FAMILIES = {
    "text-classification": ("bert", "bart", "gpt2", "mamba", "longformer", "mixtral"),
    "zero-shot-classification": ("roberta", "mbart"),
    "token-classification": ("deberta-v2", "funnel"),
    "fill-mask": ("electra", "modernbert"),
    "text-generation": ("falcon_h1", "gemma2", "mistral", "rwkv", "xlnet", "bert", "gpt_oss"),
    "feature-extraction": ("distilbert", "t5"),
    "image-classification": ("vit", "convnext", "swin"),
}
CHOSEN = [
    case
    for case in cases(list(FAMILIES), every_tokenizer=False)
    if case.kind in FAMILIES[case.task]
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.key)
def test_a_value_is_what_the_pipeline_says(case: Case) -> None:
    found = judged(case)
    assert found.verdict in ("equal", "refused", "pipeline fails"), found
    assert found.verdict != "equal" or found.spread > 1e-6


def test_nearly_all_of_them_are_equal() -> None:
    assert sum(1 for task in FAMILIES for _ in classes(task)) > 500
    equal = Verdict("fill-mask bert wordpiece mask", "BertForMaskedLM", "equal", "together", 0, 1)
    wrong = Verdict("fill-mask xlm t5 mask", "XLMWithLMHeadModel", "different", "alone", 0.5, 1)
    text = report([equal, wrong])
    assert "| fill-mask | 2 | 1 | 0 | 0 | 0 | 1 | 0 | 1 | 0 | 1 | 0 |" in text
    assert "different      fill-mask xlm t5 mask XLMWithLMHeadModel alone 5.0e-01" in text
