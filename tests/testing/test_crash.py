"""
One crash at a place that the test names: every way to fail at every place, and what a wrong use is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from checkpoint import checkpointed, current_run, workflow
from checkpoint._runtime import scope as scopes
from checkpoint._runtime.signals import watch
from checkpoint.errors import SaveError, UsageError
from checkpoint.stores import FileStore, MemoryStore, Store, _ownership
from checkpoint.testing import Crash, CrashBlock, Crashes
from checkpoint.testing._seams import _observed

NAMES = ("a", "b", "c")


class Log:
    """What steps have done, in a file: it outlives the process that did it."""

    def __init__(self, path: Path, store: Store | None = None) -> None:
        self.path = path
        self.store = store

    def did(self, name: str) -> None:
        """Note an effect."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(name + "\n")

    def counted(self) -> dict[str, int]:
        """Return how often each effect happened."""
        return dict(Counter(self.path.read_text(encoding="utf-8").split())) if self.path.exists() else {}


@dataclass
class Tally:
    """The state of the example."""

    done: list[str] = field(default_factory=list)


@checkpointed(ignore=("log",))
def fetch(log: Log, name: str) -> str:
    """Do one effect, and return something to be kept."""
    log.did(name)
    return name.upper()


def program(log: Log, *, names: tuple[str, ...] = NAMES) -> list[str]:
    """Fetch everything."""
    with workflow("fetch-all", state=Tally, store=log.store) as run:
        for name in names:
            run.state.done.append(fetch(log, name))
        return list(run.state.done)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return an empty log."""
    return Log(tmp_path / "log")


@pytest.fixture
def crashes() -> Crashes:
    """Return what the fixture `checkpoint_crash` gives."""
    return Crashes()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Check that a test leaves nothing of a simulated process behind."""

    def find() -> dict[str, object]:
        descriptors = Path("/proc/self/fd")
        return {
            "descriptors": len(list(descriptors.iterdir())) if descriptors.exists() else 0,
            "owned": dict(_ownership._table.owned),
            "is choosing": _ownership._table.choosing.locked(),
            "open": list(scopes.open_sessions),
            "scope": scopes.current.get(),
            "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
            "entered": watch._entered,
            "hook": threading.excepthook,
            "environment": dict(os.environ) | {"PYTEST_CURRENT_TEST": ""},
            "observed": list(_observed),
        }

    before = find()
    yield
    assert before == find()


# By place and fault, how often `a`, `b` and `c` are fetched if it happens in the second call.  Twice is what the body
# did before the process ended without having saved it; `io` waits for the next flush, which a start does not need.
EXPECTED = {
    "before": {"io": (1, 2, 1)},
    "inside": {"torn": (1, 2, 1), "full": (1, 2, 1), "io": (1, 2, 1)},
    "saving": {"SIGINT": (1, 1, 1), "SIGTERM": (1, 1, 1)},
    "after": {"io": (1, 1, 2)},
}
OTHERWISE = {"before": (1, 1, 1), "inside": (1, 1, 1), "saving": (1, 2, 1), "after": (1, 1, 1)}

SIMULATED = ["crash", "SIGINT", "SIGTERM", "torn", "unsynced", "unsynced-half", "unsynced-zeros", "full", "io"]


@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("how", [*SIMULATED, ValueError])
@pytest.mark.parametrize("place", list(EXPECTED))
def test_comes_through_every_fault_at_every_place(
    crashes: Crashes, tmp_path: Path, place: str, how: Any, kind: str
) -> None:
    """After any fault at any place the rerun has the right result, and only what was in flight happened again."""
    log = Log(tmp_path / "log", MemoryStore() if kind == "memory" else None)
    with getattr(crashes, place)("fetch", 2, how=how) as crash:
        program(log)
    assert crash.fired is not None
    assert ["A", "B", "C"] == program(log)
    # Memory has no cache that could be lost: a record whose flush has failed is there.
    expected = (1, 1, 1) if (how, kind) == ("io", "memory") else EXPECTED[place].get(how, OTHERWISE[place])
    assert dict(zip(NAMES, expected, strict=True)) == log.counted()


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process cannot be forked here")
@pytest.mark.parametrize("place", list(EXPECTED))
def test_comes_through_a_real_kill_at_every_place(crashes: Crashes, log: Log, place: str) -> None:
    """A forked child that is killed leaves a run that this process continues."""
    crash = getattr(crashes, place)(fetch, 2, how="SIGKILL").run(program, log)
    assert crash.fired is not None
    assert ["A", "B", "C"] == program(log)
    assert dict(zip(NAMES, OTHERWISE[place], strict=True)) == log.counted()


def test_error_is_what_left_the_block(crashes: Crashes, log: Log) -> None:
    """The block tells which exception it has swallowed."""
    with crashes.inside(fetch, how="full") as crash:
        program(log)
    assert isinstance(crash.error, SaveError)


def test_message_of_a_crash_names_the_place(crashes: Crashes, log: Log) -> None:
    """The simulated crash says which call it came in."""
    with crashes.inside(fetch, 2) as crash:
        program(log)
    assert "in the body of fetch(…, 'b')" in str(crash.error)


def test_nothing_is_saved_after_the_crash(crashes: Crashes, log: Log) -> None:
    """A `finally` that saves, and another step, get the crash again: a killed process could not have saved either."""

    def stubborn() -> None:
        with workflow("stubborn", state=Tally) as run:
            try:
                fetch(log, "a")
            except BaseException:
                run.state.done.append("too late")
                with pytest.raises(Crash):
                    run.save()
                with pytest.raises(Crash):
                    fetch(log, "b")
                raise

    with crashes.inside(fetch):
        stubborn()
    with workflow("stubborn", state=Tally) as run:
        assert ([], {}) == (run.state.done, log.counted())


def test_nothing_is_saved_in_a_store_of_the_users_own(crashes: Crashes, log: Log) -> None:
    """A store that is no part of the library is as dead as the others, because the session is."""

    class Plain(MemoryStore):
        def open(self, *arguments: Any, **options: Any) -> Any:
            run, journal = super().open(*arguments, **options)
            return run, Wrapped(journal)

    class Wrapped:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    log.store = Plain()
    with crashes.after(fetch, 2):
        program(log)
    assert ["A", "B", "C"] == program(log)
    assert {"a": 1, "b": 1, "c": 1} == log.counted()


def test_program_that_swallows_everything_does_not_finish(crashes: Crashes, log: Log) -> None:
    """`except BaseException: pass` around a step does not bring a dead process back to life."""

    def deaf() -> None:
        with workflow("deaf"), contextlib.suppress(BaseException):
            fetch(log, "a")

    with crashes.inside(fetch) as crash:
        deaf()
    assert isinstance(crash.error, Crash)
    with workflow("deaf") as run:
        assert run.resumed


def test_block_that_never_crashes_is_an_error(crashes: Crashes, log: Log) -> None:
    """A crash that never came fails the test, and says which calls there were."""
    said = r"after call 4 of step 'fetch' never came.*fetch\(…, 'a'\), fetch\(…, 'b'"
    with pytest.raises(AssertionError, match=said), crashes.after("fetch", 4):
        program(log)


def test_unknown_step_is_told_from_the_others(crashes: Crashes, log: Log) -> None:
    """A step that does not come there is answered with those that did."""
    said = r"'ftech' never came: no call of it came there .*test_crash:fetch did\."
    with pytest.raises(AssertionError, match=said), crashes.after("ftech"):
        program(log)


def test_programs_own_error_gets_out(crashes: Crashes, log: Log) -> None:
    """What the program raises by itself, before the crash comes, is not swallowed."""
    with pytest.raises(ZeroDivisionError), crashes.after("fetch", 9):
        program(log)
        1 / 0  # noqa: B018


def test_programs_own_error_after_the_fault_gets_out(crashes: Crashes, log: Log) -> None:
    """An error that the program makes of itself, having dealt with the fault, is not swallowed."""
    with pytest.raises(ZeroDivisionError), crashes.inside("fetch", how=ValueError):
        with contextlib.suppress(ValueError):
            program(log)
        1 / 0  # noqa: B018


def test_error_of_the_same_class_gets_out(crashes: Crashes, log: Log) -> None:
    """Only the exception that was injected is swallowed, not others of its class."""
    with pytest.raises(ValueError, match="my own"), crashes.inside("fetch", how=ValueError):
        with contextlib.suppress(ValueError):
            program(log)
        raise ValueError("my own")


def test_error_raised_from_the_fault_is_swallowed(crashes: Crashes, log: Log) -> None:
    """A program that turns the failure of a step into an error of its own has answered the fault."""
    with crashes.inside("fetch", how=ValueError) as crash:
        try:
            program(log)
        except ValueError as error:
            raise RuntimeError("fetching failed") from error
    assert isinstance(crash.error, RuntimeError)


def test_failure_that_is_caught_and_retried(crashes: Crashes, log: Log) -> None:
    """A program that tries again when a step fails comes through an exception without a rerun."""

    def patient() -> str:
        with workflow("patient"):
            for _ in range(3):
                try:
                    return fetch(log, "a")
                except OSError:
                    continue
        raise AssertionError("the failure came more than once")

    with crashes.inside(fetch, how=OSError("simulated")) as crash:
        assert "A" == patient()
    assert crash.error is None


@pytest.mark.parametrize("args", [("ignored", "b"), {"name": "b"}])
def test_args_choose_the_call(crashes: Crashes, tmp_path: Path, args: Any) -> None:
    """A call is found by all of its arguments, or by some of them by name."""

    @checkpointed
    def greet(greeting: str, name: str) -> str:
        return f"{greeting} {name}"

    with crashes.inside(greet, args=args) as crash, workflow("greet"):
        greet("hello", "b" if isinstance(args, dict) else "a")
        greet("ignored", name="b")
    assert crash.fired is not None
    assert "'b'" in str(crash.fired)


def test_args_with_nth_count_equal_calls(crashes: Crashes) -> None:
    """With arguments, the calls that have them are counted."""
    done = []

    @checkpointed
    def add(number: int) -> None:
        done.append(number)

    with crashes.inside(add, 2, args=(1,)), workflow("add"):
        for number in (1, 2, 1, 3):
            add(number)
    assert [1, 2] == done


class Task:
    """A class whose methods are steps."""

    def __checkpoint_key__(self) -> str:
        return "task"

    @checkpointed
    def work(self, name: str) -> str:
        """Work."""
        return name

    @classmethod
    @checkpointed
    def shared(cls, name: str) -> str:
        """Work for the class."""
        return name

    @checkpointed
    @staticmethod
    def alone(name: str) -> str:
        """Work for nobody."""
        return name


@pytest.mark.parametrize(
    "step",
    [Task.work, Task().work, "work", "Task.work", "test_crash:Task.work"],
    ids=["class", "instance", "short name", "qualified name", "whole name"],
)
def test_step_that_is_a_method(crashes: Crashes, step: Any) -> None:
    """A method is found by the function taken from the class or an instance, and by the end of its name."""
    with crashes.inside(step, args={"name": "x"}) as crash, workflow("task"):
        Task().work("x")
    assert crash.fired is not None


@pytest.mark.parametrize("name", ["shared", "alone"])
def test_step_that_is_a_class_or_static_method(crashes: Crashes, name: str) -> None:
    """Class methods and static methods are found too."""
    with crashes.inside(getattr(Task, name)) as crash, workflow("task"):
        getattr(Task, name)("x")
    assert crash.fired is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "explode"}, r"how='explode' is no way to fail"),
        ({"how": UnicodeDecodeError}, r"how=UnicodeDecodeError cannot be raised.*is made already"),
        ({"how": 9}, r"how=9 is no way to fail"),
        ({"nth": 0}, r"nth=0 is no number from 1 on"),
        ({"nth": ("b",)}, r"arguments are given as args="),
        ({"args": "b"}, r"neither a tuple of all arguments nor a dict"),
        ({"step": print}, r"is no step: give the decorated function"),
    ],
)
def test_wrong_arguments_are_refused_at_once(crashes: Crashes, options: dict[str, Any], message: str) -> None:
    """What cannot be meant is refused before anything runs."""
    with pytest.raises(UsageError, match=message):
        crashes.after(**{"step": "fetch", **options})


@pytest.mark.parametrize(
    ("args", "message"),
    [(("a", "b", "c"), "takes 2 positional arguments but 3 were given"), ({"nam": "b"}, "has no parameter 'nam'")],
)
def test_arguments_that_the_step_does_not_have(crashes: Crashes, log: Log, args: Any, message: str) -> None:
    """Arguments that fit no call of the step are an error at the end of the block, which the program cannot swallow."""
    with pytest.raises(UsageError, match=message), crashes.after(fetch, args=args):
        program(log)


def test_block_is_used_once(crashes: Crashes, log: Log) -> None:
    """A block that has crashed does not crash again, and says so."""
    crash = crashes.after(fetch)
    with crash:
        program(log)
    with pytest.raises(UsageError, match="used already"), crash:
        program(log)


def test_block_inside_another_is_refused(crashes: Crashes, log: Log) -> None:
    """Two crashes at once are refused, with a way out."""
    with crashes.after(fetch):
        with pytest.raises(UsageError, match="cannot stand inside another") as refused:
            crashes.after(fetch).run(program, log)
        program(log)
    assert "nested-crash" == refused.value.slug


def test_block_inside_a_workflow_is_refused(crashes: Crashes, log: Log) -> None:
    """A workflow that is open cannot die in a block inside of it."""
    with workflow("outer"), pytest.raises(UsageError, match="workflow 'outer' is open already"), crashes.after(fetch):
        pass


def test_kill_needs_run(crashes: Crashes) -> None:
    """A `with` block cannot be killed for real, and the error says what to write."""
    with pytest.raises(UsageError, match=r"how='SIGKILL'\)\.run\(function"), crashes.after(fetch, how="SIGKILL"):
        pass


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_signal_off_the_main_thread_is_refused(crashes: Crashes, log: Log, how: Any) -> None:
    """A signal would reach the main thread, which is not what is tested."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="main thread"):
        pool.submit(crashes.after(fetch, how=how).run, program, log).result()


def test_crash_off_the_main_thread(crashes: Crashes, log: Log) -> None:
    """A crash that is no signal can be simulated in any thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(crashes.after(fetch, 2).run, program, log).result()
    assert ["A", "B", "C"] == program(log)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_signal_that_nobody_handles_ends_the_process(crashes: Crashes, log: Log, how: Any) -> None:
    """Without handlers of the library, Ctrl-C raises and SIGTERM kills: neither reaches the tests."""

    def unwatched() -> list[str]:
        with workflow("unwatched", state=Tally, signals=()) as run:
            for name in NAMES:
                run.state.done.append(fetch(log, name))
            return run.state.done

    with crashes.saving(fetch, 2, how=how) as crash:
        unwatched()
    assert isinstance(crash.error, Crash if how == "SIGTERM" else KeyboardInterrupt)
    assert ["A", "B", "C"] == unwatched()


def test_run_with_a_coroutine(crashes: Crashes, log: Log) -> None:
    """`run` drives a coroutine."""

    async def main() -> list[str]:
        return program(log)

    crashes.after(fetch, 2).run(main)
    assert {"a": 1, "b": 1} == log.counted()


@checkpointed(ignore=("log",))
async def fetch_async(log: Log, name: str) -> str:
    """Do one effect in a task."""
    await asyncio.sleep(0)
    log.did(name)
    await asyncio.sleep(0)
    return name.upper()


async def gathered(log: Log) -> list[str]:
    """Fetch everything at once."""
    async with workflow("gathered"):
        return list(await asyncio.gather(*(fetch_async(log, name) for name in NAMES)))


async def grouped(log: Log) -> list[str]:
    """Fetch everything at once, in a task group."""
    async with workflow("grouped"):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch_async(log, name)) for name in NAMES]
        return [task.result() for task in tasks]


def threaded(log: Log) -> list[str]:
    """Fetch everything at once, in threads."""
    with workflow("threaded"), ThreadPoolExecutor(3) as pool:
        contexts = [(contextvars.copy_context(), name) for name in NAMES]
        futures = [pool.submit(context.run, fetch, log, name) for context, name in contexts]
        return [future.result() for future in futures]


@pytest.mark.parametrize("how", [*SIMULATED, ValueError])
@pytest.mark.parametrize("place", list(EXPECTED))
@pytest.mark.parametrize("main", [gathered, grouped, threaded])
def test_comes_through_with_calls_at_once(
    crashes: Crashes, log: Log, main: Callable[[Log], Any], place: str, how: Any
) -> None:
    """In threads, with `gather` and in a task group, what was in flight runs again, and nothing else."""
    step = fetch if main is threaded else fetch_async
    crash = getattr(crashes, place)(step, 2, how=how).run(main, log)
    assert crash.fired is not None
    result = main(log)
    assert ["A", "B", "C"] == (asyncio.run(result) if asyncio.iscoroutine(result) else result)
    assert set(NAMES) == set(log.counted())
    assert 2 >= max(log.counted().values())


def test_threads_of_the_dead_are_gone(crashes: Crashes, log: Log) -> None:
    """A thread that nobody has joined ends with its process, silently, before the next one begins."""

    def careless() -> None:
        with workflow("careless"):
            thread = threading.Thread(target=lambda: [fetch(log, str(number)) for number in range(300)])
            thread.start()
            fetch(log, "main")
            thread.join()

    before = threading.active_count()
    with crashes.inside(fetch, args={"name": "main"}):
        careless()
    assert before == threading.active_count()
    careless()
    assert {str(number) for number in range(300)} | {"main"} == set(log.counted())


def test_idle_pool_is_not_waited_for(crashes: Crashes, log: Log) -> None:
    """The threads of a pool that outlives the block do not keep it, nor its descriptors, waiting."""
    with ThreadPoolExecutor(2) as pool:

        def main() -> list[str]:
            with workflow("pooled"):
                futures = [pool.submit(fetch, log, name) for name in NAMES]
                return [future.result() for future in futures]

        with crashes.after(fetch, 2):
            main()
        assert ["A", "B", "C"] == main()


def test_signal_of_the_person_who_runs_the_tests(crashes: Crashes, log: Log) -> None:
    """Ctrl-C in a block that simulates something else gets out."""
    with pytest.raises(KeyboardInterrupt), crashes.inside(fetch, how=ValueError):
        try:
            program(log)
        except ValueError:
            signal.raise_signal(signal.SIGINT)


def test_workflow_that_is_never_left_is_over(crashes: Crashes, log: Log) -> None:
    """A run that was entered by hand and never left is closed with the process that worked on it."""
    context = contextvars.copy_context()

    def main() -> None:
        block = workflow("by-hand", signals=())
        block.__enter__()
        fetch(log, "a")
        fetch(log, "b")

    def crashed() -> None:
        with crashes.after(fetch):
            main()

    entered = watch._entered
    context.run(crashed)
    watch._entered = entered
    with workflow("by-hand") as run:
        assert run.resumed
        assert "A" == fetch(log, "a")
    assert {"a": 1} == log.counted()


def test_crash_inside_a_nested_step(crashes: Crashes, log: Log) -> None:
    """The inner steps of a step that is cut short are kept when it runs again."""

    @checkpointed
    def outer() -> list[str]:
        log.did("outer")
        return [fetch(log, name) for name in NAMES]

    def main() -> list[str]:
        with workflow("nested"):
            return outer()

    with crashes.after(fetch, 2):
        main()
    assert ["A", "B", "C"] == main()
    assert {"outer": 2, "a": 1, "b": 1, "c": 1} == log.counted()


def test_only_calls_that_are_not_kept_are_counted(crashes: Crashes, log: Log) -> None:
    """In a rerun `nth` counts the calls that are made for the first time."""
    with crashes.after(fetch, 1):
        program(log)
    with crashes.inside(fetch, 1) as crash:
        program(log)
    assert "'b'" in str(crash.fired)


def test_large_results_and_pickled_ones(crashes: Crashes, log: Log) -> None:
    """Payload files and pickles survive a power cut right after they were acknowledged."""

    @checkpointed
    def make(number: int) -> Any:
        log.did(str(number))
        return {"big": "x" * 100_000} if number else complex_value

    complex_value = {"class": Tally(["a"]), "bytes": b"y" * 50_000}

    def main() -> list[Any]:
        with workflow("large"):
            return [make(0), make(1)]

    with crashes.after(make, 2, how="unsynced"):
        main()
    assert [complex_value, {"big": "x" * 100_000}] == main()
    assert {"0": 1, "1": 1} == log.counted()


def test_explicit_store_and_key(crashes: Crashes, tmp_path: Path, log: Log) -> None:
    """The run of a key in a store of the program's own is continued, and `current_run` finds it."""
    store = FileStore(tmp_path / "runs")

    def main(key: str) -> str | None:
        with workflow("keyed", key=key, store=store):
            fetch(log, key)
            fetch(log, "second")
            return current_run().key

    with crashes.after(fetch, 1):
        main("one")
    assert ("two", "one") == (main("two"), main("one"))
    assert {"one": 1, "two": 1, "second": 2} == log.counted()


def test_repr_tells_what_it_waits_for(crashes: Crashes) -> None:
    """A block shows its place, its step and whether it happened."""
    assert "<crash after 'fetch', 'crash', did not happen yet>" == repr(crashes.after("fetch"))


def test_package_offers_it() -> None:
    """The names are found in `checkpoint.testing`."""
    assert isinstance(Crashes().after("x"), CrashBlock)


def test_simulation_leaves_no_trace_in_the_library() -> None:
    """Every replaced function is the library's own again after a block, also if the program fails."""
    from checkpoint.testing._life import Life
    from checkpoint.testing._seams import _replacements

    before = {(target, name): getattr(target, name) for target, name, _ in _replacements(Life())}
    with pytest.raises(ZeroDivisionError), Crashes().after("never"):
        1 / 0  # noqa: B018
    assert before == {(target, name): getattr(target, name) for target, name in before}


@pytest.mark.process
def test_unittest_users_need_no_pytest(scripts: Any) -> None:
    """A crash is simulated in a program that has never imported pytest."""
    script = scripts.write(
        "import sys\n"
        "from checkpoint import checkpointed, workflow\n"
        "from checkpoint.testing import Crashes\n"
        "@checkpointed\n"
        "def step(x): return x\n"
        "def main():\n"
        "    with workflow('w', output='off') as run: return run.resumed, step(1), step(2)\n"
        "with Crashes().after('step'): main()\n"
        "print(main(), 'pytest' in sys.modules)\n"
    )
    done: subprocess.CompletedProcess[str] = scripts.run(script)
    assert ("(True, 1, 2) False\n", "") == (done.stdout, done.stderr), sys.version
