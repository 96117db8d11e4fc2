"""
Which fields a class has, with their annotations and defaults: one reading for each family of classes.

The optional families are recognised by marks on the class, so that nothing is imported which the class did not bring.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias, cast

from checkpoint._core.tags_classes import is_named_tuple

Family: TypeAlias = Literal["dataclass", "attrs", "pydantic", "msgspec", "named tuple", "typed dict"]

# Set by the interpreter on classes made by a `class` statement; C types, which may hold more than fields, lack it.
_HEAP_TYPE = 1 << 9


@dataclass(frozen=True, slots=True)
class Field:
    """
    One field of a class.

    Attributes:
        name: Its name.
        hint: Its annotation, resolved, or `Any` if there is none or it cannot be resolved.
        default: Makes its default from the half-restored object (of the fields before it), or None if it has none.
        is_none_by_default: Whether its default is None, which allows None whatever the annotation says.
    """

    name: str
    hint: object
    default: Callable[[Any], object] | None = None
    is_none_by_default: bool = False


def family_of(cls: Any) -> Family | None:
    """Return which family of classes with fields `cls` belongs to, or None."""
    bases = {(base.__module__.partition(".")[0], base.__name__) for base in getattr(cls, "__mro__", ())}
    if ("pydantic", "BaseModel") in bases:
        return "pydantic"
    if ("msgspec", "Struct") in bases:
        return "msgspec"
    if typing.is_typeddict(cls) or type(cls).__name__ == "_TypedDictMeta":
        return "typed dict"
    if is_named_tuple(cls):
        return "named tuple"
    # What a C type holds (a dict's items, an exception's arguments) is in none of its fields.
    if any(base is not object and not base.__flags__ & _HEAP_TYPE for base in cls.__mro__):
        return None
    if isinstance(getattr(cls, "__attrs_attrs__", None), tuple):
        return "attrs"
    return "dataclass" if dataclasses.is_dataclass(cls) else None


def is_frozen(cls: Any, family: Family) -> bool:
    """Tell whether the fields of an instance can never change."""
    if family == "dataclass":
        return bool(cls.__dataclass_params__.frozen)
    if family == "attrs":
        return getattr(cls.__setattr__, "__name__", "") == "_frozen_setattrs"
    if family == "pydantic":
        return bool(cls.model_config.get("frozen"))
    if family == "msgspec":
        return bool(cls.__struct_config__.frozen)
    return family == "named tuple"


def list_fields(cls: Any, family: Family, names: Mapping[str, object]) -> list[Field]:
    """Return the fields in their order; `names` resolves annotations that the class's module cannot."""
    if family == "pydantic":
        return [*_pydantic_fields(cls)]
    hints = field_hints(cls, names)
    return [*_LISTERS[family](cls, hints)]


def computed_names(cls: type) -> frozenset[str]:
    """Return the names of cached properties, whose values are made again when they are asked for."""
    return frozenset(
        name
        for base in cls.__mro__
        for name, member in vars(base).items()
        if isinstance(member, cached_property) or type(member).__name__ == "cached_property"
    )


def field_hints(cls: type, names: Mapping[str, object]) -> dict[str, object]:
    """Return the annotations of a class and its bases, each resolved if it can be; others are `Any`."""
    local = {**names, **vars(sys.modules.get(cls.__module__, SimpleNamespace())), cls.__name__: cls}
    try:
        return typing.get_type_hints(cls, localns=local, include_extras=True)
    except Exception:
        # An annotation is code of the user's: it can name what is imported for type checkers only, or fail in any way.
        return dict(_single_hints(cls, local))


def _single_hints(cls: type, names: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for base in reversed(cls.__mro__):
        found = _raw_hints(base)
        for name, hint in found.items() if isinstance(found, dict) else ():
            module = vars(sys.modules.get(base.__module__, SimpleNamespace()))
            holder: Any = SimpleNamespace(__annotations__={name: hint})
            try:
                yield name, typing.get_type_hints(holder, dict(module), names, include_extras=True)[name]
            except Exception:
                # For the same reason as above; a place without an annotation is always right.
                yield name, Any


def _raw_hints(cls: type) -> object:
    """Return the annotations of the class itself as they were written: from Python 3.14 on they are made on request."""
    if "__annotations__" in vars(cls) or "__annotate_func__" not in vars(cls):
        return vars(cls).get("__annotations__")
    # There, `dataclasses` has imported it.
    library: Any = sys.modules["annotationlib"]
    return cast(object, library.get_annotations(cls, format=library.Format.FORWARDREF))


def _constant(value: object) -> Callable[[Any], object]:
    return lambda _: value


def _calling(factory: Callable[[], object]) -> Callable[[Any], object]:
    return lambda _: factory()


def _dataclass_fields(cls: Any, hints: dict[str, object]) -> Iterator[Field]:
    for field in dataclasses.fields(cls):
        default: Callable[[Any], object] | None = None
        if field.default_factory is not dataclasses.MISSING:
            default = _calling(field.default_factory)
        elif field.default is not dataclasses.MISSING:
            default = _constant(field.default)
        yield Field(field.name, hints.get(field.name, Any), default, field.default is None)


def _attrs_fields(cls: Any, hints: dict[str, object]) -> Iterator[Field]:
    for field in cls.__attrs_attrs__:
        hint = hints.get(field.name, Any)
        if field.name not in hints and isinstance(field.type, type):
            hint = field.type
        default: Callable[[Any], object] | None = None
        if type(field.default).__name__ == "Factory":
            factory = field.default.factory
            default = factory if field.default.takes_self else _calling(factory)
        elif getattr(field.default, "name", "") != "NOTHING":
            default = _constant(field.default)
        yield Field(field.name, hint, default, field.default is None)


def _pydantic_fields(cls: Any) -> Iterator[Field]:
    for name, field in (getattr(cls, "__pydantic_fields__", None) or cls.model_fields).items():
        default: Callable[[Any], object] | None = None
        if not field.is_required():
            default = _pydantic_default(field)
        hint = field.annotation if not isinstance(field.annotation, (str, typing.ForwardRef)) else Any
        yield Field(name, hint, default, default is not None and field.default is None)


def _pydantic_default(field: Any) -> Callable[[Any], object]:
    if getattr(field, "default_factory_takes_validated_data", False):
        return lambda model: field.get_default(call_default_factory=True, validated_data=dict(vars(model)))
    return lambda _: field.get_default(call_default_factory=True)


def _msgspec_fields(cls: Any, hints: dict[str, object]) -> Iterator[Field]:
    missing = sys.modules["msgspec"].NODEFAULT
    # Not msgspec's own list of fields, which fails for annotations that cannot be resolved.
    defaults = (missing,) * (len(cls.__struct_fields__) - len(cls.__struct_defaults__)) + cls.__struct_defaults__
    for name, value in zip(cls.__struct_fields__, defaults, strict=True):
        default: Callable[[Any], object] | None = None
        if type(value).__name__ == "Factory":
            default = _calling(value.factory)
        elif value is not missing:
            default = _constant(value)
        yield Field(name, hints.get(name, Any), default, value is None)


def _named_tuple_fields(cls: Any, hints: dict[str, object]) -> Iterator[Field]:
    for name in cls._fields:
        default = _constant(cls._field_defaults[name]) if name in cls._field_defaults else None
        yield Field(name, hints.get(name, Any), default, cls._field_defaults.get(name, ...) is None)


def _typed_dict_fields(cls: Any, hints: dict[str, object]) -> Iterator[Field]:
    for name, hint in hints.items():
        yield Field(name, hint)


_LISTERS: dict[Family, Callable[[Any, dict[str, object]], Iterator[Field]]] = {
    "dataclass": _dataclass_fields,
    "attrs": _attrs_fields,
    "msgspec": _msgspec_fields,
    "named tuple": _named_tuple_fields,
    "typed dict": _typed_dict_fields,
}
