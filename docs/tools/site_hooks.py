"""What the site has beside the pages of ``docs/``: finished explanations, tutorials, pictures.

MkDocs calls these functions while it builds (see ``mkdocs.yml``). The gallery's pages are made by
the package's own ``to_html`` of the explanations that ship with the app; tutorials are the
notebooks of ``examples/notebooks`` with the outputs stored in them. Nothing that the site loads may
lie elsewhere: it must work from a folder, without a network.
"""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from proxyspex_hf.app.examples import EXAMPLES, load_example
from proxyspex_hf.viz import render_picture
from proxyspex_hf.viz.verdict import verdict_of

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "examples" / "notebooks"
_PICTURES = (".png", ".svg")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")
#: What makes a browser load something by itself, and from where.
_LOADED = re.compile(
    r"<(?:script|img|iframe|source|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*rel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*?"
    r"href=[\"']?((?:https?:)?//[^\"'\s>]+)"
)
_LOADED_BY_STYLE = re.compile(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is made, and the pictures of the repository that pages show."""

    def add(path: str, content: str | bytes) -> None:
        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, content=content))

    for name in EXAMPLES:
        explanation = load_example(name)
        add(f"gallery/{name}.html", explanation.to_html())
        add(f"gallery/{name}.svg", render_picture(explanation.record))
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, pictures = tutorial(notebook)
        add(f"tutorials/{notebook.stem}.md", text)
        for name, picture in pictures.items():
            add(f"tutorials/{name}", picture)
    for page in list(files.documentation_pages()):
        for found in _LINK.finditer(page.content_string):
            target = _in_repository(page.src_uri, found[3])
            if found[1] and target is not None:
                add(f"repository/{target}", (ROOT / target).read_bytes())
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the gallery, and lead links out of ``docs/`` to what the site has of the repository."""

    def led(found: re.Match[str]) -> str:
        target = _in_repository(page.file.src_uri, found[3])
        if target is None:
            return found[0]
        up = "../" * page.file.src_uri.count("/")
        if found[1]:
            return f"![{found[2]}]({up}repository/{target})"
        if target.parent == PurePosixPath("examples/notebooks"):
            return f"[{found[2]}]({up}tutorials/{target.stem}.md)"
        if found[2].strip("/") == str(target):
            return f"`{target}`"
        return f"{found[2]} (`{target}` in the repository)"

    return _LINK.sub(led, markdown).replace("<!-- gallery -->", gallery())


def on_post_build(*, config: MkDocsConfig) -> None:
    """Refuse a site that loads something from elsewhere."""
    site = Path(config.site_dir)
    for path in sorted(site.rglob("*")):
        pattern = {".html": _LOADED, ".css": _LOADED_BY_STYLE}.get(path.suffix)
        if pattern is not None:
            found = pattern.search(path.read_text(encoding="utf-8"))
            if found:
                where = found[1] or found[2]
                raise PluginError(f"{path.relative_to(site)} loads {where}: the site must not.")


def gallery() -> str:
    """Each explanation's verdict, picture and strongest effects, with the way to its page."""
    parts = []
    for name, title in EXAMPLES.items():
        explanation = load_example(name)
        record = explanation.record
        verdict = html.escape(verdict_of(record, record.full_value).text)
        listed = "\n".join(f"- {html.escape(i.sentence)}" for i in explanation.top(3))
        parts.append(
            f"## {html.escape(title)}\n\n**{verdict}**\n\n{listed}\n\n"
            f'<div class="finished" markdown>\n'
            f"[![The story as a picture](gallery/{name}.svg)](gallery/{name}.html)\n</div>\n\n"
            f"[Open it](gallery/{name}.html)\n"
        )
    return "\n".join(parts)


def tutorial(path: Path) -> tuple[str, dict[str, str]]:
    """A notebook as Markdown, with the pictures that it shows by their names."""
    parts: list[str] = []
    pictures: dict[str, str] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            text, picture = _output(output)
            if picture:
                name = f"{path.stem}-{len(pictures) + 1}.svg"
                pictures[name] = picture
                parts.append(f"![The explanation as a picture]({name})")
            elif text.strip():
                parts.append(
                    f'<div class="notebook-output" markdown>\n```text\n{text.rstrip()}\n```\n</div>'
                )
    run = f"*This page is `{path.relative_to(ROOT)}`, as it was run.*"
    title, *rest = parts
    return "\n\n".join([title, run, *rest]) + "\n", pictures


def _output(output: dict[str, Any]) -> tuple[str, str]:
    if output["output_type"] == "stream":
        return "".join(output["text"]), ""
    data = output.get("data", {})
    return "".join(data.get("text/plain", "")), "".join(data.get("image/svg+xml", ""))


def _in_repository(page: str, target: str) -> PurePosixPath | None:
    """The path in the repository of a link that leads out of ``docs/``; else None."""
    place = os.path.normpath(PurePosixPath("docs") / PurePosixPath(page).parent / target)
    path = PurePosixPath(place)
    return None if path.parts[0] == "docs" else path
