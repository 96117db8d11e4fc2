"""
From an annotation to its plan.

An annotation that says nothing of use, or cannot be resolved, is a place without an annotation; this module must
never refuse a class for how it is annotated.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from checkpoint._core.fingerprint_names import lasting_name
from checkpoint._core.state_choice import CheckedPlan, LiteralPlan, UnionPlan
from checkpoint._core.state_families import PLANS, TypedDictPlan
from checkpoint._core.state_fields import Family, Field, family_of, is_frozen, list_fields
from checkpoint._core.state_maps import MapPlan
from checkpoint._core.state_objects import ObjectPlan
from checkpoint._core.state_plan import EnumPlan, LeafPlan, Plan, ScalarPlan
from checkpoint._core.state_sequences import RowPlan, SequencePlan
from checkpoint._core.state_untyped import UntypedPlan
from checkpoint._core.tags_leaves import find_leaf
from checkpoint._core.tags_words import NotTree

# What stands for a type variable in a class that was made concrete, as the int of `Box[int]`.
Variables = Mapping[Any, object]

_SCALARS = (type(None), bool, int, float, str)
_SEQUENCES = (list, tuple, set, frozenset, deque)
_MAPS = (dict, OrderedDict, defaultdict, Counter)

# They wrap an annotation without changing what values it allows.
_WRAPPERS = frozenset({"Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})

# A path's annotation usually names a class of which every value is of a class for this system.
_CONCRETE = {pathlib.Path: type(pathlib.Path()), pathlib.PurePath: type(pathlib.PurePath())}


Objects = dict[tuple[Any, ...], ObjectPlan | TypedDictPlan]


class Planner:
    """
    Makes the plans of one state, each once.

    Any thread may ask for a plan: none is handed out before it is complete.
    """

    def __init__(self, names: Mapping[str, object] | None = None) -> None:
        """
        Make a planner.

        Args:
            names: Resolves annotations that a class's module cannot, such as those of a class in a function.
        """
        self.names = names or {}
        self.known: dict[str, type] = {}
        self.objects: Objects = {}
        self.untyped = UntypedPlan(self.find_object_plan, self.known)

    def plan(self, hint: object) -> Plan:
        """Return the plan of an annotation."""
        building = _Building(self)
        plan = building.plan(hint)
        self.objects |= building.objects
        return plan

    def find_object_plan(self, cls: type) -> ObjectPlan | None:
        """Return the plan of a class with fields, or None if it is not one."""
        found = self.objects.get((cls,))
        if found is None:
            family = family_of(cls)
            if family is None or family == "typed dict":
                return None
            building = _Building(self)
            found = building.object_plan(cls, family, ())
            self.objects |= building.objects
        return cast(ObjectPlan, found)


class _Building:
    """The making of one plan and of all that it needs."""

    def __init__(self, planner: Planner) -> None:
        self._names = planner.names
        self._known = planner.known
        self.untyped = planner.untyped
        self.objects: Objects = dict(planner.objects)
        self._aliases: list[object] = []

    def plan(self, hint: Any, variables: Variables = MappingProxyType({})) -> Plan:
        """Return the plan of an annotation; `variables` says what type variables stand for."""
        if isinstance(hint, typing.TypeVar):
            found = variables.get(hint, hint.__bound__)
            return self.untyped if found is None or found is hint else self.plan(found)
        if hint is None:
            return ScalarPlan(type(None), self.untyped)
        inner = _unwrap(hint)
        if inner is not hint:
            return self._alias_plan(hint, inner, variables)
        origin = typing.get_origin(hint)
        if origin is None:
            return self._class_plan(hint) if isinstance(hint, type) else self.untyped
        arguments = typing.get_args(hint)
        if origin is typing.Union or origin is types.UnionType:
            return self._union_plan(arguments, variables)
        if origin is typing.Literal:
            return self._literal_plan(arguments)
        return self._generic_plan(origin, arguments, variables)

    def _alias_plan(self, hint: object, inner: object, variables: Variables) -> Plan:
        # An alias can name itself, as JSON does: inside, it is a place without an annotation.
        if any(hint is known for known in self._aliases):
            return self.untyped
        self._aliases.append(hint)
        try:
            return self.plan(inner, variables)
        finally:
            self._aliases.pop()

    def _union_plan(self, arguments: tuple[object, ...], variables: Variables) -> Plan:
        members = tuple(self.plan(argument, variables) for argument in arguments)
        return members[0] if len(members) == 1 else UnionPlan(members, self.untyped)

    def _literal_plan(self, values: tuple[object, ...]) -> Plan:
        for value in values:
            if isinstance(value, enum.Enum):
                self._know(type(value))
        try:
            return LiteralPlan(values, self.untyped)
        except NotTree:
            return self.untyped

    def _class_plan(self, cls: type) -> Plan:
        if cls in _SCALARS:
            return ScalarPlan(cls, self.untyped)
        if cls in _SEQUENCES or cls in _MAPS:
            return self._generic_plan(cls, (), {})
        concrete = cast("type", _CONCRETE.get(cast(Any, cls), cls))
        leaf = find_leaf(concrete)
        if leaf is not None:
            return LeafPlan(concrete, leaf, self.untyped)
        if issubclass(cls, enum.Enum):
            self._know(cls)
            # An enum without members is a base: its values are of other classes.
            return EnumPlan(cls, self.untyped) if cls.__members__ else self._checked_plan(cls)
        family = family_of(cls)
        if family is not None:
            self._know(cls)
            return self.object_plan(cls, family, ())
        return self._checked_plan(cls)

    def _generic_plan(self, origin: Any, arguments: tuple[Any, ...], variables: Variables) -> Plan:
        if origin is tuple and arguments and arguments[-1] is not ...:
            row = () if arguments == ((),) else arguments
            return RowPlan(tuple(self.plan(argument, variables) for argument in row), self.untyped)
        plans = [self.plan(argument, variables) for argument in arguments if argument is not ...]
        if origin in _SEQUENCES:
            return SequencePlan(origin, plans[0] if plans else self.untyped, self.untyped)
        if origin is Counter:
            key = plans[0] if plans else self.untyped
            return MapPlan(Counter, key, ScalarPlan(int, self.untyped), self.untyped)
        if origin in _MAPS:
            key, value = plans if len(plans) == 2 else (self.untyped, self.untyped)
            return MapPlan(origin, key, value, self.untyped)
        family = family_of(origin) if isinstance(origin, type) else None
        if family is not None:
            self._know(origin)
            return self.object_plan(origin, family, tuple(_substitute(argument, variables) for argument in arguments))
        return self._checked_plan(origin) if isinstance(origin, type) else self.untyped

    def _checked_plan(self, cls: type) -> Plan:
        if cls is object:
            return self.untyped
        try:
            isinstance(None, cls)
        except TypeError:
            return self.untyped
        return CheckedPlan(cls.__qualname__, cls, self.untyped)

    def object_plan(self, cls: Any, family: Family, arguments: tuple[Any, ...]) -> ObjectPlan | TypedDictPlan:
        """Return the plan of a class with fields, made concrete with `arguments` if it is generic."""
        key = (cls, *arguments)
        found = self.objects.get(key)
        if found is not None:
            return found
        plan: ObjectPlan | TypedDictPlan
        if family == "typed dict":
            plan = TypedDictPlan(cls.__qualname__, self.untyped)
        else:
            plan = PLANS[family](cls, is_frozen(cls, family), self.untyped)
        # Known before it has its fields, which can be of the same class.
        self.objects[key] = plan
        variables = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
        fields = list_fields(cls, family, self._names)
        plan.fill({field.name: (field, self._field_plan(field, variables)) for field in fields})
        return plan

    def _field_plan(self, field: Field, variables: Variables) -> Plan:
        plan = self.plan(field.hint, variables)
        if field.is_none_by_default and not plan.admits(None):
            return UnionPlan((plan, ScalarPlan(type(None), self.untyped)), self.untyped)
        return plan

    def _know(self, cls: type) -> None:
        self._known.setdefault(lasting_name(cls), cls)


def _unwrap(hint: Any) -> object:
    """Return the annotation inside a new type, an alias or a marker such as `Annotated`, or `hint` itself."""
    if isinstance(hint, typing.NewType):
        return hint.__supertype__
    if type(hint).__name__ == "TypeAliasType":
        return hint.__value__
    origin = typing.get_origin(hint)
    if getattr(origin, "_name", getattr(origin, "__name__", None)) in _WRAPPERS:
        return typing.get_args(hint)[0]
    if type(origin).__name__ == "TypeAliasType":
        return origin.__value__
    if hint is typing.LiteralString:
        return str
    return hint


def _substitute(argument: Any, variables: Variables) -> Any:
    return variables.get(argument, argument) if isinstance(argument, typing.TypeVar) else argument
