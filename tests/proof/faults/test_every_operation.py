"""
Every operation on files that a workflow causes, also those that only look, fails or does half of what it was asked.

The run comes out right, or the user is told by an error of ours; then the same program, with nothing in its way, comes
out right and repeats nothing that was acknowledged.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core import lines
from checkpoint._core.progress import Progress
from checkpoint.errors import CheckpointError
from checkpoint.stores import FileStore
from checkpoint.testing import Crash
from checkpoint.testing._life import Life
from tests.proof.faults.programs import effects, everything

pytestmark = pytest.mark.slow


class FailingLife(Life):
    """
    A life in which the N-th operation on files goes wrong.

    Args:
        at: Which one, from 0; of writing ones with `fault="short"`; -1 for none.
        fault: The name of an errno, or `short`: it does half and says so.
        lasting: Whether all that follow fail too, but for giving up what is held.
    """

    def __init__(self, at: int = -1, fault: str = "", *, lasting: bool = False) -> None:
        super().__init__()
        self.at, self.fault, self.lasting = at, fault, lasting
        self.count = 0
        self.failed: list[str] = []

    def operation(self, name: str, perform: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Perform one operation, or let it go wrong."""
        if self.fault == "short" and name not in ("write", "write_at"):
            return super().operation(name, perform, arguments)
        number = self.count
        self.count += 1
        if number != self.at and not (self.lasting and self.failed):
            return super().operation(name, perform, arguments)
        self.failed.append(name)
        if self.fault == "short":
            half = bytes(arguments[1])[: len(arguments[1]) // 2 or 1]
            return super().operation(name, perform, (arguments[0], half, *arguments[2:]))
        if name in ("close", "unlock"):
            super().operation(name, perform, arguments)  # the descriptor and its lock are gone, whatever close says
        raise OSError(getattr(errno, self.fault), os.strerror(getattr(errno, self.fault)))


class Trial:
    """Lives that follow each other in one world, and what they did."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = directory / "world"
        self.world.mkdir(parents=True, mode=0o700)
        self.home = directory / "home"
        self.lives: list[Life] = []
        self.result: object = None
        monkeypatch.setenv("CHECKPOINT_HOME", str(self.home))

    def live(self, life: Life) -> CheckpointError | None:
        """Live one life; returns the error that the user is told, and lets any other out."""
        self.lives.append(life)
        try:
            with life.lived():
                self.result = everything(self.world)
        except CheckpointError as error:
            return error
        return None

    def die_half_way(self) -> None:
        """Leave a run whose last write is torn."""
        life = Life(lambda point, attempt: point.kind == "saving" and "pair" in point.what, "torn")
        self.lives.append(life)
        with pytest.raises(Crash), life.lived():
            everything(self.world)

    def states(self) -> list[Any]:
        """Return the state of each finished run."""
        store = FileStore(self.home)
        finished = [summary.id for summary in store.runs("everything") if summary.status == "finished"]
        return [Progress(lines.split(store.read("everything", run))).state().tree for run in finished]

    def repeated(self) -> set[Any]:
        """Return the calls that ran again although they had been acknowledged."""
        found: set[Any] = set()
        for number, life in enumerate(self.lives):
            later = [call for one in self.lives[number + 1 :] for call in one.entered]
            found |= set(life.acknowledged) & set(later)
        return found


# What the program does to the world, and returns, and what its state is in the end.
UNINTERRUPTED = Counter(
    {name: 1 for name in ("outer-a", "a1", "a2", "begin-b", "end-b", "breaks-c", "large-1", "large-2", "pair-d")}
    | {"tick": 2}
)
RESULT = ["in a", "between a", "out of a", "a1a1", "a2a2", "caught", 3]
STATE = {"log": RESULT, "large": "xx", "pair": "dd", "ticks": 2}


def check(trial: Trial, life: FailingLife, error: CheckpointError | None) -> str:
    """Check what a fault has led to, run the program again if it was stopped, and return how it came out."""
    where = f"{life.fault} at operation {life.at}, {life.failed}: {error}"
    outcome = "silent" if error is None else "told"
    if not trial.states():
        assert error is not None, where
        assert trial.live(Life()) is None, where
    elif error is not None:
        outcome = "told_at_the_end"
    assert [STATE] == trial.states(), where
    if outcome != "told_at_the_end":
        assert RESULT == trial.result, where
    assert set() == trial.repeated(), where
    assert not UNINTERRUPTED - Counter(effects(trial.world)), where
    return outcome


def try_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, *, continued: bool, lasting: bool = False
) -> Counter[str]:
    """Let each operation of a program go wrong in turn; returns how often it came out how."""
    outcomes: Counter[str] = Counter()
    at = 0
    while True:
        trial = Trial(tmp_path / str(at), monkeypatch)
        if continued:
            trial.die_half_way()
        life = FailingLife(at, fault, lasting=lasting)
        error = trial.live(life)
        if not life.failed:
            return outcomes
        outcomes[check(trial, life, error)] += 1
        shutil.rmtree(tmp_path / str(at))
        at += 1


@pytest.mark.parametrize("continued", [False, True], ids=["new", "continued"])
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_operation_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Any, fault: str, continued: bool
) -> None:
    """One operation fails, whatever it is, and the next ones do not."""
    outcomes = try_all(tmp_path, monkeypatch, fault, continued=continued)

    assert (True, True) == (outcomes["told"] > 50, outcomes["silent"] > 20)
    faults.count(f"{fault} at an operation of a workflow", outcomes.total(), **outcomes)


@pytest.mark.parametrize("continued", [False, True], ids=["new", "continued"])
def test_disk_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Any, continued: bool) -> None:
    """From one operation on all fail: nothing is done in silence."""
    outcomes = try_all(tmp_path, monkeypatch, "EIO", continued=continued, lasting=True)

    assert (True, True) == (outcomes["told"] > 100, outcomes["silent"] < 20)
    faults.count("EIO at every operation of a workflow from one on", outcomes.total(), **outcomes)


@pytest.mark.parametrize("continued", [False, True], ids=["new", "continued"])
def test_short_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Any, continued: bool) -> None:
    """A write that takes only half of what it is given is no error: the rest follows."""
    outcomes = try_all(tmp_path, monkeypatch, "short", continued=continued)

    assert {"silent"} == outcomes.keys()
    faults.count("a write of a workflow that was short", outcomes.total(), **outcomes)
