"""The browser that the tests use; as a script, it installs one where there is none.

    python tests/chromium.py

Playwright's own where it can be fetched, else Debian's as root. Where neither works it says so and
ends well: the tests then leave out what needs a browser, and their last line says that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: The fonts let a page show every script.
_PACKAGES = ("chromium", "fonts-noto-core", "fonts-noto-cjk", "fonts-noto-color-emoji")


def chromium() -> str | None:
    """Where it is: on the path, or where Playwright has put its own."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        own = play.chromium.executable_path
    return own if Path(own).exists() else None


def _ways() -> list[list[str]]:
    ways = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES]
        ways += [["apt-get", "update", "-qq"], install]
    return ways


def main() -> None:
    for way in _ways():
        if chromium():
            return
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(way, check=False, stdout=subprocess.DEVNULL, env=environment)
    if chromium() is None:
        print("No browser could be installed: the tests will leave out what needs one.")


if __name__ == "__main__":
    main()
