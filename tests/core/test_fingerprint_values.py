"""
Every family of values: what is equal has equal text, and what differs has not.

The table is also run as a script, under other names, seeds and Pythons (`test_fingerprint_stability`), so this
file imports nothing but the standard library and the core.
"""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import json
import math
import operator
import pathlib
import pickle
import re
import sys
import time
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable

from checkpoint._core.fingerprint import canonical


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    A = "a"


class Perm(enum.Flag):
    R = 4
    W = 2
    X = 1
    RW = 6


class IntPerm(enum.IntFlag):
    R = 4
    W = 2


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    layers: int = 3
    cache: object = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    a: int
    b: object = None


@dataclasses.dataclass
class Late:
    a: int
    b: int = dataclasses.field(init=False)


class Derived(Config):
    """Declares nothing itself, but keeps more than its base's fields."""

    def __init__(self, extra: object) -> None:
        super().__init__()
        self.extra = extra


@dataclasses.dataclass
class Listed(list):  # type: ignore[type-arg]  # a container with a field
    name: str = ""


class Point(typing.NamedTuple):
    x: int
    y: int


Pair = collections.namedtuple("Pair", ["x", "y"])


class Plain:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)

    @functools.cached_property
    def total(self) -> int:
        return 3

    def method(self) -> None: ...

    def other(self) -> None: ...

    @classmethod
    def make(cls) -> None: ...

    @staticmethod
    def helper() -> None: ...


class Empty:
    pass


class OtherEmpty:
    pass


class Slots:
    __slots__ = ("__private", "a", "b")

    def __init__(self, a: object, b: object, private: object = 0) -> None:
        self.a, self.b, self.__private = a, b, private


class Forgetful:
    """Leaves out what does not count when it is pickled."""

    def __init__(self, url: str) -> None:
        self.url, self.lock = url, object()

    def __getstate__(self) -> object:
        return {"url": self.url}


class Keyed:
    def __init__(self, url: str) -> None:
        self.url, self.lock = url, object()

    def __checkpoint_key__(self) -> object:
        return self.url


class MyDict(dict):  # type: ignore[type-arg]  # a plain subclass
    def items(self) -> typing.Any:
        raise AssertionError("a subclass's own methods must not be asked")


class MyList(list):  # type: ignore[type-arg]  # a plain subclass
    def __iter__(self) -> typing.Any:
        raise AssertionError("a subclass's own methods must not be asked")


class MyStr(str):
    def __repr__(self) -> str:
        return "'x'"


class MyInt(int):
    def __repr__(self) -> str:
        return "1"


class MyPath(type(pathlib.PurePath())):  # type: ignore[misc]  # the class of this system's pure paths
    pass


class MyError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


def function() -> None: ...


def function2() -> None: ...


@functools.lru_cache
def cached() -> None: ...


def decorated_twice(inner: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(inner)
    def outer() -> None: ...

    return outer


@decorated_twice
def wrapped() -> None: ...


def used_cache() -> Plain:
    value = Plain(a=1)
    assert value.total == 3
    return value


def moved(*keys: str) -> collections.OrderedDict[str, int]:
    found = collections.OrderedDict.fromkeys(sorted(keys), 0)
    for key in keys:
        found.move_to_end(key)
    return found


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
UTC = datetime.UTC
HALF = datetime.timezone(datetime.timedelta(hours=1, minutes=30))
moment = functools.partial(datetime.datetime, 2024, 10, 27, 2, 30, 15, 7)

Case = tuple[Callable[[], object], Callable[[], object], Callable[[], list[object]]]

# By name: a value, an equal one built in another way, and values that must not be taken for it.
CASES: dict[str, Case] = {
    "none": (lambda: None, lambda: None, lambda: [False, 0, "None", (), type(None)]),
    "bool": (lambda: True, lambda: 1 == 1, lambda: [1, 1.0, "True", Number.ONE]),
    "int": (lambda: 12, lambda: int("12"), lambda: [12.0, "12", -12, 12 + 0j, MyInt(12), 0x12]),
    "large int": (
        lambda: 2**64,
        lambda: int(str(2**64)),
        lambda: [2**64 - 1, -(2**64), float(2**64), "0x10000000000000000"],
    ),
    "huge int": (lambda: 10**6000, lambda: 10**3000 * 10**3000, lambda: [10**6000 + 1]),
    "float": (lambda: 0.1, lambda: 1 / 10, lambda: [0.1 + 1e-17 * 2, "0.1", decimal.Decimal("0.1")]),
    "minus zero": (lambda: -0.0, lambda: 0.0 * -1, lambda: [0.0, 0]),
    "nan": (lambda: math.nan, lambda: -float("nan"), lambda: ["nan", None, math.inf]),
    "infinity": (lambda: math.inf, lambda: 1e999, lambda: [-math.inf, "inf"]),
    "complex": (
        lambda: 1 + 2j,
        lambda: complex(1, 2),
        lambda: [2 + 1j, complex(1, -2), complex(-0.0, 1), complex(0.0, 1)],
    ),
    "str": (lambda: "abc", lambda: "".join("abc"), lambda: [b"abc", "abd", "ABC", MyStr("abc"), ["abc"]]),
    "hostile str": (lambda: "a','b", lambda: "a','" + "b", lambda: [["a", "b"], "a','b'", "\"a','b\""]),
    "unicode": (
        lambda: "\u00e9\u4e2d\U0001f600",
        lambda: "\xe9中😀",
        lambda: ["e\u0301中😀", "\\xe9\\u4e2d\\U0001f600"],
    ),
    "surrogate": (lambda: "\ud800", lambda: chr(0xD800), lambda: ["\ud801", "\\ud800", "?"]),
    "control": (lambda: "a\n\0\x1b", lambda: "a" + "\n\0\x1b", lambda: ["a\\n\0\x1b", "a\n"]),
    "bytes": (lambda: b"ab", lambda: bytes([97, 98]), lambda: [bytearray(b"ab"), "b'ab'", b"ba"]),
    "long bytes": (lambda: b"x" * 5000, lambda: bytes([120]) * 5000, lambda: [b"x" * 5001, b"y" + b"x" * 4999]),
    "bytearray": (lambda: bytearray(b"a"), lambda: bytearray([97]), lambda: [bytearray(b"b")]),
    "memoryview": (
        lambda: memoryview(b"abcd"),
        lambda: memoryview(bytearray(b"abcd")),
        lambda: [memoryview(b"abce"), memoryview(b"abcd").cast("H")],
    ),
    "array": (
        lambda: array.array("i", [1, 2]),
        lambda: array.array("i", (1, 2)),
        lambda: [array.array("h", [1, 2]), array.array("i", [2, 1]), [1, 2]],
    ),
    "range": (lambda: range(1, 9, 2), lambda: range(*[1, 9, 2]), lambda: [range(1, 9), [1, 3, 5, 7], slice(1, 9, 2)]),
    "slice": (lambda: slice(1, None), lambda: slice(1, None, None), lambda: [slice(None, 1), slice(1, 0)]),
    "ellipsis": (lambda: ..., lambda: Ellipsis, lambda: [NotImplemented, "Ellipsis", None]),
    "list": (
        lambda: [1, 2],
        lambda: list(range(1, 3)),
        lambda: [(1, 2), {1, 2}, [2, 1], [1, 2, None], [[1, 2]], "[1,2]"],
    ),
    "grouping": (
        lambda: [["a"], ["b"]],
        lambda: [list("a"), list("b")],
        lambda: [["a", "b"], [["a", "b"]], [["a"], "b"], [[], ["a", "b"]]],
    ),
    "long list": (
        lambda: [7] * 500,
        lambda: [7 for _ in range(500)],
        lambda: [[7] * 499 + [7.0], [7] * 499 + [True], ["7"] * 500],
    ),
    "long strs": (lambda: ["x"] * 100, lambda: list("x" * 100), lambda: [["x"] * 99 + [MyStr("x")], [b"x"] * 100]),
    "empty": (lambda: [], lambda: list(()), lambda: [(), {}, set(), frozenset(), "", b"", None, collections.deque()]),
    "one tuple": (lambda: (1,), lambda: tuple([1]), lambda: [1, [1], ((1,),), Point(1, 1)]),
    "shared parts": (lambda: [x := [1], x], lambda: [[1], [1]], lambda: [[[1]], [[1], [1], [1]]]),
    "dict": (
        lambda: {"a": 1, "b": 2},
        lambda: {"b": 2, "a": 1},
        lambda: [{"a": 2, "b": 1}, [("a", 1), ("b", 2)], {"a", "b"}, {"a": {"b": 2}}],
    ),
    "dict keys": (
        lambda: {1: "x"},
        lambda: dict([(1, "x")]),
        lambda: [{"1": "x"}, {True: "x"}, {1.0: "x"}, {(1,): "x"}, {"x": 1}],
    ),
    "mixed keys": (
        lambda: {1: 1, "b": 2, None: 3},
        lambda: {None: 3, "b": 2, 1: 1},
        lambda: [{1: 1, "b": 2, "None": 3}],
    ),
    "class keys": (lambda: {Color: 1, Plain: 2}, lambda: {Plain: 2, Color: 1}, lambda: [{Color: 2, Plain: 1}]),
    "ordered dict": (
        lambda: moved("a", "b"),
        lambda: collections.OrderedDict(a=0, b=0),
        lambda: [moved("b", "a"), {"a": 0, "b": 0}],
    ),
    "defaultdict": (
        lambda: collections.defaultdict(int, a=1),
        lambda: collections.defaultdict(int, [("a", 1)]),
        lambda: [collections.defaultdict(list, a=1), {"a": 1}],
    ),
    "counter": (
        lambda: collections.Counter("aab"),
        lambda: collections.Counter(b=1, a=2),
        lambda: [{"a": 2, "b": 1}, collections.Counter("ab")],
    ),
    "user dict": (
        lambda: collections.UserDict(a=1),
        lambda: collections.UserDict({"a": 1}),
        lambda: [{"a": 1}, collections.UserDict(a=2)],
    ),
    "chain map": (
        lambda: collections.ChainMap({"a": 1}, {"b": 2}),
        lambda: collections.ChainMap({"a": 1}, {"b": 2}),
        lambda: [collections.ChainMap({"b": 2}, {"a": 1})],
    ),
    "mapping proxy": (
        lambda: types.MappingProxyType({"a": 1}),
        lambda: types.MappingProxyType(dict(a=1)),
        lambda: [{"a": 1}],
    ),
    "deque": (
        lambda: collections.deque([1, 2]),
        lambda: collections.deque((1, 2)),
        lambda: [collections.deque([1, 2], 2), [1, 2], collections.deque([2, 1])],
    ),
    "set": (lambda: {"a", "b", "c"}, lambda: {"c", "b", "a"}, lambda: [frozenset("abc"), ["a", "b", "c"], {"a", "b"}]),
    "nested sets": (
        lambda: {frozenset("ab"), frozenset("c")},
        lambda: {frozenset("c"), frozenset("ba")},
        lambda: [{frozenset("abc")}],
    ),
    "mixed set": (lambda: {1, "1", (1,), None}, lambda: {None, (1,), "1", 1}, lambda: [{1, "1", (1,)}]),
    "dict subclass": (lambda: MyDict(a=1), lambda: MyDict([("a", 1)]), lambda: [{"a": 1}, MyDict(a=2)]),
    "list subclass": (lambda: MyList([1]), lambda: MyList((1,)), lambda: [[1], MyList([2])]),
    "str subclass": (lambda: MyStr("a"), lambda: MyStr("a"), lambda: ["a", MyStr("b"), MyStr("x")]),
    "subclass attributes": (
        lambda: tagged(MyList([1]), "a"),
        lambda: tagged(MyList([1]), "a"),
        lambda: [MyList([1]), tagged(MyList([1]), "b")],
    ),
    "named tuple": (
        lambda: Point(1, 2),
        lambda: Point(y=2, x=1),
        lambda: [Pair(1, 2), (1, 2), Point(2, 1), {"x": 1, "y": 2}],
    ),
    "datetime": (
        lambda: moment(),
        lambda: datetime.datetime.fromisoformat("2024-10-27T02:30:15.000007"),
        lambda: [
            moment(fold=1),
            moment(tzinfo=UTC),
            moment().date(),
            moment().time(),
            "2024-10-27T02:30:15.000007",
            moment().replace(microsecond=8),
        ],
    ),
    "zoned": (
        lambda: moment(tzinfo=BERLIN),
        lambda: moment(tzinfo=zoneinfo.ZoneInfo.no_cache("Europe/Berlin")),
        lambda: [
            moment(tzinfo=BERLIN, fold=1),
            moment(tzinfo=BERLIN).astimezone(UTC),
            moment(tzinfo=HALF),
            moment(tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
        ],
    ),
    "date": (
        lambda: datetime.date(2024, 1, 2),
        lambda: datetime.date.fromisoformat("2024-01-02"),
        lambda: [datetime.datetime(2024, 1, 2), datetime.date(2024, 2, 1), "2024-01-02"],
    ),
    "time": (
        lambda: datetime.time(1, 2),
        lambda: datetime.time(1, 2, 0),
        lambda: [datetime.time(1, 2, tzinfo=UTC), datetime.time(1, 2, fold=1), datetime.time(2, 1)],
    ),
    "timedelta": (
        lambda: datetime.timedelta(hours=25),
        lambda: datetime.timedelta(days=1, hours=1),
        lambda: [datetime.timedelta(-1, 3600), 90000.0],
    ),
    "timezone": (
        lambda: HALF,
        lambda: datetime.timezone(datetime.timedelta(seconds=5400)),
        lambda: [UTC, datetime.timezone(datetime.timedelta(hours=1, minutes=30), "X")],
    ),
    "zone": (
        lambda: BERLIN,
        lambda: zoneinfo.ZoneInfo("Europe/Berlin"),
        lambda: [zoneinfo.ZoneInfo("Europe/Paris"), "Europe/Berlin"],
    ),
    "path": (
        lambda: pathlib.Path("a/b"),
        lambda: pathlib.Path("a") / "b",
        lambda: ["a/b", pathlib.PurePath("a/b"), pathlib.Path("a/c"), pathlib.PureWindowsPath("a/b"), MyPath("a/b")],
    ),
    "used path": (
        lambda: hashed(pathlib.Path("x/y.txt")),
        lambda: pathlib.Path("x/y.txt"),
        lambda: [pathlib.Path("x")],
    ),
    "path subclass": (
        lambda: hashed(MyPath("q/w")),
        lambda: MyPath("q/w"),
        lambda: [pathlib.PurePath("q/w"), MyPath("q")],
    ),
    "decimal": (
        lambda: decimal.Decimal("1.10"),
        lambda: decimal.Decimal((0, (1, 1, 0), -2)),
        lambda: [decimal.Decimal("1.1"), 1.1, "1.10", decimal.Decimal("-1.10")],
    ),
    "large decimal": (
        lambda: decimal.Decimal("1E+30"),
        lambda: decimal.Decimal("1e30"),
        lambda: [decimal.Decimal("10E+29"), decimal.Decimal("Infinity")],
    ),
    "fraction": (
        lambda: fractions.Fraction(2, 6),
        lambda: fractions.Fraction(1, 3),
        lambda: [fractions.Fraction(1, 2), 1 / 3],
    ),
    "uuid": (
        lambda: uuid.UUID(int=5),
        lambda: uuid.UUID("00000000-0000-0000-0000-000000000005"),
        lambda: [uuid.UUID(int=6), 5],
    ),
    "pattern": (
        lambda: re.compile("a+", re.I),
        lambda: re.compile("a+", re.IGNORECASE),
        lambda: [re.compile("a+"), re.compile(b"a+", re.I), "a+"],
    ),
    "enum": (lambda: Color.RED, lambda: Color(1), lambda: [Color.GREEN, 1, "RED", Color]),
    "int enum": (lambda: Number.ONE, lambda: Number(1), lambda: [1, True, MyInt(1)]),
    "str enum": (lambda: Word.A, lambda: Word("a"), lambda: ["a", MyStr("a")]),
    "flag": (lambda: Perm.R | Perm.W, lambda: Perm.RW, lambda: [Perm.R, Perm(0), Perm.R | Perm.X, 6]),
    "int flag": (lambda: IntPerm.R | 8, lambda: IntPerm(12), lambda: [IntPerm.R, IntPerm(8), 12]),
    "dataclass": (
        lambda: Config(),
        lambda: Config(layers=3, lr=0.1, cache=object()),
        lambda: [Config(layers=4), Config(lr=0.2), {"lr": 0.1, "layers": 3}, Derived(1)],
    ),
    "slotted dataclass": (lambda: Slotted(1, [2]), lambda: Slotted(b=[2], a=1), lambda: [Slotted(1), Slotted(2, [2])]),
    "unset field": (lambda: Late(1), lambda: Late(a=1), lambda: [with_b(Late(1), 2), with_b(Late(1), None)]),
    "derived dataclass": (lambda: Derived(1), lambda: Derived(1), lambda: [Derived(2), Config()]),
    "dataclass container": (
        lambda: listed([1], "a"),
        lambda: listed([1], "a"),
        lambda: [listed([2], "a"), listed([1], "b"), [1]],
    ),
    "plain object": (
        lambda: Plain(a=1, b=[2]),
        lambda: Plain(b=[2], a=1),
        lambda: [Plain(a=1), Plain(a=[2], b=1), {"a": 1, "b": [2]}, types.SimpleNamespace(a=1, b=[2])],
    ),
    "used cache": (lambda: used_cache(), lambda: Plain(a=1), lambda: [Plain(a=2)]),
    "empty object": (lambda: Empty(), lambda: Empty(), lambda: [OtherEmpty(), Empty]),
    "slots": (lambda: Slots(1, 2), lambda: copy.copy(Slots(1, 2)), lambda: [Slots(2, 1), Slots(1, 2, 3)]),
    "getstate": (lambda: Forgetful("u"), lambda: Forgetful("u"), lambda: [Forgetful("v")]),
    "own key": (lambda: Keyed("u"), lambda: Keyed("u"), lambda: [Keyed("v"), "u"]),
    "namespace": (
        lambda: types.SimpleNamespace(a=1),
        lambda: types.SimpleNamespace(**{"a": 1}),
        lambda: [types.SimpleNamespace(a=2), types.SimpleNamespace(b=1)],
    ),
    "exception": (
        lambda: ValueError("a", 1),
        lambda: raised(ValueError("a", 1)),
        lambda: [TypeError("a", 1), ValueError("a"), ("a", 1)],
    ),
    "own exception": (lambda: MyError(3), lambda: MyError(3), lambda: [MyError(4)]),
    "function": (
        lambda: function,
        lambda: globals()["function"],
        lambda: [function2, Plain.method, "function", wrapped],
    ),
    "wrapped function": (lambda: wrapped, lambda: globals()["wrapped"], lambda: [wrapped.__wrapped__, function]),  # type: ignore[attr-defined]  # functools.wraps sets it
    "cached function": (lambda: cached, lambda: globals()["cached"], lambda: [function]),
    "builtin function": (lambda: len, lambda: __builtins_len(), lambda: [max, math.sqrt]),
    "unbound": (lambda: str.upper, lambda: str.__dict__["upper"], lambda: [str.lower, bytes.upper]),
    "static method": (lambda: Plain.helper, lambda: Plain().helper, lambda: [Plain.method]),
    "bound method": (
        lambda: Plain(a=1).method,
        lambda: Plain(a=1).method,
        lambda: [Plain(a=2).method, Plain(a=1).other, Plain(a=1)],
    ),
    "bound builtin": (lambda: [1].append, lambda: [1].append, lambda: [[2].append, [1].remove]),
    "class method": (lambda: Plain.make, lambda: Plain().make, lambda: [Plain, Plain.helper]),
    "class": (lambda: Plain, lambda: type(Plain()), lambda: [Empty, "Plain", type, object, int]),
    "partial": (
        lambda: functools.partial(function, 1, a=2),
        lambda: functools.partial(functools.partial(function, 1), a=2),
        lambda: [functools.partial(function, 1), functools.partial(function2, 1, a=2), function],
    ),
    "operator": (
        lambda: operator.itemgetter(1),
        lambda: operator.itemgetter(1),
        lambda: [operator.itemgetter(2), operator.attrgetter("a")],
    ),
    "generic": (lambda: list[int], lambda: list[int], lambda: [list, list[str], set[int]]),
    "union": (
        lambda: int | None,
        lambda: typing.Union[None, int],  # noqa: UP007 - the other way
        lambda: [int, int | str],
    ),
    "typing generic": (
        lambda: typing.Annotated[int, "a"],
        lambda: typing.Annotated[int, "a"],
        lambda: [int, typing.Annotated[int, "b"], typing.List[int], list[int], typing.List],  # noqa: UP006 - the other way
    ),
    "typing forms": (
        lambda: [typing.Literal["a"], typing.Callable[[int], str], typing.Any, typing.Optional],
        lambda: [typing.Literal["a"], typing.Callable[[int], str], typing.Any, typing.Optional],
        lambda: [typing.Literal["b"], [typing.Literal["a"], typing.Callable[[str], str], typing.Any, typing.Optional]],
    ),
    "struct sequence": (
        lambda: time.gmtime(0),
        lambda: time.gmtime(int("0")),
        lambda: [time.gmtime(1), tuple(time.gmtime(0))],
    ),
    "module": (lambda: math, lambda: sys.modules["math"], lambda: [re, "math"]),
}


def __builtins_len() -> object:
    return getattr(sys.modules["builtins"], "len")  # noqa: B009 - another way to the same function


def tagged(value: MyList, tag: str) -> MyList:
    value.tag = tag  # type: ignore[attr-defined]  # an attribute that the class does not know
    return value


def listed(values: list[int], name: str) -> Listed:
    value = Listed(name)
    value.extend(values)
    return value


def with_b(value: Late, b: object) -> Late:
    value.b = b  # type: ignore[assignment]  # any value will do
    return value


def hashed(path: pathlib.PurePath) -> pathlib.PurePath:
    hash(path), path.parts, path.name, path.suffix
    return path


def raised(error: Exception) -> Exception:
    try:
        raise error from RuntimeError("the cause is no part of the value")
    except Exception as caught:
        return caught


# Classes that pickle itself does not get right: it asks their own methods, or calls `__init__` with other arguments.
NOT_COPIED = {"dict subclass", "list subclass", "subclass attributes", "own exception"}


def texts() -> dict[str, str]:
    """Return the canonical text of every value of the table, by name."""
    return {name: canonical(value()) for name, (value, _, _) in CASES.items()}


def pytest_generate_tests(metafunc: typing.Any) -> None:
    """Ask for each test once per case."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES.values(), ids=CASES.keys())
    elif "copied" in metafunc.fixturenames:
        names = [name for name in CASES if name not in NOT_COPIED]
        metafunc.parametrize("copied", [CASES[name][0] for name in names], ids=names)


def test_equal_values_have_equal_text(case: Case) -> None:
    """Building a value in another way does not change its text."""
    value, twin, _ = case
    assert canonical(value()) == canonical(twin())


def test_other_values_have_other_texts(case: Case) -> None:
    """No value that must not be taken for this one has its text."""
    value, _, others = case
    assert canonical(value()) not in [canonical(other) for other in others()]


def test_no_two_cases_share_a_text() -> None:
    """All values of the table have texts of their own."""
    found = texts()
    doubled = {pair for pair in itertools.combinations(found, 2) if found[pair[0]] == found[pair[1]]}

    assert set() == doubled


def test_text_is_ascii_on_one_line(case: Case) -> None:
    """The text can be shown and written anywhere."""
    text = canonical(case[0]())

    assert text.isascii() and text.isprintable()


def test_pickling_keeps_the_text(copied: Callable[[], object]) -> None:
    """What was saved and loaded is still the same argument."""
    value = copied()
    try:
        loaded = pickle.loads(pickle.dumps(value))
    except (TypeError, pickle.PicklingError, AttributeError):
        return  # what cannot be saved is never loaded

    assert canonical(value) == canonical(loaded)


def test_copying_keeps_the_text(copied: Callable[[], object]) -> None:
    """A deep copy is the same argument."""
    value = copied()
    try:
        other = copy.deepcopy(value)
    except TypeError:
        return  # a module or a memoryview

    assert canonical(value) == canonical(other)


def main() -> None:
    """Print every text, as this process sees it; with `spawn`, as a spawned worker does."""
    if "spawn" in sys.argv:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(json.dumps(pool.apply(texts)))
    else:
        print(json.dumps(texts()))


if __name__ == "__main__":
    main()
