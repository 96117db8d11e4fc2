"""
A sweep finds what does not survive a crash, blames nobody who does, and leaves nothing behind.

The planted bugs are those that programs have: each is found, with the point and the one line that tries it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import json
import os
import pickle
import re
import shlex
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from checkpoint import checkpointed, current_run, workflow
from checkpoint.errors import UsageError
from checkpoint.stores import FileStore, MemoryStore
from checkpoint.testing import SweepFailure, sweep
from checkpoint.testing._sweep import _Choice
from checkpoint.testing._sweep_report import SweepReport

NAMES = ("a", "b", "c")
FORKS = hasattr(os, "fork")
SIMULATED = ["crash", "SIGINT", "SIGTERM", "torn", "unsynced", "unsynced-half", "unsynced-zeros", "full", "io"]


class World:
    """A directory in which things happen: a file that lists them, and others that steps make."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store: Any = None

    def __checkpoint_key__(self) -> str:
        return "world"

    def did(self, name: str) -> None:
        """Note an effect."""
        with (self.directory / "effects").open("a", encoding="utf-8") as file:
            file.write(name + "\n")

    def effects(self) -> list[str]:
        """Return every effect so far."""
        path = self.directory / "effects"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def files(self) -> dict[str, str]:
        """Return every other file."""
        return {path.name: path.read_text() for path in self.directory.iterdir() if path.name != "effects"}


@dataclass
class Tally:
    """The state of the examples."""

    done: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)


@checkpointed
def fetch(world: World, name: str) -> str:
    """Do one effect, and return something to be kept."""
    world.did(name)
    return name.upper()


def tried(run: Callable[[World], Any], **options: Any) -> SweepReport:
    """Sweep a program as most tests do."""
    return sweep(run, **{"world": World, "effects": World.effects, "same": World.files, **options})


def plain(world: World) -> list[str]:
    """A loop over items, with a state."""
    with workflow("plain", state=Tally) as run:
        for name in NAMES:
            run.state.done.append(fetch(world, name))
        return list(run.state.done)


def pending(world: World) -> list[str]:
    """A loop over the work that is left."""
    with workflow("pending", state=Tally(pending=list(NAMES))) as run:
        while run.state.pending:
            run.state.done.append(fetch(world, run.state.pending[0]))
            del run.state.pending[0]
        return list(run.state.done)


def nested(world: World) -> list[list[str]]:
    """Steps that call steps, and do something themselves."""

    @checkpointed(name="outer")
    def outer(world: World, names: tuple[str, ...]) -> list[str]:
        world.did("begin " + names[0])
        results = [fetch(world, name) for name in names]
        world.did("end " + names[0])
        return results

    with workflow("nested"):
        return [outer(world, ("a", "b")), outer(world, ("c", "d"))]


def retried(world: World) -> list[str]:
    """A step that fails at first, and is tried again."""

    @checkpointed(name="flaky")
    def flaky(world: World, name: str) -> str:
        world.did("try " + name)
        marker = world.directory / name
        if not marker.exists():
            marker.write_text("failed once")
            raise OSError(name)
        return name

    def patiently(name: str) -> str:
        for _ in range(3):
            try:
                return flaky(world, name)
            except OSError:
                continue
        raise AssertionError("it failed too often")

    with workflow("retried"):
        return [patiently(name) for name in NAMES]


def failing(world: World) -> list[str]:
    """Steps that fail each time, which the program notes."""

    @checkpointed(name="broken")
    def broken(world: World, name: str) -> str:
        world.did("try " + name)
        raise ValueError(name)

    with workflow("failing", state=Tally) as run:
        for name in NAMES:
            try:
                broken(world, name)
            except ValueError:
                run.state.done.append("failed " + name)
            run.state.done.append(fetch(world, name))
        return list(run.state.done)


def kept_time(world: World) -> int:
    """A step finds out the time, and others work with it."""

    @checkpointed(name="now")
    def now() -> int:
        return next(CLOCK)

    @checkpointed(name="report")
    def report(world: World, at: int) -> int:
        world.did("report")
        return 1

    with workflow("kept-time"):
        at = now()
        return report(world, at) + report(world, at + 1)


CLOCK = itertools.count()


def two_effects(world: World) -> str:
    """A body that does two things, and may do the first of them twice."""

    @checkpointed(name="transfer")
    def transfer(world: World) -> str:
        world.did("take")
        world.did("give")
        return "done"

    with workflow("two-effects"):
        return transfer(world) + fetch(world, "a")


def threaded(world: World) -> list[str]:
    """Calls at once, in threads."""
    with workflow("threaded"), ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(contextvars.copy_context().run, fetch, world, name) for name in NAMES]
        return [future.result() for future in futures]


@checkpointed
async def fetch_async(world: World, name: str) -> str:
    """Do one effect in a task."""
    await asyncio.sleep(0)
    world.did(name)
    return name.upper()


async def gathered(world: World) -> list[str]:
    """Calls at once, in tasks."""
    async with workflow("gathered"):
        return list(await asyncio.gather(*(fetch_async(world, name) for name in NAMES)))


async def grouped(world: World) -> list[str]:
    """Calls at once, in a task group: what leaves it is a group."""
    async with workflow("grouped"):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch_async(world, name)) for name in NAMES]
        return [task.result() for task in tasks]


def pickled(world: World) -> Any:
    """Results that are pickled, and such that have files of their own."""

    @checkpointed(name="make")
    def make(world: World, size: int) -> Any:
        world.did(str(size))
        return Tally(["x" * size]), b"y" * size

    with workflow("pickled"):
        return [make(world, 10), make(world, 100_000)]


def keyed(world: World) -> list[Any]:
    """Runs that differ by their key, the first of which is opened again when it is finished."""
    with workflow("keyed", key="one", once=True):
        first = [fetch(world, "a"), current_run().key]
    with workflow("keyed", key="two"):
        return [*first, fetch(world, "b"), current_run().key]


def stored(world: World) -> str:
    """A store that the program chooses itself."""
    with workflow("stored", store=FileStore(world.directory / "runs")):
        return fetch(world, "a") + fetch(world, "b")


def in_memory(world: World) -> str:
    """A store in the memory of the world."""
    world.store = world.store or MemoryStore()
    with workflow("in-memory", store=world.store):
        return fetch(world, "a") + fetch(world, "b")


def saving(world: World) -> list[str]:
    """Code that saves the state by itself, and equal calls."""
    with workflow("saving", state=Tally) as run:
        for _ in range(3):
            run.state.done.append(fetch(world, "same"))
            run.save()
        return list(run.state.done)


GOOD = [
    *(plain, pending, nested, retried, failing, kept_time, two_effects, threaded, gathered, grouped),
    *(pickled, keyed, stored, in_memory, saving),
]


def same_of(program: Callable[..., Any]) -> Any:
    """Return what to compare of a program: not the files in which it keeps its runs."""
    return None if program is stored else World.files


@pytest.mark.parametrize("program", GOOD)
@pytest.mark.parametrize("how", SIMULATED)
def test_program_that_survives_is_not_blamed(program: Callable[[World], Any], how: Any, faults: Any) -> None:
    """Programs written as they should be come through every fault: crashes at every point, the others at a sample."""
    report = tried(program, how=how, same=same_of(program), sample=None if how == "crash" else 15)
    assert [] == report.violations
    assert report.points > 0
    faults.count(f"sweeps of workflows, {how}", report.points, steps_in_flight_ran_again=report.repeated)


@pytest.mark.process
@pytest.mark.skipif(not FORKS, reason="a process cannot be forked here")
@pytest.mark.parametrize("program", [one for one in GOOD if one is not in_memory and one is not kept_time])
def test_program_that_survives_is_not_blamed_when_killed(program: Callable[[World], Any], faults: Any) -> None:
    """Real kills of a forked child find the same."""
    report = tried(program, how="SIGKILL", same=same_of(program), sample=15)
    assert [] == report.violations
    assert 15 == report.points
    faults.count("sweeps of workflows, SIGKILL", report.points, steps_in_flight_ran_again=report.repeated)


@pytest.mark.parametrize("program", [plain, pending, nested, retried, kept_time, saving])
def test_program_that_survives_two_crashes_is_not_blamed(program: Callable[[World], Any]) -> None:
    """Pairs of crashes are survived as well."""
    report = tried(program, pairs=True, sample=25, seed=1)
    assert [] == report.violations


@pytest.mark.parametrize("how", [("crash", "unsynced"), ("unsynced", "unsynced"), ("SIGINT", "crash"), ("io", "torn")])
def test_pairs_of_different_faults(how: Any) -> None:
    """The rerun may end in another way than the first run."""
    assert [] == tried(plain, pairs=True, how=how, sample=20, seed=2).violations


def test_pairs_try_every_point_of_every_rerun() -> None:
    """Without a sample there is a pair for each point of each rerun."""
    single = tried(in_memory)
    double = tried(in_memory, pairs=True)
    assert double.points == double.total > 5 * single.points


def tiny(directory: Path) -> int:
    """One step."""

    @checkpointed(name="one")
    def one() -> int:
        return 1

    with workflow("tiny"):
        return one()


def test_exceptions_are_raised_in_bodies() -> None:
    """An exception as the fault is raised in each body once, and a program that tries again is not blamed."""

    def patient(world: World) -> list[str]:
        def patiently(name: str) -> str:
            while True:
                try:
                    return fetch(world, name)
                except ValueError:
                    continue

        with workflow("patient"):
            return [patiently(name) for name in NAMES]

    assert 3 == tried(patient, how=ValueError).points


# Programs with a bug, and what the sweep must say of them.


def effect_outside(world: World) -> str:
    """Something is done between the steps."""
    with workflow("bug"):
        first = fetch(world, "a")
        world.did("mail")
        return first + fetch(world, "b")


def argument_is_the_time(world: World) -> int:
    """A step is called with the time."""

    @checkpointed(name="at")
    def at(world: World, time: int) -> int:
        world.did("at")
        return 1

    with workflow("bug"):
        return at(world, next(CLOCK)) + at(world, next(CLOCK))


def popped_before(world: World) -> list[str]:
    """The queue is a file, and an item leaves it before its step is made."""
    queue = world.directory / "queue"
    if not queue.exists():
        queue.write_text(json.dumps(NAMES))
    results = []
    with workflow("bug"):
        while items := json.loads(queue.read_text()):
            queue.write_text(json.dumps(items[1:]))
            results.append(fetch(world, items[0]))
    return results


def cleaned_up(world: World) -> str:
    """What a rerun needs is removed when the run ends, in whatever way."""
    material = world.directory / "material"

    @checkpointed(name="prepare")
    def prepare() -> None:
        material.write_text("needed")

    with workflow("bug"):
        try:
            prepare()
            fetch(world, "a")
            return material.read_text() + fetch(world, "b")
        finally:
            material.unlink(missing_ok=True)


def depends_on_resumed(world: World) -> str:
    """The result says whether the run was interrupted."""
    with workflow("bug") as run:
        fetch(world, "a")
        return "resumed" if run.resumed else "new"


def first_of_two_finished(world: World) -> str:
    """The first workflow is finished when the second is interrupted, and begins anew."""
    with workflow("bug"):
        first = fetch(world, "a")
    with workflow("second"):
        return first + fetch(world, "b")


def after_the_block(world: World) -> str:
    """Something is done when the run is over already."""
    with workflow("bug"):
        result = fetch(world, "a")
    world.did("mail")
    return result


def swallowing(world: World) -> str:
    """A step takes an interruption for a failure of what it calls."""

    @checkpointed(name="careful")
    def careful(world: World) -> str:
        try:
            return fetch(world, "a")
        except BaseException:
            return "nothing"

    with workflow("bug"):
        return careful(world)


def counted_outside(world: World) -> int:
    """The state is counted up in a file of the program's own."""
    path = world.directory / "count"
    with workflow("bug"):
        for name in NAMES:
            fetch(world, name)
            path.write_text(str(int(path.read_text() if path.exists() else 0) + 1))
    return 0


BUGS: list[tuple[Callable[[World], Any], str, str]] = [
    (effect_outside, "crash", r"effects happened again: 'mail'; no step was in flight"),
    (argument_is_the_time, "crash", r"at\(<World>, \d+\) was saved, and the rerun made another call in its place"),
    (popped_before, "crash", r"effects are missing: 'a'"),
    (cleaned_up, "SIGINT", r"the rerun failed:\n(.*\n)*.*FileNotFoundError"),
    (depends_on_resumed, "crash", r"the result is 'resumed' instead of 'new'"),
    (
        first_of_two_finished,
        "crash",
        r"fetch\(<World>, 'a'\) ran again although the result was saved \(its run had finished",
    ),
    (after_the_block, "crash", r"effects are missing: 'mail'"),
    (swallowing, "SIGINT", r"the result is 'nothing' instead of 'A'"),
    (counted_outside, "crash", r"same= gives \{'count': '4'\} instead of \{'count': '3'\}"),
]


@pytest.mark.parametrize(("program", "how", "said"), BUGS, ids=[bug[0].__name__ for bug in BUGS])
def test_planted_bug_is_found(
    program: Callable[[World], Any], how: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bug is found and described, and its point alone shows it again."""
    with pytest.raises(SweepFailure, match=said) as failure:
        tried(program, how=how)
    first = failure.value.report.violations[0]
    assert f"crashed at {first.crashes[0]}" in str(failure.value)
    assert "Try the first one again: pytest '" in str(failure.value)
    assert str(failure.value).endswith(f"{program.__name__}]' --checkpoint-point={first.point}")
    monkeypatch.setenv("CHECKPOINT_SWEEP_POINT", first.point)
    with pytest.raises(SweepFailure, match=r"1 points crashed") as again:
        tried(program, how=how)
    assert first.point == again.value.report.violations[0].point
    assert re.search(said, str(again.value))


@pytest.mark.process
@pytest.mark.skipif(not FORKS, reason="a process cannot be forked here")
@pytest.mark.parametrize("program", [effect_outside, popped_before, depends_on_resumed, first_of_two_finished])
def test_planted_bug_is_found_when_killed(program: Callable[[World], Any]) -> None:
    """Real kills find the bugs too."""
    said = next(said for bug, _, said in BUGS if bug is program)
    with pytest.raises(SweepFailure, match=said):
        tried(program, how="SIGKILL")


def test_pair_is_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure at the second of two crashes names both points, and they are tried again together."""

    def twice(world: World) -> str:
        starts = world.directory / "starts"
        starts.write_text(str(int(starts.read_text() if starts.exists() else 0) + 1))
        with workflow("bug"):
            return fetch(world, "a") + ("!" if starts.read_text() == "3" else "")

    with pytest.raises(SweepFailure, match=r"crashed at \d+, .*, then at \d+, ") as failure:
        tried(twice, pairs=True, same=None)
    point = failure.value.report.violations[0].point
    assert f"--checkpoint-point={point}" in str(failure.value)
    assert re.fullmatch(r"\d+\+\d+", point)
    monkeypatch.setenv("CHECKPOINT_SWEEP_POINT", point)
    with pytest.raises(SweepFailure, match="'A!' instead of 'A'"):
        tried(twice, pairs=True, same=None)


def test_failure_without_pytest_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs tests with something else is told the variable that chooses the point."""
    with monkeypatch.context() as patch, pytest.raises(SweepFailure) as failure:
        patch.delenv("PYTEST_CURRENT_TEST")
        tried(effect_outside)
    point = failure.value.report.violations[0].point
    assert str(failure.value).endswith(f"set CHECKPOINT_SWEEP_POINT={point} and run the same command")


def test_ten_violations_are_enough() -> None:
    """A program that fails everywhere is given up, and the message stays short and says so."""
    with pytest.raises(SweepFailure, match="and at 7 more points, and the points after them were not tried") as failure:
        tried(depends_on_resumed)
    assert 10 == len(failure.value.report.violations)


def test_failure_is_pickled() -> None:
    """What a worker process reports arrives as it was."""
    with pytest.raises(SweepFailure) as failure:
        tried(effect_outside)
    again = pickle.loads(pickle.dumps(failure.value))
    assert (str(failure.value), failure.value.report) == (str(again), again.report)


def test_repeated_counts_what_was_in_flight() -> None:
    """The report counts the bodies that ran again: for each of them, the points between its beginning and its end."""
    report = tried(two_effects)
    assert report.repeated > 0
    assert re.fullmatch(
        r"\d+ points crashed and resumed in \d+\.\d s: 0 violations, \d+ steps in flight ran again", str(report)
    )


def test_repetition_inside_a_pool_is_shared() -> None:
    """Effects of bodies that overlap are no reason for blame, whichever of them was in flight."""

    def crossing(world: World) -> list[str]:
        barrier = threading.Barrier(2, timeout=0.5)

        @checkpointed(name="meet")
        def meet(world: World, name: str) -> str:
            with contextlib.suppress(threading.BrokenBarrierError):  # in a rerun the other one is kept
                barrier.wait()
            world.did(name)
            return name

        with workflow("crossing"), ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(contextvars.copy_context().run, meet, world, name) for name in ("a", "b")]
            return [future.result() for future in futures]

    assert [] == tried(crossing, sample=12, seed=0).violations


# What cannot be swept, and what is said of it.


def test_workflow_that_fails_by_itself_is_refused() -> None:
    """A program that fails uninterrupted is told so, with its traceback."""

    def broken(world: World) -> None:
        with workflow("broken"):
            raise KeyError("my own")

    with pytest.raises(UsageError, match=r"failed without any crash\.\n(.*\n)*KeyError: 'my own'") as refused:
        tried(broken)
    assert "sweep-fails" == refused.value.slug


def test_workflow_that_differs_by_itself_is_refused() -> None:
    """A result that is another each time cannot be compared, and nothing is blamed for it."""
    with pytest.raises(UsageError, match=r"two uninterrupted runs came out differently(.*\n)*.*the result is \d+"):
        tried(lambda world: (plain(world), next(CLOCK))[1])


def test_function_without_a_workflow_is_refused() -> None:
    """A function that finishes no run has nothing to sweep."""
    with pytest.raises(UsageError, match="finished no run") as refused:
        tried(lambda world: fetch(world, "a"))
    assert "sweep-without-run" == refused.value.slug


def test_store_that_does_not_last_is_refused() -> None:
    """`memory:` is a new store for every life, of which no rerun can continue anything."""

    def forgetful(world: World) -> str:
        with workflow("forgetful", store="memory:"):
            return fetch(world, "a")

    with pytest.raises(UsageError, match="its store is in memory, and the rerun has another one") as refused:
        tried(forgetful)
    assert "sweep-in-memory" == refused.value.slug


@pytest.mark.process
@pytest.mark.skipif(not FORKS, reason="a process cannot be forked here")
def test_store_in_memory_cannot_be_killed() -> None:
    """A killed process takes its memory along."""
    with pytest.raises(UsageError, match="its store is in the memory of a process"):
        tried(in_memory, how="SIGKILL")


@pytest.mark.process
@pytest.mark.skipif(not FORKS, reason="a process cannot be forked here")
@pytest.mark.parametrize("options", [{"effects": lambda world: world.seen}, {"same": lambda world: world.seen}])
def test_world_in_memory_cannot_be_killed(options: dict[str, Any]) -> None:
    """Effects and outcomes that a child only has in its memory would look alike whatever happens."""

    def remembering(world: Any) -> str:
        with workflow("remembering"):
            world.seen.append("x")
            return fetch(world, "a")

    class Remembering(World):
        def __init__(self, directory: Path) -> None:
            super().__init__(directory)
            self.seen: list[str] = []

    with pytest.raises(UsageError, match="returns is in the memory of a process"):
        sweep(remembering, world=Remembering, how="SIGKILL", **options)


def test_fault_that_can_happen_nowhere_is_refused() -> None:
    """A sweep of no points would prove nothing."""

    def empty(world: World) -> None:
        with workflow("empty"):
            pass

    with pytest.raises(UsageError, match="can happen at no point of this workflow"):
        tried(empty, how=ValueError)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"world": Path()}, r"world=.* cannot be called\. Give a function of the world"),
        ({"run": None}, r"run=None cannot be called"),
        ({"effects": ["a"]}, r"effects=\['a'\] cannot be called"),
        ({"how": "bang"}, r"how='bang' is no way to fail"),
        ({"how": ("crash", "crash")}, r"two with pairs=True"),
        ({"how": ("crash",), "pairs": True}, r"give one way to fail, or two"),
        ({"sample": 0}, r"sample=0: give 1 or more points"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    """What cannot be meant is refused before anything runs."""
    with pytest.raises(UsageError, match=said):
        sweep(**{"run": plain, "world": World, **options})


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CHECKPOINT_SWEEP_POINT", "first", "no point. Give its number"),
        ("CHECKPOINT_SWEEP_POINT", "99999", "point 99999 was not reached: the workflow has"),
        ("CHECKPOINT_SWEEP_SAMPLE", "few", "is no number"),
        ("CHECKPOINT_SWEEP_SAMPLE", "0", "sample=0: give 1"),
        ("CHECKPOINT_SWEEP_SEED", "x", "is no number"),
    ],
)
def test_wrong_variables_are_refused(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point, a sample or a seed that is none is an error, not a sweep of something else."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=said) as refused:
        tried(plain)
    assert "sweep-choice" == refused.value.slug


# Which points are tried.


def test_sample_has_the_first_and_the_last() -> None:
    """A sample is spread evenly: one of each stretch, and the first and the last always."""
    for seed in range(50):
        chosen = _Choice(10, seed, None).spread(list(range(1000)))
        assert (0, 999) == (chosen[0], chosen[-1])
        assert list(range(10)) == [number // 100 for number in chosen]


def test_sample_that_is_as_large_as_the_whole() -> None:
    """Nothing is left out of a sample that is larger than what there is."""
    assert [1, 2, 3] == _Choice(3, 0, None).spread([1, 2, 3]) == _Choice(9, 0, None).spread([1, 2, 3])


@pytest.mark.parametrize("size", [1, 2])
def test_smallest_samples(size: int) -> None:
    """One point is any of them, and two are the first and the last."""
    chosen = _Choice(size, 0, None).spread(list(range(7)))
    assert size == len(chosen)
    assert size == 1 or [0, 6] == chosen


def test_same_seed_tries_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed that a report names gives the same points again, also as a variable, and another one others."""

    def points(**options: Any) -> list[str]:
        monkeypatch.setattr("checkpoint.testing._sweep_report.ENOUGH", 10)
        with pytest.raises(SweepFailure) as failure:
            tried(depends_on_resumed, sample=9, **options)
        assert options.get("seed", 7) == failure.value.report.seed
        return [one.point for one in failure.value.report.violations]

    assert points(seed=7) == points(seed=7) != points(seed=8)
    monkeypatch.setenv("CHECKPOINT_SWEEP_SEED", "7")
    assert points(seed=7) == points()


def test_variables_override_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person at the keyboard has the last word about the size of the sample, and seed 0 is one too."""
    monkeypatch.setenv("CHECKPOINT_SWEEP_SAMPLE", "4")
    monkeypatch.setenv("CHECKPOINT_SWEEP_SEED", "0")
    report = tried(plain, sample=9, seed=5)
    assert (4, 0) == (report.points, report.seed)
    assert f"4 points of {report.total} (seed 0)" in str(report)


def test_world_defaults_to_its_directory() -> None:
    """Without `world=`, or if it returns nothing, the program is given the empty directory."""
    seen: list[Any] = []

    def program(directory: Path) -> int:
        seen.append((directory, sorted(path.name for path in directory.iterdir())))
        return tiny(directory)

    def make(directory: Path) -> None:
        (directory / "made").touch()

    sweep(program, sample=2)
    sweep(program, world=make, sample=2)
    assert {((), True), (("made",), True)} == {(tuple(names), path.is_absolute()) for path, names in seen}


def test_once_workflow_with_work_after_it_is_not_blamed() -> None:
    """A finished run that the same command opens again is gone on with: the work after the block is done then."""

    def report(world: World) -> str:
        with workflow("once", once=True):
            result = fetch(world, "a")
        (world.directory / "report").write_text(result)
        return result

    assert [] == tried(report).violations


def test_printed_line_reproduces_the_failure(pytester: pytest.Pytester) -> None:
    """The line at the end of a failure, given to a shell, tries that point alone and fails again."""
    pytester.makepyfile(
        test_mail="""
        from checkpoint import checkpointed, workflow

        @checkpointed
        def fetch(name):
            return name

        def main(world):
            with workflow("bug"):
                fetch("a")
                with open(world / "sent", "a") as file:
                    file.write("mail ")
                fetch("b")

        def sent(world):
            return (world / "sent").read_text().split() if (world / "sent").exists() else []

        def test_main(checkpoint_sweep):
            checkpoint_sweep(main, effects=sent)
        """
    )
    first = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    line = next(line for line in first.outlines if "Try the first one again: " in line)
    command = shlex.split(line.partition("again: ")[2])
    assert ["pytest", "test_mail.py::test_main"] == command[:2]
    again = pytester.runpytest_inprocess("-p", "no:cacheprovider", *command[1:])
    again.stdout.fnmatch_lines(["*does not come through: 1 points*", "*effects happened again: 'mail'*"])
    again.assert_outcomes(failed=1)


# What a sweep leaves behind.


def test_nothing_is_left_of_a_sweep(nothing_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary directories, variables and the working directory are as before, also after failures of any kind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("CHECKPOINT_NOTED", "outside")

    def wandering(world: World) -> list[str]:
        os.environ["CHECKPOINT_NOTED"] = "inside"
        os.chdir(world.directory)
        return plain(world)

    before = (Path.cwd(), dict(os.environ))
    tried(wandering)
    with pytest.raises(SweepFailure):
        tried(depends_on_resumed)
    with pytest.raises(UsageError):
        tried(lambda world: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tried(plain, same=lambda world: 1 / 0)
    with pytest.raises(RuntimeError):
        sweep(plain, world=unmakeable)
    assert ([], before) == (list(tmp_path.iterdir()), (Path.cwd(), dict(os.environ)))


def unmakeable(directory: Path) -> World:
    """Fail to make a world."""
    raise RuntimeError


@pytest.mark.parametrize("how", ["crash", "SIGINT", ValueError])
def test_ctrl_c_of_the_person_who_runs_the_tests(nothing_left: None, how: Any) -> None:
    """Ctrl-C ends a sweep, whatever it simulates just now, and leaves nothing behind."""
    lives = itertools.count()

    def interrupted(world: World) -> list[str]:
        if next(lives) == 3:  # two uninterrupted ones, a crash, its rerun
            signal.raise_signal(signal.SIGINT)
        return plain(world)

    with pytest.raises(KeyboardInterrupt):
        tried(interrupted, how=how)


def test_sweep_inside_a_workflow_is_refused(nothing_left: None) -> None:
    """A process that is to die must not have other work open."""
    with workflow("outer"), pytest.raises(UsageError, match="workflow 'outer' is open already"):
        tried(plain)


def test_sweep_inside_a_sweep_is_refused(nothing_left: None) -> None:
    """A sweep of a sweep is refused with the way to two crashes in a row."""
    with pytest.raises(UsageError, match=r"(?s)failed without any crash.*pairs=True"):
        tried(lambda world: tried(plain))


def test_many_points_leave_nothing(nothing_left: None) -> None:
    """A long sweep opens no descriptor more than a short one."""
    descriptors = Path("/proc/self/fd")
    open_at: list[int] = []

    def counted(directory: Path) -> World:
        open_at.append(len(list(descriptors.iterdir())) if descriptors.exists() else 0)
        return World(directory)

    assert 59 <= sweep(plain, world=counted).points
    assert {open_at[0]} == set(open_at)


def test_idle_pool_leaves_nothing(nothing_left: None) -> None:
    """A pool that outlives every life costs none of them a descriptor."""
    with ThreadPoolExecutor(2) as pool:

        def pooled(world: World) -> list[str]:
            with workflow("pooled"):
                return [pool.submit(fetch, world, name).result() for name in NAMES]

        pool.submit(int).result()
        descriptors = Path("/proc/self/fd")
        before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
        assert [] == tried(pooled).violations
        assert before == (len(list(descriptors.iterdir())) if descriptors.exists() else 0)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Check that nothing of a simulated process is left in this one."""
    from checkpoint._runtime import scope as scopes
    from checkpoint._runtime.signals import watch
    from checkpoint.stores import _ownership
    from checkpoint.testing._seams import _observed

    def find() -> list[object]:
        descriptors = Path("/proc/self/fd")
        return [
            len(list(descriptors.iterdir())) if descriptors.exists() else 0,
            dict(_ownership._table.owned),
            list(scopes.open_sessions),
            scopes.current.get(),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
            watch._entered,
            threading.excepthook,
            threading.active_count(),
            list(_observed),
        ]

    before = find()
    yield
    assert before == find()
