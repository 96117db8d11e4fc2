"""Tests of `tags`: every tag brings back type and value, and nothing that it cannot bring back is accepted."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import pathlib
import subprocess
import sys
import typing
import uuid
import zoneinfo
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from checkpoint._core import tags
from checkpoint._core.tags import BadTree, ClassFinder, NotTree
from checkpoint._core.tags_leaves import LEAVES, find_leaf, read_leaf, write_leaf

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "y"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


@dataclasses.dataclass
class Config:
    rate: float
    layers: tuple[int, ...] = ()
    seen: list[str] = dataclasses.field(default_factory=list)
    total: int = dataclasses.field(init=False, default=0)
    runs: typing.ClassVar[int] = 0

    def __post_init__(self) -> None:
        type(self).runs += 1
        self.total = 7


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    inner: Config | None = None


@dataclasses.dataclass(order=True, unsafe_hash=True)
class Hashed:
    number: int


@dataclasses.dataclass
class Lazy:
    number: int

    @cached_property
    def double(self) -> int:
        return 2 * self.number


@dataclasses.dataclass
class OwnState:
    number: int

    def __getstate__(self) -> dict[str, Any]:
        return {"number": self.number}


@dataclasses.dataclass
class DataError(Exception):
    number: int


class Undecorated(Config):
    pass


class Point(typing.NamedTuple):
    x: int
    y: int = 5


OldPoint = collections.namedtuple("OldPoint", ["x", "y"])


class Outer:
    class Inner(enum.Enum):
        DEEP = 1


def through(value: object) -> Any:
    """Write, pass through JSON text, read."""
    tree = tags.encode(value, "result", None)
    text = json.dumps(tree, allow_nan=False)
    return tags.decode(json.loads(text), None, ClassFinder())


def refusal(value: object) -> NotTree:
    with pytest.raises(NotTree) as caught:
        tags.encode(value, "result", None)
    return caught.value


def same(left: Any, right: Any) -> bool:
    """Compare type and value, all the way down; NaN is NaN, and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(same(a, c) and same(b, d) for (a, b), (c, d) in pairs)
    if isinstance(left, (list, tuple, collections.deque)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and all(any(same(a, b) for b in right) for a in left)
    if isinstance(left, (float, complex, decimal.Decimal, np.generic)):
        return repr(left) == repr(right)
    if isinstance(left, (dt.datetime, dt.time)):
        return left == right and left.fold == right.fold and repr(left.tzinfo) == repr(right.tzinfo)
    return bool(left == right)


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 2**63, -(2**2048), 10**5000, 0.0, -0.0, 1e308, 5e-324, 0.1),
    *(float("nan"), float("inf"), float("-inf"), complex(1, -2), complex(-0.0, -0.0), complex("nan+infj")),
    *("", "plain", "ä€😀", "lone \ud800", "\udc00\ud800", "pair \ud83d\ude00", "\x00\x7f\u2028", '"\\'),
    *(b"", b"\x00\xff", bytearray(b""), bytearray(b"xyz"), range(3), range(10, 0, -3), range(True)),
    *([], [1, [2, [3]]], (), (1,), ((), ([],)), {}, {"b": 1, "a": 2}, {"$set": [1]}, {"a": {"$type": "x"}}),
    *({1: "a", None: "b", (1, 2): "c", 1.5: "d"}, {True: 1, "1": 2}, {"\ud83d\ude00": 1}, {b"k": b"v"}),
    *(set(), {1, 2, 3}, {"a", 1, None, (1, "x")}, frozenset({frozenset({1}), "x"}), {float("nan")}),
    *(collections.deque([1, (2,)]), collections.deque([1], maxlen=3), collections.deque(maxlen=0)),
    *(collections.OrderedDict(b=1, a=(2,)), collections.Counter("abca"), collections.Counter(a=-1, b=0)),
    *(collections.defaultdict(list, a=[1]), collections.defaultdict(None, {1: 2}), collections.defaultdict(int)),
    *(dt.date(2024, 2, 29), dt.time(3, 4), dt.time(3, 4, 5, 6, tzinfo=dt.UTC, fold=1), dt.time(1, tzinfo=BERLIN)),
    *(dt.datetime(2024, 7, 2), dt.datetime(2024, 7, 2, 1, 2, 3, 4), dt.datetime(2024, 7, 2, tzinfo=dt.UTC)),
    *(dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)),
    *(dt.datetime(2024, 7, 2, fold=1), dt.datetime(2024, 7, 2, tzinfo=zoneinfo.ZoneInfo("UTC"))),
    *(dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=7, microseconds=9))), dt.datetime.max),
    *(dt.timedelta(), dt.timedelta(-1, 5, 6), dt.timedelta.min, dt.timedelta.max),
    *(dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30)), BERLIN),
    *(map(decimal.Decimal, ("1.10", "-0", "1E+5", "NaN123", "-Infinity", "sNaN", "1" * 50, "1E-999999"))),
    *(fractions.Fraction(-1, 3), uuid.UUID(int=5), pathlib.Path("a/b"), pathlib.Path("/"), pathlib.Path("\udcff")),
    *(pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("C:/x\\y"), pathlib.PureWindowsPath("//host/share/f")),
    *(Color.RED, Color.CRIMSON, Color.BLUE, Level.LOW, Word.YES, Outer.Inner.DEEP),
    *(Access.READ, Access.READ | Access.WRITE, Access.BOTH, Access(0), ~Access.READ),
    *(Config(0.5), Config(1.0, (1, 2), ["x"]), Frozen("a", Config(2.0)), {Hashed(1), Hashed(2)}),
    *(Point(1, 2), Point(1), OldPoint("a", [1]), {Point(1, 2): 3}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_value_comes_back(value: object) -> None:
    """Type and value are the same after the value was text."""
    assert same(value, through(value))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_value_comes_back_inside_others(value: Any) -> None:
    """A value keeps type and value in a list, a tuple, dicts and a field."""
    assert same([{"k": {5: (value,)}}], through([{"k": {5: (value,)}}]))
    assert same(value, through(Frozen("x", value)).inner)


ARRAYS: list[Any] = [
    np.arange(6.0).reshape(2, 3),
    np.array(5),
    np.zeros((0, 4), dtype="i2"),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bcd"]),
    np.array(["2024-01-01", "NaT"], dtype="M8[ns]"),
    np.array([5], dtype="m8[h]"),
    np.arange(3, dtype=">u4"),
    np.array([1 + 2j, float("nan")]),
    np.array([1.5], dtype=np.float16),
    np.array([1.5], dtype=np.longdouble),
    np.array([(1, 2.5, [1, 2])], dtype=[("a", "i4"), ("b", "f8"), ("c", "u1", (2,))]),
    np.array([((1, 2),)], dtype=[("outer", [("x", "i1"), ("y", "i1")])]),
    np.arange(10)[::2],
    np.arange(10)[::-1],
    np.broadcast_to(np.arange(3), (2, 3)),
    np.empty(2, dtype="V3"),
    np.array([""], dtype="U0"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_every_array_comes_back(array: Any) -> None:
    """An array keeps dtype, shape and contents, and can be written to."""
    back = through(array)
    assert same(np.ascontiguousarray(array).reshape(array.shape), back)
    assert back.flags.writeable


def test_fortran_order_is_kept() -> None:
    """An array in Fortran order comes back in it."""
    back = through(np.asfortranarray(np.arange(6).reshape(2, 3)))
    assert (True, False) == (back.flags.f_contiguous, back.flags.c_contiguous)
    assert [[0, 1, 2], [3, 4, 5]] == back.tolist()


@pytest.mark.parametrize(
    "scalar",
    [
        *(np.float64(1.5), np.float64("nan"), np.float64("-0.0"), np.float32(0.1), np.float16(2), np.longdouble(1)),
        *(np.int8(-5), np.uint64(2**64 - 1), np.bool_(True), np.complex128(1 - 2j), np.str_("é"), np.bytes_(b"x")),
        *(np.str_(""), np.str_("a\0"), np.str_("\0"), np.str_("\ud800"), np.bytes_(b""), np.bytes_(b"a\0")),
        *(np.datetime64("2024-01-01"), np.datetime64("NaT"), np.timedelta64(5, "h")),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0],
    ],
    ids=lambda scalar: f"{type(scalar).__name__}-{scalar!r}",
)
def test_every_numpy_scalar_comes_back(scalar: Any) -> None:
    """A numpy scalar keeps its class and its value; it never becomes Python's number."""
    assert same(scalar, through(scalar))


def test_a_numpy_text_keeps_its_nuls() -> None:
    """NULs at the end of a numpy text come back, which numpy's own comparison and pickle ignore."""
    assert ["a\0", b"a\0\0"] == [str.__str__(through(np.str_("a\0"))), bytes(through(np.bytes_(b"a\0\0")))]


def test_a_uuid_keeps_how_it_was_made() -> None:
    """Whether a UUID is safe comes back, though comparing ignores it, and its text stays plain if that is unknown."""
    unsafe, plain = uuid.UUID(int=5, is_safe=uuid.SafeUUID.unsafe), uuid.UUID(int=5)
    assert [uuid.SafeUUID.unsafe, uuid.SafeUUID.unknown] == [through(unsafe).is_safe, through(plain).is_safe]
    assert {"$uuid": str(plain)} == tags.encode(plain, "r", None)


def test_a_numpy_float_is_readable() -> None:
    """A person can read the number in the file."""
    assert {"$npy": {"dtype": "<f8", "scalar": True, "value": 0.93}} == tags.encode(np.float64(0.93), "r", None)


def test_large_parts_are_attached_without_a_copy() -> None:
    """A large array and large bytes are handed over as views of the user's memory, and read from what is fetched."""
    array, data = np.arange(10_000.0), bytes(40_000)
    kept: list[memoryview] = []

    def attach(view: memoryview) -> str:
        kept.append(view)
        return str(len(kept) - 1)

    tree = tags.encode([array, data, array[:5].copy()], "result", attach)
    fetched = [bytearray(view) for view in kept]
    back = tags.decode(tree, lambda digest, size: fetched[int(digest)], ClassFinder())

    assert [True, 2] == [np.shares_memory(np.frombuffer(kept[0], "u1"), array), len(kept)]
    assert same([array, data, array[:5]], back)
    assert np.shares_memory(np.frombuffer(fetched[0], "u1"), back[0])  # type: ignore[index]


def test_text_of_dates_is_rfc_9557() -> None:
    """A zone stands in brackets after the offset, and the second of two equal clock times is marked."""
    value = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)
    assert {"$datetime": "2024-10-27T02:30:00+01:00[Europe/Berlin][fold=1]"} == tags.encode(value, "r", None)


def test_the_user_s_containers_are_not_in_the_tree() -> None:
    """The tree is a snapshot: changing the value later does not change it."""
    value: dict[str, Any] = {"a": [1, {"b": [2]}]}
    tree = tags.encode(value, "state", None)
    value["a"][1]["b"].append(3)
    assert {"a": [1, {"b": [2]}]} == tree


def test_the_tree_is_not_in_the_value() -> None:
    """Changing what was read does not change the tree."""
    tree: Any = {"a": [1]}
    value: Any = tags.decode(tree, None, ClassFinder())
    value["a"].append(2)
    assert {"a": [1]} == tree


def test_init_does_not_run_again() -> None:
    """A dataclass is restored field by field, `__post_init__` included among what does not run."""
    before = Config(1.0)
    before.total = 99
    runs = Config.runs
    assert [99, runs] == [through(before).total, Config.runs]


SHARED: list[Any] = [1]
CYCLE: list[Any] = []
CYCLE.append((CYCLE,))
DEEP: list[Any] = []
for _ in range(500):
    DEEP = [DEEP]
DAG: Any = ()
for _ in range(60):
    DAG = (DAG, DAG)
TOWER: Any = ()
for _ in range(150):
    TOWER = (TOWER,)
ARRAY = np.arange(2)


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ({"a": SHARED, "b": [SHARED]}, "result['b'][0]", "more than once"),
        ([ARRAY, ARRAY], "result[1]", "more than once"),
        (CYCLE, "result[0][0]", "contains itself"),
        (DEEP, "result" + "[0]" * 101, "too deeply"),
        (DAG, "result", "over and over"),
        (TOWER, "result[0][0]", "too deeply"),
        (np.zeros(1, dtype=np.dtype([("a", "i1"), ("b", "i8")], align=True)), "result", "no plain description"),
        (np.zeros(1, dtype=np.dtype([("a", "i8")], align=True)), "result", "no plain description"),
        (np.zeros(1, dtype=np.dtype("f8", metadata={"unit": "m"})), "result", "no plain description"),
        (np.zeros(1, dtype=[("a", np.dtype("f8", metadata={"unit": "m"}), (2,))]), "result", "no plain description"),
        (np.zeros(3, dtype="V0"), "result", "no memory"),
        (np.zeros(1, dtype="V0")[0], "result", "without any memory"),
        ({"k": [object()]}, "result['k'][0]", "is an object"),
        ({(1, object()): 5}, "result[<tuple>][1]", "is an object"),
        ({1: {object()}}, "result[1]{...}", "is an object"),
        (Config(1.0, seen=[Lazy]), "result.seen[0]", "is a type"),  # type: ignore[list-item]
        (collections.defaultdict(lambda: 0), "result", "factory"),
        (dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "X")), "result", "time zone"),
        (np.array([None]), "result", "object"),
        (np.array([1], dtype=[("a", object)]), "result", "plain data"),
        (np.ma.masked_array([1]), "result", "MaskedArray"),
        (np.longlong(1), "result", "does not bring back"),
        (Undecorated(1.0), "result", "Undecorated"),
        (OwnState(1), "result", "own way"),
        (DataError(1), "result", "own way"),
        (fractions.Fraction(2**3000), "result", "huge"),
        (range(2**3000), "result", "huge"),
        (iter([1]), "result", "is a list_iterator"),
        (lambda: 1, "result", "is a function"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:30],
)
def test_what_would_not_come_back_is_refused_with_its_path(value: object, path: str, why: str) -> None:
    """NotTree names the part and what is the matter with it."""
    error = refusal(value)
    assert error.path.startswith(path)
    assert why in error.why


def test_subclasses_are_not_taken_for_their_bases() -> None:
    """A subclass of a builtin type is another type, whatever it is equal to."""

    class Text(str):
        pass

    class Stamp(dt.datetime):
        pass

    for value in (Text("a"), Stamp(2024, 1, 1), type("L", (list,), {})(), type("D", (dict,), {})()):
        assert value is refusal([value]).culprit


def test_state_beside_the_fields_is_refused() -> None:
    """What a tree of fields would forget is left to pickle: cached properties, attributes, deleted fields."""
    lazy, extended, incomplete = Lazy(1), Config(1.0), Config(1.0)
    assert 2 == lazy.double
    extended.note = "x"  # type: ignore[attr-defined]
    del incomplete.rate
    assert ["double" in refusal(lazy).why, "note" in refusal(extended).why, "rate" in refusal(incomplete).why] == [
        True
    ] * 3


def test_local_classes_are_refused() -> None:
    """A class made inside a function cannot be found again."""

    @dataclasses.dataclass
    class Local:
        x: int

    assert "cannot be found again" in refusal(Local(1)).why


@pytest.mark.parametrize(
    "tree",
    [
        *({"$new": 1}, {"$tuple": 1}, {"$tuple": [], "x": 1}, {"a": 1, "$set": [1]}, {"$set": [1, 1]}, {"$set": [[]]}),
        *({"$dict": [[1]]}, {"$dict": [[1, 2], [1, 3]]}, {"$dict": [[[], 2]]}, {"$deque": {"maxlen": 0, "items": [1]}}),
        *(
            {"$deque": {"maxlen": "1", "items": []}},
            {"$defaultdict": {"factory": "open", "items": []}},
            {"$counter": 1},
        ),
        *({"$defaultdict": 5}, {"$int": 5}, {"$int": "zz"}, {"$float": "x"}, {"$bytes": "?"}, {"$bytes": "é"}),
        *({"$bytes": {"payload": 5, "size": 1}}, {"$bytes": {"payload": "00", "size": 1}}, {"$str": "/w=="}),
        *({"$complex": ["1"]}, {"$complex": 1}, {"$range": [1, 2]}, {"$range": [1, 2, 0]}, {"$range": [1, 2, True]}),
        *({"$datetime": "soon"}, {"$datetime": "2024-01-01[No/Where]"}, {"$datetime": "2024-01-01[../../x]"}),
        *({"$date": "x"}, {"$time": 5}, {"$timedelta": "P1D"}, {"$timedelta": "P9999999999DT0S"}, {"$timezone": ""}),
        *({"$zone": "x/y"}, {"$zone": 5}, {"$decimal": "x"}, {"$fraction": "1/0"}, {"$uuid": "x"}, {"$path": 5}),
        *({"$windows_path": "x"}, {"$enum": "nothing"}, {"$enum": 5}, {"$enum": f"{__name__}:Color.GREEN"}),
        *({"$enum": f"{__name__}:Config.RED"}, {"$enum": "os:path.sep"}, {"$type": f"{__name__}:Color", "fields": {}}),
        *({"$type": "not_imported:X", "fields": {}}, {"$type": f"{__name__}:Config"}, {"$type": 5, "fields": {}}),
        *({"$type": f"{__name__}:Config", "fields": {}}, {"$type": "builtins:list", "fields": {}}, {"$type": ":"}),
        *({"$type": f"{__name__}:DataError", "fields": {"number": 1}}, {"$npy": 5}, {"$npy": {}}),
        {"$npy": {"dtype": "O", "shape": [1], "data": "AAAAAAAAAAA="}},
        {"$npy": {"dtype": [["a", "O", []]], "shape": [1], "data": "AAAAAAAAAAA="}},
        {"$npy": {"dtype": "f8,O", "shape": [1], "data": "AAAAAAAAAAA="}},
        {"$npy": {"dtype": "<f8", "shape": [2], "data": "AAAAAAAAAAA="}},
        {"$npy": {"dtype": "<f8", "shape": [-1], "data": ""}},
        {"$npy": {"dtype": "<f8", "shape": [2**60, 2**60], "data": ""}},
        {"$npy": {"dtype": "<f8", "shape": [1], "data": "A" * 10_000}},
        {"$npy": {"dtype": "<i1", "scalar": True, "value": 300}},
        {"$npy": {"dtype": "<i1", "scalar": True, "value": "5"}},
        {"$npy": {"dtype": "<i4", "shape": [1], "payload": "00", "size": 4}},
        {"$npy": {"dtype": 5, "shape": [], "data": ""}},
        {"$npy": {"dtype": "<U0", "shape": [10**12], "data": ""}},
        {"$npy": {"dtype": "|V0", "scalar": True, "data": ""}},
        {"$npy": {"dtype": "<f8", "scalar": True, "text": ""}},
        {"$npy": {"dtype": "<U1", "scalar": True, "text": 5}},
        {"$npy": {"dtype": "<U1", "scalar": True, "text": "/w=="}},
        *({"$fraction": "1e3"}, {"$fraction": "1.5"}, {"$fraction": " 1"}, {"$uuid": f"{uuid.UUID(int=5)}[odd]"}),
    ],
    ids=lambda tree: json.dumps(tree)[:60],
)
def test_malformed_trees_are_refused(tree: Any) -> None:
    """A tree that no value has is a BadTree, never another error and never a guess."""
    with pytest.raises(BadTree):
        tags.decode(tree, None, ClassFinder())


@pytest.mark.parametrize("tag", ["$tuple", "$set", "$frozenset"])
def test_depth_of_a_tree_is_bounded(tag: str) -> None:
    """A tree nested without end is refused before it fills the stack."""
    tree: Any = []
    for _ in range(300):
        tree = {tag: [tree]}
    with pytest.raises(BadTree, match="too deeply"):
        tags.decode(tree, None, ClassFinder())


def test_a_bad_tree_says_where() -> None:
    """The path leads to the malformed part."""
    with pytest.raises(BadTree) as caught:
        tags.decode({"a": [1, {"$tuple": [{"$date": "x"}]}]}, None, ClassFinder())
    assert "['a'][1][0]" == caught.value.path


def config_tree(**fields: Any) -> Any:
    return {"$type": f"{__name__}:Config", "fields": fields}


def test_a_new_field_takes_its_default() -> None:
    """A field that was added with a default since is filled with it."""
    back: Any = tags.decode(config_tree(rate=1.0, layers={"$tuple": []}, total=3), None, ClassFinder())
    assert [[], 3] == [back.seen, back.total]


def test_a_lost_field_is_left_out() -> None:
    """A field that the class no longer has is dropped."""
    back: Any = tags.decode(config_tree(rate=1.0, layers={"$tuple": []}, seen=[], total=0, old=5), None, ClassFinder())
    assert {"rate": 1.0, "layers": (), "seen": [], "total": 0} == vars(back)


def test_a_renamed_field_is_not_guessed() -> None:
    """One field lost and one new is refused: the default would silently replace what was saved."""
    with pytest.raises(BadTree, match="renamed"):
        tags.decode(config_tree(rate=1.0, layers={"$tuple": []}, found=["x"], total=0), None, ClassFinder())


def test_named_tuples_follow_the_same_rules() -> None:
    """A named tuple's new field takes its default, one without is refused."""
    name = f"{__name__}:Point"
    assert Point(1, 5) == tags.decode({"$type": name, "fields": {"x": 1}}, None, ClassFinder())
    with pytest.raises(BadTree, match="'x'"):
        tags.decode({"$type": name, "fields": {"y": 1}}, None, ClassFinder())


def test_leaves_work_without_their_tag() -> None:
    """Where an annotation says the type, the tag can be left out."""
    leaf = find_leaf(dt.datetime)
    assert leaf is LEAVES["$datetime"]
    value = dt.datetime(2024, 1, 2, tzinfo=BERLIN)
    assert value == read_leaf(leaf, write_leaf(leaf, value))


def test_a_leaf_is_found_by_the_class_itself() -> None:
    """A foreign class of the same name is no leaf."""
    assert find_leaf(type("Decimal", (), {"__module__": "decimal"})) is None


def test_the_text_does_not_depend_on_the_hash_seed() -> None:
    """Sets are written in the same order by every process, so that files can be compared."""
    program = (
        "import json; from checkpoint._core import tags;"
        "print(json.dumps(tags.encode([{'x', 'y', 'z', 'w'}, {('q', 1), 'q', 1, None, frozenset('abc')}], 'r', None)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        for seed in ("1", "2", "3")
    ]
    assert 1 == len({run.stdout for run in runs})
    assert '{"$set": ["w", "x", "y", "z"]}' in runs[0].stdout


@dataclasses.dataclass(frozen=True)
class Constant:
    x: int


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    x: int


def test_equal_constants_may_occur_twice() -> None:
    """A frozen instance is as good as its copy, unless it is told apart by identity."""
    constant, identity = Constant(1), Identity(1)
    assert [constant, constant] == through([constant, constant])
    assert "more than once" in refusal([identity, identity]).why


@dataclasses.dataclass(slots=True)
class SlottedConfig:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)
    c: int = dataclasses.field(init=False)


def test_slots_and_unset_fields_are_kept() -> None:
    """A slotted dataclass comes back, and a field that was never set stays so."""
    back = through(SlottedConfig(1, [2]))
    assert ([1, [2], False]) == [back.a, back.b, hasattr(back, "c")]


class Named(Point):
    """A named tuple that can have attributes, as it has no slots."""


def test_a_named_tuple_with_attributes_is_refused() -> None:
    """What is not one of its fields would be forgotten."""
    value = Named(1, 2)
    assert value == through(value)
    value.note = "x"  # type: ignore[attr-defined]
    assert "more than its fields" in refusal(value).why


Odd = enum.Enum("Odd", {"a.b": 1, "c": 2}, module=__name__)


class Open(enum.Flag, boundary=enum.KEEP):
    A = 1


def test_members_without_a_usable_name_are_refused() -> None:
    """A member whose name has a dot, or bits without a name, is left to pickle."""
    assert "dot" in refusal(Odd(1)).why
    assert "without a name" in refusal(Open(8)).why
    assert [Odd.c, Open.A] == through([Odd.c, Open.A])


def test_text_for_messages_is_short() -> None:
    """A refused tree is shown cut."""
    with pytest.raises(BadTree, match=r"\.\.\.") as caught:
        tags.decode({"$date": ["x" * 1000]}, None, ClassFinder())
    assert len(str(caught.value)) < 200


def test_dictionaries_with_attributes_are_refused() -> None:
    """An OrderedDict can have attributes, which its pairs do not hold."""
    value = collections.OrderedDict(a=1)
    value.note = "x"  # type: ignore[attr-defined]
    assert "attributes" in refusal(value).why


def test_zones_must_be_found_by_name() -> None:
    """A zone that is not the one its name stands for is left to pickle."""
    assert "found by its name" in refusal(zoneinfo.ZoneInfo.no_cache("Europe/Berlin")).why
    assert "name of its own" in refusal(dt.timezone(dt.timedelta(0), "X")).why


def test_a_payload_of_another_length_is_refused() -> None:
    """What is fetched must have the size that was asked for."""
    tree: Any = {"$bytes": {"payload": "00", "size": 5}}
    assert b"12345" == tags.decode(tree, lambda digest, size: bytearray(b"12345"), ClassFinder())
    with pytest.raises(BadTree, match="not of 5 bytes"):
        tags.decode(tree, lambda digest, size: bytearray(b"1"), ClassFinder())
    array: Any = {"$npy": {"dtype": "<i4", "shape": [1], "payload": "00", "size": 4}}
    with pytest.raises(BadTree, match="has 1 bytes"):
        tags.decode(array, lambda digest, size: bytearray(b"1"), ClassFinder())


def test_without_numpy_an_array_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what is missing."""
    tree = tags.encode(np.arange(2), "r", None)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(BadTree, match="not installed"):
        tags.decode(tree, None, ClassFinder())


def test_what_is_left_of_the_stack_is_respected() -> None:
    """A value or tree that fits the bound but not the stack is refused, not a RecursionError."""
    value: Any = []
    for _ in range(90):
        value = [value]
    limit = sys.getrecursionlimit()
    depth = 0
    frame: Any = sys._getframe()
    while frame:
        frame, depth = frame.f_back, depth + 1
    try:
        sys.setrecursionlimit(depth + 60)
        with pytest.raises(NotTree):
            tags.encode(value, "r", None)
        with pytest.raises(BadTree):
            tags.decode(value, None, ClassFinder())
    finally:
        sys.setrecursionlimit(limit)


def test_a_value_that_changes_while_it_is_saved_is_refused() -> None:
    """A dict that another thread grows is refused in our words, not with a RuntimeError."""
    value: dict[str, Any] = {"a": bytes(40_000), "b": 1}

    def attach(view: memoryview) -> str:
        value["c"] = 1
        return "0"

    with pytest.raises(NotTree, match="was changed"):
        tags.encode(value, "result", attach)
