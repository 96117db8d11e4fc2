"""Changes between trees: found exactly, applied exactly, small where little changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoint._core.changes import apply, diff, equal

NAMES = [f"feature/branch-{number}" for number in range(10_000)]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 2**70]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "b", "$x", "\ud800", "é"]),
)
keys = st.sampled_from("abcdefgh")
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=30,
)


@st.composite
def edited(draw: st.DrawFn, tree: Any) -> Any:
    """A tree that differs from `tree` in a few places, as a state does after a step."""
    if isinstance(tree, list) and tree:
        entries = list(tree)
        for _ in range(draw(st.integers(0, 3))):
            place = draw(st.integers(0, len(entries)))
            what = draw(st.sampled_from(["insert", "remove", "edit", "rotate"]))
            if what == "insert":
                entries.insert(place, draw(trees))
            elif what == "rotate":
                entries.append(entries.pop(0)) if entries else None
            elif place < len(entries):
                if what == "remove":
                    del entries[place]
                else:
                    entries[place] = draw(edited(entries[place]))
        return entries
    if isinstance(tree, dict) and tree:
        members = dict(tree)
        for key in draw(st.lists(keys, max_size=3)):
            what = draw(st.sampled_from(["set", "remove", "edit", "move"]))
            if what == "set" or key not in members:
                members[key] = draw(trees)
            elif what == "remove":
                del members[key]
            elif what == "move":
                members[key] = members.pop(key)
            else:
                members[key] = draw(edited(members[key]))
        return members
    return draw(trees)


pairs = trees.flatmap(lambda tree: st.tuples(st.just(tree), edited(tree) | trees))


@given(pairs)
def test_applying_the_difference_gives_the_new_tree_exactly(pair: tuple[Any, Any]) -> None:
    """The old tree with the changes is the new tree to the last type and the order of keys."""
    old, new = pair
    changes = json.loads(json.dumps(diff(old, new) or []))
    assert json.dumps(new) == json.dumps(apply(old, changes))


@given(pairs)
def test_there_is_no_difference_only_between_equal_trees(pair: tuple[Any, Any]) -> None:
    """None is returned if, and only if, the two trees are the same JSON text."""
    old, new = pair
    same = json.dumps(old) == json.dumps(new)
    assert (same, same) == (diff(old, new) is None, equal(old, new))


@given(pairs)
def test_neither_tree_is_changed(pair: tuple[Any, Any]) -> None:
    """Finding and applying changes leaves both trees, and the changes, as they were."""
    old, new = pair
    changes = diff(old, new) or []
    before = json.dumps([old, new, changes])
    apply(old, changes)
    assert before == json.dumps([old, new, changes])


@pytest.mark.parametrize("pair", [(1, True), (1, 1.0), (0, False), (0.0, -0.0), (True, 1.0), ("1", 1), (None, False)])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": x}, lambda x: ["s", [x]] * 40])
def test_types_that_compare_equal_differ(pair: tuple[Any, Any], wrap: Any) -> None:
    """1, 1.0 and True, and the two zeros, are told apart at every level."""
    old, new = wrap(pair[0]), wrap(pair[1])
    assert json.dumps(new) == json.dumps(apply(old, diff(old, new)))
    assert diff(old, new) is not None


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"current": "a"}, {"current": "login"}, [["set", ["current"], "login"]]),
        ({"inputs": {"x": 1, "y": 2}}, {"inputs": {"y": 2}}, [["delete", ["inputs", "x"]]]),
        ({"done": ["a"]}, {"done": ["a", "b"]}, [["splice", ["done"], 1, 0, ["b"]]]),
        ({"done": ["a", "b"]}, {"done": ["b"]}, [["splice", ["done"], 0, 1, []]]),
        ({"items": [{"n": 1}]}, {"items": [{"n": 2}]}, [["set", ["items", 0, "n"], 2]]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [["delete", ["a"]], ["set", ["a"], 1]]),
        ([1, 2], {"a": 1}, [["set", [], {"a": 1}]]),
    ],
)
def test_changes_read_as_a_person_would_say_them(old: Any, new: Any, changes: Any) -> None:
    """The common edits are one short change each."""
    assert changes == diff(old, new)


EDITS: dict[str, Any] = {
    "append": lambda names: [*names, "new"],
    "pop": lambda names: names[:-1],
    "pop the first": lambda names: names[1:],
    "insert in front": lambda names: ["new", *names],
    "move the first to the end": lambda names: [*names[1:], names[0]],
    "replace one": lambda names: [*names[:5_000], "new", *names[5_001:]],
    "remove two": lambda names: [*names[:100], *names[101:7_000], *names[7_001:]],
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_one_edit_of_a_long_list_is_a_short_change(edit: Any) -> None:
    """The size of a change does not depend on the size of the list."""
    old, new = {"names": NAMES}, {"names": edit(NAMES)}
    changes = diff(old, new)
    assert len(json.dumps(changes)) < 120
    assert new == apply(old, changes)


def test_one_new_key_of_a_large_object_is_a_short_change() -> None:
    """A dict that grows by one entry is not written again."""
    old: Any = {"results": dict.fromkeys(NAMES, 1)}
    new: Any = {"results": {**old["results"], "new": 2}}
    assert [["set", ["results", "new"], 2]] == diff(old, new)


def test_one_removed_and_one_changed_key_of_a_large_object_are_short_changes() -> None:
    """A dict that loses its first entry and changes its last one is not written again."""
    old: Any = dict.fromkeys(NAMES, 1)
    new: Any = {**dict.fromkeys(NAMES[1:], 1), NAMES[-1]: True}
    assert [["delete", [NAMES[0]]], ["set", [NAMES[-1]], True]] == diff(old, new)


def test_one_changed_value_of_a_large_object_is_a_short_change() -> None:
    """A dict whose keys stay is compared value by value."""
    old: Any = dict.fromkeys(NAMES, 1)
    new: Any = {**old, NAMES[5_000]: 1.0}
    assert [["set", [NAMES[5_000]], 1.0]] == diff(old, new)


def test_keys_put_in_front_of_many_set_the_object_anew() -> None:
    """Where most keys would have to move, the whole object is one change."""
    old: Any = {"m": {"a": 1, "b": 2, "c": 3}}
    new: Any = {"m": {"z": 0, "a": 1, "b": 2, "c": 3}}
    assert [["set", ["m"], new["m"]]] == diff(old, new)


def test_a_list_that_was_rewritten_costs_no_more_than_itself() -> None:
    """Where everything changed, the new entries are written once."""
    old, new = {"names": NAMES}, {"names": NAMES[::-1]}
    assert len(json.dumps(diff(old, new))) < len(json.dumps(new)) + 2_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("set", "not one of set, delete and splice"),
        ([], "not one of set, delete and splice"),
        (["move", ["a"], 1], "not one of set, delete and splice"),
        (["set", "a", 1], "not one of set, delete and splice"),
        (["set", ["a"]], "not one of set, delete and splice"),
        (["delete", []], "not one of set, delete and splice"),
        (["delete", ["missing"]], "there is no key 'missing' to delete"),
        (["delete", ["list", 0]], "there is no key 0 to delete"),
        (["set", ["missing", "deep"], 1], "there is no key 'missing'"),
        (["set", ["list", 2], 1], "there is no entry 2"),
        (["set", ["list", -1], 1], "there is no entry -1"),
        (["set", ["list", True], 1], "there is no entry True"),
        (["set", ["list", "a"], 1], "there is no entry 'a'"),
        (["set", [1], 1], "there is no list"),
        (["set", ["text", 0], 1], "there is no list"),
        (["splice", ["text"], 0, 0, []], "there is no list"),
        (["splice", [], 0, 0, []], "there is no list"),
        (["splice", ["list"], 1, 2, []], "the list has 2 entries, not 3"),
        (["splice", ["list"], -1, 0, []], "not a place and a number of entries"),
        (["splice", ["list"], 0, True, []], "not a place and a number of entries"),
        (["splice", ["list"], 0, 0, "ab"], "not one of set, delete and splice"),
    ],
)
def test_a_malformed_change_is_refused_with_its_reason(change: Any, reason: str) -> None:
    """A change that does not fit is never guessed at."""
    tree: Any = {"list": [1, 2], "text": "x"}
    with pytest.raises(ValueError, match=reason):
        apply(tree, [change])
    assert {"list": [1, 2], "text": "x"} == tree


def test_changes_that_are_no_list_are_refused() -> None:
    """What stands in the place of the changes must be a list."""
    with pytest.raises(ValueError, match="changes are a list"):
        apply({}, {"set": 1})


def test_a_later_change_does_not_reach_into_an_earlier_one() -> None:
    """What one change put in is copied before the next one edits it."""
    changes: Any = [["set", ["a"], [1]], ["splice", ["a"], 1, 0, [2]]]
    assert {"a": [1, 2]} == apply({}, changes)
    assert [["set", ["a"], [1]], ["splice", ["a"], 1, 0, [2]]] == changes


def test_unchanged_subtrees_are_shared() -> None:
    """Applying a change copies the way to it and nothing else."""
    old: Any = {"big": [1, 2, 3], "n": 1}
    new: Any = apply(old, [["set", ["n"], 2]])
    assert old["big"] is new["big"]


@pytest.mark.parametrize(
    "gone",
    [[0], [99], [50], [3, 4, 5], [3, 50, 97], [0, 99], [*range(40)], [*range(0, 100, 3)], [*range(99)]],
    ids=str,
)
@pytest.mark.parametrize("added", [{}, {"new": 1}, {"k50": -1}])
def test_keys_removed_from_a_large_object(gone: list[int], added: dict[str, Any]) -> None:
    """Removed keys, side by side or apart, are taken out, and nothing else is."""
    old = {f"k{number}": number for number in range(100)}
    new: Any = {f"k{number}": number for number in range(100) if number not in gone} | added

    assert json.dumps(new) == json.dumps(apply(old, diff(old, new)))


@pytest.mark.parametrize("places", [[0], [99], [10, 60], [*range(50)]], ids=str)
@pytest.mark.parametrize("is_object", [True, False])
def test_few_of_many_containers_replaced(places: list[int], is_object: bool) -> None:
    """Among many containers that are the same objects as before, those that differ are found."""
    entries: list[Any] = [{"n": number} for number in range(100)]
    edited_entries = [{"n": -1} if number in places else entry for number, entry in enumerate(entries)]
    old: Any = {f"k{number}": entry for number, entry in enumerate(entries)} if is_object else entries
    new: Any = dict(zip(old, edited_entries, strict=True)) if is_object else edited_entries

    assert json.dumps(new) == json.dumps(apply(old, diff(old, new)))


def test_same_object() -> None:
    """An object is not compared with itself: a list of a million entries costs nothing."""
    tree: Any = [float("nan")]

    assert diff(tree, tree) is None
