"""
Encoders of enums, of classes that declare their fields, and of plain objects.

An object is its class's name and its data.  Third-party classes are recognised by what their library
leaves on them; nothing here may import one, nor read an instance attribute that could be computed.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import FunctionType, MemberDescriptorType
from typing import Any

from checkpoint._core.fingerprint_builtin import (
    cached_names,
    encode_dict,
    encode_list,
    encode_tuple,
    exact,
    without_cached,
)
from checkpoint._core.fingerprint_names import a_or_an, class_name, encode_global, tag
from checkpoint._core.fingerprint_table import ENCODERS, Encoder, NoLastingValue, build_in, encode, unknown

# Key functions for classes that their users do not own.
KEY_FUNCTIONS: dict[type, Callable[[Any], object]] = {}

# What pickle calls to make an empty instance: the class and the arguments say all of it.
_NEW_OBJECT: object = getattr(copyreg, "__newobj__")  # noqa: B009 - the types of the standard library leave it out

# What libraries keep in an instance for themselves: a computed hash, and a mapped object's link to its session.
_NOT_DATA = frozenset({"_attrs_cached_hash", "_sa_instance_state"})

# What a class that declares its fields has in its own `__dict__`.
_DECLARATIONS = ("__attrs_attrs__", "__dataclass_fields__", "__pydantic_fields__", "__struct_fields__", "_fields")


def key_rule(cls: type, _value: object) -> Encoder | None:
    """Encode by what the user says identifies an instance: a registered function or `__checkpoint_key__`."""
    name = tag(cls)
    for base in cls.__mro__:
        key = KEY_FUNCTIONS.get(base)
        if key is not None:
            return lambda value: f"{name}@{encode(key(value))}"
        # On the class only: mocks and proxies answer to any name an instance is asked for.
        if "__checkpoint_key__" in base.__dict__:
            return lambda value: f"{name}@{encode(type(value).__checkpoint_key__(value))}"
    return None


def enum_rule(cls: type, _value: object) -> Encoder | None:
    """Encode members of an enumeration by name, so that renumbering it changes nothing."""
    if not issubclass(cls, enum.Enum):
        return None
    name = tag(cls)
    if not issubclass(cls, enum.Flag):
        return lambda value: f"{name}.{value._name_!a}"

    def encode_flag(value: Any) -> str:
        number: int = value._value_
        # Not the member's own name: Python versions compose it in different ways.
        members = sorted(
            key
            for key, member in cls.__members__.items()
            if member._value_.bit_count() == 1 and number & member._value_ and member._name_ == key
        )
        rest = number
        for key in members:
            rest &= ~cls.__members__[key]._value_
        return f"{name}.({','.join(map(ascii, members))},{rest})"

    return encode_flag


def fields_rule(cls: type, value: object) -> Encoder | None:
    """
    Encode a dataclass, attrs class, pydantic model, msgspec struct or named tuple by its declared fields.

    What an instance keeps beside them follows after a semicolon: attributes that a hand-written `__init__`, a
    `__post_init__` or a base class has set.  Cached properties are left out, even one that was set by hand: they
    count as following from the rest.  So is what pydantic calls private.
    """
    names = declared_fields(cls)
    if names is None:
        return None
    name = tag(cls)
    get_items = _getter(cls, names)
    prefixes = [f"{field}=" if field.isascii() else f"@{field!a}=" for field in names]
    has_more, find_extra = _has_more_than_fields(cls), _extra_finder(cls)

    def encode_fields(value: Any) -> str:
        try:
            items = get_items(value)
        except (AttributeError, KeyError):
            # A field that was never set, or deleted.
            items = [getattr(value, field, _UNSET) for field in names]
        get = ENCODERS.get
        parts = [prefix + get(type(item), unknown)(item) for prefix, item in zip(prefixes, items, strict=True)]
        if has_more:
            return f"{name}({','.join(parts)};{_more_than_fields(value, find_extra(value))})"
        extra = find_extra(value)
        return f"{name}({','.join(parts)};{encode_dict(extra)})" if extra else f"{name}({','.join(parts)})"

    return encode_fields


def _getter(cls: type, names: list[str]) -> Callable[[Any], Iterable[object]]:
    if _is_pydantic(cls):
        # Past the attribute, whose access warns where a field is deprecated.
        return lambda value: [value.__dict__[name] for name in names]
    if len(names) < 2:
        return lambda value: [getattr(value, name) for name in names]
    return attrgetter(*names)


class _Unset:
    """The text of a field that has no value."""


_UNSET = _Unset()
build_in({_Unset: lambda _value: "~"}, leaves=True)


def declared_fields(cls: type) -> list[str] | None:
    """Return the sorted names of the fields that take part in comparing, or None if the class declares none."""
    known: Any = cls
    if "__attrs_attrs__" in _all_names(cls):
        return sorted(field.name for field in known.__attrs_attrs__ if field.eq)
    if "__dataclass_fields__" in _all_names(cls):
        return sorted(field.name for field in dataclasses.fields(known) if field.compare)
    if _is_pydantic(cls):
        return sorted(known.__pydantic_fields__ if hasattr(cls, "__pydantic_fields__") else known.__fields__)
    if "__struct_fields__" in _all_names(cls):
        return sorted(known.__struct_fields__)
    if issubclass(cls, tuple) and "_fields" in cls.__dict__:
        return sorted(known._fields)
    return None


def _all_names(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in base.__dict__}


def _is_pydantic(cls: type) -> bool:
    return any(base.__name__ == "BaseModel" and base.__module__.startswith("pydantic.") for base in cls.__mro__)


def _has_more_than_fields(cls: type) -> bool:
    # A subclass that declares nothing itself keeps attributes that its base's fields do not tell of, and a
    # container with fields has its contents.
    if _is_pydantic(cls) or not any(mark in cls.__dict__ for mark in _DECLARATIONS):
        return True
    return issubclass(cls, (str, bytes, int, float, list, dict, set, frozenset))


def _more_than_fields(value: Any, extra: dict[str, object]) -> str:
    if hasattr(type(value), "__pydantic_fields__"):
        return encode(getattr(value, "__pydantic_extra__", None))
    base = exact(value)
    contents = encode(base) if base is not value and not isinstance(base, tuple) else ""
    return contents + encode_dict(extra)


def _extra_finder(cls: type) -> Callable[[Any], dict[str, object]]:
    """Return a function that finds what an instance of a class with fields keeps beside them."""
    skipped = _all_declared(cls) | cached_names(cls) | _NOT_DATA
    slots = [(name, slot) for name, slot in _slots(cls) if name not in skipped and not _is_dunder(name)]

    def find_extra(value: Any) -> dict[str, object]:
        # Not through the attributes: asking for one could compute it.
        kept = getattr(value, "__dict__", None)
        extra: dict[str, object] = {}
        if kept and not kept.keys() <= skipped:
            # Names between double underscores are Python's and libraries' own, such as `__orig_class__`.
            extra = {key: kept[key] for key in kept.keys() - skipped if not _is_dunder(key)}
        for name, slot in slots:
            try:
                extra[name] = slot.__get__(value)
            except AttributeError:
                continue  # never set
        return extra

    return find_extra


def _all_declared(cls: type) -> frozenset[str]:
    # With those that take no part in comparing: their class says that they do not count.
    known: Any = cls
    if "__attrs_attrs__" in _all_names(cls):
        return frozenset(field.name for field in known.__attrs_attrs__)
    if "__dataclass_fields__" in _all_names(cls):
        return frozenset(field.name for field in dataclasses.fields(known))
    return frozenset(declared_fields(cls) or ())


def _slots(cls: type) -> list[tuple[str, MemberDescriptorType]]:
    if _is_pydantic(cls):
        return []  # its private attributes
    return [
        (name, member)
        for base in reversed(cls.__mro__)
        # attrs makes slots of cached properties and of a kept hash, and of its fields, but never of data beside.
        if "__slots__" in base.__dict__ and "__attrs_attrs__" not in base.__dict__
        for name, member in base.__dict__.items()
        if type(member) is MemberDescriptorType
    ]


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def object_rule(cls: type, value: object) -> Encoder:
    """Encode any other object by what pickle would store of it; the last rule."""
    _refuse_captured(cls, value)
    name = tag(cls)
    if not _is_plain(cls, value):
        return lambda value: f"{name}{_reduced(value)}"
    if not cached_names(cls):
        return lambda value: f"{name}{encode_dict(value.__dict__)}"
    return lambda value: f"{name}{encode_dict(without_cached(cls, value.__dict__))}"


def reduce_value(value: object) -> str | tuple[Any, ...]:
    """
    Return what pickle would store of a value.

    Raises:
        NoLastingValue: Pickle would refuse it.
    """
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        return reducer(value) if reducer is not None else value.__reduce_ex__(4)
    except RecursionError:
        raise
    except Exception as error:
        raise NoLastingValue(value, f"is {a_or_an(class_name(type(value)))} ({error})") from error


def _is_plain(cls: Any, value: object) -> bool:
    # Whether every instance is just its `__dict__`, so that pickle's detour need not be taken each time.
    base: Any = object
    ordinary = (
        cls.__reduce_ex__ is base.__reduce_ex__
        and cls.__reduce__ is base.__reduce__
        and cls.__getstate__ is base.__getstate__
        and cls not in copyreg.dispatch_table
        and not any(parent.__dict__.get("__slots__") for parent in cls.__mro__)
    )
    if not ordinary:
        return False
    made = reduce_value(value)
    return isinstance(made, tuple) and made[:2] == (_NEW_OBJECT, (cls,)) and cls.__dictoffset__ != 0


def _reduced(value: object) -> str:
    made = reduce_value(value)
    if isinstance(made, str):
        return f".global({encode_global(value, made)})"
    parts: tuple[Any, ...] = (*made, None, None, None)
    function, arguments, state, items, entries = parts[:5]
    if function is _NEW_OBJECT:
        text = encode_tuple(arguments[1:])
    elif function is type(value):
        text = f"!{encode_tuple(arguments)}"
    else:
        text = f"!{encode(function)}{encode_tuple(arguments)}"
    if state is not None:
        text += _state(type(value), state)
    if items is not None:
        text += encode_list(list(items))
    if entries is not None:
        text += encode_dict(dict(entries))
    return text


def _state(cls: type, state: object) -> str:
    # Pickle's form for slots: the `__dict__`, or None, and the slots' values.
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict and isinstance(state[0], (dict, type(None))):
        return encode_dict(without_cached(cls, {**(state[0] or {}), **state[1]}))
    if type(state) is dict:
        return encode_dict(without_cached(cls, state))
    return f"<{encode(state)}>"


def _refuse_captured(cls: type, value: object) -> None:
    # A class made inside a function stands for its data, unless its methods use that function's variables:
    # those make two classes of one name behave differently.
    if "<locals>" not in cls.__qualname__:
        return
    members = [member for base in cls.__mro__ if "<locals>" in base.__qualname__ for member in base.__dict__.values()]
    for member in members:
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if isinstance(function, FunctionType) and set(function.__code__.co_freevars) - {"__class__"}:
            why = f"is {a_or_an(class_name(cls))}, whose class uses variables of the function around it"
            raise NoLastingValue(value, why, "function-without-name")
