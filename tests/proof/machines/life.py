"""
What the machine of a workflow's life needs: steps that tell what they did, files that die, and the model.

A program is a list of operations that every session performs from its beginning, as a script would.  The model says
of each call whether it was acknowledged, and what the state is after the whole program: what an uninterrupted run has.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkpoint import checkpointed, current_run
from checkpoint.errors import UsageError
from checkpoint.stores import _ownership
from checkpoint.stores._files import Files

Operation = tuple[Any, ...]
# Which call it is: step, argument, number among equal calls; an inner call has its outer one's in front.
Slot = tuple[Any, ...]

OPERATIONS = {name for name in vars(Files) if not name.startswith("_")} - {"now", "sleep"}

# Larger than what the journal keeps inline.
BIG = "b" * 33_000


class Crash(BaseException):
    """The process is gone."""


class Failed(Exception):
    """What a step raises."""


class MortalFiles(Files):
    """
    Files whose process can die at an operation; afterwards nothing reaches them any more.

    Attributes:
        dies_in: How many operations are left, or None for no end.
        torn: Whether a write that is the last operation writes half.
        dead: Whether the process is gone.
    """

    def __init__(self) -> None:
        self.dies_in: int | None = None
        self.torn = False
        self.dead = False
        self.descriptors: set[int] = set()

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("_") or name not in OPERATIONS:
            return found
        return lambda *arguments: self._do(name, found, arguments)

    def _do(self, name: str, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self.dead:
            raise Crash
        if self.dies_in is not None:
            if self.dies_in == 0:
                self.dead = True
                if self.torn and name == "write":
                    operation(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise Crash
            self.dies_in -= 1
        found = operation(*arguments)
        if name in ("open", "create"):
            self.descriptors.add(found)
        elif name == "close":
            self.descriptors.discard(arguments[0])
        return found

    def flush(self, descriptor: int) -> None:
        """Do not wait for the disk."""

    def flush_directory(self, path: str) -> None:
        """Do not wait for the disk."""

    def bury(self) -> None:
        """Do what the kernel does when a process ends: close its files, and so give up its locks."""
        _ownership._table.owned.clear()
        for descriptor in self.descriptors:
            with suppress(OSError):
                os.close(descriptor)
        self.descriptors.clear()


@dataclass
class RunModel:
    """
    What must be true of one run.

    Attributes:
        program: What its sessions do.
        slots: Calls that were acknowledged (`acked`), and those whose body ended as the process died (`doubt`).
        made: What the body of each call returned last.
        id: The run's id, once a session has seen it.
        may_have_begun: Whether a session died while it opened the run, so that there may be a next one already.
        finished: Whether it is finished; `doubt` if the process died while that was recorded.
        permuted: Whether its calls were reordered; then equal calls are not told apart any more.
        needs_call: Whether the last stretch must not grow, because it is not the last that ran.
        tries: How often each call that fails at first was tried.
    """

    program: list[Operation] = field(default_factory=list)
    slots: dict[Slot, str] = field(default_factory=dict)
    made: dict[Slot, Any] = field(default_factory=dict)
    id: str | None = None
    may_have_begun: bool = False
    finished: bool | str = False
    permuted: bool = False
    needs_call: bool = False
    tries: Counter[Slot] = field(default_factory=Counter)

    def calls(self) -> list[tuple[str, int]]:
        """Return the calls of the program."""
        return [(operation[1], operation[2]) for operation in self.program if operation[0] == "call"]

    def is_last_and_finished(self) -> bool:
        """Whether it is sure that this run is finished, and that none follows it."""
        return self.finished is True and not self.may_have_begun

    def can_be_reordered(self) -> bool:
        """Whether the program means the same in another order."""
        if self.finished:
            return False
        calls = self.calls()
        plain = all(kind != "failing" for kind, _ in calls) and len(calls) == len(set(calls)) > 1
        return plain and all(
            operation[0] == "call" or operation[1:2] in (("append",), ("count",)) for operation in self.program
        )

    def blocks(self) -> list[list[Operation]]:
        """Return each call with what follows it."""
        found: list[list[Operation]] = []
        for operation in self.program:
            if operation[0] == "call":
                found.append([])
            found[-1].append(operation)
        return found

    def state(self) -> dict[str, Any]:
        """Return the state that an uninterrupted run would have now."""
        state: dict[str, Any] = {}
        failed: set[int] = set()
        for operation in self.program:
            if operation[0] == "change":
                change(state, operation)
            elif operation[0] == "call":
                _, kind, argument = operation
                if kind in ("changing", "outer") or (kind == "failing" and argument not in failed):
                    append(state, f"{kind} {argument} begins")
                if kind == "outer" or (kind == "failing" and argument not in failed):
                    append(state, f"inner {argument}")
                if kind == "outer":
                    append(state, f"{kind} {argument} ends")
                if kind == "failing":
                    failed.add(argument)
        return state


def append(state: Any, text: str) -> None:
    """Add to the state's list."""
    state.setdefault("log", []).append(text)


def change(state: Any, operation: Operation) -> None:
    """Change the state as the program says."""
    _, kind, value = operation
    if kind == "append":
        append(state, f"x{value}")
    elif kind == "count":
        state[f"n{value}"] = state.get(f"n{value}", 0) + 1
    elif kind == "set":
        state["current"] = value
    elif kind == "pop" and state.get("log"):
        state["log"].pop()
    elif kind == "nest":
        state.setdefault("deep", {}).setdefault(f"k{value}", []).append({"value": value})


class World:
    """
    What happens outside the run.

    Attributes:
        model: The run that is worked on.
        slot: The call that is being made.
        ran: Calls whose body began since it was made.
        ended: Those whose body came to its end.
        drawn: How many values were made.
        strike: Where in the next body something happens (`begin`, `middle`, `end`), and what: `crash` or `ctrl-c`.
        die: Ends the process.
        over: Whether the run is finished and was opened for its results.
    """

    def __init__(self) -> None:
        self.model = RunModel()
        self.slot: Slot = ()
        self.ran: set[Slot] = set()
        self.ended: set[Slot] = set()
        self.drawn = 0
        self.strike: tuple[str, str] | None = None
        self.die: Callable[[], None] = lambda: None
        self.over = False

    def at(self, place: str) -> None:
        """Pass a place in a body where something may happen."""
        if self.strike is None or self.strike[0] != place:
            return
        how, self.strike = self.strike[1], None
        if how == "ctrl-c":
            press_ctrl_c()
        self.die()
        raise Crash

    def begin(self) -> Slot:
        """Begin a body."""
        slot = self.slot
        self.ran.add(slot)
        self.ended.discard(slot)
        self.at("begin")
        return slot

    def end(self, slot: Slot, value: str) -> list[Any]:
        """End a body, whose value nobody else has."""
        self.at("end")
        self.drawn += 1
        self.model.made[slot] = [value, self.drawn]
        self.ended.add(slot)
        return [value, self.drawn]

    def call(self, step: Callable[[int], Any], argument: int, slot: Slot) -> Any:
        """Make one call, and check that its body ran exactly if it had to, and that the value is that body's."""
        known = self.model.slots.get(slot)
        self.slot = slot
        self.ran.discard(slot)
        try:
            value = step(argument)
        except BaseException as error:
            if slot in self.ran:
                assert known != "acked", f"{slot} was acknowledged, and its body ran again"
                self.model.slots.pop(slot, None)
                if isinstance(error, Crash) and slot in self.ended:
                    self.model.slots[slot] = "doubt"
            raise
        if known == "acked":
            assert slot not in self.ran, f"{slot} was acknowledged, and its body ran again"
        if known is None:
            assert slot in self.ran, f"{slot} never came to its end, and its body did not run"
        assert self.model.made[slot] == value, f"{slot} was given the result of another call"
        self.model.slots[slot] = "acked"
        return value

    def perform(self, operation: Operation, occurrences: Counter[tuple[str, int]]) -> None:
        """Perform one operation of the program; `occurrences` counts the session's calls."""
        run: Any = current_run()
        if operation[0] == "change":
            change(run.state, operation)
        elif operation[0] == "save":
            if not self.over:
                run.save()
        else:
            _, kind, argument = operation
            slot = (kind, argument, occurrences[kind, argument])
            if kind == "failing":
                self._fail(slot, argument)
                return
            while True:
                with suppress(Failed):
                    self.call(STEPS[kind], argument, slot)
                    break
            occurrences[kind, argument] += 1

    def _fail(self, slot: Slot, argument: int) -> None:
        try:
            self.call(failing, argument, slot)
        except Failed:
            return
        except UsageError as error:
            assert self.over
            assert error.slug == "finished-run"
            return
        raise AssertionError("the step did not fail")


world = World()


def press_ctrl_c() -> None:
    """Stop like Ctrl-C, also where it is ignored."""
    signal.raise_signal(signal.SIGINT)
    raise KeyboardInterrupt


def state_here() -> Any:
    """Return the state of the run."""
    return current_run().state


@checkpointed(name="plain")
def plain(argument: int) -> list[Any]:
    """Change nothing."""
    return world.end(world.begin(), "plain")


@checkpointed(name="big")
def big(argument: int) -> list[Any]:
    """Return what goes into a file of its own."""
    return world.end(world.begin(), BIG)


@checkpointed(name="changing")
def changing(argument: int) -> list[Any]:
    """Change the state."""
    slot = world.begin()
    append(state_here(), f"changing {argument} begins")
    world.at("middle")
    return world.end(slot, "changing")


@checkpointed(name="inner")
def inner(argument: int) -> list[Any]:
    """Be called by a step."""
    slot = world.begin()
    append(state_here(), f"inner {argument}")
    return world.end(slot, "inner")


@checkpointed(name="outer")
def outer(argument: int) -> list[Any]:
    """Call a step, and change the state before and after."""
    slot = world.begin()
    append(state_here(), f"outer {argument} begins")
    world.call(inner, argument, (*slot, "inner"))
    append(state_here(), f"outer {argument} ends")
    world.at("middle")
    return world.end(slot, "outer")


@checkpointed(name="failing")
def failing(argument: int) -> None:
    """Fail, always, after a step that does not."""
    slot = world.begin()
    append(state_here(), f"failing {argument} begins")
    world.call(inner, argument, (*slot, "inner"))
    append(state_here(), "lost")
    world.at("middle")
    raise Failed


@checkpointed(name="flaky")
def flaky(argument: int) -> list[Any]:
    """Fail the first time."""
    slot = world.begin()
    state_here()["lost"] = True
    world.model.tries[slot] += 1
    if world.model.tries[slot] == 1:
        raise Failed
    del state_here()["lost"]
    return world.end(slot, "flaky")


STEPS: dict[str, Callable[[int], Any]] = {
    "plain": plain,
    "big": big,
    "changing": changing,
    "outer": outer,
    "flaky": flaky,
}


@dataclass
class Universe:
    """A home, and what must be true of the runs in it, by key."""

    home: Path
    runs: dict[str | None, RunModel] = field(default_factory=dict)
