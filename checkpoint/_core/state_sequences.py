"""
Plans of lists, tuples, sets and deques.

A list that is restored stays the same object, and so do those of its entries that did not change.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from itertools import repeat
from operator import countOf
from typing import Any, cast

from checkpoint._core.changes import equal
from checkpoint._core.records import Tree
from checkpoint._core.state_memory import BLOCK, Slot, are_same, encode_blocks, encode_parts
from checkpoint._core.state_plan import Plan, Reading, tag_of
from checkpoint._core.state_proof import Proof
from checkpoint._core.state_scalars import copy_scalars
from checkpoint._core.tags_leaves import READ_ERRORS, shorten
from checkpoint._core.tags_words import BadTree, NotTree

# The tags of sequences in places whose annotation does not name them; a list needs none.
SEQUENCE_TAGS: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset", deque: "$deque"}


class SequencePlan(Plan):
    """Plan of `list`, `tuple[X, ...]`, `set`, `frozenset` and `deque`: a JSON list, sorted if it is a set."""

    __slots__ = ("_tag", "element")

    def __init__(self, kind: type, element: Plan, untyped: Plan) -> None:
        inner = "" if element is untyped else f"[{element.name}{', ...' if kind is tuple else ''}]"
        super().__init__(f"{kind.__name__}{inner}", kind, frozenset({"list"}), untyped)
        self.element = element
        self._tag = SEQUENCE_TAGS.get(kind)
        self.own_tags = frozenset({self._tag}) if self._tag is not None else frozenset()

    def encode(self, value: object) -> Tree:
        return self.plain(cast("Iterable[object]", value)) if type(value) is self.kind else self.deviate(value)

    def encode_again(self, value: object, slot: Slot) -> Tree:
        if type(value) is not list or self.kind is not list:
            slot.forget()
            return self.encode(value)
        # A copy that no other thread changes while it is walked.
        parts: list[object] = value[:]
        if slot.plan is not self:
            slot.forget()
        try:
            grown = len(parts) - len(slot.trees)
            if grown < 0 or not slot.is_flat or not are_same(parts, slot.trees):
                return self._encode_entries(parts, slot)
            return self._encode_added(parts, slot) if grown else slot.tree
        except NotTree:
            slot.forget()
            return self.plain(parts)

    def _encode_added(self, parts: list[object], slot: Slot) -> Tree:
        """Return the tree of a flat list that grew at its end."""
        added = parts[len(slot.trees) :]
        trees = copy_scalars(added, self.element.passes) or self._walk(added)
        whole = [*slot.trees, *trees]
        if are_same(added, trees):
            slot.keep(self, whole, whole, is_flat=True)
            return whole
        return self._encode_entries(parts, slot)

    def _encode_entries(self, parts: list[object], slot: Slot) -> Tree:
        trees = copy_scalars(parts, self.element.passes)
        if trees is None and parts and len(parts) <= BLOCK and type(parts[0]) in self.element.passes:
            walked = self._walk(parts)
            trees = walked if are_same(parts, walked) else None
        if trees is not None:
            slot.keep(self, trees, trees, is_flat=True)
            return trees
        proofs: list[Proof | None] = []
        if len(parts) <= BLOCK:
            trees = encode_parts(range(len(parts)), parts, repeat(self.element), slot)
        else:
            trees, proofs = encode_blocks(parts, self.element, slot)
        if slot.has(trees):
            return slot.tree
        slot.keep(self, trees, trees, () if proofs else parts, proofs, is_flat=are_same(parts, trees))
        return trees

    def plain(self, value: Iterable[object]) -> Tree:
        """Return the tree of a value whose type was compared."""
        # A copy that no other thread changes while it is walked.
        values = value if type(value) is list else list(value)
        trees = copy_scalars(values, self.element.passes)
        if trees is None:
            trees = self._walk(values)
        if self.kind in (set, frozenset):
            _sort(trees)
        elif type(value) is deque and value.maxlen is not None:
            return {"$deque": {"maxlen": value.maxlen, "items": trees}}
        return trees

    def _walk(self, values: list[object]) -> list[Tree]:
        encode = self.element.encode
        trees: list[Tree] = []
        try:
            for value in values:
                trees.append(encode(value))
        except NotTree as error:
            error.under("{...}" if self.kind in (set, frozenset) else f"[{len(trees)}]")
            raise
        return trees

    def decode(self, tree: Tree, reading: Reading) -> object:
        if type(tree) is list:
            return self._build(self._read(tree, reading), None)
        if self._tag is not None and tag_of(tree) == self._tag:
            return self.decode_payload(cast("dict[str, Tree]", tree)[self._tag], reading)
        return self.accept(tree, reading)

    def decode_payload(self, payload: Tree, reading: Reading) -> object:
        """Return a new value from what stands under this sequence's tag."""
        if self.kind is deque and type(payload) is dict:
            maxlen = payload.get("maxlen")
            items = payload.get("items")
            if type(maxlen) is not int or type(items) is not list or not len(items) <= maxlen < 2**63:
                raise BadTree(f"is {shorten(payload)}, which is not a deque of limited length")
            return self._build(self._read(items, reading), maxlen)
        if type(payload) is not list:
            raise BadTree(f"is {shorten(payload)}, which is not a list of entries")
        return self._build(self._read(payload, reading), None)

    def _read(self, trees: list[Tree], reading: Reading) -> list[object]:
        copied = copy_scalars(trees, self.element.passes)
        if copied is not None:
            return cast("list[object]", copied)
        decode = self.element.decode
        values: list[object] = []
        try:
            for tree in trees:
                values.append(decode(tree, reading))
        except BadTree as error:
            error.under(f"[{len(values)}]")
            raise
        return values

    def _build(self, values: list[object], maxlen: int | None) -> object:
        if self.kind is list:
            return values
        if self.kind is deque:
            return deque(values, maxlen)
        try:
            return cast("Any", self.kind)(values)
        except READ_ERRORS as error:
            raise BadTree(f"is a {self.name} with an entry that cannot be in one ({error})") from error

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        if type(value) is not self.kind:
            return self.decode(tree, reading)
        if self.kind is list and type(tree) is list:
            target = cast("list[object]", value)
            target[:] = self._refill(target, tree, reading)
            return target
        if self.kind is set and not self.encodes_to(value, tree):
            found = self.decode(tree, reading)
            if type(found) is not set:
                return found
            members = cast("set[object]", value)
            members.clear()
            members.update(cast("set[object]", found))
            return members
        if type(value) is deque:
            return self._restore_deque(value, tree, reading)
        return super().restore(value, tree, reading)

    def _restore_deque(self, value: deque[object], tree: Tree, reading: Reading) -> object:
        if self.encodes_to(value, tree):
            return value
        trees: Tree = tree
        if tag_of(tree) == "$deque":
            payload = cast("dict[str, Tree]", tree)["$deque"]
            trees = payload.get("items") if type(payload) is dict else payload
        found = self.decode(tree, reading)
        if type(found) is not deque or found.maxlen != value.maxlen or type(trees) is not list:
            return found
        values = self._refill(list(value), trees, reading)
        value.clear()
        value.extend(values)
        return value

    def _refill(self, values: list[object], trees: list[Tree], reading: Reading) -> list[object]:
        """
        Return the entries that `trees` say, with those of `values` that are the same now or at the same place.

        An entry at another place is only taken as it is: filling it would change what a name bound to it says.
        """
        if copy_scalars(trees, self.element.passes) is not None:
            return cast("list[object]", trees[:])
        now = [self._maybe_encode(value) for value in values]
        found: dict[int, object] = {}
        for place in range(min(len(values), len(trees))):
            if _is_same(now[place], trees[place]):
                found[place] = values[place]
        left: dict[str, list[int]] = {}
        for place, own in enumerate(now):
            if own is not None and place not in found:
                left.setdefault(json.dumps(own[0]), []).append(place)
        taken: set[int] = set(found)
        for place, sought in enumerate(trees):
            places = left.get(json.dumps(sought)) if left and place not in found else None
            if places:
                taken.add(places[0])
                found[place] = values[places.pop(0)]
        return self._fill_rest(values, trees, found, taken, reading)

    def _fill_rest(
        self, values: list[object], trees: list[Tree], found: dict[int, object], taken: set[int], reading: Reading
    ) -> list[object]:
        entries: list[object] = []
        try:
            for place, tree in enumerate(trees):
                if place in found:
                    entries.append(found[place])
                elif place < len(values) and place not in taken:
                    entries.append(self.element.restore(values[place], tree, reading))
                else:
                    entries.append(self.element.decode(tree, reading))
        except BadTree as error:
            error.under(f"[{len(entries)}]")
            raise
        return entries

    def _maybe_encode(self, value: object) -> list[Tree] | None:
        # In a list of its own, so that a tree which is None is not taken for none.
        try:
            return [self.element.encode(value)]
        except (NotTree, RecursionError):
            return None

    def admits(self, value: object) -> bool:
        return isinstance(value, cast(type, self.kind)) and all(
            map(self.element.admits, cast("Iterable[object]", value))
        )


class RowPlan(Plan):
    """Plan of `tuple[X, Y]`, whose entries have an annotation each: a JSON list of just that length."""

    __slots__ = ("_elements",)

    def __init__(self, elements: tuple[Plan, ...], untyped: Plan) -> None:
        names = ", ".join(element.name for element in elements) or "()"
        super().__init__(f"tuple[{names}]", tuple, frozenset({"list"}), untyped)
        self._elements = elements
        self.own_tags = frozenset({"$tuple"})

    def encode(self, value: object) -> Tree:
        if type(value) is not tuple or len(value) != len(self._elements):
            return self.deviate(value)
        trees: list[Tree] = []
        try:
            for element, part in zip(self._elements, value, strict=True):
                trees.append(element.encode(part))
        except NotTree as error:
            error.under(f"[{len(trees)}]")
            raise
        return trees

    def decode(self, tree: Tree, reading: Reading) -> object:
        trees = cast("dict[str, Tree]", tree)["$tuple"] if tag_of(tree) == "$tuple" else tree
        if type(trees) is not list:
            return self.accept(tree, reading)
        if len(trees) != len(self._elements):
            raise self.misfit(f"a list of {len(trees)}")
        values: list[object] = []
        try:
            for element, part in zip(self._elements, trees, strict=True):
                values.append(element.decode(part, reading))
        except BadTree as error:
            error.under(f"[{len(values)}]")
            raise
        return tuple(values)

    def admits(self, value: object) -> bool:
        if not isinstance(value, tuple) or len(value) != len(self._elements):
            return False
        return all(element.admits(part) for element, part in zip(self._elements, value, strict=True))


def _is_same(now: list[Tree] | None, tree: Tree) -> bool:
    return now is not None and equal(now[0], tree)


def _sort(trees: list[Tree]) -> None:
    """Sort what was in a set: its own order is another in each process, and sorted files can be compared."""
    for kind in (str, int):
        if countOf(map(type, trees), kind) == len(trees):
            cast("list[str]", trees).sort()
            return
    trees.sort(key=lambda tree: (type(tree).__name__, json.dumps(tree)))
