"""
What has no lasting value is refused, by its kind, without being consumed or asked anything.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import enum
import functools
import io
import itertools
import os
import queue
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import types
import unittest.mock
import weakref
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core import fingerprint_table
from checkpoint._core.fingerprint import NoLastingValue, canonical


def nested_function() -> Callable[[], None]:
    """Return a function that no name leads to."""

    def inner() -> None: ...

    return inner


def nested_class() -> type:
    """Return a class that no name leads to."""

    class Inner:
        pass

    return Inner


def replaced() -> None: ...


FIRST = replaced


def replaced() -> None: ...  # type: ignore[no-redef]  # that is what is tested


class Counting:
    """An iterator that a person wrote."""

    def __iter__(self) -> Counting:
        return self

    def __next__(self) -> int:
        raise AssertionError("a fingerprint must not iterate")


class Refusing:
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ValueError("not this one")


class Worker(threading.Thread):
    pass


@dataclasses.dataclass
class Holder:
    lock: object


class NoName:
    @property
    def __name__(self) -> str:
        raise AssertionError("must not be asked")


def released() -> memoryview:
    """Return a memoryview that cannot be read any more."""
    view = memoryview(b"a")
    view.release()
    return view


def nameless_zone() -> zoneinfo.ZoneInfo:
    """Return a time zone that was read from a file without being told its key."""
    with (Path(zoneinfo.TZPATH[0]) / "UTC").open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file)


class Shadowed:
    def method(self) -> None: ...


def shadowed_method() -> object:
    """Return a bound method whose class has another one under its name."""

    class Derived(Shadowed):
        def method(self) -> None: ...

    return Shadowed.method.__get__(Derived())


LIVE: dict[str, Callable[[], object]] = {
    "bare object": object,
    "lock": threading.Lock,
    "rlock": threading.RLock,
    "event": threading.Event,
    "condition": threading.Condition,
    "semaphore": threading.Semaphore,
    "thread": threading.Thread,
    "own thread": Worker,
    "thread local": threading.local,
    "queue": queue.Queue,
    "simple queue": queue.SimpleQueue,
    "executor": lambda: concurrent.futures.ThreadPoolExecutor(1),
    "async lock": asyncio.Lock,
    "async event": asyncio.Event,
    "weak reference": lambda: weakref.ref(Counting),
    "frame": lambda: sys._getframe(),
    "code": lambda: nested_function.__code__,
    "refusing object": Refusing,
    "released memory": released,
    "nameless zone": nameless_zone,
    "process": lambda: subprocess.Popen.__new__(subprocess.Popen),
}

ONE_PASS: dict[str, Callable[[], object]] = {
    "generator": lambda: (x for x in [1]),
    "list iterator": lambda: iter([1]),
    "dict iterator": lambda: iter({}),
    "zip": lambda: zip([1], [2], strict=True),
    "map": lambda: map(str, [1]),
    "enumerate": lambda: enumerate([1]),
    "reversed": lambda: reversed([1]),
    "count": itertools.count,
    "matches": lambda: re.finditer("a", "a"),
    "own iterator": Counting,
    "directory": lambda: Path("/").iterdir(),
}

NAMELESS: dict[str, Callable[[], object]] = {
    "lambda": lambda: lambda: 1,
    "nested function": nested_function,
    "nested class": nested_class,
    "hidden function": lambda: FIRST,
    "partial of a lambda": lambda: functools.partial(lambda: 1),
    "defaultdict of a lambda": lambda: collections.defaultdict(lambda: 1),
    "shadowed method": shadowed_method,
    "module of no name": lambda: types.ModuleType("nowhere"),
}


def cycle() -> list[object]:
    """Return a list that contains itself."""
    found: list[object] = []
    found.append({"again": found})
    return found


def deep() -> list[object]:
    """Return a list that is nested 5000 times."""
    found: list[object] = []
    for _ in range(5000):
        found = [found]
    return found


def refusal(value: object) -> NoLastingValue:
    """Return what fingerprinting a value raises."""
    with pytest.raises(NoLastingValue) as caught:
        canonical(value)
    return caught.value


@pytest.mark.parametrize("make", LIVE.values(), ids=LIVE.keys())
def test_live_objects(make: Callable[[], object]) -> None:
    """What lives in one process only has no lasting value."""
    assert "no-lasting-value" == refusal(make()).family


@pytest.mark.parametrize("make", ONE_PASS.values(), ids=ONE_PASS.keys())
def test_iterators(make: Callable[[], object]) -> None:
    """What can be read once is not read."""
    assert "one-pass-value" == refusal(make()).family


@pytest.mark.parametrize("make", NAMELESS.values(), ids=NAMELESS.keys())
def test_nameless(make: Callable[[], object]) -> None:
    """A function, class or module that no name leads to is refused."""
    assert "function-without-name" == refusal(make()).family


@pytest.mark.parametrize("make", [cycle, deep])
def test_cycles_and_depth(make: Callable[[], object]) -> None:
    """What contains itself or is nested too deeply is refused."""
    assert "nested-too-deeply" == refusal(make()).family


@pytest.mark.parametrize("view", [{}.keys(), {}.values(), {}.items(), collections.OrderedDict().keys(), os.environ])
def test_views(view: object) -> None:
    """What changes behind its holder's back is refused."""
    assert "live-view" == refusal(view).family


@pytest.mark.parametrize("make", [unittest.mock.Mock, unittest.mock.MagicMock, unittest.mock.AsyncMock])
def test_mocks(make: Callable[[], object]) -> None:
    """A mock is refused, although it answers to every name."""
    assert "mock" == refusal(make()).family


def test_mock_with_a_spec() -> None:
    """A mock that claims to be of another class is refused."""
    assert "mock" == refusal(unittest.mock.Mock(spec=Holder)).family


def test_files(tmp_path: Path) -> None:
    """Open files and streams are refused."""
    with (tmp_path / "file").open("w") as text, (tmp_path / "file").open("rb") as binary:
        families = {refusal(value).family for value in (text, binary, io.StringIO("a"), io.BytesIO(b"a"))}

    assert {"open-file"} == families


def test_temporary_file() -> None:
    """A temporary file is refused for the file inside it."""
    with tempfile.NamedTemporaryFile() as file:
        assert "open-file" == refusal(file).family


def test_sockets_and_connections() -> None:
    """Sockets and database connections are refused."""
    with socket.socket() as opened, contextlib.closing(sqlite3.connect(":memory:")) as connection:
        families = {refusal(value).family for value in (opened, connection, connection.cursor())}

    assert {"no-lasting-value"} == families


def test_awaitables() -> None:
    """A coroutine is refused, and not awaited."""

    async def work() -> None: ...

    coroutine = work()
    family = refusal(coroutine).family
    coroutine.close()

    assert "not-awaited" == family


def test_iterators_are_left_alone() -> None:
    """A refused iterator still gives all its elements to the step."""
    iterator = iter([1, 2, 3])
    refusal(iterator)

    assert [1, 2, 3] == list(iterator)


def test_culprit_is_carried() -> None:
    """The refusal names the object inside that was refused."""
    lock = threading.Lock()

    assert refusal({"a": [1, Holder(lock)]}).culprit is lock


def test_instance_of_local_class() -> None:
    """An instance of a class made inside a function is known by its data."""

    @dataclasses.dataclass
    class Local:
        x: int

    class Mode(enum.Enum):
        FAST = 1

    assert canonical(Local(1)) == canonical(Local(1)) != canonical(Local(2))
    assert canonical(Mode.FAST).endswith("Mode.'FAST'")


def test_instance_of_capturing_class() -> None:
    """An instance whose class uses variables of the function around it is refused: its data do not say all."""

    def make(scale: int) -> object:
        class Scaler:
            def apply(self, value: int) -> int:
                return value * scale

        return Scaler()

    assert "function-without-name" == refusal(make(2)).family


def test_class_of_one_pass_values_is_a_class() -> None:
    """A class of iterators is itself no iterator."""
    assert canonical(Counting).endswith(":Counting")


def test_refusals_are_not_remembered() -> None:
    """A program that makes mocks all the time does not fill the memory with their classes."""
    mock = unittest.mock.NonCallableMock()
    refusal(mock)

    assert type(mock) not in fingerprint_table.ENCODERS


def test_learned_encoders_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes classes all the time does not fill the memory with them."""
    fingerprint_table.forget_learned()
    monkeypatch.setattr(fingerprint_table, "MOST_LEARNED", 10)
    for number in range(25):
        canonical(type(f"Made{number}", (), {})())

    assert len(fingerprint_table.ENCODERS) - len(fingerprint_table.BUILT_IN) == 5


def test_any_error_of_a_reducer_is_a_refusal() -> None:
    """What a class raises when asked for its data is part of the message."""
    problem = refusal(Refusing())

    assert problem.why.endswith("Refusing (not this one)")
    assert isinstance(problem.__cause__, ValueError)


def test_generator_is_never_started() -> None:
    """The body of a generator does not run."""
    started = []

    def body() -> Iterator[int]:
        started.append(1)
        yield 1

    refusal({"rows": body()})

    assert [] == started
