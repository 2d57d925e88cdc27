"""Everything public has an example in its docstring, and every example gives what it says."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from hub_server.clients import point_to

import proxyspex_hf
from proxyspex_hf import core, prompts, studies
from proxyspex_hf.app.examples import load_example

_BY_OBJECT = {  # what is exported twice is tested once
    getattr(module, name): f"{module.__name__}.{name}"
    for module in (studies, core, proxyspex_hf)
    for name in module.__all__
    if callable(getattr(module, name))
}
PUBLIC = {name: found for found, name in _BY_OBJECT.items()}
#: Methods whose docstrings have an example, too; what a class shows of itself covers the others.
METHODS = {
    f"{found.__name__}.{name}": method
    for found in PUBLIC.values()
    if inspect.isclass(found)
    for name, method in inspect.getmembers(found, callable)
    if name[0] != "_" and ">>> " in (inspect.getdoc(method) or "")
}
PROMPTS = {f"prompts.{name}": getattr(prompts, name) for name in ("hotpotqa_prompt", "drop_prompt")}
SHOWN = PUBLIC | METHODS | PROMPTS
del SHOWN["proxyspex_hf.core.SpectrumFit"]  # the example of ProxySPEX makes one
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def names(pipe: Any) -> dict[str, Any]:
    """What an example may use without importing it: all that is public, and a few objects."""
    public = {name.rsplit(".", 1)[-1]: found for name, found in (PUBLIC | PROMPTS).items()}
    return {
        **public,
        "DEMO_MODEL": proxyspex_hf.DEMO_MODEL,
        "np": np,
        "warnings": warnings,
        "Path": Path,
        "pipe": pipe,
        "explainer": proxyspex_hf.InteractionExplainer(pipe, value="log-odds"),
        "explanation": load_example("short"),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to write into, and a Hub on loopback with an account."""
    monkeypatch.chdir(tmp_path)
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, tmp_path / "home")
        yield


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", SHOWN)
def test_a_public_name_has_an_example_that_runs(name: str, names: dict[str, Any]) -> None:
    found = SHOWN[name]
    text = inspect.getdoc(found) or ""
    examples = doctest.DocTestParser().get_doctest(text, dict(names), name, None, 0)
    assert examples.examples, f"{name} has no example"
    told: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=told.append)
    assert not result.failed, "".join(told)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_names_every_argument(name: str) -> None:
    found = PUBLIC[name]
    if inspect.isclass(found) and issubclass(found, Exception):
        return
    text = inspect.getdoc(found) or ""
    given = [p for p in inspect.signature(found).parameters.values() if p.name[0] != "_"]
    if "Args:" not in text and "Attributes:" not in text:
        # One or two plain arguments may be told in a sentence.
        assert len(given) <= 3 or "Arguments" in text or "arguments" in text, name
        return
    missing = [p.name for p in given if p.name not in text and p.kind is not p.VAR_POSITIONAL]
    assert not missing or "arguments" in text, f"{name} does not tell {missing}"


def test_the_api_pages_have_every_public_name() -> None:
    pages = Path(__file__).parents[1] / "docs" / "api"
    told = [
        line.removeprefix("::: ").strip()
        for page in sorted(pages.glob("*.md"))
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("::: ")
    ]
    assert len(told) == len(set(told))
    for module in (proxyspex_hf, core, studies):
        for name in set(module.__all__) - {"__version__"}:
            found = getattr(module, name)
            owner = getattr(found, "__module__", "")
            # The last is a page of a whole module, as that of the errors.
            names = {f"{module.__name__}.{name}", f"proxyspex_hf.{name}", f"{owner}.{name}", owner}
            assert names & set(told), f"{module.__name__}.{name} is on no page of docs/api"
    for place in told:
        parent, _, name = place.rpartition(".")
        try:
            import_module(place)
        except ModuleNotFoundError:
            assert hasattr(import_module(parent), name), place


def _named(tree: ast.Module) -> Iterator[str]:
    """What a module's source defines: functions, classes with what is in them, constants."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{name}" for name in _named(ast.Module(node.body, [])))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_what_docstrings_refer_to_is_there() -> None:
    package = Path(proxyspex_hf.__file__).parent
    known, referred = set(), []
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        known |= {module, *(f"{module}.{name}" for name in _named(ast.parse(text)))}
        referred += [
            (module, found.removeprefix("~").removeprefix("."))
            for found in re.findall(r":(?:func|class|meth|data|mod|attr):`([^`]+)`", text)
            if not found.startswith(("numpy.", "torch.", "transformers."))
        ]
    assert len(referred) > 100
    for module in (proxyspex_hf, core, studies):
        for name in module.__all__:
            members = [name, *(f"{name}.{own}" for own in dir(getattr(module, name)))]
            known |= {f"{module.__name__}.{member}" for member in members}
    endings = {name.split(".", i)[-1] for name in known for i in range(name.count(".") + 1)}
    assert not sorted({pair for pair in referred if pair[1] not in endings})
