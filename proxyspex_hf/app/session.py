"""What the app remembers of one open page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.source import Source
from proxyspex_hf.explanation import InteractionExplanation

#: The explanation that the page opens on.
FIRST = Source("example", name="short")


@dataclass(frozen=True)
class Session:
    """One open page. Immutable: a handler returns another one.

    Attributes:
        source: where the shown explanation comes from.
        made: the shown explanation; None where it is an example, which all pages share.
        before: what was shown before, without what came before that.
    """

    source: Source = FIRST
    made: InteractionExplanation | None = None
    before: Session | None = None

    @property
    def explanation(self) -> InteractionExplanation:
        """What the page shows."""
        return load_example(self.source.name) if self.made is None else self.made

    def showing(self, source: Source, made: InteractionExplanation | None) -> Session:
        """The page with another explanation, or with the same under another address."""
        before = self if source != self.source else self.before
        if source.kind == "example":
            made = None  # all pages share it
        return Session(source, made, before and replace(before, before=None))

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        return self  # nothing in it can be changed
