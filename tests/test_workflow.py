"""
The block: which run it works on, how it is entered and left, and what it refuses.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint import Run, checkpointed, current_run, errors, workflow
from checkpoint._runtime import scope
from checkpoint.stores import FileStore, MemoryStore


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@checkpointed
def work(number: int) -> int:
    ran.append(number)
    return 2 * number


@checkpointed
async def async_work(number: int) -> int:
    await asyncio.sleep(0)
    ran.append(number)
    return 2 * number


opened = functools.partial(workflow, output="off")


def stop_after(store: MemoryStore, *numbers: int, **options: Any) -> str:
    """Do some work and leave the run unfinished; returns its id."""
    with pytest.raises(Stop), opened("w", store=store, **options) as run:
        for number in numbers:
            work(number)
        raise Stop
    return run.id


def status(store: MemoryStore, name: str = "w") -> str:
    return store.runs(name)[0].status


# Which run.


def test_failed_run_is_continued(store: MemoryStore) -> None:
    """A run that an error left is continued: same id, completed steps kept."""
    first = stop_after(store, 1, 2)
    with opened("w", store=store) as run:
        assert [2, 4, 6] == [work(1), work(2), work(3)]
    assert first == run.id
    assert [1, 2, 3] == ran


def test_finished_run_is_not_reopened(store: MemoryStore) -> None:
    """After a run finished, the same command begins a new one, and everything runs again."""
    ids = []
    for _ in range(2):
        with opened("w", store=store) as run:
            work(1)
            assert not run.resumed
            ids.append(run.id)
    assert 2 == len(set(ids))
    assert [1, 1] == ran


def test_resumed(store: MemoryStore) -> None:
    """A run knows whether an earlier session worked on it."""
    stop_after(store)
    with opened("w", store=store) as run:
        assert run.resumed


def test_fresh_leaves_the_unfinished_run(store: MemoryStore) -> None:
    """`fresh=True` begins a new run though there is an unfinished one."""
    first = stop_after(store, 1)
    with opened("w", store=store, fresh=True) as run:
        work(1)
    assert first != run.id
    assert [1, 1] == ran


def test_after_fresh_the_given_up_run_is_not_continued(store: MemoryStore) -> None:
    """Whoever began a fresh run has given up the older one."""
    first = stop_after(store, 1)
    stop_after(store, 1, fresh=True)
    with opened("w", store=store) as run:
        work(1)
    assert first != run.id
    assert [1, 1] == ran


def test_keys_tell_runs_apart(store: MemoryStore) -> None:
    """Runs of one workflow with different keys are each continued for themselves."""
    first = {key: stop_after(store, 1, key=key) for key in ("a", "b", None)}
    for key, run_id in first.items():
        with opened("w", store=store, key=key) as run:
            assert (run_id, key) == (run.id, run.key)
    assert [1, 1, 1] == ran


@pytest.mark.parametrize("key", ["ключ", "a/b", "..", "x" * 300, '"quoted" \\ back'])
def test_any_text_is_a_key(key: str) -> None:
    """A key may be any text: it is not a path."""
    store = FileStore()
    for expected in (False, True):
        with pytest.raises(Stop), workflow("w", key=key, store=store, output="off") as run:
            assert expected is run.resumed
            raise Stop


def test_other_workflow_has_runs_of_its_own(store: MemoryStore) -> None:
    """An unfinished run of one name is nothing to another name."""
    stop_after(store, 1)
    with opened("v", store=store) as run:
        assert not run.resumed


# once=


def test_once_keeps_everything_and_writes_nothing(store: MemoryStore) -> None:
    """A finished run opened again with once= returns its results and its state, and its journal stays as it is."""
    results = []
    journals = []
    states = []
    for _ in range(3):
        with opened("w", store=store, once=True) as run:
            run.state.setdefault("seen", []).append("begin")
            results.append([work(1), work(2)])
            run.state["seen"].append("end")
            run.save()
        journals.append(store.read("w", run.id))
        states.append(run.state)
    assert [[2, 4]] * 3 == results
    assert [1, 2] == ran
    assert [{"seen": ["begin", "end"]}] * 3 == states
    assert 1 == len(set(journals)) == len(store.runs("w"))


def test_once_refuses_a_new_call(store: MemoryStore) -> None:
    """Nothing runs in a finished run: a call that it does not have is refused, and nothing is written."""
    with opened("w", store=store, once=True) as run:
        work(1)
    before = store.read("w", run.id)
    with opened("w", store=store, once=True):
        with pytest.raises(errors.UsageError, match=r"work\(2\)") as caught:
            work(2)
        assert 2 == work(1)
    assert "finished-run" == caught.value.slug
    assert before == store.read("w", run.id)
    assert [1] == ran


def test_once_with_an_error_leaves_the_run_finished(store: MemoryStore) -> None:
    """An error in the block of a finished run changes nothing about the run."""
    with opened("w", store=store, once=True) as run:
        work(1)
    before = store.read("w", run.id)
    with pytest.raises(Stop), opened("w", store=store, once=True):
        raise Stop
    assert before == store.read("w", run.id)
    assert "finished" == status(store)


def test_once_continues_an_unfinished_run(store: MemoryStore) -> None:
    """Before the run has finished, once= is like any other session."""
    first = stop_after(store, 1, once=True)
    with opened("w", store=store, once=True) as run:
        work(1)
        work(2)
    assert first == run.id
    assert [1, 2] == ran


# Ways to enter.


def test_async_with(store: MemoryStore) -> None:
    """`async with` is the same block for coroutines."""

    async def main() -> int:
        async with opened("w", store=store):
            found = await async_work(1)
            raise Stop
        return found

    for _ in range(2):
        with pytest.raises(Stop):
            asyncio.run(main())
    assert [1] == ran
    assert "failed" == status(store)


def test_decorator(store: MemoryStore) -> None:
    """Every call of a decorated function is a run, or the continuation of one; arguments and results pass through."""
    fails = [True]

    @opened("w", store=store)
    def main(number: int, *, more: int = 0) -> tuple[int, str]:
        """Say what it does."""
        found = work(number) + more
        if fails.pop():
            raise Stop
        return found, current_run().workflow

    with pytest.raises(Stop):
        main(1, more=5)
    fails.append(False)
    assert (7, "w") == main(1, more=5)
    assert [1] == ran
    assert ("main", "Say what it does.") == (main.__name__, main.__doc__)


def test_decorator_of_a_coroutine_function(store: MemoryStore) -> None:
    """A decorated coroutine function stays one."""

    @opened("w", store=store)
    async def main() -> int:
        return await async_work(1)

    assert inspect.iscoroutinefunction(main)
    assert 2 == asyncio.run(main())
    assert "finished" == status(store)


def test_decorated_function_can_be_called_again(store: MemoryStore) -> None:
    """Each call after a finished one is a new run."""

    @opened("w", store=store)
    def main() -> str:
        return current_run().id

    assert main() != main()


def test_one_workflow_object_is_entered_again(store: MemoryStore) -> None:
    """A workflow object may be kept and entered once after the other."""
    block = opened("w", store=store)
    with pytest.raises(Stop), block:
        work(1)
        raise Stop
    with block as run:
        work(1)
    assert run.resumed
    assert [1] == ran


def yielding() -> Any:
    yield 1


async def async_yielding() -> Any:
    yield 1


@pytest.mark.parametrize("thing", [3, "name", Stop, work, print, yielding, async_yielding])
def test_what_a_workflow_cannot_decorate(thing: Any) -> None:
    """Only a function that ends when its call does can be decorated with a workflow."""
    with pytest.raises(errors.UsageError) as caught:
        workflow("w")(thing)
    assert "workflow-use" == caught.value.slug
    assert thing is caught.value.value


# Nested and parallel workflows.


def test_the_same_run_inside_itself(store: MemoryStore) -> None:
    """Opening a run inside itself is refused, and the outer block goes on."""
    with opened("w", store=store):
        with pytest.raises(errors.UsageError, match="open already") as caught, opened("w", store=store):
            raise AssertionError
        assert 2 == work(1)
    assert "nested-workflow" == caught.value.slug
    assert "finished" == status(store)


def test_another_key_inside(store: MemoryStore) -> None:
    """Runs of one workflow with different keys may enclose each other."""
    with opened("w", store=store, key="a") as outer:
        with opened("w", store=store, key="b") as inner:
            assert inner is current_run()
        assert outer is current_run()


def test_steps_belong_to_the_innermost_workflow(store: MemoryStore) -> None:
    """A call inside two blocks is a step of the inner one, and after it of the outer one again."""
    with opened("outer", store=store) as outer:
        work(1)
        with opened("inner", store=store) as inner:
            work(2)
            work(3)
        work(4)
    assert ("2 steps", "2 steps") == tuple(repr(run).split(", ")[1].removesuffix(" saved") for run in (outer, inner))


def test_workflow_inside_a_step(store: MemoryStore) -> None:
    """A step may hold a workflow of its own; it comes back to the step's scope."""

    @checkpointed
    def outer_step() -> int:
        with opened("inner", store=store):
            inner = work(1)
        return inner + work(2)

    for _ in range(2):
        with pytest.raises(Stop), opened("outer", store=store):
            assert 6 == outer_step()
            raise Stop
    assert [1, 2] == ran


def test_error_inside_leaves_both(store: MemoryStore) -> None:
    """An error that passes through two blocks leaves both runs to be continued."""
    with pytest.raises(Stop), opened("outer", store=store), opened("inner", store=store):
        work(1)
        raise Stop
    assert ("failed", "failed") == (status(store, "outer"), status(store, "inner"))
    assert [] == scope.open_sessions


# After the end.


def test_step_with_a_copied_context_after_the_end(store: MemoryStore) -> None:
    """Code that kept the context of a run that is over gets an error, rather than running without being saved."""
    with opened("w", store=store):
        context = contextvars.copy_context()
    with pytest.raises(errors.RunClosedError) as caught:
        context.run(work, 1)
    assert store.runs("w")[0].id == caught.value.run
    assert [] == ran


def test_task_that_outlives_the_block(store: MemoryStore) -> None:
    """A task made in the block and awaited after it gets the error too."""

    async def main() -> None:
        async with opened("w", store=store):
            gate = asyncio.Event()

            async def later() -> int:
                await gate.wait()
                return await async_work(1)

            task = asyncio.create_task(later())
        gate.set()
        await task

    with pytest.raises(errors.RunClosedError):
        asyncio.run(main())
    assert [] == ran


def test_run_object_after_the_end(store: MemoryStore) -> None:
    """After the block the run can be read, and not saved."""
    with opened("w", store=store) as run:
        run.state["a"] = 1
    assert ({"a": 1}, "w") == (run.state, run.workflow)
    with pytest.raises(errors.RunClosedError):
        run.save()


def test_step_still_running_at_the_end(store: MemoryStore) -> None:
    """Leaving the block while a step runs in a thread is an error that names it; the run is not finished."""
    begun, may_end = threading.Event(), threading.Event()
    outcome: list[object] = []

    @checkpointed
    def slow(number: int) -> int:
        begun.set()
        may_end.wait(10)
        return number

    def call() -> None:
        try:
            outcome.append(slow(7))
        except errors.CheckpointError as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    with pytest.raises(errors.UsageError, match=r"slow\(7\)") as caught, opened("w", store=store):
        thread.start()
        begun.wait(10)
    may_end.set()
    thread.join()
    assert "steps-still-running" == caught.value.slug
    assert isinstance(outcome[0], errors.RunClosedError)
    assert "failed" == status(store)


def test_plain_thread_with_two_open_runs(store: MemoryStore) -> None:
    """With two runs open, a thread without context is told that it is not clear which is meant."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            work(1)
        except errors.UsageError as error:
            outcome.append(error)

    with opened("a", store=store), opened("b", store=store):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert "which-run" == outcome[0].slug
    assert ["a (", "b ("] == [name[:3] for name in outcome[0].value]
    assert [] == ran


# What is refused, with nothing on the disk.

BAD: dict[str, tuple[str, Callable[[], Any]]] = {
    "empty name": ("workflow-name", lambda: workflow("")),
    "blank name": ("workflow-name", lambda: workflow("   ")),
    "name of a wrong type": ("workflow-name", lambda: workflow(3)),  # type: ignore[call-overload]
    "name with a control character": ("workflow-name", lambda: workflow("a\x1b[31m")),
    "empty key": ("workflow-key", lambda: workflow("w", key="")),
    "key of a wrong type": ("workflow-key", lambda: workflow("w", key=7)),  # type: ignore[call-overload]
    "key with a newline": ("workflow-key", lambda: workflow("w", key="a\nb")),
    "no signal": ("workflow-signals", lambda: workflow("w", signals=(99999,))),
    "one signal": ("workflow-signals", lambda: workflow("w", signals=2)),  # type: ignore[call-overload]
    "signals of a wrong type": ("workflow-signals", lambda: workflow("w", signals="TERM")),  # type: ignore[call-overload]
    "signal that cannot be handled": ("workflow-signals", lambda: workflow("w", signals=(9,))),
    "unknown output": ("unknown-output", lambda: workflow("w", output="loud")),  # type: ignore[call-overload]
    "unknown store": ("unknown-store", lambda: workflow("w", store="s3://bucket")),
    "store of a wrong type": ("unknown-store", lambda: workflow("w", store=3)),  # type: ignore[call-overload]
    "state that is a list": ("state-kind", lambda: workflow("w", state=[])),
    "class of no kind": ("state-kind", lambda: workflow("w", state=int)),
    "state without fields": ("state-kind", lambda: workflow("w", state=object())),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_argument(what: str, checkpoint_home: Path) -> None:
    """Each bad argument has its own error, and nothing is made on the disk."""
    slug, make = BAD[what]
    with pytest.raises(errors.UsageError) as caught, make():
        raise AssertionError
    assert slug == caught.value.slug
    assert hasattr(caught.value, "value")
    assert not checkpoint_home.exists()
    assert [] == scope.open_sessions


def test_bad_argument_is_found_before_entering() -> None:
    """What can be seen without opening anything is refused by the call itself."""
    for what, (_, make) in BAD.items():
        if "store" not in what:
            with pytest.raises(errors.UsageError):
                make()


# What it says.


def test_other_command_line(
    store: MemoryStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rerun with other arguments continues the run, and one note says so and names the ways out."""
    monkeypatch.setattr("sys.argv", ["align.py", "--repo", "a"])
    stop_after(store)
    monkeypatch.setattr("sys.argv", ["align.py", "--repo", "b"])
    with workflow("w", store=store, output="lines"):
        pass
    said = capsys.readouterr().err
    assert "begun with the arguments --repo a, not --repo b" in said
    assert "key=" in said and "fresh=" in said


def test_four_sentences(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    """New, stopped, continuing and done are said, each in one line."""
    with pytest.raises(KeyboardInterrupt), workflow("w", store=store, output="lines") as run:
        work(1)
        raise KeyboardInterrupt
    with workflow("w", store=store, output="lines"):
        work(1)
    short = run.id[-4:]
    lines = capsys.readouterr().err.splitlines()
    assert 4 == len(lines)
    assert f"checkpoint: w: new run {short}" == lines[0]
    assert lines[1].startswith("checkpoint: w: stopped")
    assert f"checkpoint: w: continuing run {short}. 1 step kept." == lines[2]
    assert lines[3].startswith("checkpoint: w: done")


def test_run_type(store: MemoryStore) -> None:
    """What a block gives is a Run."""
    with opened("w", store=store) as run:
        assert isinstance(run, Run)
