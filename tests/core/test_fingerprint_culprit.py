"""
The path to what has no lasting value, and the words in which the user reads of it.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import threading
import types
import unittest.mock
from collections.abc import Callable
from typing import Any

import pytest

from checkpoint._core.fingerprint import NoLastingValue, canonical, find_culprit
from checkpoint._core.fingerprint_errors import explain
from checkpoint.errors import FingerprintError

LOCK = threading.Lock()


class Node:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def method(self) -> None: ...


class ApiClient(Node):
    pass


class Slotted:
    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = LOCK


class Reduced:
    def __reduce__(self) -> Any:
        return Reduced, (LOCK,)


class Keyed:
    def __checkpoint_key__(self) -> object:
        return {"lock": LOCK}


@dataclasses.dataclass
class Config:
    name: str
    hook: object


Pair = collections.namedtuple("Pair", ["first", "second"])

PATHS: list[tuple[str, object]] = [
    ("x", LOCK),
    ("x[1]", [1, LOCK]),
    ("x[0][1]", ([1, LOCK],)),
    ("x['a']", {"a": LOCK}),
    ("x[3]['x']", [1, 2, 3, {"x": LOCK}]),
    ("x[2]", {1: 1, 2: LOCK}),
    ("x[…].lock", {(1, 2): Node(lock=LOCK)}),
    ("x (a key)", {LOCK: 1}),
    ("x (an element)", {LOCK}),
    ("x.session.lock", Node(session=Node(lock=LOCK))),
    ("x.lock", Slotted()),
    ("x.hook", Config("a", LOCK)),
    ("x.second", Pair(1, LOCK)),
    ("x[0]", collections.deque([LOCK])),
    ("x.default_factory", collections.defaultdict(lambda: 1)),
    ("x['a']", types.MappingProxyType({"a": LOCK})),
    ("x.a", types.SimpleNamespace(a=LOCK)),
    ("x.func", functools.partial(lambda: 1)),
    ("x.args[0]", functools.partial(print, LOCK)),
    ("x.keywords['end']", functools.partial(print, end=LOCK)),
    ("x.__self__.lock", Node(lock=LOCK).method),
    ("x (part 0)", Reduced()),
    ("x.__checkpoint_key__()['lock']", Keyed()),
]


@pytest.mark.parametrize(("expected", "value"), PATHS)
def test_path(expected: str, value: object) -> None:
    """The path leads to the value that was refused."""
    assert expected == find_culprit(value, "x")


@dataclasses.dataclass
class Cached:
    cache: object = dataclasses.field(compare=False)
    hook: object


class Saved:
    def __init__(self) -> None:
        self.left_out = threading.Lock()

    def __getstate__(self) -> object:
        return {"kept": [LOCK]}


class Failing:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # as hostile as can be
        raise RuntimeError("not now")

    def __reduce__(self) -> Any:
        return Failing, (LOCK,)


def test_part_that_does_not_count() -> None:
    """A lock in a field that is not compared is not blamed for the one that is."""
    assert "x.hook" == find_culprit(Cached(cache=threading.Lock(), hook=LOCK), "x")


def test_state_of_ones_own() -> None:
    """The path goes through what the object gives to pickle, not through what it leaves out."""
    assert "x.kept[0]" == find_culprit(Saved(), "x")


def test_search_that_fails() -> None:
    """An error while searching does not hide the one to be explained."""
    assert "x" == find_culprit(Failing(), "x")


def cycle() -> list[object]:
    """Return a list that contains itself."""
    found: list[object] = []
    found.append(found)
    return found


def test_path_of_a_cycle() -> None:
    """What contains itself is its own culprit."""
    assert "tree" == find_culprit(cycle(), "tree")


def explained(argument: str, value: object) -> FingerprintError:
    """Return the error for an argument of a step."""
    with pytest.raises(NoLastingValue) as caught:
        canonical(value)
    return explain(caught.value, step="app:load", argument=argument, value=value)


def test_message_of_a_live_object() -> None:
    """A lock inside a client: where it is, and the two ways out."""
    error = explained("client", ApiClient(url="u", session=Node(lock=LOCK)))

    assert (
        "step 'app:load': argument 'client' has no lasting value, so a rerun could not recognise this call.\n"
        "  client.session.lock is a _thread.lock (it lives in this process only)\n"
        '  Leave it out of the identity:  @checkpointed(ignore=["client"])\n'
        "  or say what identifies it:     def __checkpoint_key__(self): return self.url   (in class ApiClient)"
    ) == str(error)


def test_message_without_a_class_of_ones_own() -> None:
    """A bare lock: there is no class to give a key to."""
    assert "__checkpoint_key__" not in str(explained("lock", LOCK))


def rows() -> object:
    """Return a generator."""
    return (row for row in [1])


MESSAGES: list[tuple[str, str, Callable[[], object]]] = [
    (
        "function-without-name",
        "step 'app:load': argument 'x' is a lambda; another process cannot know it by name.\n"
        "  Move it to module level, or @checkpointed(ignore=['x']).",
        lambda: lambda: 1,
    ),
    (
        "function-without-name",
        "step 'app:load': argument 'x': x['key'] is a lambda; another process cannot know it by name.\n"
        "  Move it to module level, or @checkpointed(ignore=['x']).",
        lambda: {"key": lambda: 1},
    ),
    (
        "one-pass-value",
        "step 'app:load': argument 'x' is a generator; reading it here would leave nothing for the step.\n"
        "  Pass a list, or what the generator is made from.",
        rows,
    ),
    (
        "one-pass-value",
        "step 'app:load': argument 'x' is a zip iterator; reading it here would leave nothing for the step.\n"
        "  Pass a list, or what the iterator is made from.",
        lambda: zip([1], strict=True),
    ),
    (
        "nested-too-deeply",
        "step 'app:load': argument 'x' contains itself or is nested too deeply.\n"
        "  Pass a flatter value, or @checkpointed(ignore=['x']).",
        cycle,
    ),
    (
        "live-view",
        "step 'app:load': argument 'x' is a dict's keys(), a view that changes with its dict.\n"
        "  Pass a copy of what the step needs, such as a dict or a list.",
        lambda: {}.keys(),
    ),
    (
        "mock",
        "step 'app:load': argument 'x' is a mock; it has any attribute and no value.\n"
        "  Pass a small class of your own with the data in it, or @checkpointed(ignore=['x']).",
        unittest.mock.Mock,
    ),
]


@pytest.mark.parametrize(("slug", "message", "make"), MESSAGES)
def test_message(slug: str, message: str, make: Callable[[], object]) -> None:
    """Each family of values has its own words and its own paragraph in the documentation."""
    error = explained("x", make())

    assert message == str(error)
    assert slug == error.slug


def test_message_of_an_open_file(tmp_path: Any) -> None:
    """An open file is to be passed by its path."""
    with (tmp_path / "a").open("w") as file:
        error = explained("source", file)

    assert "open-file" == error.slug
    assert "Pass its path or its contents" in str(error)


def test_message_of_a_coroutine() -> None:
    """A coroutine is to be awaited first."""

    async def work() -> None: ...

    coroutine = work()
    error = explained("result", coroutine)
    coroutine.close()

    assert (
        "step 'app:load': argument 'result' is a coroutine that has not been awaited; its value is not known yet.\n"
        "  Await it, and pass the result."
    ) == str(error)


def test_facts_are_attributes() -> None:
    """The error says by attributes what its message says."""
    error = explained("client", Node(lock=LOCK))

    assert ("app:load", "client", "client.lock") == (error.step, error.argument, error.path)
    assert LOCK is error.culprit
