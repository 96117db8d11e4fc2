"""
Every step of a real program, struck by every signal at every point, in processes of their own; then rerun.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "programs" / "twenty.py"
PLACES = ("before", "inside", "returned", "recorded")
STATUSES = {"SIGINT": -signal.SIGINT, "SIGTERM": 143, "SIGKILL": -signal.SIGKILL}


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def environment(directory: Path) -> dict[str, str]:
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHECKPOINT_", "PYTEST_"))}
    return {
        **kept,
        "CHECKPOINT_HOME": str(directory / "home"),
        "CHECKPOINT_KEY_FILE": str(directory / "key"),
        "CHECKPOINT_OUTPUT": "lines",
    }


def check(directory: Path, place: str, step: int, name: str) -> None:
    where = f"{name} {place} step {step}"
    first = run(directory, place, str(step), name)
    assert STATUSES[name] == first.returncode, f"{where}: {first.stderr}"
    assert "Traceback" not in first.stderr, where
    again = run(directory)
    assert again.returncode == 0, f"{where}: {again.stderr}"
    assert json.loads(again.stdout) == {"done": list(range(20))}, where
    effects = Counter((directory / "effects.txt").read_text().splitlines())
    # Only a body that was cut, or killed before its record was written, may run a second time.
    cut = {"inside"} if name != "SIGKILL" else {"inside", "returned"}
    for number in range(20):
        twice = number == step and place in cut
        assert effects[f"begin {number}"] == (2 if twice else 1), where
        ended_twice = twice and place == "returned"
        assert effects[f"end {number}"] == (2 if ended_twice else 1), where


@pytest.mark.parametrize("name", list(STATUSES))
@pytest.mark.parametrize("place", PLACES)
def test_no_completed_step_is_lost_or_repeated(tmp_path: Path, faults: Any, place: str, name: str) -> None:
    """Struck at one point of each of twenty steps, the program ends properly and a rerun completes it."""

    def trial(step: int) -> None:
        directory = tmp_path / str(step)
        directory.mkdir()
        check(directory, place, step, name)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(trial, range(20)))
    faults.count(f"{name} at one point of a step", 20)
