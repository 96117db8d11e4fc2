"""
Signals in programs of asyncio: the task is cancelled, the program ends as any other, and the rerun continues.
"""

from __future__ import annotations

import json
import random
import signal
import time
from typing import Any

import pytest

SIGNALS = {"SIGINT": -signal.SIGINT, "SIGTERM": 143}
TRIALS = 6


@pytest.mark.parametrize("name", list(SIGNALS))
@pytest.mark.parametrize("way", ["block", "around"])
def test_signal_at_a_random_point(programs: Any, way: str, name: str) -> None:
    """Wherever it comes: no traceback, the right status, a rerun that completes, no completed step repeated."""
    chance = random.Random(f"{way} {name}")
    for _ in range(TRIALS):
        trial(programs, way, name, number=chance.randrange(15), delay_s=chance.random() * 0.02)


def trial(programs: Any, way: str, name: str, *, number: int, delay_s: float) -> None:
    (programs.directory / "effects.txt").unlink(missing_ok=True)
    programs.copy("tasks.py")
    child = programs.scripts.start("tasks.py", way)
    programs.scripts.wait_for(child, f"in {number}\n")
    time.sleep(delay_s)  # to strike at another point of the step or after it; whichever it is must be right
    child.send_signal(getattr(signal, name))
    _, stderr = child.communicate(timeout=60)
    assert SIGNALS[name] == child.returncode, stderr
    assert "Traceback" not in stderr
    assert "Run again to continue." in stderr
    ended = {what for what in programs.effects() if what.startswith("end")}
    again = programs.scripts.run("tasks.py", way)
    assert 0 == again.returncode, again.stderr
    assert {"done": list(range(20))} == json.loads(again.stdout.splitlines()[-1])
    assert f" {len(ended)} steps kept." in again.stderr.replace(" 1 step kept.", " 1 steps kept.")
    assert [1] * 20 == [programs.effects()[f"end {number}"] for number in range(20)]
    assert 2 == programs.effects()["finally"]
