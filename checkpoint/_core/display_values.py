"""
A value as a person would write it, cut to a width.

Must never raise, never run a user's `__repr__` or property, and never show what a secret name holds.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from itertools import islice, pairwise
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType
from typing import Any

ELLIPSIS = "…"

# Elements of a container that are shown, and how deep.
_MOST_ELEMENTS = 4
_DEEPEST = 3

# Sorting a larger set, only to show four of its elements, is not worth it.
_MOST_SORTED = 64

_SECRET_WORDS = frozenset(
    {"password", "passwords", "passwd", "pwd", "passphrase", "token", "tokens", "secret", "secrets"}
    | {"credential", "credentials", "apikey", "authorization"}
)
_SECRET_PAIRS = frozenset({"api_key", "api_keys", "access_key", "private_key", "secret_key"})

# `max_tokens` and its like are numbers that people look for.
_COUNTS = frozenset({"max", "min", "num", "n", "number", "count", "total"})

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class _Hidden:
    """What stands for a value that is not to be shown."""


HIDDEN = _Hidden()


def is_secret_name(name: object) -> bool:
    """Whether what is called so is not to be shown: `password`, `api_key`, `accessToken`; not `max_tokens`."""
    if not isinstance(name, str):
        return False
    words = [word.lower() for word in _WORDS.findall(name[:100])]
    if words and words[-1] == "tokens" and _COUNTS.intersection(words):
        return False
    return bool(_SECRET_WORDS.intersection(words)) or any(
        f"{first}_{second}" in _SECRET_PAIRS for first, second in pairwise(words)
    )


def show_value(value: object, width: int, depth: int = _DEEPEST) -> str:
    """
    Return the value in at most about `width` characters, on one line, without control characters.

    Only plain values, containers, enums, and classes that declare fields are looked into; anything else is
    its class's name in angle brackets.
    """
    show = _PLAIN.get(type(value))
    if show is not None:
        return show(value, width)
    try:
        text = _show_other(value, width, depth)
    except Exception:  # showing is never worth an error, and what is shown may be broken
        text = _in_brackets(type(value))
    return text if len(text) <= width + 2 else f"{text[: width - 1]}{ELLIPSIS}"


def _show_text(value: str, width: int) -> str:
    if len(value) <= width:
        text = repr(value)
        if len(text) <= width + 2:
            return text
    kept = max(width // 3, 4)
    # Escapes may be long: cut before they are made, and after.
    return f"{repr(value[: 2 * kept])[: 2 * kept + 1]}{ELLIPSIS}{repr(value[-kept:])[-kept - 1 :]}"


def _show_bytes(value: bytes, width: int) -> str:
    text = repr(value[:width])
    if len(value) <= width and len(text) <= width + 3:
        return text
    return f"{text[: max(width - 2, 4)]}{ELLIPSIS}'"


def _show_int(value: int, width: int) -> str:
    # Decimal digits of a huge number are slow to make and limited per process.
    return repr(value) if -(10**18) < value < 10**18 else _show_large(value, width)


def _show_large(value: int, width: int) -> str:
    bits = value.bit_length()
    return repr(value) if bits < 3 * width else f"<int of {bits} bits>"


def _show_repr(value: object, _width: int) -> str:
    return repr(value)


def _show_hidden(_value: object, _width: int) -> str:
    return ELLIPSIS


_PLAIN: dict[type, Callable[[Any, int], str]] = {
    str: _show_text,
    int: _show_int,
    bytes: _show_bytes,
    float: _show_repr,
    bool: _show_repr,
    type(None): _show_repr,
    type(...): _show_repr,
    complex: _show_repr,
    _Hidden: _show_hidden,
}


def _show_path(value: PurePath, width: int) -> str:
    name = "Path" if type(value).__name__ in ("PosixPath", "WindowsPath") else type(value).__name__
    return f"{name}({_show_text(str(value), max(width - len(name) - 2, 8))})"


def _show_range(value: range, _width: int) -> str:
    parts = (value.start, value.stop, value.step) if value.step != 1 else (value.start, value.stop)
    return f"range({', '.join(_show_int(part, 18) for part in parts)})"


def _show_datetime(value: Any, _width: int) -> str:
    # Without its zone: that may be anybody's class.
    text = f"{value.year:04}-{value.month:02}-{value.day:02} {value.hour:02}:{value.minute:02}:{value.second:02}"
    return f"datetime('{text}')"


# Types of the standard library whose `repr` is their own and short, by module and name.
_KNOWN: dict[tuple[str, str], Callable[[Any, int], str]] = {
    ("datetime", "datetime"): _show_datetime,
    ("datetime", "date"): lambda value, _: f"date('{value.year:04}-{value.month:02}-{value.day:02}')",
    ("datetime", "timedelta"): lambda value, _: repr(value).removeprefix("datetime."),
    ("decimal", "Decimal"): lambda value, _: repr(value),
    ("fractions", "Fraction"): lambda value, width: (
        f"Fraction({_show_int(value.numerator, width)}, {_show_int(value.denominator, width)})"
    ),
    ("uuid", "UUID"): lambda value, _: f"UUID('{value.int:032x}')",
    ("builtins", "range"): _show_range,
}


def _show_other(value: Any, width: int, depth: int) -> str:
    cls = type(value)
    if depth == 0:
        return ELLIPSIS
    if cls is list:
        return f"[{_show_elements(value, len(value), width, depth)}]"
    if cls is tuple:
        return f"({_show_elements(value, len(value), width, depth)}{',' if len(value) == 1 else ''})"
    if cls is dict:
        return f"{{{_show_entries(value, width, depth)}}}"
    if cls is set or cls is frozenset:
        return _show_set(value, width, depth)
    known = _KNOWN.get((cls.__module__, cls.__name__))
    if known is not None:
        return known(value, width)
    if issubclass(cls, PurePath) and cls.__module__.startswith("pathlib"):
        return _show_path(value, width)
    if issubclass(cls, enum.Enum):
        name = value.__dict__.get("_name_")
        return f"{_name(cls)}.{name}" if isinstance(name, str) and name.isidentifier() else _in_brackets(cls)
    if cls is type or cls is FunctionType or cls is BuiltinFunctionType:
        return str(value.__name__)
    return _show_fields(value, width, depth)


def _inner_width(width: int, count: int) -> int:
    return max(width // min(count, _MOST_ELEMENTS) - 2, 8) if count else width


def _show_elements(values: Iterable[object], count: int, width: int, depth: int) -> str:
    inner = _inner_width(width, count)
    shown = [show_value(value, inner, depth - 1) for value in islice(values, _MOST_ELEMENTS)]
    return ", ".join(shown) + _more(count)


def _show_entries(value: dict[object, object], width: int, depth: int) -> str:
    inner = _inner_width(width, 2 * len(value))
    shown = [
        f"{show_value(key, inner, depth - 1)}: {_show_member(key, item, inner, depth)}"
        for key, item in islice(value.items(), _MOST_ELEMENTS)
    ]
    return ", ".join(shown) + _more(len(value))


def _show_member(name: object, value: object, width: int, depth: int) -> str:
    return ELLIPSIS if is_secret_name(name) else show_value(value, width, depth - 1)


def _show_set(value: set[object] | frozenset[object], width: int, depth: int) -> str:
    name = "frozenset" if type(value) is frozenset else ""
    if not value or len(value) > _MOST_SORTED:
        return f"<{type(value).__name__} of {len(value)}>" if value else f"{name or 'set'}()"
    inner = _inner_width(width, len(value))
    shown = sorted(show_value(element, inner, depth - 1) for element in value)[:_MOST_ELEMENTS]
    text = f"{{{', '.join(shown)}{_more(len(value))}}}"
    return f"{name}({text})" if name else text


def _more(count: int) -> str:
    return f", {ELLIPSIS} {count - _MOST_ELEMENTS} more" if count > _MOST_ELEMENTS else ""


def _show_fields(value: Any, width: int, depth: int) -> str:
    cls = type(value)
    declared = _declared(cls)
    if declared is None:
        return _in_brackets(cls)
    stored = _stored(value, declared)
    inner = _inner_width(width - len(cls.__name__), len(stored))
    parts = [
        f"{name}={_show_member(name, item, inner, depth)}" for name, item in islice(stored.items(), _MOST_ELEMENTS)
    ]
    return f"{_name(cls)}({', '.join(parts)}{_more(len(stored))})"


def _declared(cls: Any) -> list[str] | None:
    # Fields that their class wants to be shown: dataclasses, attrs and pydantic all call it `repr`.
    names = getattr(cls, "_fields", None)
    if issubclass(cls, tuple) and isinstance(names, tuple):
        return list(names)
    members = getattr(cls, "__attrs_attrs__", None)
    if members is not None:
        return [member.name for member in members if member.repr]
    for mark in ("__dataclass_fields__", "__pydantic_fields__"):
        if isinstance(fields := getattr(cls, mark, None), dict):
            return [name for name, field in fields.items() if field.repr]
    return None


def _stored(value: Any, names: list[str]) -> dict[str, object]:
    if isinstance(value, tuple):
        return dict(zip(names, tuple.__iter__(value), strict=True))
    attributes = getattr(value, "__dict__", {})
    found: dict[str, object] = {}
    for name in names:
        slot = getattr(type(value), name, None)
        if name in attributes:
            found[name] = attributes[name]
        elif isinstance(slot, MemberDescriptorType):
            found[name] = slot.__get__(value)
    return found


def _name(cls: type) -> str:
    name = str(type.__dict__["__name__"].__get__(cls))
    return name if name.isprintable() else ascii(name)


def _in_brackets(cls: type) -> str:
    return f"<{_name(cls)}>"
