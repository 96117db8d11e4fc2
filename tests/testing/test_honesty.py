"""
A crash test must not pass without having tested anything, and must not swallow what is not the workflow's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checkpoint import checkpointed, workflow
from checkpoint.errors import UsageError
from checkpoint.stores import MemoryStore
from checkpoint.testing import Crash, Crashes, SweepFailure, sweep


@checkpointed(name="honest")
def step(number: int) -> int:
    """Do nothing."""
    return number


def work(directory: Path) -> list[int]:
    """Make two calls."""
    with workflow("honest"):
        return [step(1), step(2)]


@pytest.mark.parametrize("error", [AssertionError("wrong"), KeyboardInterrupt(), pytest.fail.Exception("wrong")])
def test_what_the_test_raises_after_the_crash_gets_out(tmp_path: Path, error: BaseException) -> None:
    """Only what came of the crash is swallowed at the end of the block."""
    with pytest.raises(type(error)), Crashes().after("honest"):
        with pytest.raises(Crash):
            work(tmp_path)
        raise error


def test_workflow_that_does_nothing_when_it_is_resumed() -> None:
    """It is found without `effects=`: calls that belong to the run were never made."""

    def careless(directory: Path) -> None:
        with workflow("careless") as run:
            if not run.resumed:
                step(1)
                step(2)

    with pytest.raises(SweepFailure, match=r"never made: (?s:.*)honest|never made: step"):
        sweep(careless)


def test_runs_outside_of_the_world() -> None:
    """A store that is not made anew with the world leaves nothing to do, and that is said."""
    store = MemoryStore()

    def run(directory: Path) -> None:
        with workflow("outside", store=store, once=True):
            step(1)

    with pytest.raises(UsageError) as caught:
        sweep(run)
    assert "sweep-differs" == caught.value.slug


@pytest.mark.parametrize("found", [None, "align", [["align"]], {"align": "twice"}])
def test_effects_that_say_nothing(found: Any) -> None:
    """What cannot be counted is refused before anything runs, naming the argument."""
    with pytest.raises(UsageError, match="effects=") as caught:
        sweep(work, effects=lambda directory: found)
    assert "sweep-argument" == caught.value.slug


def test_skip_gets_out() -> None:
    """What pytest raises to end or judge the test is not the workflow's failure."""

    def run(directory: Path) -> None:
        with workflow("skipping"):
            pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception):
        sweep(run)


def test_exit_with_status_0_is_a_return() -> None:
    """A program's main function may end with `sys.exit(0)`."""

    def run(directory: Path) -> None:
        work(directory)
        raise SystemExit(0)

    assert 20 < sweep(run).points


def test_arguments_that_cannot_be_compared(tmp_path: Path) -> None:
    """They are told at the end of the block, and not within the program."""
    numpy = pytest.importorskip("numpy")

    @checkpointed(name="array")
    def total(values: Any) -> float:
        return float(values.sum())

    with pytest.raises(UsageError) as caught, Crashes().after("array", args={"values": numpy.arange(3)}):  # noqa: SIM117
        with workflow("arrays"):
            total(numpy.arange(3))
    assert "crash-place" == caught.value.slug
