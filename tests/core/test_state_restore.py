"""Restoring: the very object is filled, what is inside keeps its identity, and the result is exact."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections import Counter, OrderedDict, defaultdict, deque
from functools import cached_property
from typing import Any, TypedDict

import attrs
import msgspec
import pydantic
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._core.changes import equal
from checkpoint._core.state_tree import StateCodec


@dataclasses.dataclass(frozen=True)
class Point:
    x: int


@dataclasses.dataclass
class Item:
    id: int
    tags: list[str] = dataclasses.field(default_factory=list)
    child: Item | None = None


@dataclasses.dataclass
class State:
    pending: list[str] = dataclasses.field(default_factory=list)
    items: list[Item] = dataclasses.field(default_factory=list)
    by_name: dict[str, Item] = dataclasses.field(default_factory=dict)
    by_number: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    seen: set[str] = dataclasses.field(default_factory=set)
    recent: deque[int] = dataclasses.field(default_factory=deque)
    point: Point | None = None
    either: Item | Point | str | None = None
    free: Any = None
    when: dt.datetime | None = None


def saved(state: Any, codec: StateCodec | None = None) -> tuple[StateCodec, Any]:
    """The codec of a state and its tree as it comes back from the journal."""
    codec = codec or StateCodec(state)
    return codec, json.loads(json.dumps(codec.encode(state)))


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.sampled_from([0.0, -0.0, 1.5, float("inf"), "", "a", "$x", "\ud83d\ude00", "\ud800", b"x", Point(1)]),
        st.dates(dt.date(2024, 1, 1), dt.date(2024, 1, 9)),
        st.builds(Item, st.integers(0, 3), st.lists(st.sampled_from("ab"), max_size=2)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(st.sampled_from(["a", "b", "$c", 1, True, None]), inner, max_size=3),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(OrderedDict),
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3).map(Counter),
        st.sets(st.integers(0, 5), max_size=3),
    ),
    max_leaves=12,
)
dict_states = st.dictionaries(st.sampled_from(["a", "b", "c", "$d"]), values, max_size=4)
items = st.builds(
    Item,
    st.integers(0, 3),
    st.lists(st.sampled_from("ab"), max_size=2),
    st.none() | st.builds(Item, st.integers(0, 2)),
)
states = st.builds(
    State,
    pending=st.lists(st.sampled_from("abcd"), max_size=12),
    items=st.lists(items, max_size=4),
    by_name=st.dictionaries(st.sampled_from("abc"), items, max_size=3),
    by_number=st.dictionaries(st.integers(-1, 3), st.lists(st.integers(0, 3), max_size=2), max_size=3),
    seen=st.sets(st.sampled_from("abc")),
    recent=st.lists(st.integers(0, 3), max_size=3).map(lambda numbers: deque(numbers, maxlen=3)),
    point=st.none() | st.builds(Point, st.integers(0, 2)),
    either=st.none() | items | st.builds(Point, st.integers(0, 2)) | st.sampled_from("ab"),
    free=values,
    when=st.none() | st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 3)),
)


@given(dict_states, dict_states)
def test_any_dict_becomes_any_other_exactly(state: Any, other: Any) -> None:
    """Whatever is in the state, it is written afterwards as what it was restored from."""
    codec, tree = saved(other)
    assert equal(tree, codec.encode(other))
    codec.restore(state, tree, [])
    assert equal(tree, codec.encode(state))


@given(states, states)
def test_any_typed_state_becomes_any_other_exactly(state: State, other: State) -> None:
    """The same for a class with annotations, whose values are equal then, too."""
    codec, tree = saved(other)
    assert codec.make(tree, []) == other
    codec.restore(state, tree, [])
    assert equal(tree, codec.encode(state))
    assert other == state


@given(states, st.data())
def test_a_state_with_shared_parts_becomes_any_other_exactly(state: State, data: st.DataObject) -> None:
    """One object in two places of the state does not mix up what the two places had."""
    codec, tree = saved(data.draw(states))
    state.items = [*state.items, *state.items]
    state.by_name = {key: state.items[0] for key in state.by_name} if state.items else {}
    state.free = [state.items, state.pending, state.pending]
    codec.restore(state, tree, [])
    assert equal(tree, codec.encode(state))


def test_names_bound_to_what_is_inside_stay_good() -> None:
    """Every container and object inside the state is the same one after a restore."""
    state = State(["a"], [Item(1)], {"k": Item(2)}, {1: [1]}, {"x"}, deque([1]), free={"deep": [[1]]})
    codec, tree = saved(state)
    bound = [state.pending, state.items, state.items[0], state.items[0].tags, state.by_name, state.by_name["k"]]
    bound += [state.by_number, state.by_number[1], state.seen, state.recent, state.free, state.free["deep"][0]]
    state.pending.append("b")
    state.items[0].id = 7
    state.items[0].tags.append("t")
    state.by_name["k"].id = 8
    state.by_name["new"] = Item(3)
    state.by_number[1].append(2)
    state.seen.add("y")
    state.recent.append(2)
    state.free["deep"][0].append(2)
    codec.restore(state, tree, [])
    after = [state.pending, state.items, state.items[0], state.items[0].tags, state.by_name, state.by_name["k"]]
    after += [state.by_number, state.by_number[1], state.seen, state.recent, state.free, state.free["deep"][0]]
    assert [True] * 12 == [one is other for one, other in zip(bound, after, strict=True)]
    assert State(["a"], [Item(1)], {"k": Item(2)}, {1: [1]}, {"x"}, deque([1]), free={"deep": [[1]]}) == state


def test_an_entry_that_moved_keeps_its_identity_and_its_content() -> None:
    """A name bound to the second entry still means that entry when the first one comes back."""
    state = State(items=[Item(1), Item(2), Item(3)])
    codec, tree = saved(state)
    second = state.items[1]
    del state.items[0]
    codec.restore(state, tree, [])
    assert [1, 2, 3] == [item.id for item in state.items]
    assert second is state.items[1]
    assert 2 == second.id


def test_a_frozen_object_is_replaced_only_if_it_changed() -> None:
    """Frozen objects are never filled; an unchanged one stays the same object."""
    state = State(point=Point(1), either=Point(2))
    codec, tree = saved(state)
    kept, replaced = state.point, state.either
    state.either = Point(3)
    codec.restore(state, tree, [])
    assert kept is state.point
    assert (Point(2), Point(2)) == (state.either, replaced)


def test_what_cannot_be_saved_is_rolled_back_too() -> None:
    """A failed step may have put anything into the state."""
    state: Any = {"items": [1, 2], "n": 1}
    codec, tree = saved(state)
    state["items"].append(lambda: None)
    state["n"] = object()
    state["items"].insert(0, state)
    codec.restore(state, tree, [])
    assert {"items": [1, 2], "n": 1} == state


def test_a_frozen_object_that_cannot_be_saved_is_replaced() -> None:
    """What a failed step put into a typed place is rolled back like everything else."""
    state = State(point=Point(1))
    codec, tree = saved(state)
    state.point = Point(object())  # type: ignore[arg-type]  # that is the point
    codec.restore(state, tree, [])
    assert Point(1) == state.point


def test_the_order_of_keys_comes_back() -> None:
    """A dict is restored with its keys in the saved order, though dicts compare equal without it."""
    state: Any = {"m": {"a": 1, "b": 2}}
    codec, tree = saved(state)
    inner = state["m"]
    inner["a"] = inner.pop("a")
    codec.restore(state, tree, [])
    assert ["a", "b"] == [*inner]
    assert inner is state["m"]


def test_a_key_that_only_compares_equal_is_replaced() -> None:
    """The keys 1 and True are told apart."""
    state: Any = {"m": {1: "a"}}
    codec, tree = saved(state)
    state["m"] = {True: "a"}
    codec.restore(state, tree, [])
    assert "[1]" == repr([*state["m"]])


def test_a_defaultdict_keeps_its_factory_and_itself() -> None:
    """The very defaultdict is refilled."""
    state: Any = {"m": defaultdict(list, a=[1])}
    codec, tree = saved(state)
    inner = state["m"]
    inner["b"].append(1)
    codec.restore(state, tree, [])
    assert inner is state["m"]
    assert (list, {"a": [1]}) == (inner.default_factory, dict(inner))


def test_nothing_of_the_class_runs() -> None:
    """Neither __init__ nor __post_init__ nor a setter runs when a state is made or restored."""
    ran: list[str] = []

    @dataclasses.dataclass
    class Loud:
        n: int = 1

        def __post_init__(self) -> None:
            ran.append("post")

        def __setattr__(self, name: str, value: object) -> None:
            ran.append("set")
            object.__setattr__(self, name, value)

    state = Loud(3)
    codec, tree = saved(state)
    ran.clear()
    made: Any = codec.make(tree, [])
    state.__dict__["n"] = 4
    codec.restore(state, tree, [])
    assert (3, 3, []) == (made.n, state.n, ran)


def test_attributes_that_are_no_fields_are_saved() -> None:
    """An attribute that was set without being declared comes back, and goes with a rollback."""
    state: Any = State()
    state.note = dt.date(2024, 1, 1)
    codec, tree = saved(state)
    del state.note
    state.other = 1
    codec.restore(state, tree, [])
    assert (dt.date(2024, 1, 1), False) == (state.note, hasattr(state, "other"))
    assert dt.date(2024, 1, 1) == codec.make(tree, []).note  # type: ignore[attr-defined]  # not declared


def test_a_field_without_a_value_stays_without_one() -> None:
    """A field that was never set is not given its default, nor anything else."""

    @dataclasses.dataclass(slots=True)
    class Lazy:
        a: int = 1
        b: str = dataclasses.field(init=False)

    state = Lazy()
    codec, tree = saved(state)
    assert {"a": 1, "$unset": ["b"]} == tree
    state.b = "x"
    codec.restore(state, tree, [])
    assert [False, False] == [hasattr(state, "b"), hasattr(codec.make(tree, []), "b")]


def test_a_cached_property_is_made_again() -> None:
    """What was computed from the old fields is neither saved nor kept."""

    @dataclasses.dataclass
    class Squared:
        n: int = 2

        @cached_property
        def square(self) -> int:
            return self.n**2

    state = Squared()
    codec, tree = saved(state)
    state.n = 5
    assert (25, {"n": 2}) == (state.square, tree)
    codec.restore(state, tree, [])
    assert 4 == state.square


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    at: dt.datetime = pydantic.Field(default=dt.datetime(2024, 1, 1), alias="moment")
    names: list[str] = []
    _hidden: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)


def test_a_model_comes_back_with_all_that_pydantic_keeps() -> None:
    """Private and extra attributes and the set of given fields are part of a model."""
    state = Model.model_validate({"names": ["a"], "other": dt.date(2024, 1, 1)})
    state._hidden["n"] = 1
    codec, tree = saved(state)
    made: Any = codec.make(tree, [])
    assert state == made
    assert (state.model_fields_set, state.model_extra, {"n": 1}) == (
        made.model_fields_set,
        made.model_extra,
        made._hidden,
    )


def test_a_model_is_restored_in_place() -> None:
    """The lists and the private attributes of the very model are refilled."""
    state = Model(names=["a"])
    codec, tree = saved(state)
    names, hidden = state.names, state._hidden
    state.names.append("b")
    state._hidden["n"] = 1
    state.other = 3  # type: ignore[attr-defined]  # an extra attribute
    codec.restore(state, tree, [])
    assert Model(names=["a"]) == state
    assert (names, {"names"}) == (state.names, state.model_fields_set)
    assert names is state.names
    assert {} == state._hidden == hidden or hidden == {"n": 1}


class Struct(msgspec.Struct):
    n: int = 0
    names: list[str] = []


def test_a_struct_is_restored_in_place() -> None:
    """The list of the very struct is refilled."""
    state = Struct(1, ["a"])
    codec, tree = saved(state)
    names = state.names
    names.append("b")
    state.n = 2
    codec.restore(state, tree, [])
    assert Struct(1, ["a"]) == state
    assert names is state.names


def test_a_struct_whose_post_init_changes_things_comes_back_as_saved() -> None:
    """msgspec cannot make a struct without its __post_init__; what that did is undone."""

    class Growing(msgspec.Struct):
        names: list[str]

        def __post_init__(self) -> None:
            self.names.append("x")

    state = Growing([])
    codec, tree = saved(state)
    assert ["x"] == codec.make(tree, []).names  # type: ignore[attr-defined]  # a Growing


@attrs.frozen
class Part:
    size: int


@attrs.define
class Whole:
    parts: list[Part]
    _name: str = attrs.field(default="x", validator=attrs.validators.instance_of(str))


def test_an_attrs_object_is_restored_in_place() -> None:
    """Slots, private names and frozen parts of attrs classes work."""
    state = Whole([Part(1), Part(2)])
    codec, tree = saved(state)
    parts, second = state.parts, state.parts[1]
    state.parts.pop(0)
    state._name = "y"
    codec.restore(state, tree, [])
    assert Whole([Part(1), Part(2)]) == state
    assert (True, True) == (parts is state.parts, second is state.parts[1])


class Options(TypedDict, total=False):
    since: dt.date
    names: list[str]


def test_a_typed_dict_is_restored_in_place() -> None:
    """The very dict is refilled, undeclared keys included."""
    state: Any = Options(since=dt.date(2024, 1, 1), names=["a"])
    state["undeclared"] = dt.date(2024, 1, 2)
    codec = StateCodec(Options)
    _, tree = saved(state, codec)
    expected, names = dict(state), state["names"]
    names.append("b")
    del state["undeclared"], state["since"]
    codec.restore(state, tree, [])
    assert ([*expected.items()], True) == ([*state.items()], names is state["names"])


def test_an_empty_state_is_a_new_one_each_time() -> None:
    """Without anything saved, the class is called."""
    codec = StateCodec(State)
    first, second = codec.make(None, []), codec.make(None, [])
    assert State() == first == second
    assert first is not second
    assert {} == StateCodec(dict).make(None, []) == StateCodec(Options).make(None, [])


def test_restoring_long_lists_of_texts_keeps_the_list() -> None:
    """Long lists are copied in one go, into the same list."""
    state: Any = {"names": [f"n{number}" for number in range(1_000)]}
    codec, tree = saved(state)
    names = state["names"]
    names.pop(0)
    names.append(dt.date(2024, 1, 1))
    codec.restore(state, tree, [])
    assert tree == state
    assert names is state["names"]
