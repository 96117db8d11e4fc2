"""
Steps in asyncio: gathered, grouped, cancelled and timed out.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from checkpoint import checkpointed, current_run, errors, workflow
from checkpoint.stores import MemoryStore


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def block(store: Any) -> Any:
    return workflow("tasks", store=store, output="off")


@checkpointed
async def work(number: int) -> int:
    ran.append(number)
    await asyncio.sleep(0)
    return 2 * number


@checkpointed
def plain(number: int) -> int:
    ran.append(number)
    return 2 * number


def sessions(store: MemoryStore, program: Any, times: int = 2) -> list[Any]:
    """Run a coroutine function in several sessions of one run."""
    results = []

    async def main() -> None:
        async with block(store) as run:
            results.append(await program(run))
            raise Stop

    for _ in range(times):
        with pytest.raises(Stop):
            asyncio.run(main())
    return results


def records(store: MemoryStore, kind: str) -> list[dict[str, Any]]:
    lines = store.read("tasks", store.runs("tasks")[0].id).splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind and record["key"] != "run"]


def test_awaited_one_by_one(store: MemoryStore) -> None:
    """Coroutine steps are kept like others."""

    async def program(run: Any) -> list[int]:
        return [await work(1), plain(2), await work(3)]

    assert [[2, 4, 6]] * 2 == sessions(store, program)
    assert [1, 2, 3] == ran


@pytest.mark.parametrize("numbers", [range(10), [7] * 10, [1, 1, 2, 2, 1]])
def test_gather(numbers: Any, store: MemoryStore) -> None:
    """Gathered steps, equal or not, run once each and come back in their order."""

    async def program(run: Any) -> list[int]:
        return await asyncio.gather(*[work(number) for number in numbers])

    assert [[2 * number for number in numbers]] * 2 == sessions(store, program)
    assert list(numbers) == ran


def test_task_group(store: MemoryStore) -> None:
    """Steps in a task group are kept like others."""

    async def program(run: Any) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(number)) for number in (1, 1, 2)]
        return [task.result() for task in tasks]

    assert [[2, 2, 4]] * 2 == sessions(store, program)
    assert [1, 1, 2] == ran


def test_equal_calls_are_counted_as_they_are_made(store: MemoryStore) -> None:
    """The order of the calls decides which is which, not the order in which they are awaited."""
    values = iter(["first", "second"])

    @checkpointed
    async def take() -> str:
        return next(values)

    async def program(run: Any) -> tuple[str, str]:
        one, two = take(), take()
        later, sooner = await two, await one
        return sooner, later

    assert [("second", "first")] * 2 == sessions(store, program)


def test_nested(store: MemoryStore) -> None:
    """Steps gathered inside a step have its scope, and are kept when it was cut."""
    cuts = iter([True, False])

    @checkpointed
    async def outer() -> int:
        found = await asyncio.gather(work(1), work(2))
        if next(cuts):
            raise Stop
        return sum(found)

    async def main() -> int:
        async with block(store):
            return await outer()

    with pytest.raises(Stop):
        asyncio.run(main())
    assert 6 == asyncio.run(main())
    assert [1, 2] == ran


def test_gathered_changes_are_folded_in_once(store: MemoryStore) -> None:
    """What is done with gathered results is not doubled in a rerun."""

    async def program(run: Any) -> int:
        run.state.setdefault("sum", 0)
        run.state["sum"] += sum(await asyncio.gather(*[work(number) for number in range(4)]))
        await work(100)
        return int(run.state["sum"])

    assert [12, 12, 12] == sessions(store, program, 3)


def test_cancelled_step_is_interrupted(store: MemoryStore) -> None:
    """A cancelled step is recorded as interrupted, not as failed; the rest goes on, and a rerun runs it."""
    begun = asyncio.Event()
    wait = [True]

    @checkpointed
    async def slow() -> str:
        begun.set()
        if wait:
            await asyncio.Event().wait()
        return "done"

    async def program(run: Any) -> Any:
        task = asyncio.create_task(slow())
        await begun.wait()
        if wait:
            task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(sessions(store, program, 1)[0], asyncio.CancelledError)
    assert ["interrupted"] == [record["kind"] for record in records(store, "interrupted")]
    assert [] == records(store, "failed")
    begun = asyncio.Event()
    wait.clear()
    assert ["done"] == sessions(store, program, 1)


def test_timeout(store: MemoryStore) -> None:
    """A step that is cut by a timeout is interrupted; the program sees its TimeoutError."""

    @checkpointed
    async def slow() -> None:
        await asyncio.Event().wait()

    async def program(run: Any) -> str:
        try:
            async with asyncio.timeout(0.01):
                await slow()
        except TimeoutError:
            return "timed out"
        return "not"

    assert ["timed out"] == sessions(store, program, 1)
    assert 1 == len(records(store, "interrupted"))


def test_failing_task_group(store: MemoryStore) -> None:
    """One failure in a group: its siblings are interrupted, those that had completed are kept."""
    fails = [True]

    @checkpointed
    async def risky() -> int:
        await asyncio.sleep(0)
        if fails:
            raise ValueError
        return 0

    @checkpointed
    async def slow() -> int:
        if fails:
            await asyncio.Event().wait()
        return 1

    async def main() -> list[int]:
        async with block(store):
            first = await work(5)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(step()) for step in (risky, slow)]
            return [first, *[task.result() for task in tasks]]

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert (1, 1) == (len(records(store, "failed")), len(records(store, "interrupted")))
    fails.clear()
    assert [10, 0, 1] == asyncio.run(main())
    assert [5] == ran


def test_failed_step_rolls_back(store: MemoryStore) -> None:
    """A coroutine step that raises leaves the state as it was."""

    @checkpointed
    async def fails() -> None:
        state: Any = current_run().state
        state["log"].append("half")
        await asyncio.sleep(0)
        raise Stop

    async def main() -> Any:
        async with block(store) as run:
            run.state["log"] = []
            with pytest.raises(Stop):
                await fails()
            return run.state

    assert {"log": []} == asyncio.run(main())


def test_steps_in_threads_of_the_loop(store: MemoryStore) -> None:
    """`asyncio.to_thread` carries the context, so that plain steps belong to the run."""

    async def program(run: Any) -> list[int]:
        return await asyncio.gather(*[asyncio.to_thread(plain, number) for number in range(5)])

    assert [[0, 2, 4, 6, 8]] * 2 == sessions(store, program)
    assert [0, 1, 2, 3, 4] == sorted(ran)


def test_task_still_running_at_the_end(store: MemoryStore) -> None:
    """A block that is left while a task's step runs is not finished."""

    @checkpointed
    async def slow() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with block(store):
            task = asyncio.create_task(slow())
            await asyncio.sleep(0)
        await task

    with pytest.raises(errors.UsageError) as caught:
        asyncio.run(main())
    assert "steps-still-running" == caught.value.slug


def test_two_workflows_in_one_loop(store: MemoryStore) -> None:
    """Two tasks of one loop may each have a run of their own."""

    async def one(name: str) -> int:
        async with workflow(name, store=store, output="off") as run:
            await asyncio.sleep(0)
            found: int = await work(len(name))
            assert "1 steps" in repr(run)
            return found

    async def main() -> list[int]:
        return await asyncio.gather(one("a"), one("bb"))

    assert [2, 4] == asyncio.run(main())


def interrupted(main: Coroutine[Any, Any, Any], expected: type[BaseException]) -> BaseException:
    with pytest.raises(expected) as caught:
        asyncio.run(main)
    return caught.value


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
    ids=["SIGINT", "SIGTERM"],
)
def test_signal(number: int, expected: type[BaseException], store: MemoryStore, default_signals: None) -> None:
    """A signal cancels the task of the block: what completed is kept, the step that ran is interrupted."""

    @checkpointed
    async def struck() -> None:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    async def main() -> None:
        async with block(store):
            await work(1)
            await struck()

    interrupted(main(), expected)
    assert 1 == len(records(store, "interrupted")) == len(records(store, "completed"))
    assert "stopped" == store.runs("tasks")[0].status
