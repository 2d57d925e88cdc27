"""What the app remembers of one open page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.jobs import Job
from proxyspex_hf.app.source import Source
from proxyspex_hf.explanation import InteractionExplanation

__all__ = ["FIRST", "Session"]

#: The explanation that the page opens on.
FIRST = Source("example", name="short")


@dataclass(frozen=True)
class Session:
    """One open page. Immutable: a handler returns another one.

    Attributes:
        source: where the shown explanation comes from.
        made: the shown explanation; None where it is an example, which all pages share.
        job: the last explanation that was asked for, to resume.
    """

    source: Source = FIRST
    made: InteractionExplanation | None = None
    job: Job | None = None

    @property
    def explanation(self) -> InteractionExplanation:
        """What the page shows."""
        return load_example(self.source.name) if self.made is None else self.made

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self  # nothing in it can be changed
