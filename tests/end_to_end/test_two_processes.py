"""
Several processes that want to work on one run: one does, the others are told who.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest


def test_second_process_is_refused_in_one_line(programs: Any, say_go: Callable[[], None]) -> None:
    """A second process ends with status 75 and one sentence that names the owner; the first is not disturbed."""
    programs.copy("waiting.py")
    first = programs.scripts.start("waiting.py")
    programs.scripts.wait_for(first, "waiting")
    journal = (programs.run_directory() / "journal.jsonl").read_bytes()
    second = programs.scripts.run("waiting.py")
    assert (75, "") == (second.returncode, second.stdout)
    owner = rf"process {first.pid} on \S+, since [-\d: ]+"
    pattern = rf"checkpoint: run \w{{4}} is already running \({owner}\)\. Not started\.\n"
    assert re.fullmatch(pattern, second.stderr), second.stderr
    assert journal == (programs.run_directory() / "journal.jsonl").read_bytes()
    say_go()
    stdout, stderr = first.communicate(timeout=60)
    assert (0, "[0, 1, 2]\n") == (first.returncode, stdout), stderr
    assert {f"{what} {number}": 1 for what in ("begin", "end") for number in range(3)} == programs.effects()


def test_of_eight_at_once_one_works(programs: Any, say_go: Callable[[], None]) -> None:
    """Of eight processes that start at the same instant seven end with status 75, and every effect happens once."""
    programs.copy("waiting.py")
    gate = programs.directory / "gate"
    os.mkfifo(gate)
    children = [programs.scripts.start("waiting.py", "fifo") for _ in range(8)]
    for child in children:
        programs.scripts.wait_for(child, "ready")
    opened = os.open(gate, os.O_RDWR)  # wakes all that wait to read it
    statuses = []
    try:
        with ThreadPoolExecutor(8) as pool:
            for done in as_completed([pool.submit(child.wait, 60) for child in children]):
                statuses.append(done.result())
                if len(statuses) == 7:
                    say_go()
    finally:
        os.close(opened)
    assert [75] * 7 + [0] == statuses
    assert {f"{what} {number}": 1 for what in ("begin", "end") for number in range(3)} == programs.effects()


@pytest.mark.parametrize("durability", ["full", "process"])
def test_lock_of_a_killed_owner_is_not_in_the_way(programs: Any, say_go: Callable[[], None], durability: str) -> None:
    """After SIGKILL the next process continues at once, and says that the last one crashed."""
    programs.copy("waiting.py")
    first = programs.scripts.start("waiting.py", env={"CHECKPOINT_DURABILITY": durability})
    programs.scripts.wait_for(first, "waiting")
    os.kill(first.pid, signal.SIGKILL)
    first.wait(60)
    say_go()
    second = programs.scripts.run("waiting.py", env={"CHECKPOINT_DURABILITY": durability})
    assert (0, "waiting\n[0, 1, 2]\n") == (second.returncode, second.stdout), second.stderr
    assert re.search(r"continuing run \w{4}, crashed \d+ s ago. 1 step kept.", second.stderr), second.stderr
    assert (1, 2) == (programs.effects()["begin 0"], programs.effects()["begin 1"])
