"""A text that the model cannot read is said, before and after it is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxyspex_hf.app import Limits, Models
from proxyspex_hf.app.jobs import Found, Job, cost_of, explain
from proxyspex_hf.app.models import SHIPPED
from proxyspex_hf.app.unread import unread


def test_most_tokens_unknown_is_said(pipe: Any, tmp_path: Path) -> None:
    strange = "这部 电影 一点 也不 差"
    said = unread(pipe, strange)
    ids = pipe.tokenizer(strange, add_special_tokens=False)["input_ids"]
    missing = ids.count(pipe.tokenizer.unk_token_id)
    assert said.startswith("The model cannot read most of this text: ")
    assert f"{missing} of {len(ids)} tokens" in said
    assert unread(pipe, "not a bad film") == ""
    assert unread(pipe, " ") == ""
    models, job = Models(SHIPPED), Job(SHIPPED[0], text=strange)
    assert cost_of(job, models, Limits()).unread == said
    *_, last = explain(job, models, tmp_path, Limits())
    assert isinstance(last, Found)
    assert last.unread == said
