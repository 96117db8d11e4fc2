"""
Writing a tree of `tags`: the walk over a value, and how each type is written, in one table.

It calls no code of the user's: types are compared exactly, and the fields of an instance are read where they lie.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from checkpoint._core.codec_classes import class_name
from checkpoint._core.records import Tree
from checkpoint._core.tags_arrays import INLINE_BYTES, is_array, is_scalar, write_array, write_scalar
from checkpoint._core.tags_classes import is_data_class, is_fixed, is_named_tuple, member_text, parts_of
from checkpoint._core.tags_leaves import DECIMAL_BITS, LEAVES, find_leaf, write_leaf
from checkpoint._core.tags_reading import FACTORIES
from checkpoint._core.tags_words import MAX_DEPTH, NotTree, describe

# An immutable part that occurs twice is written twice, which is exact; this many times, it is a graph.
MAX_REPEATS = 100_000

# Two halves of a surrogate pair that a str keeps apart: JSON would read them as one character.
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

# Ints within these bounds are written as they are, without asking how many bits they have.
_PLAIN_INT = 2**63

Attach: TypeAlias = Callable[[memoryview], str]


class TreeWriter:
    """
    Writes one value.

    Attributes:
        names_classes: Whether the tree names classes of the user's, so that reading it may need an import.
    """

    __slots__ = ("_names", "_repeats", "_seen", "attach", "names_classes")

    def __init__(self, attach: Attach | None) -> None:
        self.attach = attach
        self.names_classes = False
        self._names: dict[type, str] = {}
        # Ids stay good while the walk lasts, because the value holds all of its parts.
        self._seen: set[int] = set()
        self._repeats = 0

    def write(self, value: object, path: str) -> Tree:
        """Return the tree of `value`; see `encode`.  A writer is used once."""
        try:
            return self.tree(value, 0)
        except NotTree as error:
            error.under(path)
            raise
        except RecursionError as error:
            raise NotTree(value, "is nested too deeply", path) from error
        except RuntimeError as error:
            raise NotTree(value, f"was changed while it was saved ({error})", path) from error

    def tree(self, value: object, depth: int) -> Tree:
        """Return the tree of a value that sits `depth` levels deep."""
        write = _WRITERS.get(type(value))
        if write is not None:
            return write(self, value, depth)
        return _write_other(self, value, depth)

    def enter(self, value: object, depth: int) -> None:
        """Note a mutable part, and refuse it if it was here before: a tree cannot say that two parts are one."""
        if id(value) in self._seen:
            raise NotTree(value, "occurs more than once in the value, or contains itself")
        self._seen.add(id(value))
        if depth > MAX_DEPTH:
            raise NotTree(value, "is nested too deeply")

    def enter_fixed(self, value: object, depth: int) -> None:
        """Note an immutable part with parts of its own; one that recurs is written again, within reason."""
        if id(value) in self._seen:
            self._repeats += 1
            if self._repeats > MAX_REPEATS:
                raise NotTree(value, "is made of the same parts over and over")
        else:
            self._seen.add(id(value))
        if depth > MAX_DEPTH:
            raise NotTree(value, "is nested too deeply")

    def items(self, values: Iterable[Any], depth: int) -> list[Tree]:
        """Return the trees of the parts of a sequence."""
        trees: list[Tree] = []
        try:
            for value in values:
                # Most parts are plain; not calling anything for them halves the time of a long list.
                kind = type(value)
                if (kind is int and -_PLAIN_INT < value < _PLAIN_INT) or (kind is str and value.isascii()):
                    trees.append(value)
                else:
                    trees.append(self.tree(value, depth + 1))
        except NotTree as error:
            error.under(f"[{len(trees)}]")
            raise
        return trees

    def pairs(self, value: dict[Any, Any], depth: int) -> list[Tree]:
        """Return the trees of keys and values, pair by pair."""
        key: object = None
        pairs: list[Tree] = []
        try:
            for key, item in value.items():
                pairs.append([self.tree(key, depth + 1), self.tree(item, depth + 1)])
        except NotTree as error:
            error.under(key_step(key))
            raise
        return pairs

    def name(self, value: object, cls: type) -> str:
        """Return the lasting name of the user's class `cls`."""
        name = self._names.get(cls)
        if name is None:
            name = class_name(cls)
            if name is None:
                raise NotTree(value, f"is {describe(value)}, a class that cannot be found again by its name")
            self._names[cls] = name
            self.names_classes = True
        return name


def key_step(key: object) -> str:
    """Return the step of a path that leads to the value under `key`; calls no code of the user's."""
    if type(key) in (str, int, float, bool, type(None), bytes):
        # hex is for ints with more digits than Python converts.
        text = hex(key) if type(key) is int and key.bit_length() > DECIMAL_BITS else repr(key)
        return f"[{text if len(text) <= 40 else text[:37] + '...'}]"
    return f"[<{type(key).__qualname__}>]"


def _write_same(writer: TreeWriter, value: Any, depth: int) -> Tree:
    tree: Tree = value
    return tree


def _write_int(writer: TreeWriter, value: Any, depth: int) -> Tree:
    number: int = value
    return number if number.bit_length() <= DECIMAL_BITS else {"$int": write_leaf(LEAVES["$int"], number)}


def _write_float(writer: TreeWriter, value: Any, depth: int) -> Tree:
    number: float = value
    return number if math.isfinite(number) else {"$float": repr(number)}


def _write_str(writer: TreeWriter, value: Any, depth: int) -> Tree:
    text: str = value
    return text if _is_clean(text) else {"$str": write_leaf(LEAVES["$str"], text)}


def _is_clean(text: str) -> bool:
    return text.isascii() or _SPLIT_PAIR.search(text) is None


def _write_bytes(writer: TreeWriter, value: Any, depth: int) -> Tree:
    tag = "$bytes" if type(value) is bytes else "$bytearray"
    if tag == "$bytearray":
        writer.enter(value, depth)
    if writer.attach is None or len(value) <= INLINE_BYTES:
        return {tag: write_leaf(LEAVES[tag], value)}
    view = memoryview(value)
    return {tag: {"payload": writer.attach(view), "size": view.nbytes}}


def _write_list(writer: TreeWriter, value: Any, depth: int) -> Tree:
    writer.enter(value, depth)
    return writer.items(value, depth)


def _write_tuple(writer: TreeWriter, value: Any, depth: int) -> Tree:
    writer.enter_fixed(value, depth)
    return {"$tuple": writer.items(value, depth)}


def _write_set(writer: TreeWriter, value: Any, depth: int) -> Tree:
    mutable = type(value) is set
    (writer.enter if mutable else writer.enter_fixed)(value, depth)
    try:
        trees: list[Any] = [writer.tree(item, depth + 1) for item in value]
    except NotTree as error:
        error.under("{...}")
        raise
    # The order of a set is another in each process; sorted files can be compared.
    if set(map(type, trees)) in ({int}, {str}):
        trees.sort()
    else:
        trees.sort(key=lambda tree: (type(tree).__name__, json.dumps(tree)))
    return {"$set" if mutable else "$frozenset": trees}


def _write_deque(writer: TreeWriter, value: Any, depth: int) -> Tree:
    writer.enter(value, depth)
    items = writer.items(value, depth)
    return {"$deque": items if value.maxlen is None else {"maxlen": value.maxlen, "items": items}}


def _write_dict(writer: TreeWriter, value: Any, depth: int) -> Tree:
    writer.enter(value, depth)
    for key in value:
        if type(key) is not str or key[:1] == "$" or not _is_clean(key):
            return {"$dict": writer.pairs(value, depth)}
    return _write_members(writer, value, depth)


def _write_members(writer: TreeWriter, value: dict[str, object], depth: int) -> Tree:
    tree: dict[str, Tree] = {}
    key = ""
    try:
        for key, item in value.items():
            tree[key] = writer.tree(item, depth + 1)
    except NotTree as error:
        error.under(key_step(key))
        raise
    return tree


def _write_dict_kind(writer: TreeWriter, value: Any, depth: int) -> Tree:
    writer.enter(value, depth)
    if getattr(value, "__dict__", None):
        raise NotTree(value, f"is {describe(value)} with attributes of its own")
    if type(value) is not defaultdict:
        return {"$counter" if type(value) is Counter else "$ordered_dict": writer.pairs(value, depth)}
    factory = value.default_factory
    name = getattr(factory, "__name__", "") if isinstance(factory, type) else ""
    if factory is not None and FACTORIES.get(name) is not factory:
        raise NotTree(value, "is a defaultdict whose factory is not one of the builtin types")
    return {"$defaultdict": {"factory": name or None, "items": writer.pairs(value, depth)}}


def _write_other(writer: TreeWriter, value: Any, depth: int) -> Tree:
    cls = type(value)
    leaf = find_leaf(cls)
    if leaf is not None:
        return {leaf.tag: write_leaf(leaf, value)}
    if issubclass(cls, enum.Enum):
        text = member_text(value)
        if "." in text:
            raise NotTree(value, f"is a member of {cls.__qualname__} whose name has a dot")
        return {"$enum": f"{writer.name(value, cls)}.{text}"}
    if is_data_class(cls) or is_named_tuple(cls):
        return _write_instance(writer, value, depth)
    if is_array(cls):
        writer.enter(value, depth)
        return {"$npy": write_array(value, writer.attach)}
    if is_scalar(cls):
        return {"$npy": write_scalar(value)}
    raise NotTree(value, f"is {describe(value)}")


def _write_instance(writer: TreeWriter, value: object, depth: int) -> Tree:
    (writer.enter_fixed if is_fixed(type(value)) else writer.enter)(value, depth)
    parts = parts_of(value) or {}
    name = writer.name(value, type(value))
    fields: dict[str, Tree] = {}
    field = ""
    try:
        for field, part in parts.items():
            fields[field] = writer.tree(part, depth + 1)
    except NotTree as error:
        error.under(f".{field}")
        raise
    return {"$type": name, "fields": fields}


_WRITERS: dict[type, Callable[[TreeWriter, Any, int], Tree]] = {
    type(None): _write_same,
    bool: _write_same,
    int: _write_int,
    float: _write_float,
    str: _write_str,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    list: _write_list,
    tuple: _write_tuple,
    set: _write_set,
    frozenset: _write_set,
    deque: _write_deque,
    dict: _write_dict,
    OrderedDict: _write_dict_kind,
    Counter: _write_dict_kind,
    defaultdict: _write_dict_kind,
}
