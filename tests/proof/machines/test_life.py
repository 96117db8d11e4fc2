"""
Everything together on the real library: a Hypothesis machine lives the life of a workflow beside a simple model.
"""

from __future__ import annotations

import copy
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from checkpoint import workflow
from checkpoint.errors import DamagedRunError, NewerFormatError, RunInUseError, UsageError
from checkpoint.stores import FileStore
from tests.proof.machines.life import Crash, Failed, MortalFiles, Operation, RunModel, Universe, press_ctrl_c, world
from tests.proof.machines.profiles import profile

KEYS = st.sampled_from([None, "other"])
KINDS = ["plain", "plain", "changing", "outer", "big", "failing", "flaky"]
CALLS = st.tuples(st.just("call"), st.sampled_from(KINDS), st.integers(0, 2))
CHANGES = st.tuples(
    st.just("change"), st.sampled_from(["append", "append", "count", "set", "pop", "nest"]), st.integers(0, 2)
)
STRIKES = st.tuples(st.sampled_from(["begin", "middle", "end"]), st.sampled_from(["crash", "ctrl-c"]))


class Life(RuleBasedStateMachine):
    """Sessions on runs in a home, one at a time, that end in every way there is."""

    base: ClassVar[Path]
    faults: ClassVar[Counter[str]] = Counter()
    homes: ClassVar[Any] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.own_homes: list[Path] = []
        self.universe = Universe(self._home())
        self.others: list[Universe] = []
        self.files = MortalFiles()
        self.block: Any = None
        self.run: Any = None
        self.model = RunModel()
        self.occurrences: Counter[tuple[str, int]] = Counter()
        self.is_orderly = False
        self.was_shared = False

    def _home(self) -> Path:
        self.own_homes.append(self.base / f"home{next(self.homes)}")
        return self.own_homes[-1]

    # Sessions

    def _enter(self, key: str | None, dies_in: int | None = None, torn: bool = False, **options: bool) -> None:
        """Open a session, and perform its program so far."""
        self.files = MortalFiles()
        self.files.dies_in, self.files.torn = dies_in, torn
        world.die = lambda: setattr(self.files, "dead", True)
        world.over = options.get("once", False)
        world.strike, self.was_shared = None, False
        self.model = world.model = self.universe.runs.setdefault(key, RunModel())
        self.occurrences.clear()
        store = FileStore(self.universe.home, _files=self.files)
        block = workflow("life", key=key, store=store, output="off", **options)
        self.run = block.__enter__()
        self.block = block
        self._check_identity(key, options)
        for operation in self.model.program:
            world.perform(operation, self.occurrences)

    def _check_identity(self, key: str | None, options: dict[str, bool]) -> None:
        is_new = self.run.id != self.model.id
        if self.model.id is not None and not options.get("fresh"):
            expected = {True: not options.get("once"), False: False}.get(self.model.finished, is_new)
            assert expected == is_new
        if is_new:
            assert self.model.may_have_begun or not self.run.resumed
            if self.model.id is not None:
                self.model = world.model = self.universe.runs[key] = RunModel()
            self.model.id, self.model.may_have_begun = self.run.id, False
        elif self.model.finished == "doubt":
            self.model.finished = False

    def _leave(self, error: BaseException | None) -> None:
        """Leave the block as Python does."""
        block, self.block = self.block, None
        try:
            block.__exit__(type(error) if error else None, error, None)
        finally:
            self.files.bury()

    def _die(self, error: Crash) -> None:
        """Unwind after the process died: nothing of that reaches a file."""
        self.files.dead = True
        if self.block is not None:
            with suppress(Crash):
                self._leave(error)
        self.files.bury()

    def _perform(self, operation: Operation) -> None:
        """Add an operation to the program, and perform it; it stays in the program whatever happens."""
        self.model.program.append(operation)
        self.model.needs_call = self.model.needs_call and operation[0] != "call"
        try:
            world.perform(operation, self.occurrences)
        except Crash as error:
            self.faults["a crash in the middle of a step or of its records"] += 1
            self._die(error)
        except KeyboardInterrupt as error:
            self.faults["Ctrl-C in the middle of a step"] += 1
            self._leave(error)
        finally:
            world.strike = None
            self.files.dies_in, self.files.torn = None, False

    def is_open(self) -> bool:
        """Whether a session is open."""
        return self.block is not None

    def keys(self, condition: Callable[[RunModel], bool]) -> list[str | None]:
        """Return the keys of the runs of which something is true."""
        return [key for key, run in self.universe.runs.items() if condition(run)]

    def can_change(self) -> bool:
        """Whether the stretch that runs may change the state."""
        return self.is_open() and bool(self.model.program) and not self.model.needs_call

    # Rules

    @precondition(lambda self: not self.is_open())
    @rule(key=KEYS, dies_in=st.one_of(st.none(), st.none(), st.integers(0, 120)), torn=st.booleans())
    def begin(self, key: str | None, dies_in: int | None, torn: bool) -> None:
        """Run the command, for the first time or again; perhaps it is killed on the way."""
        try:
            self._enter(key, dies_in, torn)
        except Crash as error:
            self.faults["a crash while a run is opened or continued"] += 1
            self.model.may_have_begun = True
            self._die(error)
        self.files.dies_in = None

    @initialize(is_orderly=st.booleans())
    def choose_style(self, is_orderly: bool) -> None:
        """Choose whether the programs' calls may be reordered: no two are equal, and the state has no order."""
        self.is_orderly = is_orderly

    def _fitting(self, operation: Operation) -> Operation:
        """Return the operation, or one like it that fits the style."""
        if not self.is_orderly:
            return operation
        if operation[0] == "call":
            return ("call", "plain" if operation[1] == "failing" else operation[1], 100 + len(self.model.program))
        return ("change", "count" if operation[1] == "count" else "append", operation[2])

    @precondition(lambda self: self.is_open())
    @rule(operations=st.lists(st.one_of(CALLS, CHANGES), min_size=1, max_size=6))
    def work(self, operations: list[Operation]) -> None:
        """Go on with the program."""
        for operation in operations:
            if operation[0] == "call" or self.can_change():
                self._perform(self._fitting(operation))

    @precondition(lambda self: self.is_open())
    @rule(operation=CALLS, strike=STRIKES)
    def be_struck(self, operation: Operation, strike: tuple[str, str]) -> None:
        """Die, or press Ctrl-C, in the body of a step."""
        world.strike = strike
        self._perform(self._fitting(operation))

    @precondition(lambda self: self.is_open())
    @rule(operation=CALLS, dies_in=st.integers(0, 25), torn=st.booleans())
    def die_at_a_file(self, operation: Operation, dies_in: int, torn: bool) -> None:
        """Die at one of a call's operations on files."""
        self.files.dies_in, self.files.torn = dies_in, torn
        self._perform(self._fitting(operation))

    @precondition(lambda self: self.can_change() and not self.is_orderly)
    @rule(dies_in=st.none() | st.none() | st.integers(0, 4))
    def save(self, dies_in: int | None) -> None:
        """Save the state in the middle of a stretch."""
        self.files.dies_in = dies_in
        self._perform(("save",))

    @precondition(lambda self: self.is_open())
    @rule(how=st.sampled_from(["crash", "crash", "Ctrl-C", "error"]))
    def stop(self, how: str) -> None:
        """Leave the block between two statements, in any way but the normal one."""
        if how == "crash":
            self.faults["a crash between two steps"] += 1
            self._die(Crash())
        elif how == "error":
            self.faults["an error that leaves the block"] += 1
            self._leave(Failed())
        else:
            self.faults["Ctrl-C between two steps"] += 1
            try:
                press_ctrl_c()
            except KeyboardInterrupt as error:
                self._leave(error)

    @precondition(lambda self: self.is_open())
    @rule(dies_in=st.one_of(st.none(), st.integers(0, 12)))
    def finish(self, dies_in: int | None) -> None:
        """Leave the block normally; perhaps the process dies while that is recorded."""
        self.files.dies_in = dies_in
        try:
            self._leave(None)
            self.model.finished = True
        except Crash:
            self.faults["a crash while a run is finished"] += 1
            self.model.finished = "doubt"
        else:
            assert self._expected() == self._comparable(self.run.state)

    @precondition(lambda self: not self.is_open() and self.keys(RunModel.is_last_and_finished))
    @rule(data=st.data())
    def open_once(self, data: Any) -> None:
        """Open a finished run for its results: all are kept, nothing runs, and new work is refused."""
        self._check_once(data.draw(st.sampled_from(self.keys(RunModel.is_last_and_finished))))

    def _check_once(self, key: str | None) -> None:
        self._enter(key, once=True)
        with pytest.raises(UsageError) as caught:
            world.call(world_step("plain"), 99, ("plain", 99, 0))
        assert caught.value.slug == "finished-run"
        self._leave(None)
        assert self._expected() == self._comparable(self.run.state)

    @precondition(lambda self: not self.is_open() and self.keys(lambda run: run.id is not None))
    @rule(data=st.data())
    def begin_fresh(self, data: Any) -> None:
        """Give a run up and begin a new one."""
        key = data.draw(st.sampled_from(self.keys(lambda run: run.id is not None)))
        old = self.universe.runs[key]
        self.universe.runs[key] = RunModel()
        self._enter(key, fresh=True)
        assert old.id is not None
        assert old.id < self.run.id
        assert {} == self.run.state

    @precondition(lambda self: self.is_orderly and not self.is_open() and self.keys(RunModel.can_be_reordered))
    @rule(data=st.data(), random=st.randoms(use_true_random=False))
    def reorder(self, data: Any, random: Any) -> None:
        """Edit the script so that its calls come in another order, and run it."""
        key = data.draw(st.sampled_from(self.keys(RunModel.can_be_reordered)))
        model = self.universe.runs[key]
        blocks = model.blocks()
        random.shuffle(blocks)
        model.program = [operation for block in blocks for operation in block]
        model.permuted = model.needs_call = True
        self.faults["calls reordered"] += 1
        self._enter(key)

    @precondition(lambda self: self.universe.home.exists() and len(self.others) < 2)
    @rule(swap=st.booleans())
    def copy_home(self, swap: bool) -> None:
        """Copy everything, also in the middle of a session; either copy is lived on, and the other at the end."""
        there = Universe(self._home(), copy.deepcopy(self.universe.runs))
        shutil.copytree(self.universe.home, there.home)
        self.faults["a home copied"] += 1
        if swap and not self.is_open():
            there, self.universe = self.universe, there
        self.others.append(there)

    @precondition(lambda self: self.is_open() and not self.was_shared)
    @rule()
    def second_owner(self) -> None:
        """Run the same command beside it, from another process or inside the same block."""
        self.was_shared, key = True, self.run.key
        with pytest.raises(RunInUseError):
            FileStore(self.universe.home).open("life", key=key, fresh=False, once=False)
        with pytest.raises(UsageError), workflow("life", key=key, store=self.universe.home, output="off"):
            raise AssertionError("opened twice")
        self.faults["a second owner"] += 1

    @precondition(lambda self: not self.is_open() and self.keys(lambda run: bool(run.program and not run.finished)))
    @rule(data=st.data(), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def damage(self, data: Any, place: float, bit: int) -> None:
        """Flip a bit of what was acknowledged: refused, and continued when the file is put back."""
        key = data.draw(st.sampled_from(self.keys(lambda run: bool(run.program and not run.finished))))
        model = self.universe.runs[key]
        assert model.id is not None
        store = FileStore(self.universe.home, _files=MortalFiles())
        path = Path(store.location("life", model.id)) / "journal.jsonl"
        good = path.read_bytes()
        # The last line may be an unfinished write without its newline, which is no damage.
        at = int(place * (good.rfind(b"\n", 0, good.rfind(b"\n")) + 1))
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        with pytest.raises((DamagedRunError, NewerFormatError)):
            self._enter(key)
        assert not self.is_open()
        path.write_bytes(good)
        self.faults["a bit of a journal flipped between sessions"] += 1

    # Checks

    def _expected(self) -> Any:
        return self._comparable(self.model.state())

    def _comparable(self, state: dict[str, Any]) -> Any:
        """Return the state; without the order of its list if the order of the calls has changed."""
        return {**state, "log": sorted(state.get("log", []))} if self.model.permuted else state

    @invariant()
    def state_is_right(self) -> None:
        """The state is an uninterrupted run's, unless the next call is to drop what was changed last."""
        if self.is_open() and not self.model.needs_call:
            assert self._expected() == self._comparable(self.run.state)

    def teardown(self) -> None:
        """Bring every run of every copy to its end."""
        try:
            if self.is_open():
                self._die(Crash())
            for universe in [self.universe, *self.others]:
                self.universe = universe
                for key in list(universe.runs):
                    self._enter(key)
                    self.finish(dies_in=None)
                    self._check_once(key)
        finally:
            if self.is_open():
                self._die(Crash())
            self.files.bury()
            for home in self.own_homes:
                shutil.rmtree(home, ignore_errors=True)


def world_step(name: str) -> Any:
    """Return a step by its name."""
    from tests.proof.machines.life import STEPS

    return STEPS[name]


@pytest.mark.slow
def test_life(tmp_path: Path, faults: Any) -> None:
    """Whatever happens to a workflow, results, executed bodies and state are those of an uninterrupted run."""
    tmp_path.chmod(0o700)
    Life.base = tmp_path
    Life.faults.clear()
    run_state_machine_as_test(Life, settings=profile(examples=200, steps=40))
    for family, number in Life.faults.items():
        faults.count(family, number)
