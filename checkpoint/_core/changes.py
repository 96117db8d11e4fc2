"""
What changed between two saved states, as a short list a person can read, and how to apply it.

A change is one of these JSON lists, and a list of them is applied from left to right.  A path leads from the
root, by keys of objects and positions in lists; the empty path is the root itself:

    ["set", path, tree]                      put `tree` there; a key that is new goes to the end of its object
    ["delete", path]                         remove that key
    ["splice", path, start, count, trees]    in the list there, replace `count` entries from `start` on by `trees`

Equal means equal as JSON text: 1, 1.0 and True differ, so do 0.0 and -0.0, and the order of keys counts.
This module must never change a tree it was given, and never guess what a malformed change may have meant.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator
from itertools import compress, count, filterfalse, islice
from math import copysign
from operator import is_, is_not, ne
from typing import TypeAlias, cast

from checkpoint._core.records import Tree
from checkpoint._core.state_apply import apply as apply

Change: TypeAlias = list[Tree]
Path: TypeAlias = tuple[str | int, ...]

# Version 2 of marshal writes no back references, which depend on what else holds an object: equal trees give
# equal bytes. It tells 1, 1.0 and True apart, and keeps the order of keys and the sign of zero.
_MARSHAL_VERSION = 2

# Above this size objects and lists are compared as a whole in C and then halved, below it entry by entry.
_SMALL = 32

# At most so many single changes are looked for in one list; what is then left is replaced as one piece, so
# that a list that was rewritten costs no more than its own size.
_MOST_PIECES = 32

# How far ahead an inserted or removed entry is looked for.
_WINDOW = 256


def diff(old: Tree, new: Tree) -> list[Change] | None:
    """
    Return what turns `old` into `new`, or None if they are equal to the last type.

    The changes share subtrees with `new`; one entry added to or removed from either end of a list gives a
    change whose size does not depend on the list's.
    """
    changes: list[Change] = []
    _compare(old, new, (), changes)
    return changes or None


def equal(old: Tree, new: Tree) -> bool:
    """Tell whether two trees are equal as JSON text: types, the sign of zero and the order of keys count."""
    kind = type(new)
    if type(old) is not kind:
        return False
    if kind is float:
        return old == new and copysign(1.0, cast(float, old)) == copysign(1.0, cast(float, new))
    if kind is dict:
        return _equal_objects(cast("dict[str, Tree]", old), cast("dict[str, Tree]", new))
    if old != new:
        return False
    return kind is not list or _equal_types(cast("list[Tree]", old), cast("list[Tree]", new))


def _equal_objects(old: dict[str, Tree], new: dict[str, Tree]) -> bool:
    if len(old) != len(new) or list(old) != list(new):
        return False
    if len(new) > _SMALL:
        return equal(list(old.values()), list(new.values()))
    return all(map(equal, old.values(), new.values()))


def _equal_types(old: list[Tree], new: list[Tree]) -> bool:
    """Tell whether two lists that compare equal are so to the last type."""
    try:
        # A string equals nothing but a string, so joining proves the types of both lists at once, in C.
        "".join(cast("list[str]", new))
    except TypeError:
        if all(map(is_, old, new)):
            return True
        return marshal.dumps(old, _MARSHAL_VERSION) == marshal.dumps(new, _MARSHAL_VERSION)
    return True


def _compare(old: Tree, new: Tree, path: Path, changes: list[Change]) -> None:
    # What did not change is most often the same object, however large.
    if old is new:
        return
    kind = type(new)
    if type(old) is kind:
        if kind is dict:
            _compare_objects(cast("dict[str, Tree]", old), cast("dict[str, Tree]", new), path, changes)
            return
        if kind is list:
            _compare_lists(cast("list[Tree]", old), cast("list[Tree]", new), path, changes)
            return
        if equal(old, new):
            return
    changes.append(["set", [*path], new])


def _compare_objects(old: dict[str, Tree], new: dict[str, Tree], path: Path, changes: list[Change]) -> None:
    keys = list(new)
    if list(old) == keys:
        if len(keys) > _SMALL:
            before, after = list(old.values()), list(new.values())
            for place in _unequal(before, after, 0, len(keys)):
                _compare(before[place], after[place], (*path, keys[place]), changes)
            return
        for key, tree in new.items():
            was = old[key]
            # Most fields are short and unchanged: neither call is made for them.
            if was is not tree and (type(tree) is not str or was != tree):
                _compare(was, tree, (*path, key), changes)
        return
    staying = _staying(old, new, keys)
    removed = [] if len(staying) == len(old) else _missing(list(old), list(staying))
    if not staying or (len(removed) > len(staying) and len(removed) > _SMALL):
        changes.append(["set", [*path], cast(Tree, new)])
        return
    changes.extend(["delete", [*path, key]] for key in removed)
    names = list(staying)
    # The keys that stay come first in the new object, in this order.
    before, after = list(staying.values()), list(islice(new.values(), len(names)))
    for place in _unequal(before, after, 0, len(names)):
        _compare(before[place], after[place], (*path, names[place]), changes)
    changes.extend(["set", [*path, key], new[key]] for key in keys[len(names) :])


def _staying(old: dict[str, Tree], new: dict[str, Tree], keys: list[str]) -> dict[str, Tree]:
    """
    Return the entries of `old` that may stay where they are: those after which all others can be appended.

    A key that moved to the end is deleted and set again; a key put in front of others makes those move.
    """
    were = list(old)
    if keys[: len(old)] == were:
        return old
    gone = _missing(were, keys) if len(keys) < len(old) else list(filterfalse(new.__contains__, old))
    kept = old
    if gone:
        kept = dict(old)
        for key in gone:
            del kept[key]
    if keys[: len(kept)] == list(kept):
        return kept
    place = {key: number for number, key in enumerate(old)}
    staying: dict[str, Tree] = {}
    last = -1
    for key in keys:
        here = place.get(key, -1)
        if here <= last:
            break
        last = here
        staying[key] = old[key]
    return staying if 2 * len(staying) >= len(keys) else {}


def _missing(old: list[str], new: list[str]) -> list[str]:
    """Return which keys of `old` are not in `new`."""
    size = len(old) - len(new)
    start = next(compress(count(), map(ne, old, new)), min(len(old), len(new)))
    # Most often one key was removed, or a few side by side.
    if old[start + size :] == new[start:]:
        return old[start : start + size]
    return list(filterfalse(set(new).__contains__, old))


def _compare_lists(old: list[Tree], new: list[Tree], path: Path, changes: list[Change]) -> None:
    size = len(new)
    if len(old) == size:
        if equal(old, new):
            return
        most = min(_MOST_PIECES, max(2, size // 4))
        places = list(islice(_unequal(old, new, 0, size), most + 1))
        if len(places) <= most:
            for place in places:
                _compare(old[place], new[place], (*path, place), changes)
            return
    start, end = shared_ends(old, new)
    # What the ends share is cut off only if there is any: a list that grew is not copied once more.
    _splice(old[: len(old) - end] if end else old, new[: size - end] if end else new, start, path, changes)


def shared_ends(old: list[Tree], new: list[Tree]) -> tuple[int, int]:
    """Return how many entries are equal at the beginning of two lists, and how many of the others at their end."""
    before, after = len(old), len(new)
    start = _shared(old, new, 0, 0, min(before, after))
    rest = min(before, after) - start
    end = _longest(rest, lambda low, high: equal(old[before - high : before - low], new[after - high : after - low]))
    return start, end


def _splice(old: list[Tree], new: list[Tree], start: int, path: Path, changes: list[Change]) -> None:
    """Write how `old` becomes `new` from `start` on, as a few pieces, each at its place in what is new."""
    here = there = start
    pieces = 0
    while here < len(old) and there < len(new) and pieces < _MOST_PIECES:
        gone, added = _nearest(old, here, new, there)
        if gone == added:
            _compare(old[here], new[there], (*path, there), changes)
        else:
            changes.append(["splice", [*path], there, gone, new[there : there + added]])
        pieces += 1
        here, there = here + gone, there + added
        shared = _shared(old, new, here, there, min(len(old) - here, len(new) - there))
        here, there = here + shared, there + shared
    if here < len(old) or there < len(new):
        changes.append(["splice", [*path], there, len(old) - here, new[there:]])


def _nearest(old: list[Tree], here: int, new: list[Tree], there: int) -> tuple[int, int]:
    """Say how the lists differ where they first do: (entries removed, entries added), or (1, 1) for a changed one."""
    if here + 1 < len(old) and there + 1 < len(new) and equal(old[here + 1], new[there + 1]):
        return 1, 1
    removed = _find(new[there], old, here)
    added = _find(old[here], new, there)
    if removed and (not added or removed <= added):
        return removed, 0
    return (0, added) if added else (1, 1)


def _find(tree: Tree, entries: list[Tree], start: int) -> int:
    """Return how far after `start` the entry comes, or 0 if it is not near."""
    try:
        place = entries.index(tree, start, start + _WINDOW)
    except ValueError:
        return 0
    return place - start if equal(entries[place], tree) else 0


def _shared(old: list[Tree], new: list[Tree], here: int, there: int, size: int) -> int:
    """Return how many entries from `here` and `there` on are equal, of the first `size`."""
    if here == there == 0 and equal(old if size == len(old) else old[:size], new if size == len(new) else new[:size]):
        return size
    return _longest(size, lambda low, high: equal(old[here + low : here + high], new[there + low : there + high]))


def _longest(size: int, alike: Callable[[int, int], bool]) -> int:
    """Return the largest number up to `size` for which `alike(0, number)` holds, by halving."""
    if size == 0 or not alike(0, 1):
        return 0
    low, high, probe = 1, size, size
    while low < high:
        if alike(low, probe):
            low = probe
        else:
            high = probe - 1
        probe = (low + high + 1) // 2
    return low


def _unequal(old: list[Tree], new: list[Tree], low: int, high: int) -> Iterator[int]:
    """Yield the positions from `low` to `high` at which two lists differ, in order."""
    if high - low <= _SMALL:
        for place in range(low, high):
            if not equal(old[place], new[place]):
                yield place
        return
    if type(new[low]) in (dict, list):
        # Looking into what is one object is what costs most.
        apart = map(is_not, islice(old, low, high), islice(new, low, high))
        places = list(islice(compress(range(low, high), apart), _SMALL + 1))
        if len(places) <= _SMALL:
            yield from (place for place in places if not equal(old[place], new[place]))
            return
    middle = (low + high) // 2
    for start, stop in ((low, middle), (middle, high)):
        if not equal(old[start:stop], new[start:stop]):
            yield from _unequal(old, new, start, stop)
