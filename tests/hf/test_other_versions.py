"""What other versions of transformers do in another way than the one that is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_pipelines
from transformers import TextGenerationPipeline

from proxyspex_hf import DEMO_MODEL, InteractionExplainer
from proxyspex_hf.hf.loading import load_pipeline


class Before523(TextGenerationPipeline):
    """Its forward gives the logits as versions before 5.23 do."""

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        made = super()._forward(*args, **kwargs)
        names = ("generated_sequence", "input_ids", "prompt_text")
        made["additional_outputs"] = {k: made.pop(k) for k in list(made) if k not in names}
        return made


def test_logits_among_additional_outputs() -> None:
    pipe = tiny_pipelines.generator()
    old = Before523(model=pipe.model, tokenizer=pipe.tokenizer)
    masks = np.random.default_rng(0).random((8, 4)) < 0.5
    values = [
        InteractionExplainer(p, target=" a film").value_function("not a bad plot")(masks)
        for p in (pipe, old)
    ]
    np.testing.assert_array_equal(values[1], values[0])
    assert np.ptp(values[0]) > 0


@pytest.mark.parametrize(
    ("device_map", "passed"),
    [
        ("cpu", {"device": "cpu"}),
        ("cuda:1", {"device": "cuda:1"}),
        ("auto", {"device_map": "auto"}),
        ({"": "cpu"}, {"device_map": {"": "cpu"}}),
    ],
)
def test_one_device_is_where_the_model_goes(
    device_map: Any, passed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformers moves a model with a map of one device to the first GPU."""
    given: dict[str, Any] = {}
    made = load_pipeline(DEMO_MODEL, device="cpu")

    def pipeline(*_: Any, **settings: Any) -> Any:
        given.update(settings)
        return made

    # The module that it uses: other tests import the libraries anew.
    monkeypatch.setattr(load_pipeline.__globals__["transformers"], "pipeline", pipeline)
    load_pipeline(DEMO_MODEL, device_map=device_map)
    assert {k: given[k] for k in ("device", "device_map") if k in given} == passed
