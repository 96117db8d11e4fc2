"""
Corners where a promise was once broken: each of these programs lost, repeated or mixed up something.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checkpoint import checkpointed, current_run, errors, workflow
from checkpoint._runtime.signals import watch
from checkpoint.stores import FileStore, MemoryStore


class Fail(Exception):
    """What a step raises."""


@dataclass
class Point:
    """A result that is saved as data, by its class."""

    x: int


def kinds(store: MemoryStore) -> list[str]:
    run = store.runs()[0]
    return [line.split(b'"')[7].decode() for line in store.read(run.workflow, run.id).splitlines()]


def keys(store: MemoryStore, kind: str) -> list[bytes]:
    run = store.runs()[0]
    lines = [line.split(b'"') for line in store.read(run.workflow, run.id).splitlines()]
    return [line[3] for line in lines if line[7] == kind.encode()]


def test_new_work_before_a_stretch_that_was_cut() -> None:
    """A step that failed and now succeeds, before a stretch that an error had cut, loses and doubles nothing."""
    store, broken = MemoryStore(), {"b"}

    @checkpointed
    def work(item: str) -> str:
        if item in broken:
            raise Fail
        return item

    def session() -> Any:
        with workflow("w", store=store) as run:
            done = run.state.setdefault("done", [])
            for item in "abc":
                try:
                    done.append(work(item))
                except Fail:
                    continue
            if broken:
                raise Fail
        return run.state

    with pytest.raises(Fail):
        session()
    broken.clear()
    assert {"done": ["a", "c", "b"]} == session()


@pytest.mark.parametrize("swapped", [False, True])
def test_functions_that_differ_in_what_they_hold(swapped: bool) -> None:
    """Functions of one name that close over other functions, or have other defaults, are refused, never mixed up."""

    def make(change: Any) -> Any:
        @checkpointed
        def work(text: str) -> str:
            return str(change(text))

        return work

    def scaled(factor: int) -> Any:
        @checkpointed
        def scale(number: int, factor: int = factor) -> int:
            return number * factor

        return scale

    for first, second, argument in ((make(str.upper), make(str.lower), "Ab"), (scaled(2), scaled(3), 5)):
        if swapped:
            first, second = second, first
        with workflow("w", store=MemoryStore()), pytest.raises(errors.UsageError, match="Two different functions"):
            first(argument)
            second(argument)


def test_lambdas_share_a_name() -> None:
    """Two lambdas of a module are two functions of one name."""
    first, second = checkpointed(lambda number: number * 2), checkpointed(lambda number: number + 1)
    with workflow("w", store=MemoryStore()), pytest.raises(errors.UsageError, match="<lambda>"):
        first(1)
        second(1)


def test_equal_calls_of_threads_have_numbers_of_their_own() -> None:
    """Threads that make the same call at the same time never share its occurrence."""
    store, threads, calls = MemoryStore(), 8, 50
    interval = sys.getswitchinterval()

    @checkpointed
    def work() -> int:
        return 1

    sys.setswitchinterval(1e-6)
    try:
        with workflow("w", store=store):
            crew = [threading.Thread(target=lambda: [work() for _ in range(calls)]) for _ in range(threads)]
            for thread in crew:
                thread.start()
            for thread in crew:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert threads * calls == len(set(keys(store, "completed")))


def test_nothing_after_the_end() -> None:
    """A thread that outlives its run is refused, and the journal ends with the run's end."""
    store, begun, left, refused = MemoryStore(), threading.Event(), threading.Event(), []

    @checkpointed
    def work(number: int) -> int:
        return number

    def late() -> None:
        work(1)
        begun.set()
        left.wait()
        try:
            work(2)
        except errors.RunClosedError as error:
            refused.append(error)

    thread = threading.Thread(target=late)
    with workflow("w", store=store):
        thread.start()
        begun.wait()
    left.set()
    thread.join()
    assert ("finished", 1) == (kinds(store)[-1], len(refused))


def test_task_cancelled_before_it_began() -> None:
    """A call that never began takes no number from an equal one, which a rerun would not find again."""
    store, ran = MemoryStore(), []

    @checkpointed
    async def fetch(number: int) -> int:
        ran.append(number)
        return number

    async def session(cancel: bool) -> None:
        async with workflow("w", store=store):
            if cancel:
                task = asyncio.create_task(fetch(1))
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await fetch(1)
            if cancel:
                raise Fail

    with pytest.raises(Fail):
        asyncio.run(session(cancel=True))
    asyncio.run(session(cancel=False))
    assert [1] == ran


def test_abandoned_coroutine_is_recorded_later() -> None:
    """A step that is closed in the middle of another one's record waits for the next; it never locks the run up."""
    store = MemoryStore()

    @checkpointed
    async def waits() -> None:
        await asyncio.sleep(0)

    @checkpointed
    def work() -> int:
        return 1

    with workflow("w", store=store) as run:
        coroutine: Any = waits()
        coroutine.send(None)
        with run._session.lock:
            coroutine.close()
        work()
    assert 1 == kinds(store).count("interrupted")


def test_error_after_a_caught_ctrl_c_keeps_its_traceback() -> None:
    """An error that has nothing to do with an earlier Ctrl-C is not taken for reported."""
    with pytest.raises(Fail) as caught, workflow("w", store=MemoryStore()):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise Fail
    assert not hasattr(caught.value, "__checkpoint_reported__")


def test_signal_held_by_a_critical_step_that_raises() -> None:
    """The signal that waited for a critical step is delivered although the step fails."""

    @checkpointed(critical=True)
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise Fail

    with pytest.raises(KeyboardInterrupt), workflow("w", store=MemoryStore()):
        try:
            work()
        except Fail:
            threading.Event().wait(5)
    assert watch.stopped_by == signal.SIGINT


def test_two_tasks_leave_their_runs_in_any_order() -> None:
    """While one of two concurrent runs is open, its signals are handled, whoever came first."""

    async def one(key: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with workflow("w", key=key, store=MemoryStore()):
            entered.set()
            await leave.wait()

    async def both() -> tuple[bool, bool]:
        events = [asyncio.Event() for _ in range(4)]
        first = asyncio.create_task(one("1", events[0], events[1]))
        await events[0].wait()
        second = asyncio.create_task(one("2", events[2], events[3]))
        await events[2].wait()
        events[1].set()
        await first
        between = signal.getsignal(signal.SIGTERM) == watch._handle
        events[3].set()
        await second
        return between, signal.getsignal(signal.SIGTERM) == watch._handle

    assert (True, False) == asyncio.run(both())


def test_change_after_a_start_that_failed() -> None:
    """What is changed between a step that could not begin and the next one is not lost."""
    store = MemoryStore()

    @checkpointed
    def work(number: int) -> int:
        if number < 0:
            raise Fail
        return number

    with workflow("w", store=store) as run:
        run.state["bad"] = object()
        with pytest.raises(errors.StateError):
            work(1)
        del run.state["bad"]
        run.state["x"] = 2
        with pytest.raises(Fail):
            work(-1)
        assert {"x": 2} == run.state


def test_key_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a usable key data is saved all the same, and what has to be pickled comes with the error."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "file" / "key"))

    @checkpointed
    def work(value: Any) -> Any:
        return Point(1) if value == "data" else Fail

    def session() -> Any:
        with workflow("w", store=FileStore(tmp_path / "home")):
            found = work("data")
            with pytest.raises(errors.UnsavableError, match="CHECKPOINT_KEY_FILE") as caught:
                work("pickle")
            assert caught.value.value is Fail
            raise Fail(found)

    for _ in range(2):
        with pytest.raises(Fail) as caught:
            session()
        assert (Point(1),) == caught.value.args


def test_memory_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept in memory makes no file, not even a key."""
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "key"))

    @checkpointed
    def work() -> Any:
        return Fail

    with workflow("w", store=MemoryStore()):
        assert Fail is work()
    assert [] == list(tmp_path.iterdir())


def test_overlapping_call_that_could_not_begin() -> None:
    """A call that fails to begin beside others leaves no trace of having overlapped: later failures are taken back."""
    inside, go = threading.Barrier(3), threading.Event()

    @checkpointed
    def slow(number: int) -> int:
        inside.wait()
        go.wait()
        return number

    @checkpointed
    def bad() -> None:
        run.state["half"] = 1
        raise Fail

    with workflow("w", store=MemoryStore()) as run:
        crew = [threading.Thread(target=slow, args=(number,)) for number in (1, 2)]
        for thread in crew:
            thread.start()
        inside.wait()
        run.state["bad"] = object()
        with pytest.raises(errors.StateError):
            bad()
        del run.state["bad"]
        go.set()
        for thread in crew:
            thread.join()
        with pytest.raises(Fail):
            bad()
        assert {} == run.state


def test_call_of_a_task_that_outlived_its_step() -> None:
    """A failing call made for a step that is over takes nothing back from the step that runs beside it."""

    waits, began, changed, failed = (asyncio.Event() for _ in range(4))
    tasks: list[Any] = []

    @checkpointed
    async def inner() -> None:
        began.set()
        await changed.wait()
        raise Fail

    async def later() -> None:
        await waits.wait()
        with pytest.raises(Fail):
            await inner()
        failed.set()

    @checkpointed
    async def outer() -> None:
        tasks.append(asyncio.create_task(later()))

    @checkpointed
    async def other() -> None:
        waits.set()
        await began.wait()
        current_run().state["other"] = "done"  # type: ignore[index]  # the state is a dict here
        changed.set()
        await failed.wait()

    async def main() -> Any:
        async with workflow("w", store=MemoryStore()) as run:
            await outer()
            await other()
            await tasks[0]
        return run.state

    assert {"other": "done"} == asyncio.run(main())


def test_workflows_left_in_another_order() -> None:
    """After workflows that were not left inside out, steps just run again."""

    @checkpointed
    def work(number: int) -> int:
        return number

    first, second = (workflow(name, store=MemoryStore()) for name in "ab")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert 1 == work(1)
    second.__exit__(None, None, None)
    assert 2 == work(2)


def test_exit_of_a_thread_is_not_a_signal(capsys: pytest.CaptureFixture[str]) -> None:
    """What stops a run in a thread is not mistaken for the signal that stopped one in the main thread before."""
    with pytest.raises(SystemExit), workflow("w", store=MemoryStore()):
        signal.raise_signal(signal.SIGTERM)

    def leave() -> None:
        with pytest.raises(SystemExit), workflow("x", store=MemoryStore(), output="lines"):
            raise SystemExit(2)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert "stopped by SystemExit" in capsys.readouterr().err
