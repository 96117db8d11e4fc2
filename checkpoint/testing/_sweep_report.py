"""
What a sweep found, and how it says so.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import Any

from checkpoint.testing._faults import Point

# The one point to try, for those who have no pytest options: `CHECKPOINT_SWEEP_POINT=37 python -m unittest`.
POINT_VARIABLE = "CHECKPOINT_SWEEP_POINT"

# After so many points at which the workflow does not come through, the rest would not tell more.
ENOUGH = 10

# How many of them a message describes.
_DESCRIBED = 3


@dataclass(frozen=True, slots=True)
class Violation:
    """A point at which the workflow does not come through: its number, the crashes, and what went wrong."""

    point: str
    crashes: list[Point]
    problems: list[str]


@dataclass(slots=True)
class SweepReport:
    """
    What a sweep found.

    Attributes:
        points: How many points were tried.
        missed: How many of them were not reached again; a program with threads takes other ways each time.
        repeated: How many bodies ran a second time, all of them in flight when the crash came.
        violations: Where the workflow did not come through.
        total: How many points there are, as far as they were counted.
        seed: With which the sample was chosen, or None if nothing was left out.
        seconds: How long it took.
    """

    points: int = 0
    missed: int = 0
    repeated: int = 0
    violations: list[Violation] = field(default_factory=list)
    total: int = 0
    seed: int | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        sample = f" of {self.total} (seed {self.seed})" if self.seed is not None else ""
        missed = f", {self.missed} not reached again" if self.missed else ""
        return (
            f"{self.points} points{sample} crashed and resumed in {self.seconds:.1f} s: "
            f"{len(self.violations)} violations, {self.repeated} steps in flight ran again{missed}"
        )


class SweepFailure(AssertionError):
    """The workflow does not come through; `report` says where."""

    def __init__(self, message: str, report: SweepReport) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.report)


def message(report: SweepReport) -> str:
    """Return what to say of a workflow that does not come through."""
    parts = [f"The workflow does not come through: {report}"]
    for violation in report.violations[:_DESCRIBED]:
        crashed = ", then at ".join(str(point) for point in violation.crashes) or f"{violation.point}, not reached"
        parts.append(f"\ncrashed at {crashed}:")
        parts += [f"  - {problem}" for problem in violation.problems]
    more = len(report.violations) - _DESCRIBED
    if more > 0:
        enough = ", and the points after them were not tried" if len(report.violations) >= ENOUGH else ""
        parts.append(f"\nand at {more} more points{enough}.")
    parts.append(f"\nTry the first one again: {_reproduce(report.violations[0].point)}")
    return "\n".join(parts)


def _reproduce(point: str) -> str:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if test:
        return f"pytest {shlex.quote(test)} --checkpoint-point={point}"
    return f"set {POINT_VARIABLE}={point} and run the same command"
