"""
Lives in forked children: killed for real, with nothing left of them, and nothing of pytest's run in them.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint.errors import UsageError
from checkpoint.testing._child import run_in_child

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a process cannot be forked here"),
]

Send = Callable[[object], object]


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the children that the test forks; other tests may keep children of their own."""
    children: list[int] = []
    fork = os.fork

    def noted() -> int:
        child = fork()
        if child:
            children.append(child)
        return child

    monkeypatch.setattr(os, "fork", noted)
    return children


def were_waited_for(children: list[int]) -> bool:
    """Whether there were children, and each of them was waited for."""
    for child in children:
        try:
            os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            continue
        return False
    return bool(children)


def test_last_word_counts() -> None:
    """What a child has sent last is what it said."""

    def function(send: Send) -> None:
        send(1)
        send({"two": 2})

    ended = run_in_child(function)
    assert (0, {"two": 2}, "") == (ended.status, ended.said, ended.failure)


def test_killed_child_said_what_it_said(forked: list[int]) -> None:
    """What was sent before a kill arrives."""

    def function(send: Send) -> None:
        send("last words")
        os.kill(os.getpid(), signal.SIGKILL)

    ended = run_in_child(function)
    assert (-signal.SIGKILL, "last words") == (ended.status, ended.said)
    assert were_waited_for(forked)


def test_failure_is_told() -> None:
    """An exception arrives as its traceback."""
    ended = run_in_child(lambda send: [][0])
    assert (1, None) == (ended.status, ended.said)
    assert "IndexError" in ended.failure


def test_words_that_cannot_be_sent_are_a_failure() -> None:
    """What cannot be pickled is told as the failure that it is."""
    ended = run_in_child(lambda send: send(threading.Lock()))
    assert "cannot pickle" in ended.failure


def test_more_words_than_a_pipe_holds() -> None:
    """A large account neither blocks the child nor is cut off."""
    assert 10_000_000 == len(run_in_child(lambda send: send(b"x" * 10_000_000)).said)


def test_no_clean_up_runs_in_a_child(tmp_path: Path) -> None:
    """Neither exit handlers nor `finally` of this process run in the child."""
    mark = tmp_path / "mark"
    atexit.register(mark.touch)
    try:
        run_in_child(lambda send: None)
        run_in_child(lambda send: sys.exit(3))
        assert not mark.exists()
    finally:
        atexit.unregister(mark.touch)


def test_processes_of_a_killed_child_are_killed(tmp_path: Path) -> None:
    """What a child has started does not outlive it, and is not waited for."""

    def function(send: Send) -> None:
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        send(started.pid)
        os.kill(os.getpid(), signal.SIGKILL)

    began = time.monotonic()
    pid = run_in_child(function).said
    assert 60 > time.monotonic() - began
    assert is_gone(pid)


def is_gone(pid: int) -> bool:
    """Whether a process ends soon; a dead one may be there until somebody has waited for it."""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_child_that_forks_does_not_keep_its_parent_waiting() -> None:
    """A grandchild that still has everything open delays nobody."""

    def function(send: Send) -> None:
        if not os.fork():
            time.sleep(600)
        send("done")

    assert "done" == run_in_child(function).said


def test_interrupted_wait_kills_the_child(tmp_path: Path, forked: list[int]) -> None:
    """Ctrl-C while a child lives ends it, and leaves no zombie."""
    pid = tmp_path / "pid"

    def function(send: Send) -> None:
        pid.write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(600)

    with pytest.raises(KeyboardInterrupt):
        run_in_child(function)
    assert were_waited_for(forked)
    assert not pid.exists() or is_gone(int(pid.read_text()))


def test_nothing_is_left_open() -> None:
    """Children leave no descriptor behind."""

    def count() -> int:
        directory = Path("/proc/self/fd")
        return len(list(directory.iterdir())) if directory.exists() else 0

    before = count()
    for _ in range(5):
        run_in_child(lambda send: send("x"))
    assert before == count()


def test_platform_that_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no fork, the error says what to use."""
    monkeypatch.delattr(os, "fork")
    with pytest.raises(UsageError, match="Use how='crash'") as refused:
        run_in_child(lambda send: None)
    assert "cannot-fork" == refused.value.slug


def test_child_has_the_memory_of_its_parent() -> None:
    """A child sees what its parent knew, and changes nothing of it."""
    known: list[Any] = ["parent"]

    def function(send: Send) -> None:
        known.append("child")
        send(known)

    assert ["parent", "child"] == run_in_child(function).said
    assert ["parent"] == known
