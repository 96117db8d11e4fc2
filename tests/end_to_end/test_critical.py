"""
Critical steps: the first Ctrl-C waits for them, the second does not; what they start can outlive the terminal's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def stopping(programs: Any, wait_for_stderr: Callable[..., str]) -> Any:
    """Return a program that got one Ctrl-C in the middle of a critical step, and has said so."""
    programs.copy("waiting.py")
    child = programs.scripts.start("waiting.py", "critical")
    programs.scripts.wait_for(child, "waiting")
    child.send_signal(signal.SIGINT)
    wait_for_stderr(child, "stopping after wait(1); Ctrl-C again to stop now")
    return child


def test_first_ctrl_c_waits_for_a_critical_step(programs: Any, stopping: Any, say_go: Callable[[], None]) -> None:
    """The step ends and is recorded, then the program stops; the rerun keeps it."""
    say_go()
    _, stderr = stopping.communicate(timeout=60)
    assert -signal.SIGINT == stopping.returncode
    assert "2 steps are saved." in stderr
    again = programs.scripts.run("waiting.py", "critical")
    assert (0, "[0, 1, 2]\n") == (again.returncode, again.stdout), again.stderr
    assert 1 == programs.effects()["begin 1"]


def test_second_ctrl_c_stops_at_once(programs: Any, stopping: Any, say_go: Callable[[], None]) -> None:
    """The second one cuts the step, which is not recorded; the rerun runs it again."""
    stopping.send_signal(signal.SIGINT)
    _, stderr = stopping.communicate(timeout=60)
    assert -signal.SIGINT == stopping.returncode
    assert "1 step is saved." in stderr and "Traceback" not in stderr
    say_go()
    again = programs.scripts.run("waiting.py", "critical")
    assert (0, "waiting\n[0, 1, 2]\n") == (again.returncode, again.stdout), again.stderr
    assert (2, 1) == (programs.effects()["begin 1"], programs.effects()["end 1"])


def test_sigterm_after_ctrl_c_counts_as_the_second(stopping: Any) -> None:
    """Whoever asks a second time, by whatever signal, does not want to wait; the last one names the status."""
    stopping.send_signal(signal.SIGTERM)
    _, stderr = stopping.communicate(timeout=60)
    assert 143 == stopping.returncode
    assert "Traceback" not in stderr


MOVE = """
import subprocess
from checkpoint import checkpointed, workflow

@checkpointed(critical=True)
def move():
    subprocess.run(
        ["sh", "-c", "echo moving; while [ ! -e go ]; do sleep 0.01; done; echo moved >> moved.txt"],
        check=True, start_new_session=True,
    )
    return "moved"

with workflow("move"):
    print(move())
"""


def test_child_process_in_a_session_of_its_own_survives(
    programs: Any, say_go: Callable[[], None], wait_for_stderr: Callable[..., str]
) -> None:
    """The terminal's Ctrl-C, which reaches the whole foreground group, does not cut what a critical step started."""
    programs.scripts.write(MOVE)
    child = programs.scripts.start("script.py")
    programs.scripts.wait_for(child, "moving")
    os.killpg(child.pid, signal.SIGINT)
    wait_for_stderr(child, "stopping after move()")
    say_go()
    _, stderr = child.communicate(timeout=60)
    assert -signal.SIGINT == child.returncode, stderr
    again = programs.scripts.run("script.py")
    assert (0, "moved\n") == (again.returncode, again.stdout), stderr + again.stderr
    assert "moved\n" == (programs.directory / "moved.txt").read_text()
