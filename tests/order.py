"""The files that take longest come first: else one of them is still running when all is done."""

from __future__ import annotations

from typing import Any

#: By the time that they took on two quiet cores; the rest take less than half a minute each.
LONGEST = (
    "test_explain_dataset.py",
    "app/test_app_hub.py",
    "app/test_app.py",
    "test_docs.py",
    "test_paper.py",
    "test_notebooks.py",
    "test_examples_models.py",
    "attacks/test_attacks.py",
    "attacks/test_app_attacks.py",
    "viewer/test_viewer.py",
    "app/test_underway.py",
    "studies/test_data.py",
    "hf/test_prompts.py",
    "core/test_spex.py",
    "core/test_conformance.py",
    "test_package.py",
    "test_space.py",
    "hub/test_rows.py",
    "hf/test_store.py",
    "hf/test_served.py",
    "test_cli.py",
    "test_examples.py",
)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    places = {f"tests/{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.split("::")[0], len(LONGEST)))
