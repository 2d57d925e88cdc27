"""The examples run as they stand, at a small budget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from proxyspex_hf import InteractionExplanation

ROOT = Path(__file__).parents[1]


def test_the_review_is_explained_and_checked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "01_review.py", "--alpha", "0.4", "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    explanation = InteractionExplanation.load(tmp_path / "review.json")
    assert explanation.record.settings.sampling == "density 0.5, 0.7, 0.9"
    assert (tmp_path / "review.html").read_text() == explanation.to_html()
    assert "Removing the words that matter most" in done.stdout
    strongest = explanation.top(1)[0]
    assert strongest.labels[0] in done.stdout
