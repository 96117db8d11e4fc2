"""
Plans: how the values of one annotation are written as JSON and brought back, and the plans of single values.

A plan is made once per annotation and used for every save.  It writes plain JSON for values of exactly its type;
everything else is written as in a place without an annotation, and marked, so that reading never guesses.

The forms a reader of a saved state meets, besides plain JSON:

    {"$datetime": "..."}                 a tagged value, in a place whose annotation does not say the type
    {"$any": tree}                       a value that did not fit its annotation when it was saved
    {"$type": "module:Class", "fields": {...}}   an object, in a place whose annotation does not say its class
    {"$dict": [[key, value], ...]}       a dict whose keys are not all text, or have one that begins with `$`

This module must never coerce a value to the type an annotation asks for.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import Any, cast

from checkpoint._core.changes import equal
from checkpoint._core.records import Tree
from checkpoint._core.state_memory import Slot
from checkpoint._core.state_proof import Proof, prove_plain
from checkpoint._core.state_scalars import HUGE, is_writable
from checkpoint._core.tags_classes import find_member, member_text
from checkpoint._core.tags_leaves import Leaf, find_leaf, read_leaf, shorten, write_leaf
from checkpoint._core.tags_words import BadTree, NotTree, describe

# What the tree of an object holds beside its fields; a tree that begins with one of them is not a tag.
META = frozenset({"$extra", "$unset", "$private", "$fields_set"})

_SHAPES: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    dict: "dict",
}


class Refusal(NotTree):
    """A value cannot be kept in the state; `slug` and `advice` say more than that it has no tree."""

    def __init__(self, culprit: object, why: str, *, slug: str, advice: str) -> None:
        super().__init__(culprit, why)
        self.slug = slug
        self.advice = advice


class Misfit(BadTree):
    """What was saved does not fit the program's classes; `slug` and `advice` say how."""

    def __init__(self, reason: str, *, slug: str = "state-type-changed", advice: str = "") -> None:
        super().__init__(reason)
        self.slug = slug
        self.advice = advice or "Change the annotation back, or begin a new run with fresh=True."


@dataclass(slots=True)
class Reading:
    """
    What one restoration gathers.

    Attributes:
        notes: Sentences for the user, each once.
    """

    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Plan(ABC):
    """
    How values of one annotation are written and read; the base class of all plans.

    Attributes:
        name: The annotation as a person writes it.
        kind: The exact type that is written in the plain form, or None if there is no single one.
        shapes: The JSON shapes the plain form can have.
        passes: The types whose values are their own tree, so that a list of them is copied in one go.
        own_tags: Tags of trees that are this plan's own, with entries written by their annotations.
        untyped: The plan for places without an annotation.
    """

    __slots__ = ("kind", "name", "own_tags", "passes", "shapes", "untyped")

    def __init__(self, name: str, kind: type | None, shapes: frozenset[str], untyped: Plan | None) -> None:
        self.name = name
        self.kind = kind
        self.shapes = shapes
        self.passes: frozenset[type] = frozenset()
        self.own_tags: frozenset[str] = frozenset()
        self.untyped: Plan = untyped or self

    @abstractmethod
    def encode(self, value: object) -> Tree:
        """Return a fresh tree of `value`; raises NotTree with the path to what cannot be saved."""

    def encode_again(self, value: object, slot: Slot) -> Tree:
        """Return what `encode` does, but the same tree as the last time wherever `slot` shows that nothing changed."""
        return self.encode(value)

    def prove(self, values: list[Any]) -> Proof | None:
        """Return what changes with any change to these values, or None if they must be written to be compared."""
        return prove_plain(values)

    @abstractmethod
    def decode(self, tree: Tree, reading: Reading) -> object:
        """Return a new value; raises BadTree with the path to what does not fit."""

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        """Return what `tree` says: `value` itself if it is that already or can be filled in place, else a new value."""
        if type(tree) in (list, dict) and self.encodes_to(value, tree):
            return value
        return self.decode(tree, reading)

    def pick(self, value: object, tree: Tree) -> Plan:
        """Return the plan by which both `value` and `tree` are written, if this one leaves a choice."""
        return self

    def admits(self, value: object) -> bool:
        """Tell whether the annotation allows `value`, down to the entries of containers."""
        return self.kind is not None and isinstance(value, self.kind)

    def encodes_to(self, value: object, tree: Tree) -> bool:
        """Tell whether `value` is just what `tree` says."""
        try:
            return equal(self.encode(value), tree)
        except (NotTree, RecursionError):
            return False

    def deviate(self, value: object) -> Tree:
        """Return the tree of a value not of exactly the annotated type, marked so that it comes back the same."""
        tree = self.untyped.encode(value)
        return tree if tag_of(tree) is not None and self.admits(value) else {"$any": tree}

    def accept(self, tree: Tree, reading: Reading) -> object:
        """Return the value of a tree that is not in the plain form, if it was marked or fits the annotation."""
        tag = tag_of(tree)
        if tag is None:
            raise self.misfit(f"{_article(shape_of(tree))} ({shorten(tree)})")
        value = self.untyped.decode(tree, reading)
        if tag != "$any" and not self.admits(value):
            raise self.misfit(describe(value))
        return value

    def misfit(self, saved: str) -> Misfit:
        return Misfit(f"is {saved} in the saved state, but {self.name} in the program")


def tag_of(tree: Tree) -> str | None:
    """Return the tag of a tagged tree, or None if the tree is plain."""
    if type(tree) is dict and tree:
        first = next(iter(tree))
        if first[:1] == "$" and first not in META:
            return first
    return None


def shape_of(tree: Tree) -> str:
    """Return which of the seven JSON shapes (numbers are two) the tree has."""
    return _SHAPES[type(tree)]


def _article(shape: str) -> str:
    return shape if shape == "null" else f"an {shape}" if shape == "int" else f"a {shape}"


def tag_leaf(kind: type, value: object) -> Tree:
    """Return the tagged tree of a value whose type has a leaf."""
    leaf = cast(Leaf, find_leaf(kind))
    return {leaf.tag: write_leaf(leaf, value)}


class ScalarPlan(Plan):
    """Plan of `None`, `bool`, `int`, `float` and `str`; `float` also takes an int and gives it back as an int."""

    __slots__ = ("_fits",)

    def __init__(self, kind: type, untyped: Plan) -> None:
        shape = _SHAPES[kind]
        shapes = frozenset({"int", "float"}) if kind is float else frozenset({shape})
        super().__init__("None" if shape == "null" else shape, kind, shapes, untyped)
        self.passes = frozenset({int, float}) if kind is float else frozenset({kind})
        self._fits: Callable[[Any], bool] = _FITS[kind]

    def encode(self, value: object) -> Tree:
        kind = type(value)
        if kind in self.passes:
            if self._fits(value):
                return cast(Tree, value)
            return tag_leaf(kind, value)
        return self.deviate(value)

    def decode(self, tree: Tree, reading: Reading) -> object:
        return tree if type(tree) in self.passes else self.accept(tree, reading)

    def admits(self, value: object) -> bool:
        return type(value) in self.passes


def _fits_float(value: float) -> bool:
    return isfinite(value) if type(value) is float else -HUGE < value < HUGE


_FITS: dict[type, Callable[[Any], bool]] = {
    type(None): lambda value: True,
    bool: lambda value: True,
    int: lambda value: -HUGE < value < HUGE,
    float: _fits_float,
    str: is_writable,
}


class LeafPlan(Plan):
    """Plan of a date, a path, bytes and the like: the annotation says the type, so that the tag is left out."""

    __slots__ = ("_leaf",)

    def __init__(self, kind: type, leaf: Leaf, untyped: Plan) -> None:
        shape = "list" if leaf.tag in ("$complex", "$range") else "str"
        super().__init__(kind.__name__, kind, frozenset({shape}), untyped)
        self._leaf = leaf

    def encode(self, value: object) -> Tree:
        return write_leaf(self._leaf, value) if type(value) is self.kind else self.deviate(value)

    def decode(self, tree: Tree, reading: Reading) -> object:
        if shape_of(tree) not in self.shapes:
            return self.accept(tree, reading)
        try:
            return read_leaf(self._leaf, tree)
        except BadTree as error:
            raise self.misfit(f"{_article(shape_of(tree))} ({shorten(tree)})") from error


class EnumPlan(Plan):
    """Plan of an enum: the member's name, or the names of combined flags with `|` between."""

    __slots__ = ("_members",)

    def __init__(self, kind: type[enum.Enum], untyped: Plan) -> None:
        super().__init__(kind.__qualname__, kind, frozenset({"str"}), untyped)
        self._members = kind.__members__

    def encode(self, value: object) -> Tree:
        if type(value) is not self.kind:
            return self.deviate(value)
        name = cast(enum.Enum, value)._name_
        return name if self._members.get(name) is value else member_text(cast(enum.Enum, value))

    def decode(self, tree: Tree, reading: Reading) -> object:
        if type(tree) is not str:
            return self.accept(tree, reading)
        try:
            return find_member(cast(type, self.kind), tree)
        except BadTree as error:
            names = ", ".join(islice(self._members, 8))
            raise Misfit(
                f"is {tree!r} in the saved state, but {self.name} has only {names}",
                slug="state-member-missing",
                advice=f"Give {self.name} the member {tree!r} back, or begin a new run with fresh=True.",
            ) from error
