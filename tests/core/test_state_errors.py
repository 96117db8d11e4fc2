"""What cannot be kept in a state is refused with the path to it and a way out."""

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict, deque
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy
import pydantic
import pytest

from checkpoint._core.state_tree import StateCodec
from checkpoint.errors import StateError, UsageError


class Client:
    """A class without fields."""


@dataclasses.dataclass
class Item:
    conn: Any = None


@dataclasses.dataclass
class State:
    items: list[Item] = dataclasses.field(default_factory=list)
    by_name: dict[str, Any] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    ("state", "path"),
    [
        (State(items=[Item(), Item(), Item(), Item(Client())]), "state.items[3].conn"),
        (State(by_name={"a": [1, (2, {"k": Client()})]}), "state.by_name['a'][1][1]['k']"),
        (State(by_name={"a": {Client()}}), "state.by_name['a']{...}"),
        (State(by_name={"a": deque([Client()])}), "state.by_name['a'][0]"),
        (State(by_name={str(number): Client() for number in range(40)}), "state.by_name['0']"),
        (State(by_name={"a": {1: Client()}}), "state.by_name['a'][1]"),
    ],
)
def test_the_path_leads_to_the_culprit(state: State, path: str) -> None:
    """The message names the value inside the state, its class and what to do."""
    with pytest.raises(StateError) as caught:
        StateCodec(State).encode(state)
    assert (path, "state-unsavable") == (caught.value.path, caught.value.slug)
    assert (
        f"The state cannot be saved: {path} is a {__name__}.Client, which cannot be kept in the state as readable "
        "JSON. Give it fields, or keep it outside the state."
    ) == str(caught.value)


def local_instance() -> object:
    @dataclasses.dataclass
    class Local:
        a: int = 1

    return Local()


class OddList(list[int]):
    """A list that may hold more than its entries."""


@dataclasses.dataclass
class OddDataclass(dict[str, int]):
    """A dataclass whose content is not all in its fields."""

    a: int = 1


@pytest.mark.parametrize(
    ("value", "slug"),
    [
        (threading.Lock(), "state-unsavable"),
        (lambda: None, "state-unsavable"),
        ((number for number in ()), "state-unsavable"),
        (int, "state-unsavable"),
        (OddList(), "state-unsavable"),
        (OddDataclass(), "state-unsavable"),
        (ValueError("x"), "state-unsavable"),
        (pydantic.SecretStr("hush"), "state-secret"),
        (local_instance(), "state-local-class"),
        (defaultdict(lambda: 0), "state-factory"),
        (numpy.zeros(100_000), "state-large-array"),
        (numpy.array([object()]), "state-unsavable"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_has_no_readable_form_is_refused(value: Any, slug: str) -> None:
    """Nothing is saved by guessing."""
    with pytest.raises(StateError, match=r"state\['x'\]") as caught:
        StateCodec(dict).encode({"x": value})
    assert (slug, "state['x']") == (caught.value.slug, caught.value.path)


def test_a_secret_is_refused_under_its_annotation_too_and_not_shown() -> None:
    """A declared secret does not get into a readable file, nor into the message."""

    class Model(pydantic.BaseModel):
        token: pydantic.SecretStr = pydantic.SecretStr("hush")

    with pytest.raises(StateError, match=r"state\.token") as caught:
        StateCodec(Model).encode(Model())
    assert "hush" not in str(caught.value)


def test_a_state_that_contains_itself_is_refused_with_the_way() -> None:
    """A cycle is named, however it is closed."""
    state = State(items=[Item()])
    state.items[0].conn = {"back": [state]}
    with pytest.raises(StateError) as caught:
        StateCodec(State).encode(state)
    assert ("state-cycle", "state.items[0].conn['back'][0]") == (caught.value.slug, caught.value.path)


def test_a_list_in_itself_is_refused() -> None:
    """The smallest cycle."""
    state: Any = {"a": []}
    state["a"].append(state["a"])
    with pytest.raises(StateError, match=r"state\['a'\]\[0\] contains itself"):
        StateCodec(dict).encode(state)


def test_a_state_that_is_too_deep_is_refused() -> None:
    """Depth has the bound of the stack, and its own message."""
    state: Any = {}
    inner = state
    for _ in range(5_000):
        inner["a"] = {}
        inner = inner["a"]
    with pytest.raises(StateError, match="state is nested too deeply"):
        StateCodec(dict).encode(state)


@pytest.mark.parametrize("hint", [5, "x", None, [1], (1,), Client, Client(), set(), OddList, defaultdict(list), int])
def test_a_state_of_another_kind_is_refused(hint: object) -> None:
    """The message lists what a state can be."""
    with pytest.raises(UsageError, match="Use a dict, a dataclass, an attrs class") as caught:
        StateCodec(hint)
    assert ("state-kind", hint) == (caught.value.slug, caught.value.value)


class Row(NamedTuple):
    a: int = 1


@pytest.mark.parametrize(
    "hint",
    [
        Row,
        dataclasses.make_dataclass("Frozen", [], frozen=True),
        attrs.make_class("Frozen", [], frozen=True),
        pydantic.create_model("Frozen", __config__=pydantic.ConfigDict(frozen=True)),
        msgspec.defstruct("Frozen", [], frozen=True),
    ],
)
def test_a_state_that_can_never_change_is_refused(hint: Any) -> None:
    """A frozen state would be lost on every change."""
    with pytest.raises(UsageError, match="never change") as caught:
        StateCodec(hint)
    assert "state-frozen" == caught.value.slug


def test_a_class_that_needs_arguments_must_be_given_as_an_instance() -> None:
    """Nobody but the program knows the first values."""
    cls = dataclasses.make_dataclass("State", [("a", int)])
    with pytest.raises(UsageError, match=r"state=State\(\.\.\.\)") as caught:
        StateCodec(cls).make(None, [])
    assert "state-needs-arguments" == caught.value.slug


def test_an_error_of_the_class_itself_passes_through() -> None:
    """What `__post_init__` raises is the program's own business."""

    @dataclasses.dataclass
    class Failing:
        a: int = 1

        def __post_init__(self) -> None:
            raise TypeError("my own")

    with pytest.raises(TypeError, match="my own"):
        StateCodec(Failing).make(None, [])


def test_a_state_replaced_by_one_of_another_class_is_refused() -> None:
    """`run.state = something_else` is noticed when it is saved or restored."""
    codec = StateCodec(State)
    with pytest.raises(UsageError, match="it is State in this run"):
        codec.encode({})
    with pytest.raises(UsageError, match="it is State in this run"):
        codec.restore({}, {}, [])


@pytest.mark.parametrize("hint", [State(), State, {"a": 1}, dict, dict[str, int]])
def test_a_state_or_its_class_will_do(hint: object) -> None:
    """From an instance its class is taken."""
    assert isinstance(StateCodec(hint).make(None, []), (State, dict))
