"""
Plans of annotations that leave a choice: unions, literals, and classes that do not say how a value is written.

A choice is never made by trying: what could be read as more than one member is written with its tag.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, cast

from checkpoint._core.records import Tree
from checkpoint._core.state_memory import Slot
from checkpoint._core.state_plan import Plan, Reading, shape_of, tag_of


class UnionPlan(Plan):
    """
    Plan of `X | Y` and `Optional[X]`.

    A member whose plain form has a JSON shape of its own is written plainly; the values of all others are
    written as in a place without an annotation.  So `datetime | None` is text or null, and of
    `str | datetime` the datetime has its tag.
    """

    __slots__ = ("_by_kind", "_by_shape", "_by_tag", "_members", "_shared")

    def __init__(self, members: tuple[Plan, ...], untyped: Plan) -> None:
        shapes = frozenset[str]().union(*(member.shapes for member in members))
        super().__init__(" | ".join(member.name for member in members), None, shapes, untyped)
        self._members = members
        clear = [member for member in members if member.kind is not None and not _overlaps(member, members)]
        self._by_kind = {kind: member for member in clear for kind in member.passes or {cast(type, member.kind)}}
        self._by_shape = {shape: member for member in clear for shape in member.shapes}
        self._by_tag = {tag: member for member in clear for tag in member.own_tags}
        self._shared = shapes - self._by_shape.keys()
        self.passes = frozenset[type]().union(*(member.passes for member in clear))

    def encode(self, value: object) -> Tree:
        member = self._by_kind.get(type(value))
        if member is not None:
            return member.encode(value)
        tree = self.untyped.encode(value)
        plain = tag_of(tree) is None
        if self.admits(value) and (not plain or shape_of(tree) in self._shared):
            return tree
        return {"$any": tree}

    def encode_again(self, value: object, slot: Slot) -> Tree:
        member = self._by_kind.get(type(value))
        return member.encode_again(value, slot) if member is not None else self.encode(value)

    def decode(self, tree: Tree, reading: Reading) -> object:
        member = self._member_of(tree)
        if member is not None:
            return member.decode(tree, reading)
        if tag_of(tree) is None and shape_of(tree) in self._shared:
            value = self.untyped.decode(tree, reading)
            if self.admits(value):
                return value
        return self.accept(tree, reading)

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        member = self._member_of(tree)
        if member is not None:
            return member.restore(value, tree, reading)
        tag = tag_of(tree)
        if tag is not None or shape_of(tree) in self._shared:
            found = self.untyped.restore(value, tree, reading)
            if tag == "$any" or self.admits(found):
                return found
        return self.accept(tree, reading)

    def pick(self, value: object, tree: Tree) -> Plan:
        member = self._by_kind.get(type(value))
        return member if member is not None and member is self._member_of(tree) else self

    def _member_of(self, tree: Tree) -> Plan | None:
        tag = tag_of(tree)
        return self._by_shape.get(shape_of(tree)) if tag is None else self._by_tag.get(tag)

    def admits(self, value: object) -> bool:
        return any(member.admits(value) for member in self._members)


class LiteralPlan(Plan):
    """Plan of `Literal[...]`: the value as in a place without an annotation, if it is one of those listed."""

    __slots__ = ("_values",)

    def __init__(self, values: tuple[object, ...], untyped: Plan) -> None:
        trees = [untyped.encode(value) for value in values]
        names = ", ".join(str(value) if isinstance(value, enum.Enum) else repr(value) for value in values)
        super().__init__(f"Literal[{names}]", None, frozenset(map(shape_of, trees)), untyped)
        self._values = values

    def encode(self, value: object) -> Tree:
        tree = self.untyped.encode(value)
        return tree if self.admits(value) else {"$any": tree}

    def decode(self, tree: Tree, reading: Reading) -> object:
        if tag_of(tree) is None and shape_of(tree) in self.shapes:
            if self.admits(tree):
                return tree
            raise self.misfit(repr(tree))
        return self.accept(tree, reading)

    def admits(self, value: object) -> bool:
        return any(type(value) is type(known) and value == known for known in self._values)


class CheckedPlan(Plan):
    """
    Plan of a class or protocol that does not say how its values are written, such as `Sequence[str]` or a base class.

    Values are written as in a place without an annotation; what comes back must be an instance.
    """

    __slots__ = ()

    def __init__(self, name: str, kind: type, untyped: Plan) -> None:
        super().__init__(name, kind, frozenset({"null", "bool", "int", "float", "str", "list", "dict"}), untyped)

    def encode(self, value: object) -> Tree:
        tree = self.untyped.encode(value)
        return tree if self.admits(value) else {"$any": tree}

    def encode_again(self, value: object, slot: Slot) -> Tree:
        tree = self.untyped.encode_again(value, slot)
        return tree if self.admits(value) else {"$any": tree}

    def decode(self, tree: Tree, reading: Reading) -> object:
        if tag_of(tree) is not None:
            return self.accept(tree, reading)
        value = self.untyped.decode(tree, reading)
        return value if self.admits(value) else self._refuse(tree)

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        found = self.untyped.restore(value, tree, reading) if tag_of(tree) != "$any" else self.decode(tree, reading)
        return found if self.admits(found) or tag_of(tree) == "$any" else self._refuse(tree)

    def _refuse(self, tree: Tree) -> Any:
        raise self.misfit(f"{shape_of(tree)}")


def _overlaps(plan: Plan, members: Iterable[Plan]) -> bool:
    return any(other is not plan and not plan.shapes.isdisjoint(other.shapes) for other in members)
