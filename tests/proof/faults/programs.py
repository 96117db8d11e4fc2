"""
Small programs that use the library in every way that a crash could tell apart; each takes the world it works in.

What a step does to the world is a line of the file `effects`, so that it is still there when the process is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from checkpoint import checkpointed, current_run, workflow
from checkpoint.stores import FileStore

Run = Callable[[Path], Any]

PROGRAMS: dict[str, Run] = {}

# Above the size from which a value has a file of its own.
LARGE = 40_000

_world: Path


def in_world(function: Callable[[], Any]) -> Run:
    """Make a program take the world it works in."""

    def run(world: Path) -> Any:
        global _world
        _world = world
        return function()

    return run


def program(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add a program under its name."""
    PROGRAMS[function.__name__] = in_world(function)
    return function


def note(effect: str) -> None:
    """Do something to the world that cannot be undone."""
    with open(_world / "effects", "a", encoding="ascii") as file:
        file.write(effect + "\n")


def effects(world: Path) -> list[str]:
    """Return what was done to the world."""
    path = world / "effects"
    return path.read_text(encoding="ascii").split() if path.exists() else []


class Broken(Exception):
    """What a step raises."""


class Left(Exception):
    """Leaves a block, so that its run can be continued."""


class Pair:
    """A result that is no plain data, so that it is pickled."""

    def __init__(self, first: str, second: str) -> None:
        self.first, self.second = first, second


@dataclass
class Orders:
    """A state with types of its own."""

    pending: list[str] = field(default_factory=lambda: ["a", "b", "c"])
    done: set[str] = field(default_factory=set)
    last: tuple[str, int] = ("", 0)


class Ledger(BaseModel):
    """The same as a pydantic model."""

    pending: list[str] = ["a", "b", "c"]
    done: list[str] = []
    total: int = 0


@checkpointed
def work(name: str) -> str:
    """Do one thing."""
    note(name)
    return name * 2


@checkpointed
def tick() -> int:
    """Do what is called without arguments; it returns how often it was called."""
    note("tick")
    state: Any = current_run().state
    state["ticks"] = state.get("ticks", 0) + 1
    return int(state["ticks"])


@checkpointed
def outer(name: str) -> list[str]:
    """Do things that are steps themselves, with changes of the state around them."""
    state: Any = current_run().state
    note(f"outer-{name}")
    state.setdefault("log", []).append(f"in {name}")
    results = [work(f"{name}1")]
    state["log"].append(f"between {name}")
    results.append(work(f"{name}2"))
    state["log"].append(f"out of {name}")
    return results


@checkpointed
def breaks(name: str) -> None:
    """Change the state and fail."""
    state: Any = current_run().state
    state["half"] = name
    note(f"breaks-{name}")
    raise Broken(name)


@checkpointed(critical=True)
def careful(name: str) -> str:
    """Do what must not be cut in two."""
    note(f"begin-{name}")
    note(f"end-{name}")
    return name


@checkpointed
def large(letter: str, number: int) -> str:
    """Return a value that gets a file of its own; two of them are equal."""
    note(f"large-{number}")
    return letter * LARGE


@checkpointed
def pair(name: str) -> Pair:
    """Return a value that is pickled."""
    note(f"pair-{name}")
    return Pair(name, name * 2)


@checkpointed
async def work_async(name: str) -> str:
    """Do one thing, and let others run meanwhile."""
    note(name)
    await asyncio.sleep(0)
    return name * 2


@program
def one_step() -> object:
    """As little as a workflow can be."""
    with workflow("one") as run:
        run.state["result"] = work("a")
        return run.state["result"]


@program
def plain_loop() -> object:
    """A loop over fixed items."""
    with workflow("plain") as run:
        for name in "abc":
            run.state["current"] = name
            run.state.setdefault("done", []).append(work(name))
        return list(run.state["done"])


@program
def pending_loop() -> object:
    """A loop over work that the state itself holds."""
    with workflow("pending") as run:
        run.state.setdefault("pending", ["a", "b", "c"])
        run.state.setdefault("done", [])
        while run.state["pending"]:
            result = work(run.state["pending"][0])
            run.state["pending"].pop(0)
            run.state["done"].append(result)
        return list(run.state["done"])


@program
def nested_steps() -> object:
    """Steps inside of steps."""
    with workflow("nested") as run:
        results = outer("a") + outer("b")
        run.state["log"].append("end")
        return results


@program
def equal_calls() -> object:
    """The same call again and again, which also changes the state inside."""
    with workflow("equal") as run:
        results = []
        for name in "abc":
            results.append(tick())
            run.state.setdefault("seen", []).append(f"{name}{results[-1]}")
        return results


@program
def caught_failure() -> object:
    """A step that fails each time, and a program that knows what to do then."""
    with workflow("caught") as run:
        log = run.state.setdefault("log", [])
        for name in "ab":
            work(name)
            try:
                breaks(name)
            except Broken:
                log.append(f"caught {name}")
        return list(log), run.state.get("half")


@program
def critical_step() -> object:
    """Steps that a signal waits for, between others."""
    with workflow("critical") as run:
        for name in "ab":
            run.state["last"] = careful(name)
            work(name)
        return run.state["last"]


@program
def large_results() -> object:
    """Values with files of their own, two of them equal."""
    with workflow("large") as run:
        results = [large("x", 1), large("x", 2), large("y", 3)]
        run.state["sizes"] = [len(result) for result in results]
        return [result[:2] for result in results]


@program
def pickled_results() -> object:
    """Values that are no plain data."""
    with workflow("pickled") as run:
        for name in "ab":
            run.state[name] = pair(name).second
        return dict(run.state)


@program
def saves_in_between() -> object:
    """The state is saved in the middle of stretches, and of a step."""
    with workflow("saves") as run:
        # Of the first stretch a rerun finds what was saved of it: it must be one that can be run again.
        run.state["before"] = []
        run.save()
        for name in "ab":
            run.state["current"] = name
            saving(name)
            run.state.setdefault("after", []).append(name)
            run.save()
            run.state["before"].append(name)
        return list(run.state["after"])


@checkpointed
def saving(name: str) -> None:
    """Save the state in the middle of a step."""
    run: Any = current_run()
    run.state.setdefault("inside", []).append(name)
    run.save()
    note(name)
    run.state["inside"].append(name.upper())


@program
def dataclass_state() -> object:
    """A state with types, driven by itself."""
    with workflow("orders", state=Orders) as run:
        state = run.state
        while state.pending:
            result = work(state.pending[0])
            state.done.add(state.pending.pop(0))
            state.last = (result, len(state.done))
        return sorted(state.done), state.last


@program
def pydantic_state() -> object:
    """The same with a pydantic model."""
    with workflow("ledger", state=Ledger) as run:
        state = run.state
        while state.pending:
            state.total += len(work(state.pending[0]))
            state.done.append(state.pending.pop(0))
        return state.done, state.total


@workflow("decorated")
def decorated_function(names: str) -> list[str]:
    """Be the workflow of `decorated`."""
    state: Any = current_run().state
    for name in names:
        state.setdefault("done", []).append(work(name))
    return list(state["done"])


@program
def decorated() -> object:
    """A function that is a workflow."""
    return decorated_function("abc")


@program
def once() -> object:
    """A finished run that is asked for its results."""
    results = []
    for _ in range(2):
        with workflow("once", once=True) as run:
            results.append([work("a"), work("b")])
            run.state["last"] = results[-1][-1]
    return results


@program
def two_keys() -> object:
    """One workflow for two customers."""
    results = []
    for key in ("north", "south"):
        with workflow("customers", key=key, once=True) as run:
            run.state["done"] = work(key)
            results.append(run.state["done"])
    return results


@program
def block_inside() -> object:
    """A block inside of another one's."""
    with workflow("around", once=True) as run:
        results = [work("a")]
        with workflow("inside", once=True) as inner:
            inner.state["done"] = work("b")
        results.append(work("c"))
        run.state["done"] = results
    return results


@program
def fresh() -> object:
    """A run that was left behind, and another that was begun afresh and then continued."""
    if not (_world / "left").exists():
        try:
            with workflow("fresh"):
                work("old")
                raise Left
        except Left:
            (_world / "left").touch()
    with workflow("fresh", fresh=not (_world / "begun").exists()) as run:
        (_world / "begun").touch()
        for name in "ab":
            run.state.setdefault("done", []).append(work(name))
        return list(run.state["done"])


@program
def process_durability() -> object:
    """A store that does not wait for the disk."""
    with workflow("process", store=FileStore(durability="process")) as run:
        run.state["done"] = [work("a"), large("x", 1)[:2], work("b")]
        return list(run.state["done"])


@program
def threads() -> object:
    """Steps that overlap in threads."""
    with workflow("threads") as run:
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(work, "abcd"))
        run.state.setdefault("log", []).append("joined")
        run.state["end"] = work("end")
        return results


@program
async def tasks() -> object:
    """Steps that overlap in tasks."""
    async with workflow("tasks") as run:
        results = list(await asyncio.gather(*map(work_async, "abc")))
        run.state.setdefault("log", []).append("joined")
        run.state["end"] = await work_async("end")
        return results


@in_world
def everything() -> object:
    """All of it that one thread can do, in one run."""
    with workflow("everything") as run:
        log = run.state.setdefault("log", [])
        log.extend(outer("a"))
        careful("b")
        try:
            breaks("c")
        except Broken:
            log.append("caught")
        run.state["large"] = large("x", 1)[:2]
        run.save()
        run.state["pair"] = pair("d").second
        large("x", 2)
        log.append(tick() + tick())
        return list(log)


# Calls of these overlap in time.
OVERLAPPING = ("threads", "tasks")

# Those whose results outlive a power cut.
LASTING = [name for name in PROGRAMS if name != "process_durability"]
