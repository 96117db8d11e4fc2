"""
What a shell, a terminal and a container see of a program that is stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOOP = 'for i in 1 2 3; do echo "round $i"; "$PYTHON" {program}; done; echo after'
MODULE = ("waiting.py", "-m waiting")


def wait_for(child: subprocess.Popen[str], text: str) -> str:
    """Read the child's stdout until a line contains `text`, and return all of it."""
    assert child.stdout is not None
    seen = ""
    for line in child.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"ended without {text!r}: {seen}")


@pytest.mark.parametrize("program", MODULE, ids=["script", "module"])
def test_shell_loop_stops_at_ctrl_c(programs: Any, start_shell: Any, program: str) -> None:
    """Ctrl-C at the terminal ends the loop around the program, because the program dies of the signal."""
    programs.copy("waiting.py")
    shell = start_shell("bash", "-c", LOOP.format(program=program))
    seen = wait_for(shell, "waiting")
    os.killpg(shell.pid, signal.SIGINT)
    stdout, stderr = shell.communicate(timeout=60)
    assert "round 1\nwaiting\n" == seen + stdout
    assert -signal.SIGINT == shell.returncode
    assert "Traceback" not in stderr
    assert "stopped by Ctrl-C in wait(1). 1 step is saved. Run again to continue.\n" in stderr


@pytest.mark.parametrize(("name", "status"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 143), ("SIGKILL", -9)])
@pytest.mark.parametrize("program", MODULE, ids=["script", "module"])
def test_exit_status(programs: Any, say_go: Callable[[], None], program: str, name: str, status: int) -> None:
    """A program that is stopped dies of SIGINT, ends with 143 after SIGTERM, and the same command completes it."""
    programs.copy("waiting.py")
    child = programs.scripts.start(*program.split())
    programs.scripts.wait_for(child, "waiting")
    child.send_signal(getattr(signal, name))
    _, stderr = child.communicate(timeout=60)
    assert status == child.returncode, stderr
    assert "Traceback" not in stderr
    say_go()
    again = programs.scripts.run(*program.split())
    assert (0, "waiting\n[0, 1, 2]\n") == (again.returncode, again.stdout)
    assert (1, 2, 1) == tuple(programs.effects()[f"begin {number}"] for number in range(3))


def can_unshare_pids() -> bool:
    """Return whether a program can be made process 1 of a namespace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare_pids(), reason="needs root and `unshare --pid`")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_process_1_ends(programs: Any, start_shell: Any, say_go: Callable[[], None], name: str, status: int) -> None:
    """Process 1 of a container, which no signal kills by default, ends in order, and the next one continues."""
    programs.copy("waiting.py")
    command = ("unshare", "--pid", "--fork", "sh", "-c", 'exec "$PYTHON" waiting.py')
    first = start_shell(*command)
    wait_for(first, "waiting")
    (child,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    os.kill(int(child), getattr(signal, name))
    _, stderr = first.communicate(timeout=60)
    assert status == first.returncode, stderr
    assert "in wait(1). 1 step is saved." in stderr
    say_go()
    second = start_shell(*command)
    stdout, stderr = second.communicate(timeout=60)
    assert (0, "waiting\n[0, 1, 2]\n") == (second.returncode, stdout), stderr
