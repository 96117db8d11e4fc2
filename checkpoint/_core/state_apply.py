"""
Applying the changes that `changes.diff` found: the reading half of that format.

This module must never change a tree it was given, and never guess what a malformed change may have meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from checkpoint._core.records import Tree


def apply(old: Tree, changes: object) -> Tree:
    """
    Return the tree that `changes` make of `old`, which stays as it is; the two may share subtrees.

    Raises:
        ValueError: A change is malformed or does not fit the tree; the message says which and why.
    """
    if type(changes) is not list:
        raise ValueError(f"changes are a list, not {changes!r:.80}")
    root: list[Tree] = [old]
    own: dict[int, Tree] = {id(root): root}
    for number, change in enumerate(cast("list[object]", changes)):
        try:
            _apply_one(root, own, change)
        except ValueError as error:
            raise ValueError(f"change {number} ({change!r:.80}) cannot be applied: {error}") from None
    return root[0]


def _apply_one(root: list[Tree], own: dict[int, Tree], change: object) -> None:
    """Apply one change in place, to copies: `own` holds the containers that were made here, by their id."""
    match change:
        case ["set", [*path], tree]:
            holder, key = _walk(root, own, path)
            if type(holder) is dict and type(key) is str:
                holder[key] = cast(Tree, tree)
            else:
                _entries(holder)[_position(key, _entries(holder))] = cast(Tree, tree)
        case ["delete", [_, *_] as path]:
            holder, key = _walk(root, own, path)
            if type(holder) is not dict or type(key) is not str or key not in holder:
                raise ValueError(f"there is no key {key!r:.80} to delete")
            del holder[key]
        case ["splice", [*path], start, count, [*added]]:
            entries = _entries(_child(*_walk(root, own, path), own))
            if type(start) is not int or type(count) is not int or start < 0 or count < 0:
                raise ValueError(f"{start!r:.80} and {count!r:.80} are not a place and a number of entries")
            if start + count > len(entries):
                raise ValueError(f"the list has {len(entries)} entries, not {start + count}")
            entries[start : start + count] = cast("list[Tree]", added)
        case _:
            raise ValueError("it is not one of set, delete and splice with what they need")


def _walk(root: list[Tree], own: dict[int, Tree], path: Sequence[object]) -> tuple[Tree, object]:
    """Return the container that holds the path's end, made our own, and the last key of the path."""
    holder: Tree = root
    key: object = 0
    for step in path:
        holder = _child(holder, key, own)
        key = step
    return holder, key


def _child(holder: Tree, key: object, own: dict[int, Tree]) -> Tree:
    """Return what is under `key`, copied (this one level) unless it is a copy made here already."""
    if type(holder) is dict:
        if type(key) is not str or key not in holder:
            raise ValueError(f"there is no key {key!r:.80}")
        child = holder[key] = _copy(holder[key], own)
        return child
    entries = _entries(holder)
    place = _position(key, entries)
    child = entries[place] = _copy(entries[place], own)
    return child


def _copy(tree: Tree, own: dict[int, Tree]) -> Tree:
    if id(tree) in own:
        return tree
    copied: Tree
    if type(tree) is dict:
        copied = dict(tree)
    elif type(tree) is list:
        copied = list(tree)
    else:
        return tree
    # Kept alive with its id: another tree must not get the same id while the changes are applied.
    own[id(copied)] = copied
    return copied


def _entries(holder: Tree) -> list[Tree]:
    if type(holder) is not list:
        raise ValueError("there is no list")
    return holder


def _position(key: object, entries: list[Tree]) -> int:
    if type(key) is not int or not 0 <= key < len(entries):
        raise ValueError(f"there is no entry {key!r:.80}")
    return key
