"""Make the README's picture: the app on its first example, as it opens.

    python examples/pictures/make.py examples/pictures/app.png

Needs the ``dev`` extra and Chromium at ``/usr/bin/chromium``.
"""

from __future__ import annotations

import sys

from playwright.sync_api import sync_playwright

from proxyspex_hf.app import Models, Settings, running

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main(picture: str) -> None:
    with running(Settings(Models())) as app, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 660}, device_scale_factor=1.5)
        page.goto(app.url)
        page.wait_for_selector('.psx[aria-busy="false"]')
        page.mouse.move(2, 2)
        page.wait_for_timeout(500)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
