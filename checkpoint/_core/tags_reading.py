"""
Reading a tree of `tags`: every tag's check and its value, in one table.

It trusts nothing in the tree: types, lengths and depth are checked before anything is built from them, and
whatever does not fit is a BadTree.  It never calls a class that is not in the closed set.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from checkpoint._core.codec_classes import ClassFinder
from checkpoint._core.records import Tree
from checkpoint._core.tags_arrays import read_numpy
from checkpoint._core.tags_classes import find_member, restore
from checkpoint._core.tags_leaves import LEAVES, read_leaf, shorten
from checkpoint._core.tags_words import MAX_DEPTH, BadTree

# The factories that a defaultdict may have: calling one of them makes an empty value and nothing else.
FACTORIES: dict[str, type] = {
    cls.__name__: cls for cls in (list, dict, set, frozenset, tuple, int, float, str, bytes, bool, bytearray, complex)
}

Fetch = Callable[[str, int], bytearray]


class TreeReader:
    """Reads one tree."""

    __slots__ = ("classes", "fetch")

    def __init__(self, fetch: Fetch | None, classes: ClassFinder) -> None:
        self.fetch = fetch
        self.classes = classes

    def read(self, tree: Tree, depth: int) -> object:
        """Return the value of a tree that sits `depth` levels deep."""
        kind = type(tree)
        if kind is list:
            return self.items(tree, depth)
        if kind is not dict:
            return tree
        if depth > MAX_DEPTH:
            raise BadTree("it is nested too deeply")
        members: dict[str, Tree] = tree  # type: ignore[assignment]  # its type was just compared
        tag = next(iter(members), "")
        if tag[:1] != "$":
            return self._members(members, depth)
        reader = _READERS.get(tag)
        if reader is None or (len(members) != 1 and tag != "$type"):
            raise BadTree(f"{shorten(tag)} is not a tag of this version")
        return reader(self, tag, members, depth)

    def items(self, tree: Tree, depth: int) -> list[Any]:
        """Return the values of a list of trees."""
        if type(tree) is not list:
            raise BadTree(f"{shorten(tree)} is not a list")
        if depth > MAX_DEPTH:
            raise BadTree("it is nested too deeply")
        values: list[object] = []
        try:
            for item in tree:
                values.append(self.read(item, depth + 1))
        except BadTree as error:
            error.under(f"[{len(values)}]")
            raise
        return values

    def _members(self, tree: dict[str, Tree], depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        key = ""
        try:
            for key, item in tree.items():
                if key[:1] == "$":
                    raise BadTree(f"{shorten(key)} is not a tag here")
                values[key] = self.read(item, depth + 1)
        except BadTree as error:
            error.under(f"[{shorten(key)}]")
            raise
        return values

    def pairs(self, tree: Tree, depth: int) -> list[tuple[Any, object]]:
        """Return the keys and values of a list of pairs; a key that occurs twice or cannot be one is refused."""
        if type(tree) is not list or any(type(pair) is not list or len(pair) != 2 for pair in tree):
            raise BadTree(f"{shorten(tree)} is not a list of pairs")
        pairs: list[tuple[Any, object]] = []
        for pair in tree:
            key, value = self.items(pair, depth)
            pairs.append((key, value))
        self.distinct([key for key, _ in pairs])
        return pairs

    def distinct(self, values: list[Any]) -> set[Any]:
        """Return `values` as a set, which must be of the same size."""
        try:
            found = set(values)
        except Exception as error:
            raise BadTree(f"a value cannot be in a set or a key ({error})") from error
        if len(found) != len(values):
            raise BadTree("a value occurs twice in a set or as a key")
        return found


def _read_leaf(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    tree = members[tag]
    if type(tree) is dict and tag in ("$bytes", "$bytearray"):
        data = _fetch(reader, tree)
        return bytes(data) if tag == "$bytes" else data
    return read_leaf(LEAVES[tag], tree)


def _fetch(reader: TreeReader, tree: dict[str, Tree]) -> bytearray:
    digest, size = tree.get("payload"), tree.get("size")
    if reader.fetch is None or type(digest) is not str or type(size) is not int or size < 0:
        raise BadTree(f"{shorten(tree)} is not a payload")
    data = reader.fetch(digest, size)
    if len(data) != size:
        raise BadTree(f"payload {shorten(digest)} is not of {size} bytes")
    return data


def _read_tuple(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    return tuple(reader.items(members[tag], depth))


def _read_set(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    values = reader.distinct(reader.items(members[tag], depth))
    return values if tag == "$set" else frozenset(values)


def _read_deque(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    tree = members[tag]
    if type(tree) is not dict:
        return deque(reader.items(tree, depth))
    maxlen, items = tree.get("maxlen"), reader.items(tree.get("items"), depth)
    if type(maxlen) is not int or not len(items) <= maxlen < 2**63:
        raise BadTree(f"{shorten(maxlen)} is not the length of this deque")
    return deque(items, maxlen)


def _read_dict(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    pairs = reader.pairs(members[tag], depth)
    if tag == "$dict":
        return dict(pairs)
    if tag == "$ordered_dict":
        return OrderedDict(pairs)
    counter: Counter[Any] = Counter()
    dict.update(counter, pairs)  # Counter's own update adds up
    return counter


def _read_defaultdict(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    tree = members[tag]
    factory = tree.get("factory") if type(tree) is dict else 0
    if type(tree) is not dict or (factory is not None and (type(factory) is not str or factory not in FACTORIES)):
        raise BadTree(f"{shorten(tree)} is not a defaultdict")
    made = FACTORIES[factory] if factory is not None else None
    return defaultdict(made, reader.pairs(tree.get("items"), depth))


def _read_enum(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    name = members[tag]
    if type(name) is not str:
        raise BadTree(f"{shorten(name)} is not the name of an enum's member")
    cls, _, member = name.rpartition(".")
    return find_member(reader.classes.find(cls), member)


def _read_instance(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    name, fields = members[tag], members.get("fields")
    if type(name) is not str or type(fields) is not dict or len(members) != 2:
        raise BadTree(f"{shorten(name)} is not an object with fields")
    cls = reader.classes.find(name)
    parts: dict[str, object] = {}
    field = ""
    try:
        for field, part in fields.items():
            parts[field] = reader.read(part, depth + 1)
    except BadTree as error:
        error.under(f".{field}")
        raise
    return restore(cls, parts)


def _read_npy(reader: TreeReader, tag: str, members: dict[str, Tree], depth: int) -> object:
    return read_numpy(members[tag], reader.fetch)


_READERS: dict[str, Callable[[TreeReader, str, dict[str, Tree], int], object]] = {
    **dict.fromkeys(LEAVES, _read_leaf),
    **dict.fromkeys(("$set", "$frozenset"), _read_set),
    **dict.fromkeys(("$dict", "$ordered_dict", "$counter"), _read_dict),
    "$tuple": _read_tuple,
    "$deque": _read_deque,
    "$defaultdict": _read_defaultdict,
    "$enum": _read_enum,
    "$type": _read_instance,
    "$npy": _read_npy,
}
