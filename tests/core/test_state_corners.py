"""The rarer kinds of annotations, classes and restorations."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import subprocess
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, LiteralString, Protocol, TypedDict, TypeVar

import attrs
import msgspec
import numpy
import pydantic
import pytest
import typing_extensions

from checkpoint._core.state_cycle import find_cycle
from checkpoint._core.state_tree import StateCodec
from checkpoint.errors import StateError

Bound = TypeVar("Bound", bound=dt.date)
Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | list[Json] | int | str")
Listed = typing_extensions.TypeAliasType("Listed", list[Bound], type_params=(Bound,))
DAY = dt.date(2024, 1, 1)


@dataclasses.dataclass
class Pair(Generic[Bound]):
    first: Bound
    more: list[Pair[Bound]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Inner:
    n: int = 0


class Structural(Protocol):
    n: int


def state_of(hint: Any, value: Any) -> tuple[StateCodec, Any]:
    cls = dataclasses.make_dataclass("State", [("f", hint)])
    return StateCodec(cls), cls(value)


@pytest.mark.parametrize(
    ("hint", "value", "tree"),
    [
        (Bound, DAY, "2024-01-01"),
        (Pair[dt.date], Pair(DAY, [Pair(DAY)]), {"first": "2024-01-01", "more": [{"first": "2024-01-01", "more": []}]}),
        (Pair, Pair(DAY), {"first": "2024-01-01", "more": []}),
        (Json, {"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}),
        (LiteralString, "x", "x"),
        (Literal[b"x"], b"x", {"$bytes": "eA=="}),
        (Literal["a", None], None, None),
        (Structural, Inner(1), {"$type": f"{__name__}:Inner", "fields": {"n": 1}}),
        (int | Any, DAY, {"$date": "2024-01-01"}),
        (Path | None, Path("$HOME"), "$HOME"),
        (dict[Path, int], {Path("$HOME"): 1}, {"$dict": [["$HOME", 1]]}),
        (dict[int, int], {True: 1}, {"$dict": [[{"$any": True}, 1]]}),
        (dict[str, int], {"\ud83d\ude00": 1}, {"$dict": [[{"$str": "7aC97biA"}, 1]]}),
        (dict[str, dt.date] | None, {1: DAY}, {"$dict": [[{"$any": 1}, "2024-01-01"]]}),
        (set[int] | None, {3, 1}, [1, 3]),
        (dict[str, int], OrderedDict(a=1), {"$ordered_dict": {"a": 1}}),
        (list[Inner], deque([Inner(1)]), None),
        (tuple[int, str], (1,), {"$any": {"$tuple": [1]}}),
        (Inner, {"n": 1}, {"$any": {"n": 1}}),
        (deque, deque(["a"] * 9, 9), {"$deque": {"maxlen": 9, "items": ["a"] * 9}}),
        (list[float], [1.0] * 8 + [float("nan")] * 0 + [float("inf")], None),
        (list[int], [10**700] * 9, None),
        (list[bool], [True] * 9, [True] * 9),
        (numpy.ndarray | None, None, None),
        (None, None, None),
        (Listed[dt.date], [DAY], ["2024-01-01"]),
        (list[str], ["é"] * 9, ["é"] * 9),
        (tuple[int, int] | list[str], ["a"], ["a"]),
        (tuple[int, int] | list[str], (1, 2), {"$tuple": [1, 2]}),
        (tuple[int, int] | list[str], (1,), {"$any": {"$tuple": [1]}}),
    ],
)
def test_rare_annotations(hint: Any, value: Any, tree: Any) -> None:
    """The value comes back exactly, and is written as expected."""
    codec, state = state_of(hint, value)
    found: Any = json.loads(json.dumps(codec.encode(state), allow_nan=False))
    assert tree is None or {"f": tree} == found
    made: Any = codec.make(found, [])
    assert (type(value), repr(value)) == (type(made.f), repr(made.f))
    state.f = None
    codec.restore(state, found, [])
    assert (type(value), repr(value)) == (type(state.f), repr(state.f))


@pytest.mark.parametrize(
    ("hint", "before", "after"),
    [
        (set[int], {1}, {2}),
        (deque[int], deque([1], 3), deque([2], 4)),
        (deque[int], deque([1]), deque([2], 4)),
        (Any, deque([1], 3), deque([2], 3)),
        (set, {1}, [1]),
        (set, [1], {1}),
        (defaultdict[str, int], defaultdict(int, a=1), defaultdict(list, a=[])),
        (list[int] | str, [1], "x"),
        (Inner | str, Inner(1), "x"),
        (Inner | Pair | str, Inner(1), Inner(2)),
        (Inner | Pair | str, Pair(DAY), Inner(2)),
        (dict[str, int], {"a": 1}, [1]),
        (Any, Counter(a=1), Counter(b=1)),
        (int, "deviating", ["deviating", 1]),
        (Structural, Inner(1), Inner(2)),
        (numpy.ndarray, Inner(1), numpy.array([1])),
        (dict[str, Any], {"x": {"y": [1]}}, {"x": {"y": (1,)}}),
    ],
)
def test_restoring_from_one_value_to_another(hint: Any, before: Any, after: Any) -> None:
    """Whatever was there, what was saved is there afterwards."""
    codec, state = state_of(hint, before)
    tree = codec.encode(state)
    state.f = after
    codec.restore(state, tree, [])
    assert (type(before), repr(before)) == (type(state.f), repr(state.f))


def test_shared_parts_of_every_family_are_untangled() -> None:
    """Where one list sits in two places of the state, each place gets what it had."""

    class Model(pydantic.BaseModel):
        a: list[int]
        b: list[int]
        _c: list[int] = pydantic.PrivateAttr(default_factory=list)

    class Struct(msgspec.Struct):
        a: list[int]
        b: list[int]

    slotted = dataclasses.make_dataclass("Slotted", [("a", list[int]), ("b", list[int])], slots=True)
    open_class = dataclasses.make_dataclass("Open", [("a", list[int]), ("b", list[int])])
    states: list[Any] = [Model(a=[1], b=[2]), Struct([1], [2]), slotted([1], [2]), open_class([1], [2])]
    for state in states:
        codec = StateCodec(state)
        tree = codec.encode(state)
        state.b = state.a
        codec.restore(state, tree, [])
        assert ([1], [2]) == (state.a, state.b)
    state = {"a": [1], "b": [2]}
    state["b"] = state["a"]
    StateCodec(dict).restore(state, {"a": [1], "b": [2]}, [])
    assert {"a": [1], "b": [2]} == state


def test_a_struct_whose_post_init_fails_is_an_error() -> None:
    """What msgspec makes impossible to avoid is at least said."""

    class Strict(msgspec.Struct):
        n: int = 0

        def __post_init__(self) -> None:
            if self.n < 0:
                raise ValueError("negative")

    state = {"x": Strict()}
    codec, holder = state_of(Strict, Strict())
    holder.f.n = -1
    with pytest.raises(StateError, match="__post_init__ failed"):
        codec.make(codec.encode(holder), [])
    assert Strict() == state["x"]


def test_a_struct_field_without_a_value_stays_without_one() -> None:
    """A deleted attribute of a struct is not given its default."""

    class Struct(msgspec.Struct):
        a: int = 1
        b: int = 2

    state = Struct()
    del state.a
    codec = StateCodec(Struct)
    tree = codec.encode(state)
    state.a = 5
    codec.restore(state, tree, [])
    assert ([False, False], {"b": 2, "$unset": ["a"]}) == (
        [hasattr(state, "a"), hasattr(codec.make(tree, []), "a")],
        tree,
    )


def test_defaults_that_need_the_rest_of_the_object() -> None:
    """Factories that take the half-made object see the fields before theirs."""
    one = attrs.make_class("State", {"a": attrs.field(default=2)})
    two = attrs.make_class(
        "State", {"a": attrs.field(default=2), "b": attrs.field(default=attrs.Factory(lambda s: s.a + 1, True))}
    )
    made: Any = StateCodec(two).make(StateCodec(one).encode(one(5)), [])
    assert 6 == made.b

    class Model(pydantic.BaseModel):
        a: int = 2
        b: int = pydantic.Field(default_factory=lambda data: data["a"] + 1)

    model: Any = StateCodec(Model).make({"a": 5}, [])
    assert 6 == model.b


def test_a_private_attribute_that_was_not_saved_takes_its_default() -> None:
    """A private attribute that was added since, and one without a default."""

    class Model(pydantic.BaseModel):
        a: int = 1
        _b: list[int] = pydantic.PrivateAttr(default_factory=list)
        _c: int
        _d: int = pydantic.PrivateAttr(default=4)

        @cached_property
        def double(self) -> int:
            return 2 * self.a

    made: Any = StateCodec(Model).make({"a": 5}, [])
    assert ([], False, 4, 10) == (made._b, hasattr(made, "_c"), made._d, made.double)
    StateCodec(Model).restore(made, {"a": 7}, [])
    assert 14 == made.double


def test_an_attrs_class_without_annotations_uses_its_types() -> None:
    """`attr.ib(type=...)` says the type, too."""
    cls = attrs.make_class("State", {"day": attrs.field(type=dt.date), "free": attrs.field()})
    cls.__annotations__ = {}
    assert {"day": "2024-01-01", "free": {"$date": "2024-01-01"}} == StateCodec(cls).encode(cls(DAY, DAY))


class Options(TypedDict, total=False):
    day: dt.date


def test_a_typed_dict_with_keys_that_are_no_names() -> None:
    """Keys that are no text, or look like tags, make it a plain dict."""
    codec, state = state_of(Options, {1: DAY, "$x": 2})
    tree: Any = codec.encode(state)
    assert {"f": {"$any": {"$dict": [[1, {"$date": "2024-01-01"}], ["$x", 2]]}}} == tree
    inside = state.f
    inside["day"] = DAY
    codec.restore(state, tree, [])
    assert ({1: DAY, "$x": 2}, True) == (state.f, inside is state.f)
    codec, state = state_of(Options, OrderedDict(day=DAY))
    made: Any = codec.make(codec.encode(state), [])
    assert OrderedDict is type(made.f)


def test_the_order_of_a_typed_dict_comes_back() -> None:
    """Its keys are in the saved order again."""

    class Two(TypedDict, total=False):
        a: int
        b: int

    state: Any = {"a": 1, "b": 2}
    codec = StateCodec(Two)
    tree = codec.encode(state)
    state["a"] = state.pop("a")
    codec.restore(state, tree, [])
    assert ["a", "b"] == [*state]


CULPRIT = object()


@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (Options, {"day": CULPRIT}, "state.f['day']"),
        (tuple[int, Any], (1, CULPRIT), "state.f[1]"),
        (dict[tuple[int, ...], Any], {(1,): CULPRIT}, "state.f[<tuple>]"),
        (dict[str, Any], {**dict.fromkeys(map(str, range(50)), 1), "x": CULPRIT}, "state.f['x']"),
        (dict[Path, Any], {Path("x"): CULPRIT}, "state.f[<PosixPath>]"),
        (Any, {CULPRIT}, "state.f{...}"),
    ],
)
def test_paths_to_what_cannot_be_saved(hint: Any, value: Any, path: str) -> None:
    """Every container names the way to its entries."""
    codec, state = state_of(hint, value)
    with pytest.raises(StateError) as caught:
        codec.encode(state)
    assert path == caught.value.path


def test_paths_to_attributes_that_are_no_fields() -> None:
    """Undeclared and half-set objects name the way, too."""
    codec, state = state_of(int, 1)
    state.extra = [CULPRIT]
    with pytest.raises(StateError, match=r"state\.extra\[0\] is an? object"):
        codec.encode(state)
    cls = dataclasses.make_dataclass("State", [("a", int, dataclasses.field(init=False)), ("b", Any)], slots=True)
    with pytest.raises(StateError, match=r"state\.b is an? object"):
        StateCodec(cls).encode(cls(CULPRIT))


@pytest.mark.parametrize(
    ("hint", "tree", "path"),
    [
        (tuple[int, str], [1, 2], "state.f[1]"),
        (dict[dt.date, int], {"x": 1}, "state.f['x']"),
        (dict[str, int], {"a": "x"}, "state.f['a']"),
        (Inner, {"n": "x"}, "state.f.n"),
        (set[Inner], [{"n": 1}], "state.f"),
        (Structural | None, 5, None),
        (numpy.ndarray, 5, "state.f"),
        (int, {"$unset": 1}, "state.f"),
    ],
)
def test_paths_to_what_does_not_fit(hint: Any, tree: Any, path: str | None) -> None:
    """Every container names the way to its entries when reading, too."""
    codec, state = state_of(hint, None)
    if path is None:
        assert 5 == codec.make({"f": tree}, []).f  # type: ignore[attr-defined]  # a State
        return
    with pytest.raises(StateError) as caught:
        codec.make({"f": tree}, [])
    assert path == caught.value.path
    state.f = {"a": 1} if "dict" in str(hint) else Inner() if hint is Inner else None
    with pytest.raises(StateError) as caught:
        codec.restore(state, {"f": tree}, [])
    assert path == caught.value.path


def test_extra_attributes_that_do_not_fit_are_named() -> None:
    """A tag that means nothing in an undeclared attribute is an error with its path."""
    codec, state = state_of(int, 1)
    with pytest.raises(StateError, match=r"state\.note is|state\.note"):
        codec.restore(state, {"f": 1, "$extra": {"note": {"$nothing": 1}}}, [])


def test_a_saved_state_that_is_too_deep_is_an_error() -> None:
    """A tree deeper than the stack is no crash."""
    tree: Any = 1
    for _ in range(3_000):
        tree = [tree]
    with pytest.raises(StateError, match="nested too deeply"):
        StateCodec(dict).make({"a": tree}, [])
    with pytest.raises(StateError, match="nested too deeply"):
        StateCodec(dict).restore({}, {"a": tree}, [])


def test_a_class_is_planned_whole_whichever_thread_asks() -> None:
    """Threads that meet a class at the same time never write it without its fields."""
    for _ in range(20):
        kinds = [dataclasses.make_dataclass(f"Kind{number}", [("a", int), ("b", list[int])]) for number in range(8)]
        for kind in kinds:
            kind.__qualname__ = kind.__name__
            globals()[kind.__name__] = kind
            kind.__module__ = __name__
        codec = StateCodec(dict)
        state = {"all": [kind(1, [2]) for kind in kinds]}
        found: list[Any] = []

        def encode(codec: StateCodec, state: object, found: list[Any]) -> None:
            found.append(codec.encode(state))

        threads = [threading.Thread(target=encode, args=(codec, state, found)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 4 == len(found)
        assert all(tree["fields"] == {"a": 1, "b": [2]} for trees in found for tree in trees["all"])


def test_a_literal_of_a_class_that_cannot_be_found_says_nothing() -> None:
    """Two enums of one name inside functions: only the first is known by it."""
    first, second = (enum.Enum("Local", ["ONE"], qualname="f.<locals>.Local", module=__name__) for _ in range(2))
    cls = dataclasses.make_dataclass("State", [("a", Literal[first.ONE]), ("b", Literal[second.ONE])])  # type: ignore[valid-type]  # made here
    codec = StateCodec(cls)
    assert {"a": {"$enum": f"{__name__}:f.<locals>.Local.ONE"}, "b": 1} == codec.encode(cls(first.ONE, 1))
    with pytest.raises(StateError, match=r"state\.b is .* made inside a function"):
        codec.encode(cls(first.ONE, second.ONE))


class Linked:
    """A class with a slot, for the search of cycles."""

    __slots__ = ("link", "unset")


def test_the_search_for_a_cycle_looks_everywhere() -> None:
    """Slots, structs and members are searched; a shared part is no cycle."""

    class Struct(msgspec.Struct):
        part: Any = None

    linked, struct, shared = Linked(), Struct(), ["x"]
    linked.link = struct
    struct.part = (deque([linked]), b"bytes")
    assert ".link.part[0][0]" == find_cycle(linked)
    assert None is find_cycle({"a": shared, "b": shared})


SCRIPT = """
import dataclasses, datetime, json, sys, threading
from checkpoint._core.state_tree import StateCodec
from checkpoint._core.changes import apply, diff

type Names = dict[str, Names] | list[datetime.date]

@dataclasses.dataclass
class Item:
    day: datetime.date
    names: Names | None = None
    odd: "Nowhere" = None

@dataclasses.dataclass
class State:
    items: list[Item] = dataclasses.field(default_factory=list)

day = datetime.date(2024, 1, 1)
state = State([Item(day, [day]), Item(day, {"a": [day]}, day)])
codec = StateCodec(State)
tree = json.loads(json.dumps(codec.encode(state)))
assert codec.make(tree, []) == state
state.items.pop()
new = codec.encode(state)
assert apply(tree, diff(tree, new)) == new
codec.restore(state, tree, [])
print(json.dumps(codec.encode(state)) == json.dumps(tree), tree["items"][0]["day"])
"""


@pytest.mark.process
@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_other_pythons_write_the_same(version: str, tmp_path: Path) -> None:
    """The codec needs nothing but the standard library, and aliases of newer Pythons work."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"))
    if not found:
        pytest.skip(f"Python {version} is not installed")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(sys.modules[StateCodec.__module__].__file__ or "").parents[2])
    done = subprocess.run(
        [found[-1], script], env={"PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True
    )
    assert ("True 2024-01-01\n", "") == (done.stdout, done.stderr)
