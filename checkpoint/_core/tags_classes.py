"""
Enum members, dataclass instances and named tuples: to a class's lasting name with plain parts, and back.

An instance is restored, not constructed: `__init__` and `__post_init__` do not run, as with pickle.  A class
that has its own idea of how it is saved (`__reduce__`, `__getstate__`, state outside its fields) is left to
pickle, which asks it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from functools import lru_cache
from types import MemberDescriptorType
from typing import Any, cast

from checkpoint._core.tags_words import BadTree, NotTree

_ABSENT = object()


def is_named_tuple(cls: type) -> bool:
    """Return whether `cls` is a class made by `namedtuple` or `typing.NamedTuple`, or derived from one."""
    names = getattr(cls, "_fields", None)
    return issubclass(cls, tuple) and type(names) is tuple and all(type(name) is str for name in names)


def is_data_class(cls: type) -> bool:
    """Return whether `cls` itself, not only a base of it, was made a dataclass."""
    return "__dataclass_fields__" in vars(cls)


def is_fixed(cls: Any) -> bool:
    """Return whether two equal instances of a dataclass or named tuple are as good as one instance twice."""
    if not is_data_class(cls):
        return True
    options = cls.__dataclass_params__
    return bool(options.frozen and options.eq)


def member_text(member: enum.Enum) -> str:
    """
    Return the name of an enum member; for a combination of flags their names with `|` between, and `0` for none.

    Raises:
        NotTree: The member has no name that finds it again.
    """
    cls = type(member)
    if isinstance(member, enum.Flag) and cls.__members__.get(str(member.name)) is not member:
        text = "|".join(flag.name or "" for flag in member) or "0"
    else:
        text = str(member.name)
    try:
        same = find_member(cls, text) is member
    except BadTree:
        same = False
    if not same:
        raise NotTree(member, f"is a member of {cls.__qualname__} without a name of its own")
    return text


def find_member(cls: type, text: str) -> enum.Enum:
    """
    Return the member that `member_text` wrote.

    Raises:
        BadTree: `cls` is no enum, or has no such member.
    """
    if not issubclass(cls, enum.Enum):
        raise BadTree(f"{cls.__qualname__} is not an enum")
    members = cls.__members__
    if text in members:
        return members[text]
    names = [] if text == "0" else text.split("|")
    if not issubclass(cls, enum.Flag) or any(name not in members for name in names):
        raise BadTree(f"enum {cls.__qualname__} has no member {text[:60]!a}")
    found = cls(0)
    for name in names:
        found |= cast("enum.Flag", members[name])
    return found


def parts_of(value: object) -> dict[str, object] | None:
    """
    Return the fields of a dataclass instance or named tuple by name, or None if `value` is neither.

    Raises:
        NotTree: It is one, but its fields are not all there is to it.
    """
    cls = type(value)
    if is_data_class(cls):
        return _dataclass_parts(value, cls)
    if is_named_tuple(cls):
        return _tuple_parts(cast("tuple[object, ...]", value), cls)
    return None


def _dataclass_parts(value: object, cls: type) -> dict[str, object]:
    plan = _plan(cls)
    if plan.own_way:
        raise NotTree(value, f"is a {cls.__qualname__}, which has its own way of being made or saved")
    found: dict[str, object] = dict(getattr(value, "__dict__", ()))
    for name, slot in plan.slots.items():
        part = _slot_value(slot, value)
        if part is not _ABSENT:
            found[name] = part
    parts = {name: found.pop(name) for name in plan.names if name in found}
    if found:
        raise NotTree(value, f"is a {cls.__qualname__} with {next(iter(found))!r}, which is not one of its fields")
    absent = plan.given - parts.keys()
    if absent:
        raise NotTree(value, f"is a {cls.__qualname__} without a value for {min(absent)!r}")
    return parts


def _tuple_parts(value: tuple[object, ...], cls: Any) -> dict[str, object]:
    own = [base for base in cls.__mro__[:-2] if "__reduce_ex__" in vars(base) or "__reduce__" in vars(base)]
    if own or len(cls._fields) != len(value) or getattr(value, "__dict__", None):
        raise NotTree(value, f"is a {cls.__qualname__}, which is more than its fields")
    return dict(zip(cls._fields, value, strict=True))


def _is_made_its_own_way(cls: Any) -> bool:
    return cls.__new__ is not object.__new__


def _saves_itself(cls: type) -> bool:
    # `dataclass(slots=True, frozen=True)` adds a __getstate__ and __setstate__ that do what is done here.
    return any(
        getattr(vars(base).get(name), "__module__", "dataclasses") != "dataclasses"
        for base in cls.__mro__[:-1]
        for name in (
            "__reduce_ex__",
            "__reduce__",
            "__getstate__",
            "__setstate__",
            "__getnewargs__",
            "__getnewargs_ex__",
        )
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """
    What is known of a dataclass once and for all.

    Attributes:
        names: Its fields, in order.
        all_names: The same.
        given: Those that `__init__` sets.
        needed: Those of them that have no default.
        defaults: The fields that have one.
        slots: Its slots, whether or not they are fields.
        own_way: Whether instances cannot be restored from their fields alone.
    """

    names: tuple[str, ...]
    all_names: frozenset[str]
    given: frozenset[str]
    needed: frozenset[str]
    defaults: dict[str, dataclasses.Field[Any]]
    slots: dict[str, MemberDescriptorType]
    own_way: bool


# Bounded, so that classes which a program makes by the thousand do not live for ever.
@lru_cache(maxsize=512)
def _plan(cls: type) -> _Plan:
    fields = dataclasses.fields(cast("Any", cls))
    return _Plan(
        names=tuple(field.name for field in fields),
        all_names=frozenset(field.name for field in fields),
        given=frozenset(field.name for field in fields if field.init),
        needed=frozenset(field.name for field in fields if field.init and not _has_default(field)),
        defaults={field.name: field for field in fields if _has_default(field)},
        slots={
            name: member
            for base in reversed(cls.__mro__)
            for name, member in vars(base).items()
            if type(member) is MemberDescriptorType
        },
        own_way=_is_made_its_own_way(cls) or _saves_itself(cls),
    )


def _slot_value(slot: MemberDescriptorType, value: object) -> object:
    try:
        return slot.__get__(value)
    except AttributeError:
        return _ABSENT


def restore(cls: type, parts: Mapping[str, object]) -> object:
    """
    Return the instance of the dataclass or named tuple `cls` whose fields have the values `parts`.

    A field that the class has got since takes its default; one that it has lost is left out; both at once
    looks like a renamed field, and is refused rather than guessed.

    Raises:
        BadTree: The fields do not fit the class.
    """
    if is_data_class(cls):
        plan = _plan(cls)
        if parts.keys() != plan.all_names:
            _check_fit(cls, parts, plan.all_names, plan.needed)
        return _restore_dataclass(cls, plan, parts)
    if is_named_tuple(cls):
        names: tuple[str, ...] = cast("Any", cls)._fields
        defaults: Mapping[str, object] = cast("Any", cls)._field_defaults
        _check_fit(cls, parts, frozenset(names), frozenset(names) - defaults.keys())
        values = [parts[name] if name in parts else defaults[name] for name in names]
        return tuple.__new__(cast("type[tuple[object, ...]]", cls), values)
    raise BadTree(f"{cls.__qualname__} is neither a dataclass nor a named tuple")


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _check_fit(cls: type, parts: Mapping[str, object], names: frozenset[str], needed: frozenset[str]) -> None:
    missing = sorted(needed - parts.keys())
    if missing:
        raise BadTree(f"{cls.__qualname__} now needs a field {missing[0]!r} that was not saved")
    lost, new = sorted(parts.keys() - names), sorted(names - parts.keys())
    if lost and new:
        raise BadTree(f"{cls.__qualname__} has no field {lost[0]!r} any more, and {new[0]!r} is new: was it renamed?")


def _restore_dataclass(cls: type, plan: _Plan, parts: Mapping[str, object]) -> object:
    if _is_made_its_own_way(cls):
        raise BadTree(f"{cls.__qualname__} is not made as dataclasses usually are")
    instance: object = object.__new__(cls)
    for name in plan.names:
        if name in parts:
            part = parts[name]
        else:
            field = plan.defaults.get(name)
            if field is None:
                continue
            part = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if name in plan.slots:
            plan.slots[name].__set__(instance, part)
        else:
            # Not setattr: frozen classes forbid it, and a property of that name would run.
            instance.__dict__[name] = part
    return instance
