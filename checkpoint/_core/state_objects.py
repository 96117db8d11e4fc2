"""
Plans of classes with fields: a JSON object with a member per field, each written by its annotation.

An object is restored, not constructed: neither `__init__` nor `__post_init__` nor a setter of the class runs, and
frozen and slotted classes work.  Beside its fields an object can hold, under names no field can have:

    "$extra": {...}     attributes that are not fields
    "$unset": [...]     fields that had no value when the object was saved
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from operator import attrgetter, countOf
from types import MemberDescriptorType
from typing import Any, cast

from checkpoint._core.records import Tree
from checkpoint._core.state_fields import Field, computed_names
from checkpoint._core.state_memory import Slot, encode_parts
from checkpoint._core.state_plan import META, Misfit, Plan, Reading, tag_of
from checkpoint._core.state_proof import Proof, prove_lasting
from checkpoint._core.tags_leaves import shorten
from checkpoint._core.tags_words import BadTree, NotTree

_MEMBERS = attrgetter("__dict__")

# What `typing` leaves on an instance that was made as `Box[int]()`: it says nothing but the annotation.
_TYPING = frozenset({"__orig_class__"})

# Stands for the value of a field that has none.
ABSENT = object()


class ObjectPlan(Plan):
    """
    Plan of dataclasses and attrs classes; the base of the other families.

    Attributes:
        fields: The fields with their plans, by name; set by `fill`, because a class can have fields of itself.
        frozen: Whether instances never change, so that they are replaced and not restored in place.
        is_simple: Whether setting a field changes that field and nothing else.
    """

    __slots__ = (
        "_computed",
        "_encoders",
        "_has_members",
        "_names",
        "_parts_of",
        "_plans",
        "fields",
        "frozen",
        "is_simple",
    )

    def __init__(self, kind: type, frozen: bool, untyped: Plan) -> None:
        super().__init__(kind.__qualname__, kind, frozenset({"dict"}), untyped)
        self.frozen = frozen
        self.fields: dict[str, tuple[Field, Plan]] = {}
        self._computed = computed_names(kind)
        self.is_simple = False
        self._encoders: tuple[tuple[str, Callable[[Any], Tree]], ...] = ()
        self._names: frozenset[str] = frozenset()
        self._plans: tuple[Plan, ...] = ()
        self._parts_of: Callable[[Any], tuple[object, ...]] = _parts_getter([])
        self._has_members = cast("Any", kind).__dictoffset__ != 0

    def fill(self, fields: dict[str, tuple[Field, Plan]]) -> None:
        """Give the plan its fields, which could not be known before it existed."""
        self.fields = fields
        self._encoders = tuple((name, plan.encode) for name, (_, plan) in fields.items())
        self._names = frozenset(fields) | self._computed | _TYPING
        self._plans = tuple(plan for _, plan in fields.values())
        self._parts_of = _parts_getter([*fields])
        kind: Any = self.kind
        self.is_simple = (
            not self.frozen
            and not self._computed
            and kind.__getattribute__ is object.__getattribute__
            and not any(_has_setter(kind, name) for name in fields)
        )

    def encode(self, value: object) -> Tree:
        return self.plain(value) if type(value) is self.kind else self.deviate(value)

    def encode_again(self, value: object, slot: Slot) -> Tree:
        if type(value) is not self.kind:
            slot.forget()
            return self.deviate(value)
        if slot.plan is not self:
            slot.forget()
        try:
            parts = self._parts_of(value)
            trees = encode_parts(self.fields, parts, self._plans, slot)
        except (NotTree, AttributeError):
            slot.forget()
            return self.plain(value)
        rest: dict[str, Tree] = {}
        self.add_rest(value, rest)
        if not rest and slot.is_flat and slot.has(trees):
            return slot.tree
        tree = dict(zip(self.fields, trees, strict=True)) | rest
        # Flat stands here for an object that holds nothing beside its fields.
        slot.keep(self, tree, trees, parts, is_flat=not rest)
        return tree

    def prove(self, values: list[Any]) -> Proof | None:
        if countOf(map(type, values), self.kind) != len(values) or not self._holds_only_fields(values):
            return None
        try:
            return prove_lasting(tuple(chain.from_iterable(map(self._parts_of, values))))
        except AttributeError:
            return None

    def _holds_only_fields(self, values: list[Any]) -> bool:
        """Tell whether none of these objects holds anything beside its fields; what cannot be told quickly is no."""
        return not self._has_members or all(map(self._names.issuperset, map(_MEMBERS, values)))

    def plain(self, value: object) -> dict[str, Tree]:
        """Return the tree of an object whose type was compared."""
        tree: dict[str, Tree] = {}
        name = ""
        try:
            for name, encode in self._encoders:
                tree[name] = encode(getattr(value, name))
        except NotTree as error:
            error.under(f".{name}")
            raise
        except AttributeError:
            tree = self._plain_partly(value)
        self.add_rest(value, tree)
        return tree

    def _plain_partly(self, value: object) -> dict[str, Tree]:
        tree: dict[str, Tree] = {}
        unset: list[Tree] = []
        for name, encode in self._encoders:
            part = getattr(value, name, ABSENT)
            if part is ABSENT:
                unset.append(name)
                continue
            try:
                tree[name] = encode(part)
            except NotTree as error:
                error.under(f".{name}")
                raise
        if unset:
            tree["$unset"] = unset
        return tree

    def add_rest(self, value: object, tree: dict[str, Tree]) -> None:
        """Add to the tree what the object holds beside its fields."""
        if self._has_members:
            members: dict[str, object] = value.__dict__
            if not members.keys() <= self._names:
                extra = {name: part for name, part in [*members.items()] if name not in self._names}
                tree["$extra"] = self.encode_rest(extra)

    def encode_rest(self, parts: dict[str, object]) -> Tree:
        """Return the tree of attributes that have no annotation, each a member."""
        tree: dict[str, Tree] = {}
        for name, part in parts.items():
            try:
                tree[name] = self.untyped.encode(part)
            except NotTree as error:
                error.under(f".{name}")
                raise
        return tree

    def decode(self, tree: Tree, reading: Reading) -> object:
        if type(tree) is not dict or tag_of(tree) is not None:
            return self.accept(tree, reading)
        self.note_removed(tree, reading)
        return self.build(tree, reading)

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        if self.frozen or type(value) is not self.kind or type(tree) is not dict or tag_of(tree) is not None:
            return super().restore(value, tree, reading)
        self.note_removed(tree, reading)
        self.refill(value, tree, reading)
        return value

    def build(self, tree: dict[str, Tree], reading: Reading) -> object:
        """Return a new object."""
        made: object = object.__new__(cast(type, self.kind))
        for name, (field, plan) in self.fields.items():
            part = self.read_field(name, field, plan, tree, made, reading)
            if part is not ABSENT:
                object.__setattr__(made, name, part)
        self.restore_rest(made, tree, reading)
        return made

    def refill(self, value: object, tree: dict[str, Tree], reading: Reading) -> None:
        """Make an object what the tree says, keeping the identity of what it holds where possible."""
        for name, (field, plan) in self.fields.items():
            now = getattr(value, name, ABSENT)
            if now is ABSENT or name not in tree:
                part = self.read_field(name, field, plan, tree, value, reading)
            else:
                try:
                    part = plan.restore(now, tree[name], reading)
                except BadTree as error:
                    error.under(f".{name}")
                    raise
            if part is ABSENT:
                if now is not ABSENT:
                    self.remove(value, name)
            elif part is not now:
                self.put(value, name, part)
        self.restore_rest(value, tree, reading)

    def read_field(
        self, name: str, field: Field, plan: Plan, tree: dict[str, Tree], owner: object, reading: Reading
    ) -> object:
        """Return the value of one field: as saved, else its default, or ABSENT if it was saved without a value."""
        try:
            if name in tree:
                return plan.decode(tree[name], reading)
            unset = tree.get("$unset")
            if type(unset) is list and name in unset:
                return ABSENT
            if field.default is not None:
                return field.default(owner)
            raise Misfit(
                f"is not in the saved state, and the field has no default in {self.name}",
                slug="state-field-missing",
                advice="Give the field a default, or begin a new run with fresh=True.",
            )
        except BadTree as error:
            error.under(f".{name}")
            raise

    def note_removed(self, tree: dict[str, Tree], reading: Reading) -> None:
        """Tell the user about saved fields that the class no longer has."""
        if tree.keys() <= self.fields.keys():
            return
        for name in tree:
            if name not in self.fields and name not in META:
                reading.note(f"the saved state has a field {name!r} that {self.name} no longer has; it was dropped")

    def restore_rest(self, value: Any, tree: dict[str, Tree], reading: Reading) -> None:
        """Make what the object holds beside its fields what the tree says; cached properties are forgotten."""
        if not self._has_members:
            return
        members: dict[str, object] = value.__dict__
        parts = self.read_rest("$extra", tree, members, reading)
        for name in [*members]:
            if name not in self.fields and name not in parts and name not in _TYPING:
                del members[name]
        members.update(parts)

    def read_rest(self, tag: str, tree: dict[str, Tree], now: dict[str, Any], reading: Reading) -> dict[str, object]:
        """Return the attributes under `tag`, restored in place where `now` has them."""
        trees = tree.get(tag, {})
        if type(trees) is not dict:
            raise BadTree(f"has {shorten(trees)} under {tag}, which is not an object")
        parts: dict[str, object] = {}
        for name, part in trees.items():
            try:
                parts[name] = self.untyped.restore(now.get(name), part, reading)
            except BadTree as error:
                error.under(f".{name}")
                raise
        return parts

    def empty_out(self, value: Any) -> None:
        """Take everything out of an object, so that nothing of it is filled in place."""
        if self._has_members:
            value.__dict__.clear()
        for name in self.fields:
            self.put(value, name, None)

    def put(self, value: Any, name: str, part: object) -> None:
        """Set one field without any setter of the class."""
        object.__setattr__(value, name, part)

    def remove(self, value: Any, name: str) -> None:
        """Leave one field without a value."""
        object.__delattr__(value, name)


def _has_setter(kind: type, name: str) -> bool:
    """Tell whether a class runs code when this field is set; a slot does not."""
    member = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    return hasattr(type(member), "__set__") and not isinstance(member, MemberDescriptorType)


def _parts_getter(names: list[str]) -> Callable[[Any], tuple[object, ...]]:
    """Return a function that returns the attributes of these names in a tuple."""
    if len(names) > 1:
        return cast("Callable[[Any], tuple[object, ...]]", attrgetter(*names))
    return lambda value: tuple([getattr(value, name) for name in names])
