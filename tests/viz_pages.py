"""A page as a parser sees it."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page"]


class Page(HTMLParser):
    """The page as a parser sees it: every tag with its attributes, and text by element id."""

    VOID = frozenset({"meta", "br", "input", "link", "img", "rect", "path"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, str | None]] = []
        self.texts: dict[str, str] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag not in self.VOID:
            self.open.append((tag, values.get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        found, _ = self.open.pop()
        assert found == tag, f"<{found}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for tag, name in self.open:
            for key in {tag, name} - {None}:
                self.texts[str(key)] = self.texts.get(str(key), "") + data
