"""How fast the app's page is: from the address to the picture, and eight people at once.

    python tests/bench/app.py

The first is given as a ratio, too: to an empty Gradio page, loaded in turn with it by the same
browser. Needs the ``dev`` extra and Chromium at ``/usr/bin/chromium``.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import time
from typing import Any

import gradio as gr
from playwright.sync_api import Browser, sync_playwright

from proxyspex_hf.app import Models, Settings, running

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
PICTURE = '.psx[aria-busy="false"]'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def seconds_until(browser: Browser, url: str, selector: str) -> float:
    """From the address to the element, in a browser that knows nothing yet."""
    context = browser.new_context()
    page = context.new_page()
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(selector)
    taken = time.perf_counter() - start
    context.close()
    return taken


def together(browser: Browser, url: str, people: int) -> list[float]:
    """Each explains a text of their own; seconds from the click to their picture."""
    pages: list[Any] = []
    for i in range(people):
        page = browser.new_context().new_page()
        page.goto(url)
        page.wait_for_selector(PICTURE)
        page.get_by_role("tab", name="Explain your own").click()
        page.get_by_label("Text", exact=True).fill(f"Film {i} is not bad, but quite dull.")
        pages.append(page)
    starts = []
    for page in pages:
        starts.append(time.perf_counter())
        page.get_by_role("button", name="Explain", exact=True).click()
    taken = []
    for i, (page, start) in enumerate(zip(pages, starts, strict=True)):
        page.wait_for_selector(f'{PICTURE} .written:has-text("Film {i} is")', timeout=180_000)
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--loads", type=int, default=7)
    parser.add_argument("--people", type=int, default=8)
    given = parser.parse_args()
    with gr.Blocks(analytics_enabled=False) as empty:
        gr.HTML("<p id='there'>Nothing</p>")
    _, plain, _ = empty.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, server_port=free_port()
    )
    with running(Settings(Models()), port=free_port()) as app, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        ours, theirs = [], []
        for _ in range(given.loads):
            theirs.append(seconds_until(browser, plain, "#there"))
            ours.append(seconds_until(browser, app.url, PICTURE))
        own, base = statistics.median(ours), statistics.median(theirs)
        print(f"address to picture: {own:.2f} s (median of {len(ours)}; {max(ours):.2f} at most)")
        print(f"an empty Gradio page: {base:.2f} s; {own / base:.2f} times that")
        taken = together(browser, app.url, given.people)
        print(f"{len(taken)} people at once: {min(taken):.1f} to {max(taken):.1f} s each")
        browser.close()
    empty.close(verbose=False)


if __name__ == "__main__":
    main()
