"""
Two and eight processes that want to work on one run at once, while the one that works is killed at random.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import Any

import pytest

# For nightly runs: other moments, and more of them.
SEED = int(os.environ.get("PROOF_SEED", "20261122"))
TRIALS = 20 * int(os.environ.get("PROOF_SCALE", "1"))
SQUARES = [number * number for number in range(6)]
STATUS_BUSY = 75
# A process that is refused asks again this often before something must be wrong.
MAX_TRIES = 400


class Contest:
    """Processes on one run, each of which comes back until the run is done."""

    def __init__(self, place: Any, warms: list[Any], told: str) -> None:
        self.place = place
        self.warms = warms
        self.told = told
        self.refused = self.killed = 0
        self.problems: list[str] = []
        self._guard = threading.Lock()

    def run(self, kill_s: dict[int, float]) -> None:
        """Let all begin at once; those named in `kill_s` are killed so long after their beginning."""
        for warm in self.warms:
            warm.start(self.place, "turns.py", gate=True)
        threads = [
            threading.Thread(target=self._work, args=(warm, kill_s.get(number)))
            for number, warm in enumerate(self.warms)
        ]
        for warm in self.warms:
            warm.go()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == self.problems, self.told

    def _work(self, warm: Any, kill_s: float | None) -> None:
        try:
            for _ in range(MAX_TRIES):
                if kill_s is not None:
                    warm.kill_after(kill_s, signal.SIGKILL)
                kill_s = None
                done = warm.wait()
                if not self._comes_back(warm, done):
                    return
                warm.start(self.place, "turns.py")
            self.problems.append("never got the run")
        except BaseException as error:
            self.problems.append(repr(error))

    def _comes_back(self, warm: Any, done: Any) -> bool:
        if done.status == 0:
            return False
        with self._guard:
            if done.status == -signal.SIGKILL:
                self.killed += 1
                with (self.place.directory / "killed.txt").open("a") as file:
                    file.write(f"{warm.pid}\n")
            elif done.status == STATUS_BUSY:
                self.refused += 1
            else:
                self.problems.append(f"{done.status}: {done.err}")
                return False
        return True


@pytest.mark.parametrize("count", [2, 8])
def test_one_works_and_the_others_wait(farm: Any, faults: Any, count: int) -> None:
    """Killed at random or not: one process works at a time, another takes over, and nothing is done twice."""
    whole_s = farm.seconds("turns.py")
    warms = farm.take(count)
    refused = killed = 0
    for number in range(TRIALS):
        chance = random.Random(f"{SEED} {count} {number}")
        told = f"seed {SEED}, {count} processes, trial {number}"
        place = farm.trial(str(number))
        contest = Contest(place, warms, told)
        doomed = chance.sample(range(count), count // 2) if number % 4 else []
        contest.run({process: chance.random() * whole_s * count / 2 for process in doomed})
        refused, killed = refused + contest.refused, killed + contest.killed
        check(place, contest, told)
    farm.give(warms)
    assert refused and killed
    faults.count(f"{count} processes at once on one run", TRIALS, refused=refused, killed=killed)


def check(place: Any, contest: Contest, told: str) -> None:
    """Check that the steps were done by one process at a time, and only cut ones twice."""
    assert [] == place.repeated(), told
    begun = place.begun()
    assert {str(number) for number in range(6)} == set(begun), told
    assert sum(begun.values()) <= 6 + contest.killed, told
    killed_path = place.directory / "killed.txt"
    killed = set(killed_path.read_text().split()) if killed_path.exists() else set()
    working = ""
    for what, name, process in place.traces():
        assert working in ("", process) or working in killed, f"{told}: {process} at {name} beside {working}"
        working = "" if what == "left" else process
