"""
SIGKILL from outside at any moment, with results of 300 KB; then the same command, until the run is done.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
from typing import Any

# For nightly runs: other moments, and more of them.
SEED = int(os.environ.get("PROOF_SEED", "20261122"))
TRIALS = 120 * int(os.environ.get("PROOF_SCALE", "1"))
KILLS = 3
NUMBERS = range(8)


def digests() -> list[str]:
    """Return what an uninterrupted run finds."""
    return [hashlib.sha256(random.Random(number).randbytes(300_000)).hexdigest() for number in NUMBERS]


def test_nothing_acknowledged_is_lost_repeated_or_wrong(farm: Any, faults: Any) -> None:
    """Killed up to three times at random moments, the run completes with every byte right and nothing run twice."""
    expected = [digests(), digests()]
    whole_s = farm.seconds("large.py")

    def trial(warm: Any, number: int) -> int:
        chance = random.Random(f"{SEED} {number}")
        place = farm.trial(str(number))
        told = f"seed {SEED}, trial {number}"
        killed = 0
        for _ in range(KILLS):
            warm.start(place, "large.py")
            warm.kill_after(chance.random() * whole_s, signal.SIGKILL)
            killed += warm.wait().status == -signal.SIGKILL
        done = warm.run(place, "large.py")
        assert (0, expected) == (done.status, done.result if done.out else done.err), told
        assert [] == place.repeated(), told
        # A kill cuts one step at most.
        assert sum(place.begun().values()) <= len(NUMBERS) + killed, told
        return killed

    killed = sum(farm.each(trial, range(TRIALS)))
    assert killed > TRIALS / 2
    faults.count("SIGKILL at a random moment, results of 300 KB", killed)
