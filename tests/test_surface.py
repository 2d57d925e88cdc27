"""The keyword arguments, and the shortest ways to what an explanation holds."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_type_hints

import pytest

from proxyspex_hf import Goal, InputError, InteractionExplainer
from proxyspex_hf.moved import MOVED
from proxyspex_hf.options import CallKeywords, ExplainerOptions, Keywords


def test_the_keywords_are_the_options() -> None:
    assert get_type_hints(Keywords) == get_type_hints(ExplainerOptions)
    left = set(Keywords.__annotations__) - set(CallKeywords.__annotations__)
    assert left == {"target", "errors"}


@pytest.mark.parametrize("text", ["It is not a bad film", "never dull, and I would see it again"])
def test_the_default_effort_given_is_the_default(pipe: Any, text: str) -> None:
    # Six and eight words: all subsets are asked by default, also where its number is said.
    explainer = InteractionExplainer(pipe)
    assert explainer(text, alpha=2.0) == explainer(text)
    assert explainer.plan(text, alpha=2.0) == explainer.plan(text)
    assert explainer.plan(text, alpha=4.0).calls >= explainer.plan(text).calls


def test_the_last_word_on_the_effort_counts() -> None:
    few = ExplainerOptions().changed({"budget": 30})
    assert few.plan(12).budget == 30
    assert few.changed({"alpha": 3.0}).plan(12) == ExplainerOptions(alpha=3.0).plan(12)
    assert few.changed({"budget": None}).plan(12) == ExplainerOptions().plan(12)
    auto = few.changed({"budget": "auto", "goal": Goal(r2=0.9)})
    assert auto.plan(40).budget == ExplainerOptions(alpha=8.0).plan(40).budget
    assert (
        auto.changed({"alpha": 4.0}).plan(40).budget == ExplainerOptions(alpha=4.0).plan(40).budget
    )
    assert ExplainerOptions(alpha=3.0).changed({"alpha": None}).alpha == 3.0
    with pytest.raises(
        InputError, match=r"give alpha or budget, not both \(got alpha=3, budget=30\)"
    ):
        ExplainerOptions().changed({"alpha": 3, "budget": 30})
    with pytest.raises(InputError, match="give alpha or budget, not both"):
        ExplainerOptions(alpha=3, budget=30).plan(12)
    assert ExplainerOptions(alpha=3).changed({"budget": 30}).plan(12).budget == 30


def test_an_explanation_says_what_it_is_of(pipe: Any, short_text: str) -> None:
    explanation = InteractionExplainer(pipe)(short_text)
    record = explanation.record
    assert explanation.label == record.target.label == pipe(short_text)[0]["label"]
    assert explanation.value == record.full_value == record.queries.values[0]
    assert explanation.model == record.provenance.model
    assert explanation.model


@pytest.mark.parametrize("old", MOVED)
def test_a_module_that_moved_is_found_under_its_old_name(old: str) -> None:
    new = import_module(MOVED[old])
    with pytest.warns(DeprecationWarning, match=rf"{old} is {MOVED[old]} now"):
        module = import_module(old)
    names = [
        name
        for name, value in vars(new).items()
        if getattr(value, "__module__", "") == new.__name__
    ]
    assert names
    assert all(getattr(module, name) is getattr(new, name) for name in names)
    with pytest.raises(AttributeError, match="nothing"):
        _ = module.nothing


def test_public_names_of_before_are_where_they_were() -> None:
    for place, names in {
        "proxyspex_hf.record": ["ExplanationRecord", "Target", "Features"],
        "proxyspex_hf.core.removal": ["best_removal", "removal_curve", "maximize", "minimize"],
        "proxyspex_hf.studies.data": ["DataAttribution"],
        "proxyspex_hf.studies.heads": ["HeadAttribution"],
    }.items():
        module = import_module(place)
        assert all(hasattr(module, name) for name in names), place
