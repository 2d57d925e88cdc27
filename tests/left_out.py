"""What a run of the tests leaves out is said in one line; in CI, leaving out is a failure.

Hooks of pytest, taken in by ``conftest.py``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest


def _refuse(report: Any) -> None:
    """Turns a skip into a failure that names it, where ``CI`` is set."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} would be skipped, and CI leaves nothing out: " + _why(
            report
        )


def _why(report: Any) -> str:
    """The reason alone, without pytest's own word and the place."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """A module that skips itself never becomes a test."""
    report = yield
    _refuse(report)
    return report


#: Not collected: what takes too long for every day.
ELSEWHERE = "six attacks and four figures of ten seconds each (make test-slow)"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = Counter(_why(report) for report in terminalreporter.stats.get("skipped", ()))
    said = [f"{count} because: {why}" for why, count in sorted(reasons.items())]
    said += [] if {"ATTACKS", "PAPER"} & os.environ.keys() else [ELSEWHERE]
    terminalreporter.write_line(f"Left out: {'; '.join(said) or 'nothing'}.")
