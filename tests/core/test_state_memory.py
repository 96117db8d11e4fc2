"""A state written with a memory of the last time: the same tree as without, and the very same where it can be."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint._core.changes import diff
from checkpoint._core.records import Tree
from checkpoint._core.state_memory import BLOCK, Slot, encode_blocks
from checkpoint._core.state_plan import Plan, Reading
from checkpoint._core.state_tree import StateCodec
from checkpoint.errors import StateError

NOON = dt.datetime(2024, 1, 1, 12)
MANY = 2 * BLOCK + 6


class Color(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass
class Row:
    id: Any
    when: dt.datetime
    path: Path


@dataclasses.dataclass
class Other:
    id: Any
    when: dt.datetime
    path: Path


class Point(NamedTuple):
    x: int
    y: int


class Entry(TypedDict, total=False):
    a: int
    b: Path


@dataclasses.dataclass
class Whole:
    names: list[str]
    table: dict[str, dict[str, int]]
    rows: list[Row]
    by_name: dict[str, Row]
    entry: Entry
    points: list[Point]
    numbers: dict[int, list[int]]
    maybe: list[float] | None
    order: Sequence[str]
    paths: list[Path]
    row: Row | Other | None
    anything: Any


@attrs.define
class Drawn:
    names: list[str]
    rows: list[Row]


@dataclasses.dataclass
class Paths:
    listed: list[Path]
    named: dict[str, Path]


class Numbers(TypedDict, total=False):
    a: int
    b: int
    c: int


class Optional(pydantic.BaseModel):
    n: int = 1


class Struct(msgspec.Struct):
    names: list[str]
    rows: list[Row]


class Model(pydantic.BaseModel):
    names: list[str]
    rows: list[Row]


def text(tree: Tree) -> str:
    """Return all there is to a tree: types, the sign of zero and the order of keys."""
    return json.dumps(tree)


def make_rows(size: int) -> list[Row]:
    return [Row(number, NOON + dt.timedelta(number), Path(f"/tmp/{number}")) for number in range(size)]


def make_whole(size: int) -> Whole:
    return Whole(
        names=[f"n{number}" for number in range(size)],
        table={f"k{number}": {"a": number, "b": 1} for number in range(size)},
        rows=make_rows(size),
        by_name={f"r{number}": row for number, row in enumerate(make_rows(size))},
        entry={"a": 1, "b": Path("x")},
        points=[Point(number, 1) for number in range(size)],
        numbers={number: [number] for number in range(size)},
        maybe=[1.0] * size,
        order=[f"o{number}" for number in range(size)],
        paths=[Path(f"p{number}") for number in range(size)],
        row=Row(1, NOON, Path("x")),
        anything={"list": [{"n": number} for number in range(size)], "flat": {f"f{n}": n for n in range(size)}},
    )


def make_small() -> Any:
    """Return one of the values that are told apart only with care."""
    return [
        *(1, True, 1.0, 0, False, 0.0, -0.0, "a", "red", Color.RED, "\ud800", None, b"a", bytearray(b"a")),
        *([], {}, (), [1], (1,), {"a": 1}, {"$a": 1}, OrderedDict(a=1), defaultdict(int, a=1), {1}, [[1]], [True]),
        *(Path("a"), NOON, NOON.replace(tzinfo=dt.UTC), Row(1, NOON, Path("x")), Other(1, NOON, Path("x"))),
        *(Point(1, 1), {1: 2}, {"a": [1, {"b": None}]}, 2**70),
    ]


def find_holders(value: Any) -> list[Any]:
    """Return everything in `value` that can be changed."""
    found: list[Any] = []
    if isinstance(value, dict):
        found += [value]
        parts = [*value.values()]
    elif isinstance(value, (list, tuple)):
        found += [value] if isinstance(value, list) else []
        parts = [*value]
    elif dataclasses.is_dataclass(value):
        found += [value]
        parts = [*vars(value).values()]
    else:
        parts = []
    for part in parts:
        found += find_holders(part)
    return found


def change_list(entries: list[Any], random: Random) -> None:
    place = random.randrange(len(entries)) if entries else 0
    what = random.randrange(7)
    if what == 0:
        entries.append(random.choice(make_small()))
    elif what == 1:
        entries.insert(place, random.choice(make_small()))
    elif what == 2 and entries:
        entries[place] = random.choice(make_small())
    elif what == 3 and entries:
        del entries[place]
    elif what == 4:
        entries.reverse()
    elif what == 5:
        entries.extend(["more", "and more"])
    elif entries:
        entries[place] = retype(entries[place])


def change_dict(members: dict[Any, Any], random: Random) -> None:
    key = random.choice([*members]) if members else "k"
    what = random.randrange(6)
    if what == 0:
        members[random.choice(["new", "$new", 7, "a", Color.RED, "red"])] = random.choice(make_small())
    elif what == 1:
        members[key] = random.choice(make_small())
    elif what == 2:
        members.pop(key, None)
    elif what == 3 and members:
        members[key] = members.pop(key)
    elif what == 4 and members:
        members[key] = retype(members[key])
    elif members:
        kept = dict(members)
        members.clear()
        members.update({Color.RED if name == "red" else name: part for name, part in kept.items()})


def change_object(owner: Any, random: Random) -> None:
    names = [field.name for field in dataclasses.fields(owner)]
    name = random.choice(names)
    what = random.randrange(5)
    if what == 0 and not isinstance(owner, Whole):
        setattr(owner, name, random.choice(make_small()))
    elif what == 1 and not isinstance(owner, Whole):
        vars(owner).pop(name, None)
    elif what == 2:
        owner.extra = random.choice(make_small())
    elif what == 3:
        vars(owner).pop("extra", None)
    elif name in vars(owner):
        setattr(owner, name, retype(getattr(owner, name)))


def retype(value: Any) -> Any:
    """Return a value that compares equal but is not the same: of another type, or another object."""
    if isinstance(value, (bool, int, float)):
        return {bool: int, int: float, float: bool}[type(value)](value) if value in (0, 1) else float(value)
    if type(value) is str:
        return Color.RED if value == "red" else "".join([*value])
    if type(value) is dict:
        return {**value}
    if type(value) is list:
        return [*value]
    return value


def change(state: Any, random: Random) -> None:
    holder = random.choice(find_holders(state))
    if isinstance(holder, dict):
        change_dict(holder, random)
    elif isinstance(holder, list):
        change_list(holder, random)
    else:
        change_object(holder, random)


@pytest.mark.parametrize("kind", [Whole, dict])
@given(st.sampled_from([0, 3, BLOCK, BLOCK + 1, MANY]), st.randoms(use_true_random=False), st.integers(1, 12))
@settings(deadline=None, max_examples=120)
def test_memory_never_shows(kind: type, size: int, random: Random, rounds: int) -> None:
    """Whatever is changed, in whatever way, the tree equals a fresh one, and no earlier tree was touched."""
    whole = make_whole(size)
    state: Any = whole if kind is Whole else dict(vars(whole))
    codec = StateCodec(kind)
    slot = Slot()
    past: list[tuple[str, Tree]] = []
    for _ in range(rounds):
        expected = text(codec.encode(state))
        tree = codec.encode(state, slot)
        assert expected == text(tree)
        past.append((expected, tree))
        change(state, random)
    assert [was for was, _ in past] == [text(tree) for _, tree in past]


@pytest.mark.parametrize("size", [0, 3, MANY])
@pytest.mark.parametrize(
    "make",
    [
        make_whole,
        lambda size: dataclasses.asdict(make_whole(size)) | {"row": None, "rows": [], "by_name": {}},
        lambda size: Drawn([f"n{number}" for number in range(size)], make_rows(size)),
        lambda size: Struct([f"n{number}" for number in range(size)], make_rows(size)),
        lambda size: Model(names=[f"n{number}" for number in range(size)], rows=make_rows(size)),
        lambda size: {"nested": {"deeper": {"names": [f"n{number}" for number in range(size)]}}},
        lambda size: {"dicts": [{"n": number} for number in range(size)]},
        lambda size: {f"k{number}": f"v{number}" for number in range(size)},
    ],
    ids=["dataclass", "mixed dict", "attrs", "msgspec", "pydantic", "nested", "dicts", "flat"],
)
def test_unchanged(make: Callable[[int], Any], size: int) -> None:
    """Comparing an unchanged state with itself finds no change."""
    state = make(size)
    codec = StateCodec(type(state))
    slot = Slot()
    first = codec.encode(state, slot)

    assert diff(first, codec.encode(state, slot)) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"names": [f"n{number}" for number in range(MANY)], "n": 1},
        lambda: {"table": {f"k{number}": {"a": number} for number in range(MANY)}},
        lambda: {"flat": {f"k{number}": number for number in range(MANY)}},
        lambda: {"mixed": [None, 1, "a", 2.5] * MANY},
        lambda: Drawn(["a"], make_rows(MANY)),
        lambda: Row(1, NOON, Path("x")),
        lambda: Entry(a=1, b=Path("x")),
    ],
    ids=["names", "table", "flat", "mixed", "rows", "object", "typed dict"],
)
def test_same_tree(make: Callable[[], Any]) -> None:
    """An unchanged state gets the very same tree, so that nothing has to be compared."""
    state = make()
    codec = StateCodec(Entry if "b" in state and "a" in state else type(state)) if type(state) is dict else None
    codec = codec or StateCodec(type(state))
    slot = Slot()

    assert codec.encode(state, slot) is codec.encode(state, slot)


def test_appended_shares() -> None:
    """The tree of a dict of dicts that grew by one entry holds the same trees as before."""
    state = {"table": {f"k{number}": {"a": number} for number in range(MANY)}}
    codec = StateCodec(dict)
    slot = Slot()
    before: Any = codec.encode(state, slot)
    state["table"]["new"] = {"a": 0}
    after: Any = codec.encode(state, slot)

    assert all(after["table"][f"k{number}"] is before["table"][f"k{number}"] for number in range(2 * BLOCK))


@pytest.mark.parametrize("size", [1, MANY])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("red", Color.RED),
        (b"a", bytearray(b"a")),
        ((1,), [1]),
        ({"a": 1}, OrderedDict(a=1)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"red": 1}, {Color.RED: 1}),
        ({"n": {"a": 1}}, {"n": {"a": True}}),
        (Row(1, NOON, Path("x")), Other(1, NOON, Path("x"))),
        (
            dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC),
            dt.datetime(2024, 1, 1, 13, tzinfo=dt.timezone(dt.timedelta(0, 3600))),
        ),
    ],
    ids=str,
)
def test_told_apart(old: Any, new: Any, size: int) -> None:
    """A value that is replaced by one that only compares equal is written anew."""
    state: dict[str, Any] = {"list": [old] * size, "dict": {f"k{number}": old for number in range(size)}, "one": old}
    codec = StateCodec(dict)
    slot = Slot()
    codec.encode(state, slot)
    state["list"][-1] = state["dict"][f"k{size - 1}"] = state["one"] = new

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


@pytest.mark.parametrize("size", [1, MANY])
def test_path_became_text(size: int) -> None:
    """Text where the annotation says a path is not taken for the path that was written as this very text."""
    state = Paths([Path("a")] * size, {f"k{number}": Path("a") for number in range(size)})
    codec = StateCodec(Paths)
    slot = Slot()
    tree: Any = codec.encode(state, slot)
    state.listed[:] = tree["listed"]
    state.named.update(tree["named"])

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


def test_extra_attribute_removed() -> None:
    """An attribute that is no field leaves the tree with the object, though no field changed."""
    state: Any = Row(1, NOON, Path("x"))
    state.extra = 1
    codec = StateCodec(Row)
    slot = Slot()
    codec.encode(state, slot)
    del state.extra

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


def test_replaced_by_another_class() -> None:
    """An object of another class with the very same fields is written as what it is, among many."""
    state = make_whole(MANY)
    codec = StateCodec(Whole)
    slot = Slot()
    codec.encode(state, slot)
    state.rows[40] = Other(**vars(state.rows[40]))  # type: ignore[call-overload]  # what a careless program does

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


@pytest.mark.parametrize("keys", ["ca", "a", "ab", "abc"])
def test_typed_dict_keys(keys: str) -> None:
    """The order and the names of a typed dict's keys count, though the values are the same objects."""
    state: Any = {"a": 1, "c": 1}
    codec = StateCodec(Numbers)
    slot = Slot()
    codec.encode(state, slot)
    state.clear()
    state.update(dict.fromkeys(keys, 1))

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


def test_models_remember_what_was_given() -> None:
    """Among many models, one whose field was assigned its own default is written anew."""
    state = {"models": [Optional() for _ in range(MANY)]}
    codec = StateCodec(dict[str, list[Optional]])
    slot = Slot()
    codec.encode(state, slot)
    state["models"][40].n = 1

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


def test_slot_of_another_plan() -> None:
    """What one plan wrote is of no use to another, even where the parts are the same objects."""
    first, second = dataclasses.make_dataclass("A", [("x", int)]), dataclasses.make_dataclass("B", [("y", str)])
    slot = Slot()
    StateCodec(first).encode(first(1), slot)

    assert {"y": {"$any": 1}} == StateCodec(second).encode(second(1), slot)


@pytest.mark.parametrize("change", [lambda row: setattr(row, "extra", 1), lambda row: delattr(row, "id")])
def test_object_beyond_its_fields(change: Callable[[Row], None]) -> None:
    """An attribute that is no field, and a field that lost its value, are noticed among many equal objects."""
    state = make_whole(MANY)
    codec = StateCodec(Whole)
    slot = Slot()
    codec.encode(state, slot)
    change(state.rows[40])

    assert text(codec.encode(state)) == text(codec.encode(state, slot))


@pytest.mark.parametrize("size", [1, MANY])
def test_cycle_with_branches(size: int) -> None:
    """A container that holds itself twice is refused with its path, and at once."""
    loop: list[Any] = []
    loop += [loop, loop] * size
    slot = Slot()
    codec = StateCodec(dict)
    codec.encode({"a": [[]]}, slot)

    with pytest.raises(StateError) as raised:
        codec.encode({"a": loop}, slot)
    assert raised.value.path == "state['a'][0]"


@pytest.mark.parametrize("size", [2, MANY])
def test_refused_then_mended(size: int) -> None:
    """A value that cannot be saved is named by its path, and what was remembered before does no harm after."""
    state: dict[str, Any] = {"rows": [{"n": number} for number in range(size)]}
    codec = StateCodec(dict)
    slot = Slot()
    codec.encode(state, slot)
    state["rows"][1]["n"] = object()

    with pytest.raises(StateError) as raised:
        codec.encode(state, slot)
    assert raised.value.path == "state['rows'][1]['n']"
    state["rows"][1]["n"] = 2
    assert text(codec.encode(state)) == text(codec.encode(state, slot))


class CountingPlan(Plan):
    """Writes dicts as they are, and counts; `disturb` is called while one is written."""

    def __init__(self, disturb: Callable[[dict[str, int]], None] = lambda value: None) -> None:
        super().__init__("counted", dict, frozenset({"dict"}), None)
        self.written = 0
        self.disturb = disturb

    def encode(self, value: object) -> Tree:
        assert isinstance(value, dict)
        self.written += 1
        self.disturb(value)
        return dict(value)

    def decode(self, tree: Tree, reading: Reading) -> object:
        return tree


def test_only_the_changed_block_is_written() -> None:
    """One changed entry costs the writing of its block, not of the whole container."""
    plan = CountingPlan()
    values: list[Any] = [{"n": number} for number in range(10 * BLOCK)]
    slot = Slot()
    slot.keep(plan, None, *reordered(encode_blocks(values, plan, slot)))
    plan.written = 0
    values[3]["n"] = -1
    encode_blocks(values, plan, slot)

    assert plan.written == BLOCK


def test_changed_while_written() -> None:
    """An entry that another thread changed while it was written, and changed back, is written again."""
    plan = CountingPlan(lambda value: value.update(n=1))
    values: list[Any] = [{"n": 0}]
    slot = Slot()
    slot.keep(plan, None, *reordered(encode_blocks(values, plan, slot)))
    plan.disturb = lambda value: None
    values[0]["n"] = 0

    assert [{"n": 0}] == encode_blocks(values, plan, slot)[0]


def reordered(found: tuple[Any, Any]) -> tuple[Any, Any, Any]:
    """Return what `Slot.keep` takes after the tree: trees, no single parts, proofs."""
    trees, proofs = found
    return trees, (), proofs
