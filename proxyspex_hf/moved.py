"""Modules that moved in 0.2: their old names can be imported until 0.3, with a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_NEW_NAMES = {
    "core.proxies.forest": "core.baselines.forest",
    "core.proxies.network": "core.baselines.network",
    "core.removal_program": "core.removal.program",
    "core.removal_search": "core.removal.search",
    "core.spex": "core.baselines.spex",
    "core.synthetic": "core.baselines.synthetic",
    "inputs": "record.inputs",
    "json_reader": "record.json_reader",
    "serialize": "record.serialize",
    "studies.packed": "studies.data.packed",
}
#: Under their full names.
MOVED = {f"proxyspex_hf.{old}": f"proxyspex_hf.{new}" for old, new in _NEW_NAMES.items()}


class _OldNames(MetaPathFinder, Loader):
    """Finds what no other finder has: a module under its old name hands on that of its new one."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        new = MOVED[module.__name__]
        warnings.warn(
            f"{module.__name__} is {new} now; the old name goes with 0.3.",
            DeprecationWarning,
            stacklevel=2,
        )
        vars(module)["__getattr__"] = partial(getattr, import_module(new))


def keep_old_names() -> None:
    """Once for this process: after all finders that know of files."""
    if not any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        sys.meta_path.append(_OldNames())
