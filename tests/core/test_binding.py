"""
From arguments to what identifies the call: by names, never by how the call was written.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._core.binding import Binder
from checkpoint._core.binding_signature import is_constant
from checkpoint.errors import FingerprintError, UsageError

LOCK = threading.Lock()
UNSET = object()


def load(path: Any, limit: Any = 10, *rest: Any, mode: Any = "r", **options: Any) -> None: ...


def plain(x: Any, y: Any = 1) -> None: ...


def unset(x: Any, limit: Any = UNSET) -> None: ...


def positional(a: Any, b: Any = 2, /, c: Any = 3, *, d: Any = 4) -> None: ...


def mutable(x: Any, seen: Any = ()) -> None: ...


class Client:
    def __init__(self, url: str) -> None:
        self.url = url
        self.history: list[str] = []

    def fetch(self, page: int) -> None: ...

    @classmethod
    def make(cls, page: int) -> None: ...

    @staticmethod
    def helper(page: int) -> None: ...


def binder(function: Callable[..., Any] = load, **options: Any) -> Binder:
    """Return the binder of a step."""
    return Binder(function, step="app:load", **options)


def identity(*args: Any, **kwargs: Any) -> str:
    """Return what identifies a call of `load`."""
    made = binder()
    return made.identity(made.bind(*args, **kwargs))


# bind


def test_values_in_signature_order() -> None:
    """Every parameter has its place, defaults included."""
    assert ("a", 10, (), "r", {}) == binder().bind("a")


def test_rest_and_options() -> None:
    """`*args` comes as a tuple, `**kwargs` as a dict."""
    assert ("a", 1, (2, 3), "w", {"deep": True}) == binder().bind("a", 1, 2, 3, mode="w", deep=True)


def test_defaults_are_the_very_objects() -> None:
    """A default is handed over, not written into source and read again."""
    assert UNSET is binder(unset).bind(1)[1]


def test_positional_only() -> None:
    """Positional-only and keyword-only parameters are bound as the function would."""
    assert (1, 2, 5, 6) == binder(positional).bind(1, c=5, d=6)


def test_no_parameters() -> None:
    """A function without parameters has no values."""

    def step() -> None: ...

    made = binder(step)

    assert () == made.bind()
    assert "" == made.identity(())


def test_instance_comes_first() -> None:
    """The instance of a method is an argument like any other."""
    client = Client("u")

    assert (client, 3) == binder(Client.fetch).bind(client, 3)


@pytest.mark.parametrize("method", [Client.__dict__["make"], Client.__dict__["helper"]])
def test_class_and_static_methods(method: Any) -> None:
    """What decorates a method is seen through."""
    assert "page" in binder(method).parameters


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 2}), ((1,), {"z": 2}), ((1,), {"y": 2, "z": 3})]
)
def test_wrong_calls(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A wrong call raises the very error that calling the function raises."""
    with pytest.raises(TypeError) as expected:
        plain(*args, **kwargs)
    with pytest.raises(TypeError) as caught:
        binder(plain).bind(*args, **kwargs)

    assert str(expected.value) == str(caught.value)


def test_wrong_call_of_a_method() -> None:
    """The message names the method by its class."""
    with pytest.raises(TypeError, match=r"Client\.fetch\(\) missing 1 required positional argument: 'page'"):
        binder(Client.fetch).bind(Client("u"))


def test_decorated_function() -> None:
    """A function that shows another's signature is bound by it."""

    @functools.wraps(plain)
    def outer(*args: Any, **kwargs: Any) -> None: ...

    assert (1, 1) == binder(outer).bind(1)


def test_names_that_are_no_source() -> None:
    """A signature that cannot be written as source is bound all the same."""

    def step(*args: Any, **kwargs: Any) -> None: ...

    kind = inspect.Parameter.POSITIONAL_ONLY
    step.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions may carry one
        [inspect.Parameter("class", kind), inspect.Parameter("other", kind, default=3)]
    )
    made = binder(step)

    assert (1, 3) == made.bind(1)
    assert "class=1" == made.identity(made.bind(1))


def test_callable_without_signature() -> None:
    """Of a function that does not tell its parameters, arguments are known by place and keyword."""
    made = binder(dict)

    assert "args=(1,2),kwargs={'a': 3}" == made.identity(made.bind(1, 2, a=3))


def test_annotations_that_cannot_be_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asking for a signature evaluates annotations, names that only type checkers import do no harm."""
    real = inspect.signature

    def evaluating(function: Any) -> inspect.Signature:
        if function.__annotations__:
            raise NameError("name 'Branch' is not defined")
        return real(function)

    monkeypatch.setattr(inspect, "signature", evaluating)

    assert ("a", 10, (), "w", {}) == binder().bind("a", mode="w")


# identity


def test_identity_text() -> None:
    """The text names the parameters, sorted."""
    assert "limit=20,mode='w',options={'deep': True},path='a',rest=(1)" == identity("a", 20, 1, mode="w", deep=True)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("a",), {}),
        ((), {"path": "a"}),
        (("a", 10), {}),
        (("a",), {"limit": 10}),
        (("a",), {"mode": "r"}),
        (("a",), {"limit": int("10"), "mode": "".join(["r"])}),
    ],
)
def test_ways_to_write_a_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Position or keyword, default given or left out: it is one call."""
    assert "path='a'" == identity(*args, **kwargs)


def test_equal_default_of_another_type() -> None:
    """A value that only compares equal to the default is another value."""
    assert "limit=10.0,path='a'" == identity("a", 10.0)


def test_order_of_keywords() -> None:
    """The order of keywords does not matter."""
    assert identity("a", x=1, y=2) == identity("a", y=2, x=1)


def test_rest_is_told_from_a_list() -> None:
    """`f(a, 1, [2, 3])` and `f(a, 1, 2, 3)` are two calls."""
    assert identity("a", 1, [2, 3]) != identity("a", 1, 2, 3)


def test_options_are_told_from_parameters() -> None:
    """A keyword that happens to be called like a parameter is not taken for it."""

    def step(a: Any, /, **options: Any) -> None: ...

    made = binder(step)
    assert made.identity(made.bind(1, a=2)) != made.identity(made.bind(2, a=1))


def test_new_parameter_with_default() -> None:
    """A parameter that was added with a default keeps old calls."""

    def older(path: Any) -> None: ...

    assert binder(older).identity(("a",)) == identity("a")


def test_moved_parameter() -> None:
    """A parameter that was moved, or made keyword-only, keeps old calls."""

    def other(*, limit: Any = 10, path: Any) -> None: ...

    made = binder(other)
    assert identity("a", 20) == made.identity(made.bind(limit=20, path="a"))


def test_default_without_lasting_value() -> None:
    """A parameter left at its default is known by being the default."""
    made = binder(unset)

    assert "x=1" == made.identity(made.bind(1))


def test_default_given_as_an_equal_value() -> None:
    """A value equal to a default that is no constant counts as the default."""
    made = binder(mutable)

    assert "x=1" == made.identity(made.bind(1, ()))


def test_default_that_was_changed() -> None:
    """A default that was changed since the step was made is another value; changed back it is the default again."""
    rows: list[int] = []

    def step(x: Any, seen: Any = rows) -> None: ...

    made = binder(step)
    rows.append(1)
    changed = made.identity(made.bind(1))
    rows.clear()

    assert ["seen=[1],x=1", "x=1"] == [changed, made.identity(made.bind(1))]


def test_default_that_was_changed_into_one_without_value() -> None:
    """A default that has lost its lasting value is named."""
    rows: list[object] = []

    def step(x: Any, seen: Any = rows) -> None: ...

    made = binder(step)
    rows.append(LOCK)
    with pytest.raises(FingerprintError) as caught:
        made.identity(made.bind(1))

    assert "seen" == caught.value.argument


def test_default_whose_own_method_raises() -> None:
    """A default that cannot say what it is does not end the import; it is known by being the default."""

    class Broken:
        def __checkpoint_key__(self) -> object:
            raise ValueError("not yet")

    def step(x: Any, way: Any = Broken()) -> None: ...  # noqa: B008 - made once, on purpose

    made = binder(step)

    assert "x=1" == made.identity(made.bind(1))


@pytest.mark.parametrize("default", [(), (1, ("a", None)), inspect.Parameter.KEYWORD_ONLY, len, binder, dict])
def test_constant_defaults(default: object) -> None:
    """What can never change is known by being the same object."""
    assert is_constant(default)


@pytest.mark.parametrize("default", [[], ([],), {}, object(), functools.partial(len)])
def test_defaults_that_may_change(default: object) -> None:
    """Anything else is compared."""
    assert not is_constant(default)


def test_ignored_parameters() -> None:
    """An ignored parameter may be anything."""
    made = binder(ignore=["limit", "options"])

    assert "path='a'" == made.identity(made.bind("a", LOCK, client=LOCK))


def test_self_by_value() -> None:
    """Two instances with equal data make one call."""
    made = binder(Client.fetch)

    assert made.identity((Client("u"), 1)) == made.identity((Client("u"), 1))
    assert made.identity((Client("u"), 1)) != made.identity((Client("v"), 1))


def test_long_argument_is_hashed() -> None:
    """A large argument does not make a large text, and still counts whole."""
    first, second = identity("a" * 10**6), identity("a" * (10**6 - 1) + "b")

    assert first != second
    assert len(first) < 100


@given(st.lists(st.integers(), min_size=1, max_size=3), st.dictionaries(st.sampled_from("xyz"), st.integers()))
def test_distinct_calls_are_distinct(args: list[int], kwargs: dict[str, int]) -> None:
    """Different values in the same places make different calls."""
    made = binder()
    values = made.bind(*args, **kwargs)
    other = made.bind(*args[:-1], args[-1] + 1, **kwargs)

    if other[1] != 10 and values[1] != 10:
        assert made.identity(values) != made.identity(other)


# errors


def test_unknown_ignore() -> None:
    """Ignoring what is no parameter is refused when the step is made."""
    with pytest.raises(UsageError, match=r"ignore='paht' names no parameter") as caught:
        binder(ignore=["paht"])
    assert "unknown-ignore" == caught.value.slug


def test_one_name_to_ignore() -> None:
    """A single name need not be put into a list."""
    assert "path='a'" == binder(ignore="limit").identity(("a", LOCK, (), "r", {}))


def test_error_names_the_argument() -> None:
    """The error says which argument of which step, and where inside it."""
    with pytest.raises(FingerprintError) as caught:
        identity("a", extra={"deep": [LOCK]})

    error = caught.value
    assert ("app:load", "options", "options['extra']['deep'][0]") == (error.step, error.argument, error.path)
    assert LOCK is error.culprit


def test_error_of_the_first_refused_argument() -> None:
    """Arguments that are fine are not blamed."""
    with pytest.raises(FingerprintError, match="argument 'path' is a lambda"):
        identity(lambda: 1, 3)


def test_error_of_a_cycle() -> None:
    """An argument that contains itself has an error of its own."""
    cycle: list[Any] = []
    cycle.append(cycle)

    with pytest.raises(FingerprintError, match="argument 'path' contains itself") as caught:
        identity(cycle)
    assert "nested-too-deeply" == caught.value.slug


# digests


def test_digests() -> None:
    """Every parameter that counts has eight digits, defaults included."""
    digests = binder(ignore=["mode"]).digests(("a", 10, (), "r", {}))

    assert ["limit", "options", "path", "rest"] == list(digests)
    assert all(len(digits) == 8 for digits in digests.values())


def test_digest_of_a_default() -> None:
    """Whether the default's value is given or left out, the digest is that of the value."""

    def other(x: Any, y: Any = 2) -> None: ...

    first, second = binder(plain), binder(other)

    assert first.digests((0, 2))["y"] == second.digests(second.bind(0))["y"]
    assert first.digests(first.bind(0))["y"] != second.digests(second.bind(0))["y"]


def test_digest_of_a_long_default() -> None:
    """A long default has the digest of the same value when it is given."""

    def step(text: Any = "a" * 5000) -> None: ...

    def other(text: Any = "") -> None: ...

    assert binder(step).digests(binder(step).bind()) == binder(other).digests(("a" * 5000,))


def test_digest_of_a_default_without_value() -> None:
    """A default that is known by being the default has a digest too."""
    assert 8 == len(binder(unset).digests((1, UNSET))["limit"])


def test_fingerprint_has_both() -> None:
    """One pass gives the identity and the digests."""
    made = binder()
    values = made.bind("a", 3)
    fingerprint = made.fingerprint(values)

    assert made.identity(values) == fingerprint.text
    assert made.digests(values) == fingerprint.digests


# mutated


def test_nothing_changed() -> None:
    """Arguments that are as they were are not reported."""
    made = binder()
    values = made.bind("a", [1], mode="w")

    assert made.mutated(values, made.identity(values)) is None


CHANGES: list[tuple[str, Callable[..., Any], dict[str, Any], Callable[[dict[str, Any]], Any]]] = [
    ("path", load, {"path": [], "limit": 3}, lambda values: values["path"].append(1)),
    ("limit", load, {"path": 1, "limit": [2], "mode": "w"}, lambda values: values["limit"].clear()),
    ("mode", load, {"path": 1, "mode": [2]}, lambda values: values["mode"].append(3)),
    ("options", load, {"path": 1, "deep": [1]}, lambda values: values["options"]["deep"].append(2)),
    ("seen", mutable, {"x": 1, "seen": [1]}, lambda values: values["seen"].append(LOCK)),
    ("x", plain, {"x": [1, 2], "y": [1, 2, 3]}, lambda values: values["x"].append(3)),
]


@pytest.mark.parametrize(("expected", "function", "call", "change"), CHANGES)
def test_changed_argument(
    expected: str, function: Callable[..., Any], call: dict[str, Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    """The argument that the step changed is named."""
    made = binder(function)
    values = made.bind(**call)
    before = made.identity(values)
    change(made.arguments(values))

    assert expected == made.mutated(values, before)


def test_changed_from_the_default() -> None:
    """An argument that was equal to its default and no longer is, or the other way round, is named."""

    def step(a: Any = None, rows: Any = (), z: Any = 0) -> None: ...

    @dataclasses.dataclass
    class Box:
        items: tuple[int, ...]

    made = Binder(functools.partial(step), step="s")
    box = Box(())
    values = made.bind(1, box, 5)
    before = made.identity(values)
    box.items = (1,)

    assert "rows" == made.mutated(values, before)


def test_changed_to_the_default() -> None:
    """An argument that became equal to its default is named."""

    def step(a: Any = 0, rows: Any = {}, z: Any = 0) -> None: ...  # noqa: B006 - never changed

    made = binder(step)
    rows = {"a": 1}
    values = made.bind(1, rows, 5)
    before = made.identity(values)
    rows.clear()

    assert "rows" == made.mutated(values, before)


def test_changed_ignored_argument() -> None:
    """What is ignored may change."""
    made = binder(ignore=["path"])
    rows = [1]
    values = made.bind(rows)
    before = made.identity(values)
    rows.append(2)

    assert made.mutated(values, before) is None


def test_changed_instance() -> None:
    """A method that changes its instance is noticed."""
    made = binder(Client.fetch)
    client = Client("u")
    before = made.identity((client, 1))
    client.history.append("page 1")

    assert "self" == made.mutated((client, 1), before)


# key functions


@pytest.mark.parametrize(
    ("expected", "key"),
    [
        ("='a'", lambda path: path),
        ("=('a',10)", lambda limit, path: (path, limit)),
        ("='a'", lambda path, **_: path),
        ("=('a',7)", lambda path, salt=7: (path, salt)),
        ("=1", lambda: 1),
        ("=('a',10,'r')", lambda first, second, mode: (first, second, mode)),
        ("=('a',10)", lambda *args, **kwargs: args),
    ],
)
def test_key_function(expected: str, key: Callable[..., object]) -> None:
    """A key function is given the arguments it names, or is called as the step is."""
    made = binder()

    assert expected == made.chosen_identity(made.bind("a"), key)


def test_key_function_sees_rest_and_options() -> None:
    """A key function that is called as the step is gets what the step gets."""
    made = binder()
    values = made.bind("a", 1, 2, 3, mode="w", deep=True)

    assert "=(('a',1,2,3),{'deep': True,'mode': 'w'})" == made.chosen_identity(values, lambda *args, **kw: (args, kw))


def test_key_without_lasting_value() -> None:
    """What a key function returns must identify the call."""
    with pytest.raises(FingerprintError) as caught:
        binder().chosen_identity(binder().bind("a"), lambda path: LOCK)
    assert "key" == caught.value.argument


def test_error_of_a_key_function() -> None:
    """The user's own error passes through."""
    with pytest.raises(ZeroDivisionError):
        binder().chosen_identity(binder().bind("a"), lambda path: 1 / 0)


def test_chosen_identity_is_not_checked_for_changes() -> None:
    """With a key of one's own, arguments may change."""
    made = binder()
    rows = [1]
    values = made.bind(rows)
    before = made.chosen_identity(values, lambda path: "same")
    rows.append(2)

    assert made.mutated(values, before) is None


def test_chosen_identity_is_told_from_any_other() -> None:
    """No arguments have the text of a chosen key."""
    made = binder()

    assert made.chosen_identity(made.bind("a"), lambda path: path) != made.identity(made.bind("a"))
