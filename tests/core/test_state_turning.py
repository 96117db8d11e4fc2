"""Restoring when the tree of the state as it is now is known: only what differs is edited, and the result is exact."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from random import Random
from typing import Any, Generic, TypedDict, TypeVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._core.changes import equal
from checkpoint._core.state_memory import Slot
from checkpoint._core.state_plan import Reading
from checkpoint._core.state_tree import StateCodec
from checkpoint._core.state_turning import Turning
from checkpoint.errors import StateError

T = TypeVar("T")


@dataclasses.dataclass
class Item:
    id: Any = 0
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class State:
    done: list[str] = dataclasses.field(default_factory=list)
    info: dict[str, Any] = dataclasses.field(default_factory=dict)
    items: list[Item] = dataclasses.field(default_factory=list)
    maybe: list[int] | None = None
    seen: set[int] = dataclasses.field(default_factory=set)
    free: Any = None


class Model(pydantic.BaseModel):
    done: list[str] = []
    item: Item | None = None


class Typed(TypedDict, total=False):
    done: list[str]
    info: dict[str, Any]


@dataclasses.dataclass
class Box(Generic[T]):
    items: list[T] = dataclasses.field(default_factory=list)


def grown(size: int) -> State:
    return State([str(n) for n in range(size)], {str(n): {"ok": True, "n": n} for n in range(size)})


def change(state: State, random: Random) -> None:
    """Change one place, sometimes so that one object sits in two places or a value is of another type."""
    some: list[Any] = [1, True, 1.0, -0.0, None, "x", [1], {"a": [2]}, (3, [4]), {5}, deque([6]), Item(7), b"8"]
    containers: list[Any] = [state.done, state.info, state.items, state.free, state.maybe]
    containers += [*state.info.values(), *(state.free if isinstance(state.free, list) else [])]
    target = random.choice(containers)
    part = random.choice([*some, state.maybe, state.items, *state.items, *state.info.values()])
    if random.random() < 0.3:
        setattr(state, random.choice(["free", "maybe"]), part)
    elif isinstance(target, list):
        place = random.randrange(len(target) + 1)
        target[place : place + random.randrange(3)] = random.choice([[], [part], [part, random.choice(some)]])
    elif isinstance(target, dict) and random.random() < 0.4 and target:
        del target[random.choice([*target])]
    elif isinstance(target, dict):
        target[random.choice(["a", "b", "c", "$d", 1])] = part
    elif isinstance(target, Item):
        target.tags.append("t")
    else:
        state.seen.add(random.randrange(9))


@given(st.randoms(use_true_random=False), st.booleans())
def test_any_changes_are_undone_exactly(random: Random, with_slot: bool) -> None:
    """Whatever was changed, the state is written afterwards as what it was restored from."""
    state, codec, slot = State(items=[Item(1), Item(2)], free=[[1], {"a": 1}]), StateCodec(State), Slot()
    for _ in range(3):
        try:
            tree = codec.encode(state, slot)
            for _ in range(random.randrange(1, 4)):
                change(state, random)
            was = codec.encode(state, slot)
        except StateError:
            # A change made a state that contains itself.
            return
        codec.restore(state, tree, [], was=was, slot=slot if with_slot else None)
        assert equal(tree, codec.encode(state))
        assert equal(tree, codec.encode(state, slot))


@given(st.randoms(use_true_random=False))
def test_trees_from_a_file_do_as_well(random: Random) -> None:
    """Trees that share nothing lead to the same state."""
    state, codec = grown(5), StateCodec(State)
    tree = json.loads(json.dumps(codec.encode(state)))
    for _ in range(3):
        change(state, random)
    try:
        was = json.loads(json.dumps(codec.encode(state)))
    except StateError:
        return
    codec.restore(state, tree, [], was=was)
    assert equal(tree, codec.encode(state))


def turned(state: Any, change_it: Any) -> bool:
    """Whether one walk was enough to undo a change; it is undone."""
    codec, slot = StateCodec(type(state)), Slot()
    tree = codec.encode(state, slot)
    change_it(state)
    was = codec.encode(state, slot)
    turning = Turning(Reading())
    turning.turn_root(codec._plan, state, was, tree)
    assert equal(tree, codec.encode(state))
    return turning.is_sure


@pytest.mark.parametrize(
    "change_it",
    [
        lambda state: state.done.append("new"),
        lambda state: state.done.pop(0),
        lambda state: state.done.__setitem__(20, "new"),
        lambda state: state.info.update(new={"ok": True}),
        lambda state: state.info.pop("7"),
        lambda state: state.info["3"].update(n=-1),
        lambda state: setattr(state, "free", 1),
        lambda state: state.maybe.append(1),
        lambda state: state.items[1].tags.append("new"),
    ],
)
@pytest.mark.parametrize("size", [30, 100])
def test_usual_changes_need_no_second_look(change_it: Any, size: int) -> None:
    """Where no object can be in two places, the whole state is not written again."""
    state = grown(size)
    state.maybe, state.items = [], [Item(1), Item(2), Item(3)]
    assert turned(state, change_it)


def test_object_in_two_places_is_noticed() -> None:
    """A list that came to stand in a second place is not edited for the first alone."""
    state, codec = State(free=[1]), StateCodec(State)
    state.maybe = [1, 2]
    tree = codec.encode(state)
    state.free = state.maybe
    codec.restore(state, tree, [], was=codec.encode(state))
    assert ([1], [1, 2]) == (state.free, state.maybe)


def test_containers_stay_the_same_objects() -> None:
    """Names bound to what is inside the state stay good."""
    state, codec = State(["a"], {"k": {"n": [1]}}, [Item(1)], free=[[1]]), StateCodec(State)
    tree = codec.encode(state)
    bound = [state.done, state.info, state.info["k"], state.info["k"]["n"], state.items, state.items[0], state.free[0]]
    state.done.append("b")
    state.info["k"]["n"].append(2)
    state.items[0].tags.append("t")
    state.free[0].append(2)
    codec.restore(state, tree, [], was=codec.encode(state))
    now = [state.done, state.info, state.info["k"], state.info["k"]["n"], state.items, state.items[0], state.free[0]]
    assert all(one is other for one, other in zip(bound, now, strict=True))
    assert equal(tree, codec.encode(state))


def test_moved_entries_keep_their_identity() -> None:
    """Objects that changed places go back to where they were, instead of being filled with one another's values."""
    state, codec = State(items=[Item(1), Item(2)]), StateCodec(State)
    first, second = state.items
    tree = codec.encode(state)
    state.items.reverse()
    codec.restore(state, tree, [], was=codec.encode(state))
    assert state.items[0] is first
    assert state.items[1] is second


@pytest.mark.parametrize("state", [Model(), Typed(done=[], info={}), {"done": []}])
def test_other_kinds_of_state(state: Any) -> None:
    """Models, typed dicts and dicts are turned in place, too."""
    codec = StateCodec(Typed if isinstance(state, dict) and "info" in state else state)
    tree = codec.encode(state)
    done = state["done"] if isinstance(state, dict) else state.done
    done.append("x")
    codec.restore(state, tree, [], was=codec.encode(state))
    assert [] == done
    assert equal(tree, codec.encode(state))


def test_wrong_tree_of_now_does_no_harm() -> None:
    """If the state has changed since its tree was made, the whole state is restored."""
    state, codec = grown(3), StateCodec(State)
    tree = codec.encode(state)
    state.done.append("a")
    was = codec.encode(state)
    state.done.append("b")
    codec.restore(state, tree, [], was=was)
    assert equal(tree, codec.encode(state))


def test_deep_recursion_of_the_program_is_not_blamed_on_the_state() -> None:
    """A stack that the program has used up is the program's own error, as it was raised."""

    def deeper() -> None:
        codec.encode(state)
        deeper()

    state, codec = grown(2), StateCodec(State)
    with pytest.raises(RecursionError):
        deeper()


def test_generic_state() -> None:
    """An instance of a generic class with its parameter named is written, and restored, like any other."""
    state, codec = Box[int]([1]), StateCodec(Box[int])
    assert {"items": [1]} == codec.encode(state)
    codec.restore(state, {"items": [2]}, [])
    assert [2] == state.items


@pytest.mark.parametrize(
    "later",
    [
        lambda state: state.done.append("late"),
        lambda state: state.info.update(late=1),
        lambda state: (state.info.pop("a"), state.info.update(late=1)),
        lambda state: (state.info.pop("c"), state.info.update(late=1)),
        lambda state: setattr(state, "maybe", None),
        lambda state: delattr(state, "done"),
    ],
)
def test_later_changes_are_undone_with_the_known_ones(later: Any) -> None:
    """A state that changed after its tree was made is noticed where the two are walked."""
    state, codec = State(["x"], {"a": [1], "b": 2}, maybe=[1]), StateCodec(State)
    tree = codec.encode(state)
    state.done.append("y")
    state.info["a"] = [1, 2]
    state.info["c"] = 3
    state.maybe = [1, 2]
    was = codec.encode(state)
    later(state)
    codec.restore(state, tree, [], was=was)
    assert equal(tree, codec.encode(state))
