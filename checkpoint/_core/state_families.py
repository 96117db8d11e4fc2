"""
Plans of pydantic models, msgspec structs, named tuples and typed dicts: what is particular to each.

Models are restored with their private attributes, their extra ones and the set of fields that were given:

    "$private": {...}   private attributes of a model
    "$fields_set": [..] the fields that were given or assigned, if they are not all of them
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

from checkpoint._core.records import Tree
from checkpoint._core.state_fields import Family, Field
from checkpoint._core.state_memory import Slot, are_same, encode_parts
from checkpoint._core.state_objects import ABSENT, ObjectPlan
from checkpoint._core.state_plan import Plan, Reading, tag_of
from checkpoint._core.tags_leaves import shorten
from checkpoint._core.tags_words import BadTree, NotTree
from checkpoint._core.tags_writing import key_step


class ModelPlan(ObjectPlan):
    """Plan of pydantic models."""

    __slots__ = ("_private_defaults",)

    def __init__(self, kind: type, frozen: bool, untyped: Plan) -> None:
        super().__init__(kind, frozen, untyped)
        self._private_defaults: Mapping[str, Any] = getattr(kind, "__private_attributes__", {})

    def _holds_only_fields(self, values: list[Any]) -> bool:
        # A model also holds which of its fields were given.
        return False

    def add_rest(self, value: Any, tree: dict[str, Tree]) -> None:
        extra: dict[str, object] = value.__pydantic_extra__ or {}
        private: dict[str, object] = value.__pydantic_private__ or {}
        if extra:
            tree["$extra"] = self.encode_rest(extra)
        if private:
            tree["$private"] = self.encode_rest(private)
        given: set[str] = value.__pydantic_fields_set__
        if given != self.fields.keys() | extra.keys():
            tree["$fields_set"] = cast(Tree, sorted(given))

    def restore_rest(self, value: Any, tree: dict[str, Tree], reading: Reading) -> None:
        extra = self.read_rest("$extra", tree, getattr(value, "__pydantic_extra__", None) or {}, reading)
        private = self.read_rest("$private", tree, getattr(value, "__pydantic_private__", None) or {}, reading)
        given = tree.get("$fields_set", [*self.fields, *extra])
        if type(given) is not list or not all(type(name) is str for name in given):
            raise BadTree(f"has {shorten(given)} under $fields_set, which is not a list of names")
        allows_extra = cast("Any", self.kind).model_config.get("extra") == "allow"
        for name, attribute in self._private_defaults.items():
            if name in private:
                continue
            # Not all versions of pydantic call the factory in get_default.
            factory = attribute.default_factory
            if getattr(attribute, "default_factory_takes_validated_data", False):
                default = factory(dict(value.__dict__))
            else:
                default = attribute.get_default() if factory is None else factory()
            if type(default).__name__ != "PydanticUndefinedType":
                private[name] = default
        for name in self._computed:
            value.__dict__.pop(name, None)
        object.__setattr__(value, "__pydantic_extra__", extra if extra or allows_extra else None)
        object.__setattr__(value, "__pydantic_private__", private if self._private_defaults else None)
        object.__setattr__(value, "__pydantic_fields_set__", set(given))

    def empty_out(self, value: Any) -> None:
        super().empty_out(value)
        for name in ("__pydantic_extra__", "__pydantic_private__"):
            object.__setattr__(value, name, None)


class StructPlan(ObjectPlan):
    """
    Plan of msgspec structs.

    msgspec makes a struct only through its constructor, so that a `__post_init__` does run; it sees values of
    its own, and what it may have changed is set back to what was saved.
    """

    __slots__ = ()

    def build(self, tree: dict[str, Tree], reading: Reading) -> object:
        parts = {
            name: self.read_field(name, field, plan, tree, None, reading) for name, (field, plan) in self.fields.items()
        }
        kind = cast("Any", self.kind)
        given = {name: None if part is ABSENT else part for name, part in parts.items()}
        if not hasattr(kind, "__post_init__"):
            made = kind(**given)
        else:
            given |= {name: plan.decode(tree[name], reading) for name, (_, plan) in self.fields.items() if name in tree}
            try:
                made = kind(**given)
            except Exception as error:
                raise BadTree(f"is a {self.name} whose __post_init__ failed ({error!r})") from error
            for name, part in given.items():
                self.put(made, name, parts[name] if parts[name] is not ABSENT else part)
        for name, part in parts.items():
            if part is ABSENT:
                self.remove(made, name)
        self.restore_rest(made, tree, reading)
        return cast(object, made)

    def put(self, value: Any, name: str, part: object) -> None:
        sys.modules["msgspec"].structs.force_setattr(value, name, part)

    def remove(self, value: Any, name: str) -> None:
        delattr(value, name)


class NamedTuplePlan(ObjectPlan):
    """Plan of named tuples: an object with a member per field, so that a field can be added with a default."""

    __slots__ = ()

    def __init__(self, kind: type, frozen: bool, untyped: Plan) -> None:
        super().__init__(kind, True, untyped)

    def build(self, tree: dict[str, Tree], reading: Reading) -> object:
        parts = [self.read_field(name, *self.fields[name], tree, None, reading) for name in self.fields]
        made = tuple.__new__(cast("type[tuple[object, ...]]", self.kind), parts)
        self.restore_rest(made, tree, reading)
        return made


class TypedDictPlan(Plan):
    """
    Plan of a `TypedDict`: a dict whose declared keys are written by their annotations.

    A key that is not there stays away, whether or not the class requires it: an empty state is an empty dict.
    Other keys of the dict are written as `{"$any": value}`, which tells them from declared ones that were removed.
    """

    __slots__ = ("_plans",)

    def __init__(self, name: str, untyped: Plan) -> None:
        super().__init__(name, dict, frozenset({"dict"}), untyped)
        self._plans: dict[str, Plan] = {}

    def fill(self, fields: dict[str, tuple[Field, Plan]]) -> None:
        """Give the plan its keys, which could not be known before it existed."""
        self._plans = {name: plan for name, (_, plan) in fields.items()}

    def plan_of(self, name: str) -> Plan | None:
        """Return the plan of the entry under a key, or None if the key is not declared."""
        return self._plans.get(name)

    def encode(self, value: object) -> Tree:
        if type(value) is not dict:
            return self.deviate(value)
        entries: list[tuple[object, object]] = [*cast("dict[object, object]", value).items()]
        if any(type(key) is not str or key[:1] == "$" for key, _ in entries):
            return {"$any": self.untyped.encode(value)}
        return self._plain(entries)

    def encode_again(self, value: object, slot: Slot) -> Tree:
        if type(value) is not dict:
            slot.forget()
            return self.deviate(value)
        entries: dict[Any, object] = dict(value)
        if slot.plan is not self:
            slot.forget()
        tree = cast("dict[str, Tree] | None", slot.tree)
        if tree is None or len(tree) != len(entries) or not are_same(entries, tree):
            # Plans go by the keys: what is remembered is of use for these alone.
            slot.forget()
        if not entries.keys() <= self._plans.keys() or not all(type(key) is str for key in entries):
            return self.encode(value)
        parts = [*entries.values()]
        try:
            trees = encode_parts(entries, parts, map(self._plans.__getitem__, entries), slot)
        except NotTree:
            slot.forget()
            return self.encode(value)
        if slot.has(trees):
            return tree
        slot.keep(self, dict(zip(entries, trees, strict=True)), trees, parts)
        return slot.tree

    def _plain(self, entries: list[tuple[object, object]]) -> Tree:
        tree: dict[str, Tree] = {}
        key: object = None
        try:
            for key, entry in cast("list[tuple[str, object]]", entries):
                plan = self._plans.get(key)
                tree[key] = plan.encode(entry) if plan is not None else {"$any": self.untyped.encode(entry)}
        except NotTree as error:
            error.under(key_step(key))
            raise
        return tree

    def decode(self, tree: Tree, reading: Reading) -> object:
        if type(tree) is not dict or tag_of(tree) is not None:
            return self.accept(tree, reading)
        return self._read(tree, {}, reading)

    def restore(self, value: object, tree: Tree, reading: Reading) -> object:
        if type(value) is not dict or type(tree) is not dict or tag_of(tree) not in (None, "$any"):
            return super().restore(value, tree, reading)
        if tag_of(tree) == "$any":
            return self.untyped.restore(value, tree, reading)
        target = cast("dict[object, object]", value)
        entries = self._read(tree, target, reading)
        if [*target] != [*entries] or any(type(key) is not str for key in target):
            target.clear()
        target.update(entries)
        return target

    def _read(self, tree: dict[str, Tree], now: dict[Any, object], reading: Reading) -> dict[str, object]:
        entries: dict[str, object] = {}
        for key, part in tree.items():
            plan = self._plans.get(key)
            if plan is None and tag_of(part) != "$any":
                reading.note(f"the saved state has a key {key!r} that {self.name} no longer has; it was dropped")
                continue
            plan = plan or self.untyped
            try:
                entries[key] = plan.restore(now[key], part, reading) if key in now else plan.decode(part, reading)
            except BadTree as error:
                error.under(key_step(key))
                raise
        return entries

    def admits(self, value: object) -> bool:
        return isinstance(value, dict)


PLANS: dict[Family, type[ObjectPlan]] = {
    "dataclass": ObjectPlan,
    "attrs": ObjectPlan,
    "pydantic": ModelPlan,
    "msgspec": StructPlan,
    "named tuple": NamedTuplePlan,
}
