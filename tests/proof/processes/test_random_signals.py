"""
Ctrl-C, SIGTERM and SIGKILL at random moments, in a plain loop, in threads and in asyncio; then the same command again.
"""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import checkpoint

# For nightly runs: other moments, and more of them.
SEED = int(os.environ.get("PROOF_SEED", "20261122"))
TRIALS = 100 * int(os.environ.get("PROOF_SCALE", "1"))
# So often a trial is struck before it may finish.
STRIKES = 2

SIGNALS = {"SIGINT": {-signal.SIGINT}, "SIGTERM": {143}, "SIGKILL": {-signal.SIGKILL}}
SQUARES = [number * number for number in range(12)]
PROGRAMS = {"loop.py": SQUARES, "threads.py": [*SQUARES, sum(SQUARES)], "tasks.py": [*SQUARES, sum(SQUARES)]}
# How many steps run at the same time, and so may be cut at once.
AT_ONCE = {"loop.py": 1, "threads.py": 4, "tasks.py": 6}

# Before the block is entered and after it is left the program is like any other, and a signal does what it always does.
PLAIN = {"SIGINT": {-signal.SIGINT}, "SIGTERM": {-signal.SIGTERM}, "SIGKILL": {-signal.SIGKILL}}


def was_inside(done: Any, entered: bool) -> bool:
    """Return whether the signal found the program in its block, as far as one can tell from outside."""
    return entered and "done in" not in done.err and "nothing to do" not in done.err


def is_known_gap(program: str, error: str) -> bool:
    """
    Return whether asyncio prints a traceback of its own, in which there is nothing of the library.

    It does so if Ctrl-C comes while it makes the task, before the block, or just after the block was left.
    """
    ours = str(Path(checkpoint.__file__).parent)
    return program == "tasks.py" and "asyncio/runners.py" in error and f'File "{ours}' not in error


def is_deadlock_of_python(program: str, error: str) -> bool:
    """
    Return whether Python's own locks hang, in which there is nothing of the library.

    `Condition.__enter__` is a function: a Ctrl-C that is raised at its end leaves the lock taken, and whoever wants it
    next, such as a thread of a pool that has a result, waits for ever.
    """
    innermost = re.findall(r"\(most recent call first\):\n  (.+)", error)
    return (
        program == "threads.py"
        and any(line.endswith("in __enter__") for line in innermost)
        and all("/threading.py" in line or "/concurrent/futures/" in line for line in innermost)
    )


def strike(warm: Any, place: Any, program: str, name: str, delay_s: float) -> bool:
    """Start the program, send it a signal, and check how it ended; returns whether it was struck inside its block."""
    entered_before = sum(trace[0] == "entered" for trace in place.traces())
    warm.start(place, program)
    warm.kill_after(delay_s, getattr(signal, name))
    done = warm.wait(is_known_hang=lambda error: is_deadlock_of_python(program, error))
    entered = sum(trace[0] == "entered" for trace in place.traces()) > entered_before
    if done.status == 0:
        assert PROGRAMS[program] == done.result
        return False
    if is_deadlock_of_python(program, done.err):
        return False
    if not was_inside(done, entered):
        assert done.status in SIGNALS[name] | PLAIN[name], done.err
        return False
    assert done.status in SIGNALS[name], f"{done.status}: {done.err}"
    if name != "SIGKILL":
        if "Traceback" in done.err:
            assert is_known_gap(program, done.err), done.err
            return False
        assert re.search(r"(saved|kept)\. Run again to continue\.", done.err), done.err
    return True


@pytest.mark.parametrize("name", list(SIGNALS))
@pytest.mark.parametrize("program", list(PROGRAMS))
def test_no_acknowledged_step_is_lost_or_repeated(farm: Any, faults: Any, program: str, name: str) -> None:
    """Wherever the signal comes, the program ends as documented, and reruns complete it with every result right."""
    whole_s = farm.seconds(program)

    def trial(warm: Any, number: int) -> int:
        chance = random.Random(f"{SEED} {program} {name} {number}")
        place = farm.trial(str(number))
        told = f"seed {SEED}, trial {number} in {place.directory}"
        try:
            struck = sum(strike(warm, place, program, name, chance.random() * whole_s) for _ in range(STRIKES))
            done = warm.run(place, program)
            assert (0, PROGRAMS[program]) == (done.status, done.result if done.out else done.err)
            assert [] == place.repeated()
            assert sum(place.begun().values()) <= len(PROGRAMS[program]) + STRIKES * AT_ONCE[program]
        except AssertionError as error:
            error.add_note(told)
            raise
        return struck

    struck = sum(farm.each(trial, range(TRIALS)))
    assert struck > TRIALS / 10
    faults.count(f"{name} at a random moment in {program.removesuffix('.py')}", struck)
