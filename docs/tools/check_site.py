"""Opens the built site as a reader would, from its folder: the search must find, a page must load.

python docs/tools/check_site.py       # after the build, in the browser that the tests use
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
SITE = ROOT / "site"


def main() -> int:
    sys.path.append(str(ROOT / "tests"))
    from chromium import chromium

    executable = chromium()
    if executable is None:
        sys.stdout.write("not looked at in a browser: python tests/chromium.py installs one\n")
        return 0
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        failed: list[str] = []
        page.on("pageerror", lambda error: failed.append(str(error)))
        found = searched(page, "Faith-Shapley")
        page.goto((SITE / "gallery" / "short.html").as_uri())
        verdict = page.locator("body").inner_text()
        browser.close()
    elsewhere = [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
    if elsewhere or failed:
        raise SystemExit(f"the site asked for {elsewhere} and failed with {failed}")
    if not any("indices" in place for place in found):
        raise SystemExit(f"the search for an index led to {found}")
    if "74% POSITIVE" not in verdict:
        raise SystemExit(f"the gallery's first page says {verdict[:200]!r}")
    sys.stdout.write(f"the site works from its folder: {len(found)} results of a search\n")
    return 0


def searched(page: Page, words: str) -> list[str]:
    """Where the results of a search lead."""
    page.goto((SITE / "index.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type(words)
    results = page.locator("a.md-search-result__link")
    results.first.wait_for(timeout=15_000)
    return [str(link.get_attribute("href")) for link in results.all()]


if __name__ == "__main__":
    sys.exit(main())
