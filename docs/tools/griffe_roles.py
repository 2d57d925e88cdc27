"""Reads the package's docstrings for the site as they are meant.

Sphinx roles, such as ``:class:`.Prompt```, become Markdown, and so do tables in reStructuredText
and its mark of a literal block. An ``Example:`` is the section that Google's style calls
``Examples:``; it would otherwise be read as a quotation.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":\w+:`[~.]*([^`<>]+)`")
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_RULE = r"=+(?: +=+)+"
_TABLE = re.compile(rf"^{_RULE}\n(?:.+\n)+?{_RULE}\n(?:.+\n)+?{_RULE}$", re.MULTILINE)
_LITERAL = re.compile(r"^::$", re.MULTILINE)


class Roles(griffe.Extension):
    """Replaces each role by the last part of what it names, and the heading of examples."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = _ROLE.sub(lambda found: f"`{found[1].rsplit('.', 1)[-1]}`", obj.docstring.value)
            text = _TABLE.sub(lambda found: f"```text\n{found[0]}\n```", text)
            obj.docstring.value = _LITERAL.sub("", _EXAMPLE.sub("Examples:", text))
