"""
How long the machines run: `HYPOTHESIS_PROFILE=nightly` makes a hundred times as many examples, different every time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NIGHTLY_FACTOR = 100


def profile(*, examples: int, steps: int) -> settings:
    """
    Return the settings of a machine.

    A normal run makes the same examples every time, so that it fails for a change and not by chance; a failure of a
    nightly one prints what reproduces it.
    """
    nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
    return settings(
        max_examples=examples * (NIGHTLY_FACTOR if nightly else 1),
        stateful_step_count=steps,
        derandomize=not nightly,
        print_blob=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
