"""
A crash at every point of a workflow, each followed by a rerun that must come out as if nothing had happened.

The method is SQLite's loop over injected faults (sqlite.org/testing.html, section 3): run once to count the points,
then fail at each of them in turn.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoint.errors import UsageError
from checkpoint.testing._account import Account, live, surroundings
from checkpoint.testing._faults import How, applies, check_how
from checkpoint.testing._life import Trigger
from checkpoint.testing._sweep_report import ENOUGH, POINT_VARIABLE, SweepFailure, SweepReport, Violation, message
from checkpoint.testing._theatre import Theatre
from checkpoint.testing._verdict import compare_clean, is_over, judge, repeated

# For those who have no pytest options: `CHECKPOINT_SWEEP_POINT=37 python -m unittest`.
SAMPLE_VARIABLE = "CHECKPOINT_SWEEP_SAMPLE"
SEED_VARIABLE = "CHECKPOINT_SWEEP_SEED"


def sweep(
    run: Callable[[Any], object],
    *,
    world: Callable[[Path], Any] | None = None,
    same: Callable[[Any], object] | None = None,
    effects: Callable[[Any], Mapping[Any, int] | Iterable[Any]] | None = None,
    how: How | tuple[How, How] = "crash",
    pairs: bool = False,
    sample: int | None = None,
    seed: int | None = None,
) -> SweepReport:
    """
    Crash a workflow at every point, run it again, and compare with an uninterrupted run.

    Points are every operation of the store that changes something, and every boundary of a call.  Each is tried in a
    fresh world with runs of its own.  Compared are what `run` returns, the state of the finished runs, what `same`
    returns, and the effects: nothing may be missing, and only what a step in flight does may have happened again.

    Args:
        run: Called with the world; opens the workflow and runs it to its end.  A coroutine is run with asyncio.
        world: Given an empty directory, makes the world there, alike each time, and returns it; without it, or if it
            returns None, the directory is the world.
        same: Given the world, returns what must be equal in the end: files, references, rows.
        effects: Given the world, returns what has happened so far: names with counts, or names as often as they
            happened.  It is also called around every step of the uninterrupted run, to learn which step does what.
        how: What happens at the point; see `Crashes`.  `SIGKILL` lives every life in a forked child, and kills it.
        pairs: Whether to crash the rerun too, at each of its own points; `how` may then be two ways.
        sample: Try so many points only, spread evenly; the first and the last are always among them.
        seed: Chooses the sample; by default another each time, named in the report.

    Returns:
        The report.  The environment variables `CHECKPOINT_SWEEP_SAMPLE`, `CHECKPOINT_SWEEP_SEED` and
        `CHECKPOINT_SWEEP_POINT` (and pytest's `--checkpoint-sweep`, `--checkpoint-seed`, `--checkpoint-point`)
        override the choice of points.

    Raises:
        SweepFailure: At some points it did not come through; the message says where, why, and how to try one again.
        UsageError: The workflow cannot be swept: it fails uninterrupted, or comes out differently by itself.
    """
    functions: dict[str, object] = {"run": run, "world": world, "same": same, "effects": effects}
    for name, given in functions.items():
        if not callable(given) and (given is not None or name == "run"):
            raise UsageError(
                f"{name}={given!r} cannot be called. Give a function of the world.", slug="sweep-argument", value=given
            )
    __tracebackhide__ = True
    hows = _pair(how, pairs)
    began = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="checkpoint-sweep-"))
    try:
        with surroundings(CHECKPOINT_KEY_FILE=str(base / "key")):
            plan = _Plan(Theatre(base / "point", run, world, same, effects, hows), pairs, _Choice.of(sample, seed))
            report = plan.carry_out()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    report.seconds = time.monotonic() - began
    if report.violations:
        raise SweepFailure(message(report), report)
    return report


def _pair(how: How | tuple[How, How], pairs: bool) -> tuple[How, How]:
    """Return how the first life ends, and how the second does."""
    hows: tuple[How, ...] = how if isinstance(how, tuple) else (how, how)
    if len(hows) != 2 or (isinstance(how, tuple) and not pairs):
        raise UsageError(
            f"how={how!r}: give one way to fail, or two with pairs=True: for the first run, and for its rerun.",
            slug="sweep-argument",
            value=how,
        )
    for one in hows:
        check_how(one)
    return hows[0], hows[1]


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which points to try: all, a sample, or one."""

    sample: int | None
    seed: int
    only: tuple[int, ...] | None

    @classmethod
    def of(cls, sample: int | None, seed: int | None) -> _Choice:
        sample = _number(SAMPLE_VARIABLE, sample)
        seed = _number(SEED_VARIABLE, seed)
        if sample is not None and sample < 1:
            raise UsageError(f"sample={sample!r}: give 1 or more points.", slug="sweep-choice", value=sample)
        only = os.environ.get(POINT_VARIABLE)
        try:
            point = tuple(int(number) for number in only.split("+")) if only else None
        except ValueError:
            raise UsageError(
                f"{POINT_VARIABLE}={only!r} is no point. Give its number, such as 37, or 37+12 for a pair.",
                slug="sweep-choice",
                value=only,
            ) from None
        return cls(sample, random.randrange(1_000_000) if seed is None else seed, point)

    def spread(self, numbers: list[int]) -> list[int]:
        """Return all numbers, or a sample of them: one of each of so many stretches, the first and the last."""
        if self.sample is None or self.sample >= len(numbers):
            return numbers
        rng = random.Random(self.seed)
        size = len(numbers) / self.sample
        chosen = [numbers[int((place + rng.random()) * size)] for place in range(self.sample)]
        return [numbers[0], *chosen[1:-1], numbers[-1]] if self.sample > 1 else chosen


class _Plan:
    """Goes through the points."""

    def __init__(self, theatre: Theatre, pairs: bool, choice: _Choice) -> None:
        self._theatre = theatre
        self._pairs = pairs
        self._choice = choice
        self._report = SweepReport()
        self._clean, self._clean_left = theatre.clean(watched=True)
        again = theatre.clean(watched=False)
        if problems := compare_clean(self._clean, self._clean_left, *again):
            raise UsageError(
                "the workflow cannot be swept: two uninterrupted runs came out differently. Make the world alike each "
                "time, leave times and random values out of what is compared, and return plain data: an object "
                "without == equals nothing but itself.\n" + "\n".join(problems),
                slug="sweep-differs",
                value=None,
            )

    def carry_out(self) -> SweepReport:
        """Try every chosen point."""
        report = self._report
        if self._choice.only is not None:
            report.total = 1
            self._try(self._choice.only)
            if report.missed:
                raise UsageError(
                    f"point {'+'.join(map(str, self._choice.only))} was not reached: the workflow has "
                    f"{len(self._clean.points)} points. Take one that a failure has named, of this sweep.",
                    slug="sweep-choice",
                    value=self._choice.only,
                )
            return report
        first = self._fitting(self._clean, self._theatre.hows[0])
        if not first:
            raise UsageError(
                f"how={self._theatre.hows[0]!r} can happen at no point of this workflow, so that there is nothing to "
                "sweep. An exception is raised in the body of a step: call one.",
                slug="sweep-argument",
                value=self._theatre.hows[0],
            )
        report.total = len(first)
        chosen = self._choice.spread(first)
        if len(chosen) < len(first):
            report.seed = self._choice.seed
        rng = random.Random(self._choice.seed)
        for number in chosen:
            for second in self._seconds(self._try((number,)), rng):
                self._try((number, second))
                if len(report.violations) >= ENOUGH:
                    return report
            if len(report.violations) >= ENOUGH:
                return report
        _check_reached(report)
        return report

    def _seconds(self, rerun: Account | None, rng: random.Random) -> Iterator[int]:
        """Yield the points of a rerun at which to crash again."""
        if not self._pairs or rerun is None:
            return
        numbers = self._fitting(rerun, self._theatre.hows[1])
        self._report.total += len(numbers)
        if self._report.seed is not None and numbers:
            numbers = [rng.choice(numbers)]
        yield from numbers

    def _fitting(self, account: Account, how: How) -> list[int]:
        return [point.number for point in account.points if applies(how, point.kind)]

    def _try(self, numbers: tuple[int, ...]) -> Account | None:
        """Crash at a point, or at a pair; returns the rerun, or None if there was nothing to continue."""
        theatre, report = self._theatre, self._report
        scene = theatre.scene()
        lives: list[Account] = []
        for number, how in zip(numbers, theatre.hows, strict=False):
            lives.append(live(scene, _at(number), how))
            if is_over(lives[-1], self._clean):
                break
        rerun = None
        if not is_over(lives[-1], self._clean):
            rerun = live(scene)
            lives.append(rerun)
        _check_stores(lives)
        crashes = [account.fired for account in lives if account.fired is not None]
        report.points += 1
        report.missed += len(crashes) < len(numbers)
        report.repeated += repeated(lives)
        problems = judge(self._clean, self._clean_left, lives, theatre.left(scene))
        if problems:
            report.violations.append(Violation("+".join(map(str, numbers)), crashes, problems))
        return rerun


def _check_reached(report: SweepReport) -> None:
    if report.missed == report.points:
        raise UsageError(
            "the workflow cannot be swept: none of its points was reached again, so that nothing was tested. Is its "
            "store outside of the world, so that a run finds what an earlier one has left?",
            slug="sweep-differs",
            value=None,
        )


def _check_stores(lives: list[Account]) -> None:
    first, last = lives[0].stores, lives[-1].stores
    if first and last and not any(one is other for one in first for other in last):
        raise UsageError(
            "the workflow cannot be swept: its store is in memory, and the rerun has another one, so that there was "
            "nothing to continue. Let the world hold one MemoryStore, or keep the runs in files.",
            slug="sweep-in-memory",
            value=None,
        )


def _at(number: int) -> Trigger:
    return lambda point, attempt: point.number == number


def _number(variable: str, given: int | None) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return given
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{variable}={text!r} is no number.", slug="sweep-choice", value=text) from None
