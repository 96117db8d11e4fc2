"""
One fault at every point of every program, then a rerun: results, state and effects are those of a run without it.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.proof.faults.programs import LASTING, OVERLAPPING, PROGRAMS

pytestmark = pytest.mark.slow

# The three kinds of power cut differ only in what they leave of the last write.
FEWER = 20


def missed(report: Any, name: str) -> int:
    """Return how many points were not come to again; in threads and tasks other ways are taken each time."""
    return 0 if name in OVERLAPPING else int(report.missed)


@pytest.mark.parametrize("name", PROGRAMS)
def test_killed(swept: Any, name: str) -> None:
    """The process is gone, at every operation of the store and every boundary of a call."""
    report = swept("a workflow killed at a point", name, "crash")

    assert (True, 0) == (report.points > 40, missed(report, name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
@pytest.mark.parametrize("name", PROGRAMS)
def test_really_killed(swept: Any, name: str) -> None:
    """The same with SIGKILL in a forked child, where nothing at all runs afterwards."""
    report = swept("a workflow's process killed by SIGKILL at a point", name, "SIGKILL", sample=8)

    assert (True, 0) == (report.points >= 8, missed(report, name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_torn_write(swept: Any, name: str) -> None:
    """The process is gone in the middle of each write."""
    report = swept("a workflow killed in the middle of a write", name, "torn")

    assert (True, 0) == (report.points > 6, missed(report, name))


@pytest.mark.parametrize("name", LASTING)
def test_failed_flush(swept: Any, name: str) -> None:
    """The disk reports an error at each flush."""
    report = swept("EIO at a flush of a workflow", name, "io")

    assert (True, 0) == (report.points > 4, missed(report, name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_full_disk(swept: Any, name: str) -> None:
    """From each writing operation on the disk is full; for the rerun there is room again."""
    report = swept("a disk full from a point on", name, "full")

    assert (True, 0) == (report.points > 15, missed(report, name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c(swept: Any, name: str) -> None:
    """Ctrl-C at every point stops the run in order."""
    report = swept("SIGINT at a point of a workflow", name, "SIGINT")

    assert (True, 0) == (report.points > 40, missed(report, name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_terminated(swept: Any, name: str) -> None:
    """SIGTERM does the same; it takes the same ways, so that fewer points tell enough."""
    report = swept("SIGTERM at a point of a workflow", name, "SIGTERM", sample=FEWER)

    assert (True, 0) == (report.points >= FEWER, missed(report, name))


@pytest.mark.parametrize("name", LASTING)
def test_power_cut(swept: Any, name: str) -> None:
    """The power goes off at every point: all that was not flushed is gone."""
    report = swept("power cut at a point of a workflow", name, "unsynced")

    assert (True, 0) == (report.points > 40, missed(report, name))


@pytest.mark.parametrize("how", ["unsynced-half", "unsynced-zeros"])
@pytest.mark.parametrize("name", LASTING)
def test_power_cut_that_leaves_something(swept: Any, name: str, how: str) -> None:
    """Of what was appended and not flushed half is there, or zeros in its place."""
    report = swept("power cut that leaves half a write, or zeros", name, how, sample=FEWER)

    assert (True, 0) == (report.points >= FEWER, missed(report, name))
