"""Mutation testing: small faults planted in the core and the record, one at a time.

    python tests/mutation.py                     # 60 faults drawn with seed 0
    python tests/mutation.py --count 400 --seed 7
    python tests/mutation.py --only core/sets.py core/walsh.py

Each fault runs, in a process of its own, the test files that name its module, the quickest first,
until a test fails: then it is caught. What survives is printed; it is either a test that is missing
or a change that changes nothing (a limit that is never met, an error's exact words).

The processes fork from one that has imported numpy and the rest, so that a fault costs about as
much as its tests; the mutated module takes the real one's place as it is imported, and no file is
touched.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.abc
import importlib.machinery
import io
import os
import random
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "proxyspex_hf"
FOLDERS = ("core", "record")
#: Not the product's: the paper's baselines.
APART = ("core/baselines",)
#: Test files of other folders than tests/core that are quick and meet these modules.
BESIDE = (
    *("test_png.py", "test_serialize.py", "test_frozen.py"),
    *("test_checks.py", "viz/test_inputs.py"),
)
#: Test files that meet a module without naming it.
MEET = {
    "sets": ("test_spectrum.py", "test_moebius.py", "test_interactions.py"),
    "stacking": ("test_conformance.py",),
    "values": ("test_attribution.py",),
    "progress": ("test_attribution.py", "test_algorithm.py"),
    "program": ("test_removal.py",),
    "search": ("test_removal.py",),
    "best": ("test_removal.py",),
    "boosting": ("test_trees.py",),
    "pursuit": ("test_conformance.py",),
    "kernel_spectrum": ("test_gaussian.py", "test_posterior.py"),
}
#: Test files that a fault runs at most: those of its own name, then those that name its module.
MOST = 3
#: Quick as they are, these look at many fits: they say nothing that the others do not, and later.
SLOW = ("test_stable.py", "test_spex.py", "test_shapiq_agreement.py", "test_pursuit.py")
#: Seconds of processor time after which a fault counts as caught: it made something endless.
PATIENCE = 90

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Lt: ast.LtE,
    ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One change of one file: the ``place``-th that can be made there."""

    path: Path
    place: int
    line: int
    was: str
    becomes: str

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    def __str__(self) -> str:
        where = f"{self.path.relative_to(PACKAGE)}:{self.line}"
        return f"{where}  {self.was}  ->  {self.becomes}"


class _Mutator(ast.NodeTransformer):
    """Walks a module; makes the change of number ``wanted``, and notes all that could be made."""

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted, self.seen = wanted, 0
        self.notes: list[tuple[int, str, str]] = []

    def _offer(self, node: Any, changed: Any) -> Any:
        """``node``, or ``changed`` where it is that one's turn."""
        place, self.seen = self.seen, self.seen + 1
        self.notes.append((node.lineno, _shown(node), _shown(changed)))
        return ast.copy_location(changed, node) if place == self.wanted else node

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        swapped = _SWAPPED.get(type(node.op))
        text = isinstance(node.left, (ast.JoinedStr, ast.Constant)) and isinstance(
            getattr(node.left, "value", ""), str
        )
        if swapped is None or text:
            return node
        return self._offer(node, ast.BinOp(node.left, swapped(), node.right))  # type: ignore[call-arg]

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        swapped = _SWAPPED.get(type(node.ops[0]))
        if swapped is None:
            return node
        ops = [swapped(), *node.ops[1:]]
        return self._offer(node, ast.Compare(node.left, ops, node.comparators))  # type: ignore[list-item]

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        return self._offer(node, ast.BoolOp(_SWAPPED[type(node.op)](), node.values))  # type: ignore[arg-type]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        self.generic_visit(node)
        if isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
            return self._offer(node, node.operand)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        self.generic_visit(node)
        return self._offer(node, ast.IfExp(node.test, node.orelse, node.body))

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        if _is_for_types(node.test):
            return node
        changed = ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        return self._offer(node, changed)

    def visit_Constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bool):
            return self._offer(node, ast.Constant(not node.value))
        if isinstance(node.value, (int, float)):
            more = node.value + 1
            return self._offer(node, ast.Constant(more if more != node.value else 2 * more))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """Bodies and defaults; not annotations and decorators."""
        node.args.defaults = [self.visit(each) for each in node.args.defaults]
        node.args.kw_defaults = [each and self.visit(each) for each in node.args.kw_defaults]
        node.body = [self.visit(each) for each in node.body]
        return node


def _shown(node: ast.AST) -> str:
    """One line, shortened."""
    if isinstance(node, ast.If):
        node = node.test
    ast.fix_missing_locations(node)
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:69]}…"


def _is_for_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def faults(only: Sequence[str] = ()) -> list[Fault]:
    """All that can be planted, in order, in the files named or in all."""
    paths = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).rglob("*.py"))]
    out = []
    for path in paths:
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(APART) or (only and name not in only):
            continue
        mutator = _Mutator()
        mutator.visit(ast.parse(path.read_text(encoding="utf-8")))
        out += [Fault(path, place, *note) for place, note in enumerate(mutator.notes)]
    return out


def tests_of(module: str) -> list[Path]:
    """The test files that name a module or what it holds, those of its own name first."""
    name = module.rsplit(".", 1)[1]
    tests = ROOT / "tests"
    core = sorted((tests / "core").glob("test_*.py"))
    beside = [tests / each for each in BESIDE]
    if module.startswith("proxyspex_hf.record"):
        return beside
    parent = module.rsplit(".", 1)[0]
    asked = re.compile(
        rf"from {re.escape(module)} import|from {re.escape(parent)} import [^#]*?\b{name}\b"
    )
    named = [path for path in core if asked.search(path.read_text(encoding="utf-8"))]
    own = [path for path in core if path.stem == f"test_{name}"]
    first = [tests / "core" / each for each in MEET.get(name, ())]
    found = list(dict.fromkeys([*first, *own, *named]))
    both = [tests / "core" / "test_attribution.py", tests / "core" / "test_algorithm.py"]
    return [path for path in found if path.name not in SLOW][:MOST] or both


class _InPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated module where the real one is asked for."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self.fault.module:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(self.fault.path))

    def exec_module(self, module: Any) -> None:
        tree = ast.parse(self.fault.path.read_text(encoding="utf-8"))
        changed = ast.fix_missing_locations(_Mutator(self.fault.place).visit(tree))
        module.__file__ = str(self.fault.path)
        exec(compile(changed, str(self.fault.path), "exec"), module.__dict__)


def caught(fault: Fault | None, tests: list[Path]) -> str | None:
    """What caught it, or None; without a fault, whether the tests pass as they are."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _child(fault, tests, writer)
        finally:
            os._exit(70)  # the harness itself failed
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    if status:
        raise SystemExit(f"pytest did not start for {fault}")
    return said or None


def _child(fault: Fault | None, tests: list[Path], writer: int) -> None:
    """Never returns: writes the first test that fails."""
    import pytest

    class First:
        """What failed first."""

        name = ""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed and not self.name:
                self.name = report.nodeid

    if fault is not None:
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        sys.meta_path.insert(0, _InPlace(fault))
    first = First()
    os.chdir(ROOT)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        code = pytest.main([*options, *map(str, tests)], plugins=[first])
    if fault is None and code:
        sys.stderr.write(said.getvalue())
    os.write(writer, (first.name or ("" if code == 0 else "collecting")).encode())
    os._exit(0)


def _imported() -> None:
    """What all children use; nothing of the package itself."""
    for name in ("numpy", "scipy.optimize", "scipy.linalg", "sklearn.linear_model", "lightgbm"):
        importlib.import_module(name)
    for name in ("pandas", "highspy", "sklearn.ensemble", "PIL.Image"):
        importlib.import_module(name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], help="files below proxyspex_hf/")
    given = parser.parse_args(arguments)
    # As in CI: the same examples of hypothesis each time.
    os.environ |= {"OMP_NUM_THREADS": "1", "CI": "true"}
    every = faults(given.only)
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    _imported()
    survivors, start = [], time.perf_counter()
    sound: set[tuple[Path, ...]] = set()
    for number, fault in enumerate(chosen):
        tests = tests_of(fault.module)
        if tuple(tests) not in sound and (broken := caught(None, tests)):
            raise SystemExit(f"without any fault, {broken} fails already")
        sound.add(tuple(tests))
        by = caught(fault, tests)
        if by is None:
            survivors.append(fault)
        print(f"{number + 1:4} {'caught  ' if by else 'SURVIVED'} {fault}  [{by or len(tests)}]",
              flush=True)  # fmt: skip
    kept = len(chosen) - len(survivors)
    print(f"{kept} of {len(chosen)} caught ({kept / max(1, len(chosen)):.0%}), "
          f"{time.perf_counter() - start:.0f} s; {len(every)} can be planted")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
