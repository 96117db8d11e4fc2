"""
A fault, a rerun that has one too, and another rerun: the second meets what the first has left half done.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.proof.faults.programs import LASTING, PROGRAMS

pytestmark = pytest.mark.slow

# So many first points of each program, each alone and then with one second point.
FIRST = 6


@pytest.mark.parametrize("first", ["crash", "SIGINT", "full", "torn"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_killed_again(swept: Any, name: str, first: str) -> None:
    """The rerun after a kill, a Ctrl-C, a full disk or half a write is killed as well."""
    report = swept("a workflow stopped, and its rerun killed", name, (first, "crash"), pairs=True, sample=FIRST)

    assert report.points > FIRST


@pytest.mark.parametrize("remains", ["unsynced", "unsynced-half", "unsynced-zeros"])
@pytest.mark.parametrize("name", LASTING)
def test_killed_and_then_a_power_cut(swept: Any, name: str, remains: str) -> None:
    """What a killed process had saved, or what its rerun made of it, is there when the power goes off."""
    report = swept("a workflow killed, and power cut in its rerun", name, ("crash", remains), pairs=True, sample=FIRST)

    assert report.points > FIRST


@pytest.mark.parametrize("name", LASTING)
def test_power_cut_and_then_killed(swept: Any, name: str) -> None:
    """What a power cut left can be continued by a process that is killed."""
    report = swept("power cut, and the rerun killed", name, ("unsynced", "crash"), pairs=True, sample=FIRST)

    assert report.points > FIRST


@pytest.mark.parametrize("second", ["crash", "unsynced"])
def test_every_pair(swept: Any, second: str) -> None:
    """Of the smallest program every pair of points is tried: killed, and killed again or left without power."""
    report = swept(f"every pair of points: crash, then {second}", "one_step", ("crash", second), pairs=True)

    assert (True, 0) == (report.points > 500, report.missed)
