"""
A call as a person would write it: short, on one line, without secrets, without asking a user's own methods.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import time
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._core.binding import Binder
from checkpoint._core.display import LONGEST_CALL, show_call
from checkpoint._core.display_values import HIDDEN, is_secret_name, show_value


class Color(enum.Enum):
    RED = 1


class Hostile:
    def __repr__(self) -> str:
        raise AssertionError("a user's repr must not be called")

    __str__ = __repr__

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # as hostile as can be
        raise AssertionError("must not be asked")


class HostileMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]  # as hostile as can be
        raise AssertionError("must not be asked")


class OfHostileMeta(metaclass=HostileMeta):
    pass


class HostileStr(str):
    def __repr__(self) -> str:
        raise AssertionError("a user's repr must not be called")


class HostileZone(datetime.tzinfo):
    def __repr__(self) -> str:
        raise AssertionError("a user's repr must not be called")

    def utcoffset(self, moment: Any) -> Any:
        raise AssertionError("must not be asked")


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    password: str = "hunter2"
    big: object = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int


Point = collections.namedtuple("Point", ["x", "y"])

SHOWN: list[tuple[str, object]] = [
    ("'login'", "login"),
    ("5", 5),
    ("1.5", 1.5),
    ("None", None),
    ("True", True),
    ("b'ab'", b"ab"),
    ("b'" + "a" * 44 + "…'", b"a" * 100),
    ("Path('a/b')", Path("a/b")),
    ("PurePosixPath('a')", PurePosixPath("a")),
    ("[1, 2]", [1, 2]),
    ("(1,)", (1,)),
    ("()", ()),
    ("{'a': 1}", {"a": 1}),
    ("{1, 2}", {2, 1}),
    ("set()", set()),
    ("frozenset({'a'})", frozenset("a")),
    ("[1, 2, 3, 4, … 96 more]", [1, 2, 3, 4, *range(96)]),
    ("{'user': 'u', 'password': …}", {"user": "u", "password": "hunter2"}),
    ("<set of 100>", set(range(100))),
    ("range(0, 9)", range(9)),
    ("Color.RED", Color.RED),
    ("Config(lr=0.1, password=…)", Config()),
    ("Slotted(a=1)", Slotted(1)),
    ("Point(x=1, y=2)", Point(1, 2)),
    ("datetime('2024-01-02 03:04:05')", datetime.datetime(2024, 1, 2, 3, 4, 5)),
    ("datetime('2024-01-02 03:04:05')", datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=HostileZone())),
    ("date('2024-01-02')", datetime.date(2024, 1, 2)),
    ("timedelta(days=1)", datetime.timedelta(1)),
    ("Decimal('1.10')", decimal.Decimal("1.10")),
    ("Fraction(1, 3)", fractions.Fraction(1, 3)),
    ("UUID('00000000000000000000000000000005')", uuid.UUID(int=5)),
    ("<Hostile>", Hostile()),
    ("<OfHostileMeta>", OfHostileMeta()),
    ("<HostileStr>", HostileStr("a")),
    ("show_value", show_value),
    ("len", len),
    ("Config", Config),
    ("…", HIDDEN),
    ("'a\\n\\x1b[31m\\u202e'", "a\n\x1b[31m\u202e"),
    ("'é中'", "é中"),
    ("[[[…]]]", [[[[1]]]]),
    ("<int of 20001 bits>", 2**20000),
]


@pytest.mark.parametrize(("expected", "value"), SHOWN, ids=[expected for expected, _ in SHOWN])
def test_value(expected: str, value: object) -> None:
    """Each kind of value is written as a person would."""
    assert expected == show_value(value, 48)


def test_long_text_keeps_both_ends() -> None:
    """The end of a long text often tells more than its middle."""
    text = show_value("/data/customers/" + "x" * 100 + "/report.csv", 40)

    assert text.startswith("'/data/customers/") and text.endswith("report.csv'")
    assert "…" in text and len(text) <= 44


@given(st.text(), st.integers(12, 60))
def test_text_is_never_long(text: str, width: int) -> None:
    """Whatever a text contains, what is shown is short and printable."""
    shown = show_value(text, width)

    assert shown.isprintable() and len(shown) <= width + 4


def add(branch: Any, target: Any = "main", *rest: Any, force: Any = False, **options: Any) -> None: ...


def show(function: Callable[..., Any], *args: Any, ignore: Any = (), **kwargs: Any) -> str:
    """Return how a call is shown."""
    made = Binder(function, step="app:add", ignore=ignore)
    return made.show(made.bind(*args, **kwargs))


@pytest.mark.parametrize(
    ("expected", "args", "kwargs"),
    [
        ("add('login')", ("login",), {}),
        ("add('login')", (), {"branch": "login", "target": "main"}),
        ("add('login', 'dev')", ("login", "dev"), {}),
        ("add('login', force=True)", ("login",), {"force": True}),
        ("add('login', 'main', 1, 2)", ("login", "main", 1, 2), {}),
        ("add('login', depth=3)", ("login",), {"depth": 3}),
        ("add('login', api_key=…)", ("login",), {"api_key": "x"}),
    ],
)
def test_call(expected: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Defaults are left out, keyword-only arguments and those behind a left-out one are named."""
    assert expected == show(add, *args, **kwargs)


def test_named_after_a_default() -> None:
    """An argument behind one that was left out must be named."""

    def step(a: Any, b: Any = 1, c: Any = 2) -> None: ...

    assert "step(0, c=5)" == show(step, 0, c=5)


def test_ignored_argument() -> None:
    """What is ignored is not shown."""
    assert "add(…, force=…)" == show(add, "x", force=True, ignore=["branch", "force"])


def test_ignored_rest() -> None:
    """Ignored arguments of any number are one sign."""
    assert "add('a', 'main', …, x=…)" == show(add, "a", "main", 1, 2, x=3, ignore=["rest", "options"])


@pytest.mark.parametrize(
    "name", ["password", "db_passwd", "token", "apiToken", "client_secret", "API_KEY", "credentials"]
)
def test_secret_names(name: str) -> None:
    """What is called a secret is one."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "num_tokens", "tokenizer", "branch", "key", "secretary", "passport", "", 3]
)
def test_open_names(name: object) -> None:
    """What only sounds like one is not."""
    assert not is_secret_name(name)


class SecretStr:
    def __init__(self, value: str) -> None:
        self.value = value


def log_in(user: str, code: SecretStr, other: SecretStr | None = None) -> None: ...


def test_secret_annotation() -> None:
    """A parameter that is typed as a secret is not shown."""
    assert "log_in('u', …, …)" == show(log_in, "u", "hunter2", "hunter3")


def test_evaluated_annotation() -> None:
    """An annotation that is a type, not a text, says the same."""
    log_in.__annotations__["code"] = SecretStr

    assert "log_in('u', …)" == show(log_in, "u", "hunter2")


def test_open_and_odd_annotations() -> None:
    """Other annotations hide nothing, even if they cannot be shown."""
    log_in.__annotations__.update(user=Hostile(), code=int)

    assert "log_in('u', 3)" == show(log_in, "u", 3)


def test_hidden_argument_still_identifies() -> None:
    """A secret that is not shown is part of the call's identity."""
    made = Binder(log_in, step="s")

    assert made.identity(("u", "x", None)) != made.identity(("u", "y", None))


class Client:
    def fetch(self, page: int) -> None: ...

    @classmethod
    def make(cls, page: int) -> None: ...


class FastClient(Client):
    pass


def test_method() -> None:
    """A method is shown with its instance's class, without an address."""
    assert "FastClient.fetch(3)" == show(Client.fetch, FastClient(), 3)


def test_class_method() -> None:
    """A class method is shown with its class."""
    assert "FastClient.make(3)" == show(Client.__dict__["make"], FastClient, 3)


NAMES = st.text(max_size=60).filter(lambda name: name not in ("branch", "target", "force"))


@given(
    st.lists(st.text() | st.integers() | st.lists(st.text()), min_size=1, max_size=30),
    st.dictionaries(NAMES, st.text()),
)
def test_call_is_never_long(args: list[Any], kwargs: dict[str, Any]) -> None:
    """Whatever the arguments, the call fits on a line."""
    shown = show(add, *args, **kwargs)

    assert len(shown) <= LONGEST_CALL
    assert shown.isprintable()


def test_squeezed_call_shows_that_there_is_more() -> None:
    """A call that does not fit ends with a sign."""
    shown = show_call("add", [("", "x" * 40)] * 20)

    assert shown.endswith(", …)") and len(shown) <= LONGEST_CALL


def test_long_name() -> None:
    """A very long name is cut too."""
    assert len(show_call("n" * 200, [("", 1)])) <= LONGEST_CALL


def test_large_values_are_not_read() -> None:
    """Showing takes no longer for a large value."""
    large = {"rows": list(range(10**6)), "text": "x" * 10**7, "number": 1 << 10**6}
    began = time.perf_counter()
    for _ in range(100):
        show_value(large, 48)

    assert time.perf_counter() - began < 0.5
