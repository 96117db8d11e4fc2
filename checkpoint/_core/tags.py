"""
Values made of a closed set of data types: to a tree of plain JSON, and back to the same types and values.

A tree is JSON as a person would write it, except that a value JSON does not know is an object with one tag:

    {"$tuple": [..]}  {"$set": [..]}  {"$frozenset": [..]}  {"$deque": [..]} or {"$deque": {"maxlen", "items"}}
    {"$dict": [[k, v], ..]}, for keys that are not text or begin with a dollar sign; {"$ordered_dict": pairs}
    {"$counter": pairs}  {"$defaultdict": {"factory": "list", "items": pairs}}, for builtin factories
    {"$enum": "module:Class.MEMBER"}  {"$type": "module:Class", "fields": {..}}: a dataclass or named tuple
    {"$npy": {"dtype", "shape", "order"?, "data" | "payload" + "size"}}, of an array
    {"$npy": {"dtype", "scalar": true, "value" | "text" (base64) | "data"}}, of a numpy scalar
    {"$bytes": base64 | {"payload", "size"}} and $bytearray; the others are in `tags_leaves.LEAVES`

Only exact types count: a subclass of a listed type is not listed.  What a tree would not bring back exactly is
refused with `NotTree`, above all a mutable part that occurs twice, for a tree would make two of it.  Reading never
calls `__init__` of a user's class, and imports nothing but through the ClassFinder.
"""

from __future__ import annotations

from collections.abc import Callable

from checkpoint._core.codec_classes import ClassFinder
from checkpoint._core.records import Tree
from checkpoint._core.tags_reading import TreeReader
from checkpoint._core.tags_words import BadTree, NotTree
from checkpoint._core.tags_writing import Attach, TreeWriter, key_step

__all__ = ["BadTree", "ClassFinder", "NotTree", "TreeWriter", "decode", "encode", "key_step"]


def encode(value: object, path: str, attach: Attach | None) -> Tree:
    """
    Return the tree of `value`: fresh lists and dicts, none of them the user's own.

    Args:
        value: What to write.
        path: What to call it, as in `result` or `state.seen`; the path of NotTree begins with it.
        attach: Keeps the bytes of a large array or bytes value elsewhere and returns their SHA-256; the view
            is of the user's own memory. Without it everything is written into the tree.

    Raises:
        NotTree: The value would not come back exactly.
    """
    return TreeWriter(attach).write(value, path)


def decode(tree: Tree, fetch: Callable[[str, int], bytearray] | None, classes: ClassFinder) -> object:
    """
    Return the value whose tree is `tree`; never a part of the tree itself.

    Args:
        tree: What `encode` returned, as it came back from JSON.
        fetch: Returns what was attached, by its SHA-256 and size in bytes; arrays are built on that memory.
        classes: Finds the classes that the tree names.

    Raises:
        BadTree: The tree is malformed or does not fit this program.
    """
    try:
        return TreeReader(fetch, classes).read(tree, 0)
    except RecursionError as error:
        raise BadTree("it is nested too deeply for what is left of the stack") from error
