"""Every kind of field comes back as it was, in every kind of state."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)
from zoneinfo import ZoneInfo

import attrs
import msgspec
import numpy
import pydantic
import pytest

from checkpoint._core.state_tree import StateCodec

Name = NewType("Name", str)
T = TypeVar("T")


class Phase(enum.Enum):
    TRAIN = "train"
    EVAL = (1,)


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(str, enum.Enum):  # noqa: UP042 - the old spelling is what many programs have
    FAST = "fast"


@dataclasses.dataclass
class Item:
    id: int
    price: Decimal = Decimal("1.10")
    seen: list[dt.datetime] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Node:
    name: str
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@attrs.define
class Part:
    size: int
    _secret: str = "x"


class Model(pydantic.BaseModel):
    at: dt.datetime
    tags: set[str] = set()


class Struct(msgspec.Struct):
    at: dt.date
    more: list[int] = []


class Row(NamedTuple):
    a: int
    b: Path = Path("b")


class Options(TypedDict):
    since: Required[dt.date]
    depth: NotRequired[int]


MOMENT = dt.datetime(2024, 7, 2, 1, 2, 3, 4, tzinfo=dt.UTC)
BERLIN = dt.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
UUID = uuid.UUID(int=7)

KINDS: dict[str, tuple[Any, Any]] = {
    "str": (str, "é\ud83d\ude00"),
    "int": (int, -5),
    "huge int": (int, 10**5000),
    "float": (float, 1.5),
    "float as int": (float, 3),
    "minus zero": (float, -0.0),
    "infinity": (float, float("inf")),
    "bool": (bool, True),
    "None": (None, None),
    "bytes": (bytes, b"\xff\x00"),
    "bytearray": (bytearray, bytearray(b"ab")),
    "complex": (complex, 1 + 2j),
    "datetime": (dt.datetime, MOMENT),
    "naive datetime": (dt.datetime, dt.datetime(2024, 1, 1)),
    "datetime with a zone and fold": (dt.datetime, BERLIN),
    "date": (dt.date, dt.date(2024, 1, 2)),
    "time": (dt.time, dt.time(1, 2, 3)),
    "timedelta": (dt.timedelta, dt.timedelta(days=-1, microseconds=3)),
    "Decimal": (Decimal, Decimal("1.10")),
    "Fraction": (Fraction, Fraction(1, 3)),
    "UUID": (uuid.UUID, UUID),
    "Path": (Path, Path("a/b")),
    "PurePath": (PurePath, PurePosixPath("a")),
    "another system's path": (PureWindowsPath, PureWindowsPath("C:/a")),
    "range": (range, range(1, 9, 2)),
    "Enum": (Phase, Phase.EVAL),
    "IntEnum": (Level, Level.LOW),
    "Flag": (Right, Right.READ | Right.WRITE),
    "str Enum": (Mode, Mode.FAST),
    "Literal": (Literal["a", 1], 1),
    "Literal of an enum": (Literal[Phase.TRAIN], Phase.TRAIN),
    "list": (list[int], [1, 2]),
    "bare list": (list, [1, "a", None, MOMENT]),
    "list of datetimes": (list[dt.datetime], [MOMENT, BERLIN]),
    "tuple": (tuple[int, str], (1, "a")),
    "long tuple": (tuple[dt.date, ...], (dt.date(2024, 1, 1),)),
    "empty tuple": (tuple[()], ()),
    "bare tuple": (tuple, (1, [2])),
    "set": (set[str], {"b", "a"}),
    "frozenset": (frozenset[dt.date], frozenset({dt.date(2024, 1, 1)})),
    "set of all sorts": (set, {1, "a", None, (1, 2)}),
    "deque": (deque[Path], deque([Path("a")])),
    "deque of limited length": (deque[Path], deque([Path("a")], maxlen=3)),
    "dict": (dict[str, float], {"b": 1.0, "a": 2}),
    "dict with int keys": (dict[int, str], {1: "a", -10: "b"}),
    "dict with path keys": (dict[Path, int], {Path("a"): 1}),
    "dict with enum keys": (dict[Phase, int], {Phase.EVAL: 1}),
    "dict with date keys": (dict[dt.date, list[int]], {dt.date(2024, 1, 1): [1]}),
    "dict with tuple keys": (dict[tuple[int, str], int], {(1, "a"): 2}),
    "dict with keys like tags": (dict[str, int], {"$set": 1}),
    "dict with mixed keys": (dict[Any, Any], {1: 1, "1": 2, None: 3, (1,): Phase.EVAL}),
    "defaultdict": (defaultdict[str, list[int]], defaultdict(list, {"a": [1]})),
    "defaultdict of another factory": (defaultdict[str, list[int]], defaultdict(set, {"a": [1]})),
    "Counter": (Counter[str], Counter({"b": 2, "a": 1})),
    "OrderedDict": (OrderedDict[str, int], OrderedDict([("b", 1), ("a", 2)])),
    "NamedTuple": (Row, Row(1)),
    "dataclass": (Item, Item(1, seen=[MOMENT])),
    "frozen dataclass": (Point, Point(1.0)),
    "generic dataclass": (Box[dt.date], Box(dt.date(2024, 1, 1))),
    "recursive dataclass": (Node, Node("a", [Node("b", [Node("c")])])),
    "list of dataclasses": (list[Item], [Item(1), Item(2)]),
    "attrs class": (Part, Part(1)),
    "pydantic model": (Model, Model(at=MOMENT, tags={"x"})),
    "msgspec struct": (Struct, Struct(dt.date(2024, 1, 1), [1])),
    "TypedDict": (Options, {"since": dt.date(2024, 1, 1)}),
    "Optional": (Optional[dt.date], None),  # noqa: UP045 - both spellings are tested
    "Optional that is there": (dt.date | None, dt.date(2024, 1, 1)),
    "union of two dataclasses": (Union[Item, Point], Point(1.0)),  # noqa: UP007 - both spellings are tested
    "union of texts": (str | dt.datetime | Path, MOMENT),
    "union of texts that is text": (str | dt.datetime | Path, "x"),
    "union of lists": (list[Item] | list[Point], [Point(2.0)]),
    "union with a limited deque": (deque[dt.date] | None, deque([dt.date(2024, 1, 1)], maxlen=2)),
    "union of numbers": (int | float | None, 1.0),
    "list of a union": (list[int | dt.date | None], [1, None, dt.date(2024, 1, 1)]),
    "NewType": (Name, Name("x")),
    "Annotated": (Annotated[dt.date, "when"], dt.date(2024, 1, 1)),
    "Final": (Final[int], 3),
    "nested generics": (dict[str, list[dict[int, set[dt.date]]]], {"a": [{1: {dt.date(2024, 1, 1)}}]}),
    "Any": (Any, {"when": dt.date(2024, 1, 1), "ids": {1, 2}, "item": Item(3), "row": Row(1), "phase": Phase.TRAIN}),
    "object": (object, [Level.LOW, Right.READ, Model(at=MOMENT), Part(3), Struct(dt.date(2024, 1, 1))]),
    "untyped containers": (
        Any,
        [deque([1], 2), deque([1]), Counter(a=1), OrderedDict(a=1), defaultdict(int, a=1), frozenset({(1,)})],
    ),
    "Sequence": (Sequence[dt.date], (dt.date(2024, 1, 1),)),
    "Mapping": (Mapping[str, Path], {"a": Path("b")}),
    "unresolvable": ("Nowhere", dt.date(2024, 1, 1)),
    "type variable": (T, dt.date(2024, 1, 1)),
    "numpy array": (numpy.ndarray, numpy.array([1.5, 2.5])),
    "numpy scalar": (Any, numpy.float32(1.5)),
    "value of another type": (int, "not an int"),
    "None against the annotation": (str, None),
    "bool under int": (int, True),
    "list under another annotation": (dict[str, int], [1, 2]),
    "entries of other types": (list[int], [1, "a", None, 2.0, MOMENT]),
    "subclass": (Sequence, Row(2)),
}


def exact(value: Any) -> Any:
    """What is left to compare once types are taken into account: equal only for equal values of the same types."""
    kind = type(value)
    if isinstance(value, numpy.ndarray):
        return kind, value.dtype.str, value.tolist()
    if isinstance(value, enum.Enum):
        return kind, value.name
    if isinstance(value, dict):
        order = sorted if kind is Counter else list
        inside = order([(exact(key), exact(entry)) for key, entry in value.items()])
        return kind, getattr(value, "default_factory", None), inside
    if isinstance(value, (list, tuple, deque)):
        return kind, getattr(value, "maxlen", None), [exact(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return kind, sorted(map(repr, map(exact, value)))
    if isinstance(value, dt.datetime):
        return kind, value, repr(value.tzinfo), value.fold
    if dataclasses.is_dataclass(value) or isinstance(value, (Model, Struct, Part)):
        names = [
            name for name in ("id", "price", "seen", "x", "y", "name", "children", "content", "at", "tags", "size")
        ]
        return kind, [exact(getattr(value, name)) for name in [*names, "_secret", "more"] if hasattr(value, name)]
    return kind, hex(value) if kind is int else repr(value)


def of_dataclass(hint: Any, value: Any) -> tuple[Any, Any]:
    cls = dataclasses.make_dataclass("State", [("field", hint)])
    return cls, cls(value)


def of_slots(hint: Any, value: Any) -> tuple[Any, Any]:
    cls = dataclasses.make_dataclass("State", [("field", hint)], slots=True)
    return cls, cls(value)


def of_attrs(hint: Any, value: Any) -> tuple[Any, Any]:
    cls = attrs.make_class("State", {"field": attrs.field(type=hint)})
    cls.__annotations__ = {"field": hint}
    return cls, cls(value)


def of_pydantic(hint: Any, value: Any) -> tuple[Any, Any]:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    if hint in ("Nowhere", T, None, Options, Final[int]):
        # pydantic refuses these, whatever is in them.
        hint = Any
    cls = pydantic.create_model("State", __config__=config, field=(hint, ...))
    return cls, cls.model_construct(field=value)


def of_msgspec(hint: Any, value: Any) -> tuple[Any, Any]:
    cls = msgspec.defstruct("State", [("field", hint)])
    return cls, cls(value)


def of_typed_dict(hint: Any, value: Any) -> tuple[Any, Any]:
    hint = int if hint == Final[int] else hint
    return TypedDict("State", {"field": hint}), {"field": value}  # type: ignore[operator]  # made for each hint


def of_dict(hint: Any, value: Any) -> tuple[Any, Any]:
    return dict, {"field": value}


CONTAINERS = [of_dataclass, of_slots, of_attrs, of_pydantic, of_msgspec, of_typed_dict, of_dict]


def field_of(state: Any) -> Any:
    return state["field"] if isinstance(state, dict) else state.field


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_kind_of_field_comes_back_exactly(container: Any, kind: str) -> None:
    """Value and type return through JSON text, and are written the same again."""
    hint, value = KINDS[kind]
    cls, state = container(hint, value)
    codec = StateCodec(cls)
    tree = json.loads(json.dumps(codec.encode(state), allow_nan=False))
    back = codec.make(tree, [])
    assert exact(value) == exact(field_of(back))
    assert tree == codec.encode(back)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_kind_of_field_is_restored_in_place(container: Any, kind: str) -> None:
    """A state that holds something else becomes what was saved."""
    hint, value = KINDS[kind]
    cls, state = container(hint, value)
    codec = StateCodec(cls)
    tree = json.loads(json.dumps(codec.encode(state)))
    other: Any = codec.make(tree, [])
    if isinstance(other, dict):
        other["field"] = ["something else"]
    elif isinstance(other, msgspec.Struct):
        other.field = ["something else"]
    else:
        object.__setattr__(other, "field", ["something else"])
    codec.restore(other, tree, [])
    assert exact(value) == exact(field_of(other))
    assert json.dumps(tree) == json.dumps(codec.encode(other))


PLAIN = [
    ("datetime", "2024-07-02T01:02:03.000004+00:00"),
    ("Path", "a/b"),
    ("Enum", "EVAL"),
    ("Flag", "READ|WRITE"),
    ("Decimal", "1.10"),
    ("bytes", "/wA="),
    ("Literal", 1),
    ("tuple", [1, "a"]),
    ("set", ["a", "b"]),
    ("dict with int keys", {"1": "a", "-10": "b"}),
    ("dict with path keys", {"a": 1}),
    ("defaultdict", {"a": [1]}),
    ("Optional that is there", "2024-01-01"),
    ("TypedDict", {"since": "2024-01-01"}),
    ("NamedTuple", {"a": 1, "b": "b"}),
    ("frozen dataclass", {"x": 1.0, "y": 0.0}),
]


@pytest.mark.parametrize(("kind", "tree"), PLAIN)
def test_what_the_annotation_says_is_not_written(kind: str, tree: Any) -> None:
    """With an annotation the file has plain JSON."""
    hint, value = KINDS[kind]
    cls, state = of_dataclass(hint, value)
    assert {"field": tree} == StateCodec(cls).encode(state)


TAGGED = [
    ("set", {"$set": ["a", "b"]}),
    ("Path", {"$path": "a/b"}),
    ("union of two dataclasses", {"$type": f"{__name__}:Point", "fields": {"x": 1.0, "y": 0.0}}),
    ("dict with int keys", {"$dict": [[1, "a"], [-10, "b"]]}),
    ("dict with keys like tags", {"$dict": [["$set", 1]]}),
    ("Counter", {"$counter": {"b": 2, "a": 1}}),
    ("defaultdict", {"$defaultdict": {"factory": "list", "items": {"a": [1]}}}),
]


@pytest.mark.parametrize(("kind", "tree"), TAGGED)
def test_without_an_annotation_a_tag_says_the_type(kind: str, tree: Any) -> None:
    """In a plain dict every value that JSON does not know has its tag."""
    assert {"field": tree} == StateCodec(dict).encode({"field": KINDS[kind][1]})


DEVIATING = [(int, "x", "x"), (str, None, None), (list[int], ["x"], None), (int, MOMENT, None), (Item, 3, 3)]


@pytest.mark.parametrize(("hint", "value", "inner"), DEVIATING)
def test_a_value_against_its_annotation_is_marked(hint: Any, value: Any, inner: Any) -> None:
    """What does not fit its annotation is saved as it is, and says so."""
    cls, state = of_dataclass(hint, value)
    text = json.dumps(StateCodec(cls).encode(state))
    assert '{"$any": ' in text
    assert inner is None or f'{{"$any": {json.dumps(inner)}}}' in text


def test_the_tree_holds_nothing_of_the_users() -> None:
    """Changing the state afterwards does not change the tree."""
    state: Any = {"a": [1, [2]], "b": {"c": {}}, "long": list(range(50)), "wide": dict.fromkeys(map(str, range(50)), 1)}
    codec = StateCodec(dict)
    tree = codec.encode(state)
    before = json.dumps(tree)
    state["a"][1].append(3)
    state["a"].append(4)
    state["b"]["c"]["d"] = 5
    state["long"].append(6)
    state["wide"]["x"] = 7
    assert before == json.dumps(tree)


def test_the_state_holds_nothing_of_the_tree() -> None:
    """Changing a state that was made or restored does not change the tree it came from."""
    codec = StateCodec(dict)
    tree: Any = codec.encode({"a": [1, [2]], "long": list(range(50)), "wide": dict.fromkeys(map(str, range(50)), 1)})
    before = json.dumps(tree)
    restored: Any = {}
    codec.restore(restored, tree, [])
    for state in (codec.make(tree, []), restored):
        assert isinstance(state, dict)
        state["a"][1].append(3)
        state["long"].append(6)
        state["wide"]["x"] = 7
    assert before == json.dumps(tree)
