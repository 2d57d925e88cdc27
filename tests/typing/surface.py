"""What type checkers see of the public names: mypy and pyright both read this file, and so does a
test, which runs nothing of it. ``assert_type`` fails in a checker where a type is another.
"""

from __future__ import annotations

from typing import assert_type

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from proxyspex_hf import (
    Comparison,
    InteractionExplainer,
    InteractionExplanation,
    Overview,
    Prompt,
    ProxySpexError,
    PushResult,
    compare,
    explanations_summary,
    push_explanations,
)
from proxyspex_hf.core.removal import RemovalSolution


def one_input(explainer: InteractionExplainer, picture: Image, prompt: Prompt) -> None:
    assert_type(explainer("a text"), InteractionExplanation)
    assert_type(explainer(picture, patches=(4, 4)), InteractionExplanation)
    assert_type(explainer(prompt, alpha=4, seed=1), InteractionExplanation)
    assert_type(explainer({"image": picture, "text": "a cat"}), InteractionExplanation)
    assert_type(explainer("a text", target="POSITIVE"), InteractionExplanation)


def several(explainer: InteractionExplainer) -> None:
    assert_type(explainer(["a text", "another"]), list[InteractionExplanation])
    assert_type(explainer(["a text"], errors="keep"), list[InteractionExplanation | ProxySpexError])
    assert_type(
        explainer("a text", target=["POSITIVE", 0]), dict[str | int, InteractionExplanation]
    )
    assert_type(explainer("a text", target="all"), dict[str | int, InteractionExplanation])


def options_are_checked(explainer: InteractionExplainer) -> None:
    explainer("a text", alfa=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    explainer.refine(explainer("a text"), masking="delete")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def an_explanation(explanation: InteractionExplanation, masks: NDArray[np.bool_]) -> None:
    assert_type(explanation.label, str)
    assert_type(explanation.model, str)
    assert_type(explanation.value, float)
    assert_type(explanation.predict(masks), NDArray[np.float64])
    assert_type(explanation.removal(2, time_limit=1.0), RemovalSolution)
    assert_type(explanation.maximize(min_kept=3, always_keep=[0]), RemovalSolution)
    assert_type(explanation.refit(proxy="lasso"), InteractionExplanation)
    assert_type(InteractionExplanation.load("e.json"), InteractionExplanation)
    assert_type(explanation.push_to_hub("me/explanations"), PushResult)
    assert_type(push_explanations([explanation], "me/explanations"), PushResult)
    assert_type(compare(explanation, explanation), Comparison)
    assert_type(explanations_summary([explanation]), Overview)
