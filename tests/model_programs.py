"""
Small random programs for the state's model: made from a seed, run by an interpreter that can die at any point.

A program is data: a tuple of statements.  It is run on the real library with a memory store; a crash makes the
store deaf and raises through everything, so that what unwinding does can reach nothing.
"""

from __future__ import annotations

import random
from typing import Any

from checkpoint import checkpointed, current_run, workflow
from checkpoint._core.records import Line
from checkpoint.stores import MemoryStore

Statement = tuple[Any, ...]
Program = tuple[Statement, ...]


class Crash(BaseException):
    """The process is gone."""


class Failed(Exception):
    """What a step of a program raises."""


class World:
    """
    Counts the points at which a session can end, and ends it at one of them.

    Args:
        crash_at: Number of the point, or None.
        error: How it ends: `Crash`, after which nothing is saved, or KeyboardInterrupt, after which the library saves.
    """

    def __init__(self, crash_at: int | None = None, error: type[BaseException] = Crash) -> None:
        self.crash_at = crash_at
        self.error = error
        self.points = 0
        self.dead = False
        self.first_body: int | None = None

    def point(self) -> None:
        """Pass one point, or die at it."""
        if self.dead:
            return
        self.points += 1
        if self.points == self.crash_at:
            self.dead = self.error is Crash
            raise self.error


class MortalStore:
    """A memory store whose journals die with the world."""

    def read(self, workflow: str, run: str) -> bytes:
        return self._inner.read(workflow, run)

    def delete(self, workflow: str, run: str) -> None:
        self._inner.delete(workflow, run)

    def runs(self, workflow: str | None = None) -> list[Any]:
        return self._inner.runs(workflow)

    def __init__(self, inner: MemoryStore, world: World) -> None:
        self._inner = inner
        self._world = world

    def open(self, workflow: str, **which: Any) -> tuple[str, MortalJournal]:
        run, journal = self._inner.open(workflow, **which)
        return run, MortalJournal(journal, self._world)

    @property
    def pickle(self) -> Any:
        return self._inner.pickle


class MortalJournal:
    """A journal that keeps nothing more once the world is dead."""

    def __init__(self, inner: Any, world: World) -> None:
        self._inner = inner
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, line: Line) -> None:
        if self._world.error is Crash:
            self._world.point()
        if not self._world.dead:
            self._inner.append(line)
        if self._world.error is Crash:
            self._world.point()

    def sync(self, number: int) -> None:
        if not self._world.dead:
            self._inner.sync(number)


world = World()


@checkpointed
def step(name: str, body: Program) -> str:
    """Run a part of a program as a step."""
    world.first_body = world.first_body or world.points
    world.point()
    interpret(body, current_run().state, None)
    world.point()
    return name


def interpret(program: Program, state: Any, item: str | None) -> None:
    """Run statements; `$` in a text stands for the loop's item."""
    for statement in program:
        world.point()
        execute(statement, state, item)


def execute(statement: Statement, state: Any, item: str | None) -> None:
    """Run one statement."""
    kind, *rest = statement
    if kind == "append":
        state.setdefault(rest[0], []).append(rest[1].replace("$", item or ""))
    elif kind == "count":
        state[rest[0]] = state.get(rest[0], 0) + 1
    elif kind == "set":
        state[rest[0]] = rest[1].replace("$", item or "")
    elif kind == "pop":
        state["done"].append(state["pending"].pop(0))
    elif kind == "call":
        step(rest[0].replace("$", item or ""), substitute(rest[1], item))
    elif kind == "fail":
        raise Failed
    elif kind == "try":
        try:
            interpret(rest[0], state, item)
        except Failed:
            interpret(rest[1], state, item)
    elif kind == "for":
        for each in rest[0]:
            interpret(rest[1], state, each)
    elif kind == "unless":
        name = rest[1].replace("$", item or "")
        if name not in state.setdefault(rest[0], []):
            interpret(rest[2], state, item)
    elif kind == "while":
        for _ in range(50):
            if not state["pending"]:
                break
            interpret(rest[0], state, state["pending"][0])
    else:
        raise AssertionError(kind)


def substitute(program: Any, item: str | None) -> Any:
    """Put the loop's item into a step's body, which is an argument of the step."""
    if isinstance(program, str):
        return program.replace("$", item or "")
    return tuple(substitute(part, item) for part in program)


def session(
    program: Program, store: MemoryStore, crash_at: int | None = None, error: type[BaseException] = Crash
) -> tuple[Any, World]:
    """Run one session; returns the state if it came to its end, else None, and its world."""
    global world
    world = World(crash_at, error)
    state = None
    try:
        with workflow("model", store=MortalStore(store, world), output="off") as run:
            if not run.resumed or "pending" not in run.state:
                run.state.update(pending=["p", "q", "r"], done=[])
            interpret(program, run.state, None)
        state = run.state
    except (Crash, KeyboardInterrupt):
        pass
    return (None if world.dead else state), world


def changes(rng: random.Random) -> list[Statement]:
    """Up to two changes of the state."""
    kinds: list[Statement] = [("append", "log", "x$"), ("count", "n"), ("set", "current", "$"), ("append", "log", "y")]
    return [rng.choice(kinds) for _ in range(rng.randint(0, 2))]


def body(rng: random.Random, depth: int) -> Program:
    """A step's body: changes, inner steps, perhaps a failure at the end."""
    parts = changes(rng)
    if depth and rng.random() < 0.4:
        parts += [("call", rng.choice(["inner", "inner$", "twin"]), body(rng, depth - 1)), *changes(rng)]
        if rng.random() < 0.4:
            parts += [("call", "second", body(rng, 0)), *changes(rng)]
    return tuple(parts)


def call(rng: random.Random, name: str) -> list[Statement]:
    """A call of a step, sometimes one that fails and is caught, with changes around it."""
    if rng.random() < 0.25:
        failing = (*body(rng, 1), ("fail",))
        caught: Statement = ("try", (("call", f"bad {name}", failing), *changes(rng)), tuple(changes(rng)))
        return [*changes(rng), caught, *changes(rng)]
    return [*changes(rng), ("call", name, body(rng, 1)), *changes(rng)]


def for_loop(rng: random.Random) -> list[Statement]:
    """A loop over a fixed list, with equal and unequal calls."""
    parts: list[Statement] = []
    for _ in range(rng.randint(1, 2)):
        parts += call(rng, rng.choice(["work $", "work $", "tick"]))
    return [("for", ("a", "b", "c")[: rng.randint(2, 3)], tuple(parts))]


def pending_loop(rng: random.Random) -> list[Statement]:
    """A loop over the state's own list of pending work, taken off after the step; equal calls change nothing."""
    parts: list[Statement] = [("call", "tick", ())] if rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 2)):
        parts += call(rng, "work $")
    return [("while", (*parts, ("pop",), *changes(rng)))]


def guarded_loop(rng: random.Random) -> list[Statement]:
    """A loop that asks the state what is done already."""
    inside = (*changes(rng), ("call", "work $", body(rng, 1)), *changes(rng), ("append", "seen", "$"), *changes(rng))
    return [("for", ("a", "b", "c"), (("unless", "seen", "$", inside),))]


def make_program(seed: int) -> Program:
    """Make one program."""
    rng = random.Random(seed)
    loop = rng.choice([for_loop, for_loop, pending_loop, guarded_loop])
    parts: list[Statement] = [*changes(rng)]
    if rng.random() < 0.4:
        parts += call(rng, "prologue")
    parts += loop(rng)
    if rng.random() < 0.4:
        parts += call(rng, "epilogue")
    return (*parts, *changes(rng))
