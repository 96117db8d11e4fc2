"""
The state through real workflows: its kinds, its rollback, the stretch rule, and what it costs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from checkpoint import checkpointed, current_run, errors, workflow
from checkpoint.stores import FileStore, MemoryStore


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


class Colour(Enum):
    RED = "red"


WHEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
ID = UUID(int=5)


@dataclass
class Dataclass:
    pending: list[str] = field(default_factory=list)
    at: datetime | None = None
    where: Path | None = None
    colour: Colour | None = None
    ids: set[UUID] = field(default_factory=set)


@attrs.define
class Attrs:
    pending: list[str] = attrs.Factory(list)
    at: datetime | None = None
    where: Path | None = None
    colour: Colour | None = None
    ids: set[UUID] = attrs.Factory(set)


class Model(pydantic.BaseModel):
    pending: list[str] = []
    at: datetime | None = None
    where: Path | None = None
    colour: Colour | None = None
    ids: set[UUID] = set()


class Struct(msgspec.Struct):
    pending: list[str] = msgspec.field(default_factory=list)
    at: datetime | None = None
    where: Path | None = None
    colour: Colour | None = None
    ids: set[UUID] = msgspec.field(default_factory=set)


class Typed(TypedDict, total=False):
    pending: list[str]
    at: datetime | None
    count: int


@checkpointed
def work(name: str) -> str:
    return name


@checkpointed
def change(name: str, fails: bool = False) -> None:
    """Change the state inside a step, and perhaps fail."""
    current_run().state["log"].append(name)  # type: ignore[index]  # the state is a dict here
    if fails:
        raise Stop


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def block(store: Any, state: Any = None, name: str = "w") -> Any:
    return workflow(name, state=state, store=store, output="off")


OBJECTS = [Dataclass, Attrs, Model, Struct]


@pytest.mark.parametrize("as_instance", [False, True])
@pytest.mark.parametrize("kind", OBJECTS)
def test_comes_back_with_its_types(kind: Callable[[], Any], as_instance: bool, store: MemoryStore) -> None:
    """Fields of every type come back equal, into a new object or into the very one that was given."""
    with pytest.raises(Stop), block(store, kind()) as run:
        run.state.pending.append("a")
        run.state.at, run.state.where, run.state.colour = WHEN, Path("x/y"), Colour.RED
        run.state.ids.add(ID)
        work("a")
        raise Stop
    given = kind()
    with block(store, given if as_instance else kind) as run:
        state = run.state
        assert kind is type(state)
        assert (["a"], WHEN, Path("x/y"), Colour.RED, {ID}) == (
            state.pending,
            state.at,
            state.where,
            state.colour,
            state.ids,
        )
        assert (state is given) is as_instance


def test_typed_dict(store: MemoryStore) -> None:
    """A TypedDict is a dict whose values come back with the types it says."""
    for expected in ({}, {"pending": ["a"], "at": WHEN}):
        with pytest.raises(Stop), block(store, Typed) as run:
            assert expected == run.state
            run.state.update(pending=["a"], at=WHEN)
            raise Stop


@pytest.mark.parametrize(
    ("given", "value"),
    [(dict, {"a": [1, {"b": None}]}), (dict[str, int], {"a": 1}), (dict[str, datetime], {"a": WHEN})],
)
def test_dict_and_alias(given: Any, value: dict[str, Any], store: MemoryStore) -> None:
    """`dict` and `dict[str, datetime]` are made empty and come back with their values' types."""
    with pytest.raises(Stop), block(store, given) as run:
        assert {} == run.state
        run.state.update(value)
        raise Stop
    with block(store, given) as run:
        assert value == run.state


def test_class_made_in_a_function(store: MemoryStore) -> None:
    """Annotations of a local class may name other classes of the same function."""

    @dataclass
    class Item:
        at: datetime

    @dataclass
    class Local:
        items: list[Item] = field(default_factory=list)

    with pytest.raises(Stop), workflow("w", state=Local, store=store, output="off") as run:
        run.state.items.append(Item(WHEN))
        raise Stop
    with workflow("w", state=Local, store=store, output="off") as run:
        assert Local([Item(WHEN)]) == run.state


def test_new_run_with_an_instance_begins_with_its_values(store: MemoryStore) -> None:
    """The first values of a given instance are the state's first values, saved with the run."""
    with pytest.raises(Stop), block(store, Dataclass(pending=["first"])):
        raise Stop
    with block(store, Dataclass) as run:
        assert ["first"] == run.state.pending


# Schema changes.


@dataclass
class Grown:
    pending: list[str] = field(default_factory=list)
    retries: int = 3


def saved_as(store: MemoryStore, state: Any) -> None:
    with pytest.raises(Stop), block(store, state):
        raise Stop


def test_added_field_takes_its_default(store: MemoryStore) -> None:
    """A field that the saved state does not have takes its default."""

    @dataclass
    class Small:
        pending: list[str] = field(default_factory=list)

    saved_as(store, Small(["a"]))
    with block(store, Grown) as run:
        assert Grown(["a"], 3) == run.state


def test_removed_field_is_dropped_with_a_note(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    """A field that the class no longer has is dropped, and a note names it."""

    @dataclass
    class Small:
        pending: list[str] = field(default_factory=list)

    saved_as(store, Grown(["a"], 7))
    with workflow("w", state=Small, store=store, output="lines") as run:
        assert Small(["a"]) == run.state
    said = capsys.readouterr().err
    assert "note:" in said and "retries" in said


def test_wrong_type_stops_with_the_path(store: MemoryStore) -> None:
    """A saved value that does not fit stops before anything runs, names the path, and leaves the run as it was."""

    @dataclass
    class Other:
        pending: list[int] = field(default_factory=list)

    saved_as(store, Dataclass(pending=["a"]))
    before = store.read("w", store.runs("w")[0].id)
    with pytest.raises(errors.StateError) as caught, block(store, Other):
        raise AssertionError
    assert "state.pending[0]" == caught.value.path
    assert before == store.read("w", store.runs("w")[0].id)
    with block(store, Dataclass) as run:
        assert ["a"] == run.state.pending


# What cannot be saved.


def test_unsavable_state_is_refused_before_the_step(store: MemoryStore) -> None:
    """The step does not run; once the state is mended it does, and it is the same call."""
    ran = []

    @checkpointed
    def step() -> int:
        ran.append(1)
        return 5

    with block(store) as run:
        run.state["lock"] = threading.Lock()
        with pytest.raises(errors.StateError, match=r"state\['lock'\]") as caught:
            step()
        assert [] == ran
        del run.state["lock"]
        assert 5 == step()
    assert "state['lock']" == caught.value.path
    records = [json.loads(line) for line in store.read("w", run.id).splitlines()]
    assert [1] == [record["attempt"] for record in records if record["kind"] == "started"]


def test_step_that_makes_the_state_unsavable(store: MemoryStore) -> None:
    """The step's result is not recorded, and its changes are taken back, so that the next step is not refused too."""

    @checkpointed
    def spoil() -> None:
        current_run().state["lock"] = threading.Lock()  # type: ignore[index]

    with block(store) as run:
        with pytest.raises(errors.StateError):
            spoil()
        assert {} == run.state
        assert "a" == work("a")


def test_error_of_a_step_that_spoiled_the_state(store: MemoryStore) -> None:
    """The user's own error passes through, whatever the step put into the state before it raised."""

    @checkpointed
    def spoil() -> None:
        current_run().state["lock"] = threading.Lock()  # type: ignore[index]
        raise ValueError("mine")

    with block(store) as run:
        with pytest.raises(ValueError, match="mine"):
            spoil()
        assert {} == run.state


def test_unsavable_state_at_the_end(store: MemoryStore) -> None:
    """A run whose last state cannot be saved is not finished, and keeps its steps."""
    with pytest.raises(errors.StateError), block(store) as run:
        work("a")
        run.state["lock"] = threading.Lock()
    with block(store) as run:
        assert run.resumed
        assert {} == run.state


def test_unsavable_state_does_not_hide_the_error(store: MemoryStore) -> None:
    """If an error leaves the block and the state cannot be saved, it is the error that arrives."""
    with pytest.raises(Stop), block(store) as run:
        run.state["lock"] = threading.Lock()
        raise Stop


# Rollback.


def test_failed_step_leaves_the_state_as_it_was(store: MemoryStore) -> None:
    """Half a step's changes never stay, and names bound to parts of the state stay good."""
    with block(store) as run:
        log = run.state["log"] = []
        with pytest.raises(Stop):
            change("a", fails=True)
        assert [] == log
        assert log is run.state["log"]
        change("b")
        assert ["b"] == log


def test_name_bound_to_a_part_stays_good_when_a_replay_is_dropped(store: MemoryStore) -> None:
    """In a rerun, dropping what was saved already is done in place."""
    for _ in range(2):
        with pytest.raises(Stop), block(store, Dataclass()) as run:
            pending = run.state.pending
            for name in ("a", "b"):
                pending.append(work(name))
            assert pending is run.state.pending
            work("end")
            assert ["a", "b"] == pending
            raise Stop


@pytest.mark.parametrize("how", [Stop, KeyboardInterrupt])
def test_save_inside_a_step_that_is_cut(how: type[BaseException], store: MemoryStore) -> None:
    """What `save` saved of a step that then raised is taken back: the rerun does it once."""
    cut = [True]

    @checkpointed
    def step() -> None:
        run = current_run()
        run.state["log"].append("half")  # type: ignore[index]
        run.save()
        if cut:
            raise how

    with pytest.raises(how), block(store) as run:
        run.state["log"] = []
        step()
    assert {"log": []} == run.state
    cut.clear()
    with block(store) as run:
        assert {"log": []} == run.state
        step()
    assert {"log": ["half"]} == run.state


def test_save_inside_a_step_that_is_tried_again(store: MemoryStore) -> None:
    """A second try in the same session begins from the state before the first, too."""
    fails = iter([True, False])

    @checkpointed
    def step() -> None:
        run = current_run()
        run.state["log"].append("half")  # type: ignore[index]
        run.save()
        if next(fails):
            raise Stop

    with block(store) as run:
        run.state["log"] = []
        with pytest.raises(Stop):
            step()
        step()
    assert {"log": ["half"]} == run.state


def test_inner_steps_changes_stay_when_the_outer_fails(store: MemoryStore) -> None:
    """What completed inner steps changed is saved with them, and stays when the outer step raises."""

    @checkpointed
    def outer(fails: list[bool]) -> None:
        state: Any = current_run().state
        state["log"].append("before")
        change("inner")
        state["log"].append("after")
        if cut:
            raise Stop

    cut = [True]
    with pytest.raises(Stop), block(store) as run:
        run.state["log"] = []
        outer([])
    assert ["before", "inner"] == run.state["log"]
    cut.clear()
    with block(store) as run:
        outer([])
    assert ["before", "inner", "after"] == run.state["log"]


# The stretch rule.


def cut_and_rerun(
    program: Callable[[Any, bool], None], how: type[BaseException] = KeyboardInterrupt
) -> tuple[Any, Any]:
    """Run a program to its end, and cut once and rerun; returns both final states."""
    whole, cut = MemoryStore(), MemoryStore()
    with block(whole) as run:
        program(run, False)
    expected = run.state
    with pytest.raises(how), block(cut) as run:
        program(run, True)
    with block(cut) as run:
        program(run, False)
    return expected, run.state


def test_changes_after_kept_steps_are_not_doubled() -> None:
    """The classic loop: what follows a kept step is in the state already."""

    def program(run: Any, cut: bool) -> None:
        run.state.setdefault("done", [])
        for name in "abcd":
            run.state["done"].append(work(name))
            if cut and name == "c":
                raise KeyboardInterrupt

    expected, found = cut_and_rerun(program)
    assert {"done": ["a", "b", "c", "d"]} == expected == found


def test_loop_over_pending_work() -> None:
    """The other loop: the state says what is left, and the rerun goes on there."""

    def program(run: Any, cut: bool) -> None:
        state = run.state
        if not state:
            state.update(pending=list("abcd"), done=[])
        while state["pending"]:
            done = work(state["pending"][0])
            if cut and done == "c":
                raise KeyboardInterrupt
            state["done"].append(done)
            del state["pending"][0]

    expected, found = cut_and_rerun(program)
    assert {"pending": [], "done": ["a", "b", "c", "d"]} == expected == found


def test_cut_between_two_statements() -> None:
    """A stretch that was cut in the middle runs again whole, from the state at its beginning."""

    def program(run: Any, cut: bool) -> None:
        run.state.setdefault("log", [])
        work("a")
        run.state["log"].append(1)
        if cut:
            raise KeyboardInterrupt
        run.state["log"].append(2)
        work("b")
        run.state["log"].append(3)

    expected, found = cut_and_rerun(program)
    assert {"log": [1, 2, 3]} == expected == found


def test_save_in_the_middle_of_a_stretch() -> None:
    """`save` between two statements does not make the stretch's changes come twice."""

    def program(run: Any, cut: bool) -> None:
        run.state.setdefault("log", [])
        work("a")
        run.state["log"].append(1)
        run.save()
        run.state["log"].append(2)
        if cut:
            raise KeyboardInterrupt
        run.save()
        work("b")
        run.state["log"].append(3)

    expected, found = cut_and_rerun(program)
    assert {"log": [1, 2, 3]} == expected == found


def test_cut_in_the_first_stretch_saves_the_state_as_it_stands(store: MemoryStore) -> None:
    """Before the first step nothing could tell a rerun apart: the state is found as it stood."""
    with pytest.raises(KeyboardInterrupt), block(store) as run:
        run.state["answers"] = ["yes"]
        raise KeyboardInterrupt
    with block(store) as run:
        assert {"answers": ["yes"]} == run.state


def test_save_in_the_first_stretch(store: MemoryStore) -> None:
    """What `save` saved before the first step is found by the next session."""
    with pytest.raises(Stop), block(store) as run:
        run.state["asked"] = True
        run.save()
        raise Stop
    with block(store) as run:
        assert {"asked": True} == run.state


def test_changes_after_a_caught_failure() -> None:
    """What is done after a failure that was caught is done once, however the run goes on."""

    def program(run: Any, cut: bool) -> None:
        state = run.state
        state.setdefault("log", [])
        work("a")
        try:
            change("never", fails=True)
        except Stop:
            state["log"].append("caught")
        state["log"].append("b")
        work("b")
        if cut:
            raise KeyboardInterrupt
        state["log"].append("c")

    expected, found = cut_and_rerun(program)
    assert {"log": ["caught", "b", "c"]} == expected == found


def test_cut_after_a_failure_that_comes_again() -> None:
    """A stretch cut in the middle is not doubled though the rerun first repeats a failure that was caught before it."""

    def program(run: Any, cut: bool) -> None:
        state = run.state
        state.setdefault("log", [])
        with suppress(Stop):
            change("never", fails=True)
        work("b")
        state["log"].append("b")
        if cut:
            raise KeyboardInterrupt
        work("c")

    expected, found = cut_and_rerun(program)
    assert {"log": ["b"]} == expected == found


def test_counter_in_a_loop_of_equal_calls() -> None:
    """Equal calls in a loop: each stretch after one of them counts once."""

    def program(run: Any, cut: bool) -> None:
        run.state.setdefault("n", 0)
        for turn in range(5):
            work("same")
            run.state["n"] += 1
            if cut and turn == 3:
                raise KeyboardInterrupt

    expected, found = cut_and_rerun(program)
    assert {"n": 5} == expected == found


# When it is saved.


class Watched:
    """A store that notes what has been synced when something happens."""

    def __init__(self, inner: FileStore | MemoryStore) -> None:
        self.inner = inner
        self.synced = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def open(self, workflow: str, **which: Any) -> tuple[str, Any]:
        run, journal = self.inner.open(workflow, **which)
        return run, WatchedJournal(journal, self)

    def runs(self, workflow: str | None = None) -> Any:
        return self.inner.runs(workflow)

    def read(self, workflow: str, run: str) -> bytes:
        return self.inner.read(workflow, run)

    def delete(self, workflow: str, run: str) -> None:
        self.inner.delete(workflow, run)


class WatchedJournal:
    def __init__(self, inner: Any, watched: Watched) -> None:
        self._inner = inner
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sync(self, number: int) -> None:
        self._inner.sync(number)
        self._watched.synced = max(self._watched.synced, number)


def last_state_record(store: Any, run: str) -> dict[str, Any]:
    records = [json.loads(line) for line in store.read("w", run).splitlines()]
    return next(record for record in reversed(records) if "state" in record)


@pytest.mark.parametrize("critical", [True, False])
def test_state_is_synced_before_a_critical_step(critical: bool) -> None:
    """When a critical step's body begins, the record with the state is durable; others' need not be."""
    watched = Watched(MemoryStore())
    seen = []

    @checkpointed(critical=critical)
    def push() -> None:
        record = last_state_record(watched, current_run().id)
        seen.append((record["kind"], record["n"] <= watched.synced))

    with block(watched) as run:
        run.state["current"] = "a"
        push()
    assert [("started", critical)] == seen


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit, Stop])
def test_state_is_synced_when_the_block_is_left(how: type[BaseException]) -> None:
    """A stop and a failure save the state, durably."""
    watched = Watched(MemoryStore())
    with pytest.raises(how), block(watched) as run:
        work("a")
        run.state["after"] = 1
        raise how
    record = last_state_record(watched, run.id)
    assert ("failed" if how is Stop else "stopped") == record["kind"]
    assert record["n"] <= watched.synced


def test_state_is_synced_at_the_end() -> None:
    """The record of the end has the state, and is durable."""
    watched = Watched(MemoryStore())
    with block(watched) as run:
        work("a")
        run.state["after"] = 1
    record = last_state_record(watched, run.id)
    assert "finished" == record["kind"]
    assert record["n"] <= watched.synced


def test_result_is_synced_before_it_is_handed_out() -> None:
    """When a step returns, its record with the state is durable."""
    watched = Watched(MemoryStore())
    with block(watched) as run:
        run.state["log"] = []
        change("a")
        record = last_state_record(watched, run.id)
        assert "completed" == record["kind"]
        assert record["n"] <= watched.synced


def test_state_file_is_for_people(checkpoint_home: Path) -> None:
    """`state.json` shows the state and the status when a session is over."""
    with pytest.raises(Stop), block(FileStore()) as run:
        work("a")
        run.state["current"] = "b"
        raise Stop
    shown = json.loads((Path(run.location) / "state.json").read_text(encoding="utf-8"))
    assert ("failed", {"current": "b"}, 1) == (shown["status"], shown["state"], shown["steps"])


# What it costs.


def step_bytes(store: MemoryStore, run: str) -> list[int]:
    """Bytes of the two records of each step."""
    sizes: dict[str, int] = {}
    for line in store.read("w", run).splitlines():
        record = json.loads(line)
        if record["key"] != "run":
            sizes[record["key"]] = sizes.get(record["key"], 0) + len(line)
    return list(sizes.values())


@pytest.mark.parametrize("appends", [False, True])
def test_large_state_does_not_cost_every_step(appends: bool, store: MemoryStore) -> None:
    """With 10,000 entries in the state, a step's records are as short as with none."""
    with block(store) as run:
        run.state["entries"] = [f"entry {number}" for number in range(10_000)]
        for number in range(60):
            name = work(f"{number:03}")
            if appends:
                run.state["entries"].append(name)
    sizes = step_bytes(store, run.id)
    # The first has the whole state, which was never saved before.
    assert max(sizes[1:]) < 1500
    assert max(sizes[1:]) - min(sizes[1:]) < 200


def test_file_stays_proportional_to_the_steps(store: MemoryStore) -> None:
    """2,000 steps that each append to the state: whole copies come seldom enough that the file stays proportional."""
    with block(store) as run:
        run.state["done"] = []
        for number in range(2_000):
            run.state["done"].append(work(f"{number:04}"))
    sizes = step_bytes(store, run.id)
    assert 2_000 == len(sizes)
    # The second half costs like the first half, but for copies that double in size as they get rarer.
    assert sum(sizes[1_000:]) < 1.2 * sum(sizes[:1_000])


def test_rebuilt_after_many_changes(store: MemoryStore) -> None:
    """After thousands of changes and several whole copies the state is what it was."""
    with pytest.raises(Stop), block(store) as run:
        run.state["done"] = []
        for number in range(1_500):
            run.state["done"].append(work(f"{number:04}"))
        raise Stop
    with block(store) as run:
        assert [f"{number:04}" for number in range(1_500)] == run.state["done"]
