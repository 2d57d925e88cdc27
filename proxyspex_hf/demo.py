"""What ships for trying the package without a network: a small classifier and a real review."""

from __future__ import annotations

from importlib.resources import files

#: Directory of the sentiment classifier, for ``pipeline("text-classification", model=DEMO_MODEL)``.
DEMO_MODEL = str(files("proxyspex_hf") / "assets" / "sentiment")

#: Directory of a small CLIP that knows icons, for ``zero-shot-image-classification``.
DEMO_CLIP = str(files("proxyspex_hf") / "assets" / "clip")


def demo_review() -> str:
    """The IMDB review that ``proxyspex-hf demo`` explains (Maas et al., 2011; held out)."""
    return (files("proxyspex_hf") / "assets" / "review.txt").read_text(encoding="utf-8").strip()
