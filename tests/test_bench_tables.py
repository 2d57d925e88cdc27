"""Value tables as they are made: they read back, and a language model's values are exact."""

import argparse
import json

import numpy as np
import pytest
import torch
from harness.problems import read_table
from make_tables import make_table
from story_values import StoryAnswer, read_stories
from transformers import LlamaConfig, LlamaForCausalLM

from proxyspex_hf.core import FourierSpectrum, budget_for


def test_a_made_table_reads_back(tmp_path, capsys):
    truth = FourierSpectrum.from_dict({(): 0.5, (2,): 1.0, (2, 7): -2.0}, 12)
    sizes = argparse.Namespace(alpha=2.0, alpha_short=3.0, tests=60, density_tests=30, seed=4)
    make_table(tmp_path / "a" / "t.npz", [f"w{i}" for i in range(12)], truth.evaluate, sizes)
    table = read_table(tmp_path / "a" / "t.npz")
    assert (table.name, table.n) == ("t", 12)
    assert len(table.fit["uniform"][1]) == len(table.fit["mixed"][1]) == budget_for(12, 3.0)
    assert {k: len(v) for k, (_, v) in table.tests.items()} == {
        "uniform": 60, "50": 30, "70": 30, "90": 30,
    }  # fmt: skip
    for masks, values in [*table.fit.values(), *table.tests.values()]:
        assert np.allclose(values, truth.evaluate(masks), atol=1e-6)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["t.npz"]
    assert "n = 12" in capsys.readouterr().out


def test_read_stories(tmp_path):
    path = tmp_path / "s.jsonl"
    content = "Ann went out. Bob moved the hat. Where is the hat?"
    path.write_text(json.dumps({"input": [{"role": "user", "content": content}]}) + "\n")
    assert read_stories(path) == [("Ann went out. Bob moved the hat.", "Where is the hat?")]


class Words:
    """A tokenizer of whole words, as far as a story needs one."""

    unk_token, eos_token_id = "UNK", 1

    def __init__(self):
        self.ids = {"<pad>": 0, "<end>": 1}

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [self.ids.setdefault(w, len(self.ids)) for w in text.split()]}

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        assert add_generation_prompt
        return f"system be kind user {messages[0]['content']} assistant"

    def decode(self, ids):
        return " ".join(str(i) for i in ids)


@pytest.fixture
def story():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    return StoryAnswer(model, Words(), "Ann went out . Bob moved it .", "Where ?", batch=3)


def test_value_is_the_log_perplexity_of_the_whole_storys_answer(story):
    masks = np.random.default_rng(0).random((7, 8)) < 0.6
    masks[0], masks[1] = True, False
    values = story(masks)
    answer = story._answer_ids
    assert 1 <= len(answer) <= 24
    assert story.answer == " ".join(str(i) for i in answer)
    for mask, value in zip(masks, values, strict=True):
        prompt = story._ids(story.prompt(mask))
        with torch.inference_mode():
            logits = story.model(torch.tensor([prompt + answer])).logits[0].double()
        scores = torch.log_softmax(logits, dim=-1)
        at = range(len(prompt) - 1, len(prompt) - 1 + len(answer))
        expected = -np.mean([scores[i, a].item() for i, a in zip(at, answer, strict=True)])
        assert value == pytest.approx(expected, abs=1e-5)
    assert len(set(values.round(6))) > 3
    assert story.prompt(masks[1]).count("UNK") == 8
    assert story.prompt(masks[1]).endswith("UNK\nWhere ? assistant")
