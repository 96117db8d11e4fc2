"""
Steps in threads and forked children: whose run they belong to, and what becomes of the state.
"""

from __future__ import annotations

import contextvars
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from checkpoint import checkpointed, current_run, errors, workflow
from checkpoint.stores import FileStore, MemoryStore

LIMIT_S = 20


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
    return workflow("threads", store=store, output="off")


@checkpointed
def work(number: int) -> int:
    ran.append(number)
    return 2 * number


def test_pool_without_contexts(store: MemoryStore) -> None:
    """Steps submitted to a pool find the only open run, and are kept in a rerun."""
    for _ in range(2):
        with pytest.raises(Stop), block(store), ThreadPoolExecutor(4) as pool:
            assert [2 * number for number in range(20)] == list(pool.map(work, range(20)))
            raise Stop
    assert list(range(20)) == sorted(ran)


def test_pool_with_contexts(store: MemoryStore) -> None:
    """With a copied context, calls made for a step from a thread are inside the step's scope."""

    @checkpointed
    def outer() -> int:
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(contextvars.copy_context().run, work, number) for number in (1, 2)]
            return sum(job.result() for job in jobs)

    for _ in range(2):
        with pytest.raises(Stop), block(store):
            # Another scope than the call inside the step.
            assert (2, 6) == (work(1), outer())
            raise Stop
    assert [1, 1, 2] == sorted(ran)


def test_contexts_choose_the_run(store: MemoryStore) -> None:
    """With two runs open, a copied context says which is meant."""
    with block(store) as outer:
        context = contextvars.copy_context()
        with workflow("inner", store=store, output="off") as inner, ThreadPoolExecutor(1) as pool:
            assert 2 == pool.submit(context.run, work, 1).result()
            assert 4 == pool.submit(contextvars.copy_context().run, work, 2).result()
            assert ["1 steps"] * 2 == [repr(run).split(", ")[1].removesuffix(" saved") for run in (outer, inner)]


def test_plain_thread(store: MemoryStore) -> None:
    """A step called in a plain thread is saved with the only open run."""
    for _ in range(2):
        with pytest.raises(Stop), block(store):
            thread = threading.Thread(target=work, args=(1,))
            thread.start()
            thread.join()
            raise Stop
    assert [1] == ran


def test_equal_calls_in_threads(store: MemoryStore) -> None:
    """Equal calls that overlap are calls of their own, each run once."""
    for _ in range(2):
        with pytest.raises(Stop), block(store), ThreadPoolExecutor(4) as pool:
            assert [14] * 8 == list(pool.map(work, [7] * 8))
            raise Stop
    assert [7] * 8 == ran


class Overlap:
    """Two steps, of which the one that fails or ends second does so while the other is or was running."""

    def __init__(self) -> None:
        self.both_run = threading.Barrier(2, timeout=LIMIT_S)
        self.failed = threading.Event()


def test_overlapping_failure_does_not_roll_back(store: MemoryStore) -> None:
    """What a step changes while another fails beside it stays: nobody could say whose change is whose."""
    overlap = Overlap()

    @checkpointed
    def fails() -> None:
        overlap.both_run.wait()
        raise Stop

    @checkpointed
    def adds() -> None:
        state: Any = current_run().state
        state["log"].append("added")
        overlap.both_run.wait()
        assert overlap.failed.wait(LIMIT_S)

    with block(store) as run, ThreadPoolExecutor(2) as pool:
        run.state["log"] = []
        adding, failing = pool.submit(adds), pool.submit(fails)
        assert isinstance(failing.exception(LIMIT_S), Stop)
        overlap.failed.set()
        adding.result(LIMIT_S)
        assert ["added"] == run.state["log"]


def overlapping(run: Any, names: list[int]) -> list[int]:
    """Run steps of which all have begun before the first ends."""
    all_run = threading.Barrier(len(names), timeout=LIMIT_S)

    @checkpointed(name="side by side")
    def side(number: int) -> int:
        ran.append(number)
        all_run.wait()
        return 2 * number

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(side, names))


@pytest.mark.parametrize("how", [Stop, KeyboardInterrupt])
def test_results_folded_in_after_the_pool_are_not_doubled(how: type[BaseException], store: MemoryStore) -> None:
    """What is done with the results of overlapping steps is done once, also if a later step was cut."""
    cut = [True]

    @checkpointed
    def later() -> None:
        if cut:
            raise how

    def program(run: Any) -> None:
        run.state.setdefault("sum", 0)
        run.state["sum"] += sum(overlapping(run, [1, 2, 3]))
        later()

    with pytest.raises(how), block(store) as run:
        program(run)
    assert 12 == run.state["sum"]
    cut.clear()
    with block(store) as run:
        program(run)
    assert 12 == run.state["sum"]
    assert 3 == len(ran)


def test_state_changed_in_overlapping_steps_is_saved(store: MemoryStore) -> None:
    """Changes made by overlapping steps are in the state that the next session loads."""
    both_run = threading.Barrier(2, timeout=LIMIT_S)

    @checkpointed
    def adds(name: str) -> None:
        both_run.wait()
        state: Any = current_run().state
        state[name] = True
        both_run.wait()

    with pytest.raises(Stop), block(store) as run:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(adds, "ab"))
        raise Stop
    with block(store) as run:
        assert {"a": True, "b": True} == run.state


def test_state_changed_while_steps_end(store: MemoryStore) -> None:
    """Filling the state from the main thread while steps end in others loses no result and no change."""
    with block(store) as run, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(work, number) for number in range(300)]
        for number, job in enumerate(jobs):
            run.state[str(number)] = {"found": job.result(LIMIT_S)}
    assert [{"found": 2 * number} for number in range(300)] == list(run.state.values())


def test_nested_steps_in_threads_are_no_overlap_for_each_other(store: MemoryStore) -> None:
    """An outer step and the inner steps it waits for in a thread do not run beside each other: a failure rolls back."""

    @checkpointed
    def inner() -> None:
        state: Any = current_run().state
        state["log"].append("half")
        raise Stop

    @checkpointed
    def outer() -> None:
        with ThreadPoolExecutor(1) as pool:
            context = contextvars.copy_context()
            assert isinstance(pool.submit(context.run, inner).exception(LIMIT_S), Stop)

    with block(store) as run:
        run.state["log"] = []
        outer()
        assert [] == run.state["log"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("make_store", [FileStore, MemoryStore])
def test_fork_in_a_step(make_store: Any) -> None:
    """A forked child is refused by the run, has its own signal handlers back, and the parent goes on."""
    answers = {"step refused": 1, "save refused": 2, "handlers back": 4, "no current run": 8}

    def ask() -> int:
        found = 0
        try:
            work(99)
        except errors.RunClosedError:
            found |= answers["step refused"]
        try:
            current_run()
        except errors.RunClosedError:
            found |= answers["no current run"]
        run.state["child"] = True
        try:
            run.save()
        except errors.RunClosedError:
            found |= answers["save refused"]
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            found |= answers["handlers back"]
        return found

    @checkpointed
    def forks() -> int:
        child = os.fork()
        if not child:
            found = 0
            try:
                found = ask()
            finally:
                os._exit(found)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    store = make_store()
    with block(store) as run:
        assert sum(answers.values()) == forks()
        assert 2 == work(1)
    assert {} == run.state
    assert b"work(99)" not in store.read("threads", run.id)
    assert "finished" == store.runs("threads")[0].status


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_that_leaves_the_block() -> None:
    """A child that runs out of its parent's block neither ends the run nor breaks on the way."""
    store = FileStore()
    is_child = False
    error: BaseException | None = None
    status = -1
    try:
        with block(store) as run:
            work(1)
            child = os.fork()
            is_child = not child
            if not is_child:
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                assert "running" == store.runs("threads")[0].status
                work(2)
    except BaseException as problem:
        error = problem
    finally:
        if is_child:
            os._exit(0 if error is None or isinstance(error, errors.RunClosedError) else 1)
    if error is not None:
        raise error
    assert 0 == status
    assert "2 steps" in repr(run)
    assert "finished" == store.runs("threads")[0].status


def test_thread_that_had_called_no_step_when_the_run_was_cut_short() -> None:
    """Its first step is refused: nobody would know that it ran."""
    ran: list[str] = []

    @checkpointed(name="late")
    def late() -> None:
        ran.append("late")

    outcome: list[BaseException | None] = []
    go = threading.Event()

    def work() -> None:
        go.wait()
        try:
            late()
        except errors.RunClosedError as error:
            outcome.append(error)

    with pytest.raises(KeyboardInterrupt), workflow("cut"):
        thread = threading.Thread(target=work)
        thread.start()
        raise KeyboardInterrupt
    go.set()
    thread.join()
    assert ([], 1) == (ran, len(outcome))
