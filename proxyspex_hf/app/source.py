"""Where a shown explanation comes from, and the link that opens it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from proxyspex_hf.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_KEPT = re.compile(r"[A-Za-z0-9_-]{22}")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_ID = re.compile(r"[0-9a-f]{6,64}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True)
class Source:
    """Where an explanation comes from.

    Attributes:
        kind: ``"example"``: shipped under ``name``; ``"hub"``: ``id`` in the data set ``repo_id``;
            ``"own"``: made on an open page, and kept for a while under ``name``.
        name: of an example, or of what is kept.
        repo_id, id, revision, config_name: as :meth:`InteractionExplanation.from_hub` takes them.
    """

    kind: Literal["example", "hub", "own"]
    name: str = ""
    repo_id: str = ""
    id: str = ""
    revision: str | None = None
    config_name: str = "explanations"

    def query(self) -> str:
        """The query of a link that opens this explanation, without ``?``; empty where none does."""
        if self.kind == "example":
            return urlencode({"example": self.name})
        if self.kind == "own":
            return urlencode({"own": self.name}) if self.name else ""
        given = {"dataset": self.repo_id, "id": self.id}
        if self.revision is not None:
            given["revision"] = self.revision
        if self.config_name != "explanations":
            given["config"] = self.config_name
        return urlencode(given, safe="/")

    @classmethod
    def from_query(cls, params: Mapping[str, str]) -> Source | None:
        """What a link asks for; None where it names nothing.

        Raises:
            InputError: a name that no example, data set or explanation can have.
        """
        if "example" in params:
            return cls("example", name=_checked(params, "example", _NAME))
        if "own" in params:
            return cls("own", name=_checked(params, "own", _KEPT))
        if "dataset" not in params:
            return None
        return cls(
            "hub",
            repo_id=_checked(params, "dataset", _REPO),
            id=_checked(params, "id", _ID) if "id" in params else "",
            revision=_checked(params, "revision", _REVISION) if "revision" in params else None,
            config_name=_checked(params, "config", _NAME) if "config" in params else "explanations",
        )


@dataclass(frozen=True)
class Pair:
    """Two explanations beside each other, each with the query of its own link."""

    first: Source
    second: Source

    def query(self) -> str:
        """The query of a link that opens both; empty where one of them has none."""
        given = {"compare": self.first.query(), "with": self.second.query()}
        return urlencode(given) if all(given.values()) else ""

    @classmethod
    def from_query(cls, params: Mapping[str, str]) -> Pair | None:
        """What a link asks for; None where it asks for no pair.

        Raises:
            InputError: as :meth:`Source.from_query`, or one of the two names no explanation.
        """
        if "compare" not in params:
            return None
        found = []
        for name in ("compare", "with"):
            source = Source.from_query(dict(parse_qsl(params.get(name, ""))))
            if source is None or (source.kind == "hub" and not source.id):
                raise InputError(f"the link's {name} names no explanation to compare.")
            found.append(source)
        return cls(*found)


def _checked(params: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = str(params[name])
    if pattern.fullmatch(value) is None:
        shown = value if len(value) <= 60 else f"{value[:60]}…"
        raise InputError(f"the link's {name} is {shown!r}, which cannot be the name of one.")
    return value
