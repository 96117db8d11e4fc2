"""The class has changed since the state was saved: what fits is restored, everything else is said."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import sys
import types
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from checkpoint._core.state_tree import StateCodec
from checkpoint.errors import StateError


def of_dataclass(fields: dict[str, Any]) -> Any:
    return dataclasses.make_dataclass(
        "State",
        [
            (name, hint[0], dataclasses.field(default_factory=lambda made=hint[1]: made))
            if isinstance(hint, tuple)
            else (name, hint)
            for name, hint in fields.items()
        ],
        kw_only=True,
    )


def of_attrs(fields: dict[str, Any]) -> Any:
    cls = attrs.make_class(
        "State",
        {
            name: attrs.field(type=hint[0], default=hint[1], kw_only=True)
            if isinstance(hint, tuple)
            else attrs.field(type=hint, kw_only=True)
            for name, hint in fields.items()
        },
    )
    cls.__annotations__ = {name: hint[0] if isinstance(hint, tuple) else hint for name, hint in fields.items()}
    return cls


def of_pydantic(fields: dict[str, Any]) -> Any:
    made = {name: hint if isinstance(hint, tuple) else (hint, ...) for name, hint in fields.items()}
    return pydantic.create_model("State", **made)


def of_msgspec(fields: dict[str, Any]) -> Any:
    made = [(name, *hint) if isinstance(hint, tuple) else (name, hint) for name, hint in fields.items()]
    return msgspec.defstruct("State", made, kw_only=True)


FAMILIES = pytest.mark.parametrize("family", [of_dataclass, of_attrs, of_pydantic, of_msgspec])


def saved(cls: Any, **values: Any) -> Any:
    return json.loads(json.dumps(StateCodec(cls).encode(cls(**values))))


@FAMILIES
def test_an_added_field_takes_its_default(family: Any) -> None:
    """A field that was not saved and has a default gets it, and nothing is said."""
    tree = saved(family({"a": int}), a=1)
    notes: list[str] = []
    made: Any = StateCodec(family({"a": int, "b": (list[int], [])})).make(tree, notes)
    assert (1, [], []) == (made.a, made.b, notes)


@FAMILIES
def test_an_added_field_takes_its_default_in_place(family: Any) -> None:
    """The same when an instance is filled: the default, not what the instance happens to have."""
    tree = saved(family({"a": int}), a=1)
    cls = family({"a": int, "b": (int, 7)})
    state = cls(a=2, b=3)
    StateCodec(cls).restore(state, tree, [])
    assert (1, 7) == (state.a, state.b)


@FAMILIES
def test_an_added_field_without_a_default_is_an_error(family: Any) -> None:
    """It never becomes None by accident; the message names the field."""
    tree = saved(family({"a": int}), a=1)
    with pytest.raises(StateError, match=r"state\.b is not in the saved state") as caught:
        StateCodec(family({"a": int, "b": int})).make(tree, [])
    assert ("state-field-missing", "state.b") == (caught.value.slug, caught.value.path)


@FAMILIES
def test_a_removed_field_is_dropped_with_one_note(family: Any) -> None:
    """What was saved and is no longer there is said once."""
    tree = saved(family({"a": int, "old": int}), a=1, old=2)
    notes: list[str] = []
    cls = family({"a": int})
    made: Any = StateCodec(cls).make(tree, notes)
    StateCodec(cls).restore(made, tree, notes)
    assert (1, False) == (made.a, hasattr(made, "old"))
    assert ["the saved state has a field 'old' that State no longer has; it was dropped"] == notes


def test_a_field_removed_from_many_items_is_one_note() -> None:
    """The note is about the class, not about each object."""
    old = dataclasses.make_dataclass("Item", [("a", int), ("old", int)])
    new = dataclasses.make_dataclass("Item", [("a", int)])
    tree = saved(of_dataclass({"items": list[old]}), items=[old(1, 1), old(2, 2)])  # type: ignore[valid-type]  # made here
    notes: list[str] = []
    StateCodec(of_dataclass({"items": list[new]})).make(tree, notes)  # type: ignore[valid-type]  # made here
    assert 1 == len(notes)


class Phase(enum.Enum):
    TRAIN = 1


class Row(NamedTuple):
    a: int


class Inner(TypedDict):
    a: int


CHANGES: list[tuple[Any, Any, Any, str]] = [
    (int, 5, str, r"state\.f is an int \(5\) in the saved state, but str in the program"),
    (str, "x", int, r"state\.f is a str \('x'\) in the saved state, but int"),
    (str, "x", float, "a str .* but float"),
    (float, 1.5, int, "a float .* but int"),
    (bool, True, int, "a bool .* but int"),
    (int, 1, bool, "an int .* but bool"),
    (str, "x", list[str], r"a str .* but list\[str\]"),
    (list[str], ["x"], str, "a list .* but str"),
    (list[int], [1, 2], list[str], r"state\.f\[0\] is an int \(1\)"),
    (dict[str, int], {"k": 1}, dict[str, str], r"state\.f\['k'\] is an int \(1\)"),
    (dict[str, int], {"k": 1}, dict[int, int], r"a dict with the key 'k'"),
    (dict[str, int], {"k": 1}, list[int], "a dict .* but list"),
    (str, "yesterday", dt.datetime, r"a str \('yesterday'\) .* but datetime"),
    (int, 1, dt.datetime, "an int .* but datetime"),
    (int | None, None, int, r"state\.f is null \(None\) in the saved state, but int"),
    (dt.date, dt.date(2024, 1, 1), dt.date | dt.datetime, "a str"),
    (str, "x", int | None, r"but int \| None"),
    (str, "c", Literal["a", "b"], r"'c' .* but Literal\['a', 'b'\]"),
    (str, "GONE", Phase, "is 'GONE' in the saved state, but Phase has only TRAIN"),
    (tuple[int, ...], (1, 2), tuple[int, int, int], r"a list of 2 .* but tuple\[int, int, int\]"),
    (Any, Path("x"), int, "PosixPath in the saved state, but int|WindowsPath in the saved state, but int"),
    (Any, {1, 2}, list[int], "a set in the saved state, but list"),
    (Any, {"a": 1}, Phase, "a dict .* but Phase"),
    (int, 1, Row, "an int .* but Row"),
    (dict[str, str], {"a": "x"}, Row, r"state\.f\.a is a str"),
    (dict[str, str], {"a": "x"}, Inner, r"state\.f\['a'\] is a str"),
]


@pytest.mark.parametrize(("before", "value", "after", "message"), CHANGES)
def test_a_changed_type_is_an_error_with_path_and_both_types(before: Any, value: Any, after: Any, message: str) -> None:
    """Nothing is coerced, whether the state is made or filled in place."""
    tree = saved(of_dataclass({"f": before}), f=value)
    cls = of_dataclass({"f": after})
    with pytest.raises(StateError, match=message) as caught:
        StateCodec(cls).make(tree, [])
    assert caught.value.slug in ("state-type-changed", "state-member-missing")
    with pytest.raises(StateError, match=message):
        StateCodec(cls).restore(cls(f=value), tree, [])


WIDENED: list[tuple[Any, Any, Any]] = [
    (int, 5, float),
    (int, 5, int | str),
    (dt.date, dt.date(2024, 1, 1), dt.date | None),
    (Any, dt.date(2024, 1, 1), dt.date),
    (Any, [dt.date(2024, 1, 1)], list[dt.date]),
    (Any, {1: "a"}, dict[int, str]),
    (Any, {1, 2}, set[int]),
    (Any, (1, "a"), tuple[int, str]),
    (Any, Row(1), Row),
    (Any, Phase.TRAIN, Phase),
    (list[int], [1], list[Any]),
    (str, "a", Literal["a", "b"]),
]


@pytest.mark.parametrize(("before", "value", "after"), WIDENED)
def test_a_changed_annotation_that_still_allows_the_value_is_fine(before: Any, value: Any, after: Any) -> None:
    """A wider annotation, or one where there was none, reads what was saved."""
    tree = saved(of_dataclass({"f": before}), f=value)
    made: Any = StateCodec(of_dataclass({"f": after})).make(tree, [])
    assert (type(value), value) == (type(made.f), made.f)


def test_an_added_field_whose_default_cannot_be_saved_is_an_error_at_once() -> None:
    """The next save would fail; restoring says so."""
    cls = of_dataclass({"a": int, "b": (Any, object())})
    with pytest.raises(StateError, match=r"The state cannot be saved: state\.b is an? object"):
        StateCodec(cls).restore(cls(a=1), {"a": 1}, [])


def test_a_default_of_none_allows_none() -> None:
    """`x: str = None` is common, and saves and loads without a mark."""
    cls = of_dataclass({"x": (str, None)})
    plain = dataclasses.make_dataclass("State", [("x", str, dataclasses.field(default=None))])
    assert {"x": None} == saved(plain, x=None)
    assert None is StateCodec(plain).make({"x": None}, []).x  # type: ignore[attr-defined]  # a State
    assert {"x": {"$any": None}} == saved(cls, x=None)


def test_a_removed_key_of_a_typed_dict_is_dropped_with_a_note() -> None:
    """Keys that were declared once are told from keys that never were."""
    before = TypedDict("before", {"a": int, "old": dt.date})  # noqa: UP013 - two classes of one shape
    after = TypedDict("after", {"a": int})  # noqa: UP013 - two classes of one shape
    state: Any = {"a": 1, "old": dt.date(2024, 1, 1), "free": 3}
    notes: list[str] = []
    made = StateCodec(after).make(StateCodec(before).encode(state), notes)
    assert {"a": 1, "free": 3} == made
    assert ["the saved state has a key 'old' that after no longer has; it was dropped"] == notes


def test_a_class_inside_a_function_with_postponed_annotations_works() -> None:
    """Names around the class can be given; the class itself is always known."""

    @dataclasses.dataclass
    class Leaf:
        when: dt.date

    @dataclasses.dataclass
    class Tree:
        leaf: Leaf | None = None
        children: list[Tree] = dataclasses.field(default_factory=list)

    state = Tree(Leaf(dt.date(2024, 1, 1)), [Tree()])
    codec = StateCodec(Tree, names={"Leaf": Leaf})
    tree = codec.encode(state)
    assert {"leaf": {"when": "2024-01-01"}, "children": [{"leaf": None, "children": []}]} == tree
    assert state == codec.make(tree, [])


def test_two_local_classes_of_a_union_are_told_apart() -> None:
    """A class that only an annotation names is found again by it."""
    one = dataclasses.make_dataclass("one", [("a", int)])
    other = dataclasses.make_dataclass("other", [("a", int)])
    one.__qualname__, other.__qualname__ = "f.<locals>.one", "f.<locals>.other"
    cls = of_dataclass({"f": one | other})  # type: ignore[operator]  # made here
    made: Any = StateCodec(cls).make(saved(cls, f=other(1)), [])
    assert other(1) == made.f


def test_an_annotation_that_cannot_be_resolved_spoils_no_other() -> None:
    """The rest of the class keeps its annotations."""

    @dataclasses.dataclass
    class State:
        when: dt.date
        odd: Nowhere  # type: ignore[name-defined]  # noqa: F821 - that is the point
        broken: list[1 / 0]  # type: ignore[misc]  # that is the point

    state = State(dt.date(2024, 1, 1), dt.date(2024, 1, 1), [1])
    codec = StateCodec(State)
    tree = codec.encode(state)
    assert {"when": "2024-01-01", "odd": {"$date": "2024-01-01"}, "broken": [1]} == tree
    assert state == codec.make(tree, [])


def test_a_class_of_the_script_is_known_by_the_scripts_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved by a script is found when the script is imported, and the other way round."""
    script = types.ModuleType("__main__")
    script.__file__ = "/somewhere/align.py"
    exec("import dataclasses\n@dataclasses.dataclass\nclass Item:\n    id: int\n", script.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", script)
    tree = StateCodec(dict).encode({"item": script.Item(1)})
    assert {"item": {"$type": "align:Item", "fields": {"id": 1}}} == tree
    made: Any = StateCodec(dict).make(tree, [])
    assert script.Item is type(made["item"])


def test_a_class_that_is_gone_is_an_error() -> None:
    """An object whose class cannot be found is never made into something else."""
    tree: Any = {"x": {"$type": f"{__name__}:Gone", "fields": {}}}
    with pytest.raises(StateError, match=r"state\['x'\] is of class .*:Gone, which cannot be found") as caught:
        StateCodec(dict).make(tree, [])
    assert "state-class-missing" == caught.value.slug


def test_a_class_whose_module_is_not_imported_is_an_error_that_says_so() -> None:
    """Reading a state imports nothing; the message says what to import."""
    tree: Any = {"x": {"$type": "somewhere.else:Gone", "fields": {}}}
    with pytest.raises(StateError, match=r"Import somewhere\.else before the workflow begins"):
        StateCodec(dict).make(tree, [])


MALFORMED = [
    {"$unknown": 1},
    {"$set": 1},
    {"$set": [[1]]},
    {"$dict": [[1]]},
    {"$dict": [[[1], 1]]},
    {"$dict": [[1, 1], [1, 2]]},
    {"$dict": 1},
    {"$deque": {"maxlen": 1, "items": [1, 2]}},
    {"$deque": {"maxlen": "1", "items": []}},
    {"$defaultdict": {"factory": "os", "items": {}}},
    {"$defaultdict": []},
    {"$type": 1, "fields": {}},
    {"$type": f"{__name__}:Row"},
    {"$type": f"{__name__}:of_attrs", "fields": {}},
    {"$type": "builtins:int", "fields": {}},
    {"$enum": 1},
    {"$enum": f"{__name__}:Phase.GONE"},
    {"$datetime": "x"},
    {"$date": 1},
    {"$npy": {"dtype": "O", "shape": [1], "data": ""}},
]


@pytest.mark.parametrize("tree", MALFORMED, ids=json.dumps)
def test_a_malformed_tree_is_a_state_error_with_its_path(tree: Any) -> None:
    """No other error leaves the codec, and no value."""
    with pytest.raises(StateError, match=r"The saved state cannot be restored: state\['x'\]"):
        StateCodec(dict).make({"x": tree}, [])
    with pytest.raises(StateError, match=r"The saved state cannot be restored: state\['x'\]"):
        StateCodec(dict).restore({"x": [1]}, {"x": tree}, [])


@pytest.mark.parametrize("tree", [[1], "x", 1, {"$any": {}}, {"$set": []}])
def test_a_tree_that_is_no_state_is_an_error(tree: Any) -> None:
    """The root must be what the codec writes."""
    with pytest.raises(StateError):
        StateCodec(dict).restore({}, tree, [])


@pytest.mark.parametrize("rest", [{"$extra": 1}, {"$private": 1}, {"$fields_set": 1}, {"$fields_set": [1]}])
def test_malformed_members_of_a_model_are_errors(rest: Any) -> None:
    """What stands beside the fields is checked like the fields."""
    cls = pydantic.create_model("State", a=(int, 1))
    with pytest.raises(StateError):
        StateCodec(cls).make({"a": 1, **rest}, [])
