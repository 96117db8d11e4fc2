"""
What the sweeps share: the programs' names, how many points to take, and the account of what was tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from checkpoint.testing import SweepReport, sweep
from tests.proof.faults.programs import OVERLAPPING, PROGRAMS, effects

# Chooses the same points in every normal run, so that it fails for a change and not by chance.
SEED = 20


class Sweeps:
    """Sweeps programs, and counts the points once the sweep has found nothing wrong at any of them."""

    def __init__(self, faults: Any) -> None:
        self._faults = faults

    def __call__(self, family: str, name: str, how: Any, *, sample: int | None = None, pairs: bool = False) -> Any:
        """Sweep the program of this name; `sample` limits the points, unless it is night."""
        nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
        report: SweepReport = sweep(
            PROGRAMS[name],
            # What overlaps in time cannot be told apart by what it did; that nothing saved runs again is checked.
            effects=None if name in OVERLAPPING else effects,
            how=how,
            pairs=pairs,
            sample=None if nightly else sample,
            seed=SEED,
        )
        self._faults.count(family, report.points, bodies_in_flight_ran_again=report.repeated)
        return report


@pytest.fixture
def swept(faults: Any) -> Callable[..., Any]:
    """Return a function that sweeps a program and counts its points."""
    return Sweeps(faults)
