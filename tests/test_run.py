"""
What user code holds of a run: its facts, `save`, and the way to find it.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from checkpoint import Run, checkpointed, current_run, errors, workflow
from checkpoint.stores import FileStore, MemoryStore


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


@checkpointed
def work(number: int) -> int:
    return number


def test_current_run_is_the_block_s_run() -> None:
    """Inside the block the run is found without being handed around."""
    with workflow("w", store=MemoryStore(), output="off") as run:
        assert run is current_run()


def test_no_current_run() -> None:
    """Outside every block asking for it is an error."""
    with pytest.raises(errors.UsageError) as caught:
        current_run()
    assert "no-run" == caught.value.slug


def test_current_run_in_a_plain_thread() -> None:
    """A thread without a context belongs to the only open run."""
    found: list[Run[object]] = []
    with workflow("w", store=MemoryStore(), output="off") as run:
        thread = threading.Thread(target=lambda: found.append(current_run()))
        thread.start()
        thread.join()
    assert [run] == found


def test_facts() -> None:
    """A run knows its workflow, its key, and where it is kept."""
    with workflow("align", key="repo", store=FileStore(), output="off") as run:
        assert ("align", "repo", False) == (run.workflow, run.key, run.resumed)
        assert Path(run.location).is_dir()
        assert run.id in run.location


def test_repr() -> None:
    """A run shows its short id, its workflow, the steps saved, and whether it is open."""
    store = MemoryStore()
    with pytest.raises(Stop), workflow("align", store=store, output="off"):
        work(1)
        raise Stop
    with workflow("align", store=store, output="off") as run:
        work(1)
        work(2)
        assert f"<Run {run.id[-4:]} of 'align', 2 steps saved, open>" == repr(run)
    assert f"<Run {run.id[-4:]} of 'align', 2 steps saved, closed>" == repr(run)


def test_state_cannot_be_replaced() -> None:
    """Replacing the state is refused: names bound to parts of it must stay good."""
    with workflow("w", store=MemoryStore(), output="off") as run:
        with pytest.raises(errors.UsageError) as caught:
            run.state = {"a": 1}
        assert {} == run.state
    assert "state-replaced" == caught.value.slug


@pytest.mark.parametrize("name", ["id", "workflow", "key", "resumed", "location"])
def test_facts_cannot_be_changed(name: str) -> None:
    """The facts of a run are read-only."""
    with workflow("w", store=MemoryStore(), output="off") as run, pytest.raises(AttributeError):
        setattr(run, name, "other")


def test_save_is_durable_on_return() -> None:
    """What `save` has saved is there for the next session, though this one dies without a word."""
    store = FileStore()
    with pytest.raises(Stop), workflow("w", store=store, output="off") as run:
        run.state["a"] = 1
        run.save()
        saved = store.read("w", run.id)
        raise Stop
    assert b'"state":{"changes":' in saved.splitlines()[-1]


def test_save_without_a_change_writes_nothing() -> None:
    """Saving what is saved already costs no record."""
    store = MemoryStore()
    with workflow("w", store=store, output="off") as run:
        run.state["a"] = 1
        run.save()
        before = store.read("w", run.id)
        run.save()
        assert before == store.read("w", run.id)


def test_save_of_an_unsavable_state() -> None:
    """A state that cannot be saved is refused with its path; after mending it saving works."""
    with workflow("w", store=MemoryStore(), output="off") as run:
        run.state["deep"] = [threading.Lock()]
        with pytest.raises(errors.StateError) as caught:
            run.save()
        assert "state['deep'][0]" == caught.value.path
        run.state["deep"] = [1]
        run.save()


def test_run_is_not_pickled() -> None:
    """A run belongs to its process: sending it elsewhere fails instead of making a second writer."""
    import pickle

    with workflow("w", store=MemoryStore(), output="off") as run, pytest.raises(TypeError):
        pickle.dumps(run)
