"""
What all proofs share: the total of the faults comes last, when everything has been counted.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
TOTAL = Path(__file__).resolve().parent / "test_total.py"

_DESELECTED = pytest.StashKey[bool]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the total after every other test."""
    items.sort(key=lambda item: item.path == TOTAL)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember that not all tests run."""
    for item in items[:1]:
        item.config.stash[_DESELECTED] = True


@pytest.fixture
def why_not_all(request: pytest.FixtureRequest) -> str | None:
    """Return why the faults counted are not those of all tests, or None if they are."""
    session = request.session
    if "PYTEST_XDIST_WORKER" in os.environ:
        return "several processes share the tests, and each counts its own faults"
    if session.testsfailed:
        return "a test has failed, so that its faults were not counted"
    if session.config.stash.get(_DESELECTED, False) or any("::" in argument for argument in session.config.args):
        return "some tests were deselected"
    collected = {item.path for item in session.items}
    missing = [path.name for path in sorted(TESTS.rglob("test_*.py")) if path not in collected and counts(path)]
    return f"not collected: {', '.join(missing)}" if missing else None


def counts(path: Path) -> bool:
    """Return whether tests of this file count faults."""
    return path.is_relative_to(TOTAL.parent) or "faults: Any" in path.read_text(encoding="utf-8")
