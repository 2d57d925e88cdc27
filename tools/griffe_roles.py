"""Reads the docstrings' Sphinx roles, such as ``:class:`.Prompt```, as Markdown for the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":\w+:`[~.]*([^`<>]+)`")


class Roles(griffe.Extension):
    """Replaces each role by the last part of what it names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(
                lambda found: f"`{found[1].rsplit('.', 1)[-1]}`", obj.docstring.value
            )
