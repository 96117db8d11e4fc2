"""
Single values that JSON does not know, such as dates, paths and bytes: to a small JSON tree and back, exactly.

A `Leaf` writes the tree without its tag, so that the state codec can leave the tag out where an annotation
says the type.  Nothing here calls code of the user's, and classes are taken from a closed set of the standard
library only; a subclass of one of them is another type and has no leaf.
"""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from checkpoint._core.records import Tree
from checkpoint._core.tags_words import BadTree, NotTree, describe

# Ints beyond this many bits are written in hexadecimal: decimal conversion has a limit that each process can
# set, and 640 digits (2,126 bits) is the lowest one that Python allows.
DECIMAL_BITS = 2048

# What a reader of a malformed tree can raise in constructors of the standard library.
READ_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, OSError, NotImplementedError, AttributeError)

_ZONED = re.compile(r"([^\[\]]+)(?:\[([^\[\]=]+)\])?(\[fold=1\])?")
_UUID = re.compile(r"([^\[\]]+)(?:\[(safe|unsafe)\])?")
# Nothing with an exponent: "1e9999999" would keep the reader busy for as long as somebody likes.
_FRACTION = re.compile(r"-?[0-9]+(?:/[0-9]+)?")
_DURATION = re.compile(r"P(-?\d+)DT(\d+)(?:\.(\d{6}))?S")


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    How values of exactly one class are written.

    Attributes:
        tag: The tag, with its dollar sign.
        home: The standard library's module that has the class.
        name: Name of the class there.
        write: From the value to a tree; raises NotTree if this value would not come back exactly.
        read: From the class and the tree to the value; raises any of READ_ERRORS or BadTree. Use `read_leaf`.
    """

    tag: str
    home: str
    name: str
    write: Callable[[Any], Tree]
    read: Callable[[Any, Any], object]


def find_leaf(kind: type) -> Leaf | None:
    """Return the leaf for values whose exact type is `kind`, or None; costs one look-up."""
    leaf = _BY_TYPE.get(kind)
    if leaf is None and kind.__name__ in _BY_NAME:
        for candidate in _BY_NAME[kind.__name__]:
            # By name first, so that nothing is imported that the value did not bring.
            if getattr(sys.modules.get(candidate.home), candidate.name, None) is kind:
                leaf = _BY_TYPE[kind] = candidate
    return leaf


def write_leaf(leaf: Leaf, value: object) -> Tree:
    """
    Return the tree of `value`, without the tag.

    Raises:
        NotTree: This value would not come back exactly.
    """
    try:
        return leaf.write(value)
    except READ_ERRORS as error:
        raise NotTree(value, f"is {describe(value)} that cannot be written ({error})") from error


def read_leaf(leaf: Leaf, tree: Tree) -> object:
    """
    Return the value that `leaf` wrote as `tree`.

    Raises:
        BadTree: The tree is malformed, or this machine does not know the value (a time zone, a Windows path).
    """
    try:
        return leaf.read(getattr(importlib.import_module(leaf.home), leaf.name), tree)
    except READ_ERRORS as error:
        raise BadTree(f"{shorten(tree)} is no {leaf.home}.{leaf.name} here ({error})") from error


def shorten(tree: object) -> str:
    """Return `tree` as text for a message, cut to 60 characters."""
    text = ascii(tree) if not isinstance(tree, str) else ascii(tree[:60])
    return text if len(text) <= 60 else text[:57] + "..."


def _text(tree: object) -> str:
    if type(tree) is not str:
        raise BadTree(f"{shorten(tree)} is not text")
    return tree


def _ints(tree: object, count: int) -> list[int]:
    if type(tree) is not list or len(tree) != count or any(type(item) is not int for item in tree):
        raise BadTree(f"{shorten(tree)} is not a list of {count} integers")
    return tree


def write_int(value: int) -> str:
    """Return any int as text, in hexadecimal."""
    return hex(value)


def _read_int(cls: type[int], tree: object) -> int:
    return cls(_text(tree), 16)


def _write_bytes(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_bytes(cls: type[bytes], tree: object) -> bytes:
    return cls(base64.b64decode(_text(tree), validate=True))


def _write_str(value: str) -> str:
    return _write_bytes(value.encode("utf-8", "surrogatepass"))


def _read_str(cls: type[str], tree: object) -> str:
    return cls(_read_bytes(bytes, tree), "utf-8", "surrogatepass")


def _write_complex(value: complex) -> Tree:
    return [repr(value.real), repr(value.imag)]


def _read_complex(cls: type[complex], tree: Any) -> complex:
    real, imag = tree
    return cls(float(_text(real)), float(_text(imag)))


def _write_range(value: range) -> Tree:
    parts = [int(value.start), int(value.stop), int(value.step)]
    if max(map(int.bit_length, parts)) > DECIMAL_BITS:
        raise NotTree(value, "is a range of huge numbers")
    return [*parts]


def _suffix(value: dt.datetime | dt.time) -> str:
    zone = value.tzinfo
    fold = "[fold=1]" if value.fold else ""
    if zone is None or (type(zone) is dt.timezone and _is_unnamed(zone)):
        return fold
    leaf = find_leaf(type(zone))
    if leaf is None or leaf.tag != "$zone":
        raise NotTree(value, f"has a time zone that is {describe(zone)}")
    return f"[{leaf.write(zone)}]{fold}"


def _is_unnamed(zone: dt.timezone) -> bool:
    # A name of its own is the second argument; it is part of the value, and an offset cannot carry it.
    return len(zone.__getinitargs__()) == 1  # type: ignore[attr-defined]  # typeshed leaves it out


def _write_moment(value: dt.datetime | dt.time) -> str:
    suffix = _suffix(value)
    return value.isoformat() + suffix


def _read_moment(cls: type[dt.datetime] | type[dt.time], tree: object) -> object:
    match = _ZONED.fullmatch(_text(tree))
    if match is None:
        raise ValueError("not ISO 8601 with a zone in brackets")
    value = cls.fromisoformat(match[1])
    if match[2] is not None:
        # The clock time and the zone are what the value is made of; the offset is there for people.
        value = value.replace(tzinfo=_zone(match[2]))
    return value.replace(fold=1) if match[3] is not None else value


def _write_timezone(value: dt.timezone) -> str:
    if not _is_unnamed(value):
        raise NotTree(value, "is a time zone with a name of its own")
    return dt.datetime(2000, 1, 1, tzinfo=value).isoformat()[19:]


def _read_timezone(cls: object, tree: object) -> object:
    zone = dt.datetime.fromisoformat("2000-01-01T00:00:00" + _text(tree)).tzinfo
    if type(zone) is not cls:
        raise ValueError("not an offset from UTC")
    return zone


def _write_zone(value: Any) -> str:
    key = value.key
    if not isinstance(key, str) or set("[]=") & set(key) or type(value)(key) is not value:
        raise NotTree(value, "is a time zone that cannot be found by its name")
    return key


def _zone(key: str) -> dt.tzinfo:
    zone: dt.tzinfo = importlib.import_module("zoneinfo").ZoneInfo(key)
    return zone


def _write_timedelta(value: dt.timedelta) -> str:
    fraction = f".{value.microseconds:06d}" if value.microseconds else ""
    return f"P{value.days}DT{value.seconds}{fraction}S"


def _read_timedelta(cls: type[dt.timedelta], tree: object) -> dt.timedelta:
    match = _DURATION.fullmatch(_text(tree))
    if match is None:
        raise ValueError("not of the form P1DT3600.000001S")
    return cls(days=int(match[1]), seconds=int(match[2]), microseconds=int(match[3] or 0))


def _write_fraction(value: Any) -> str:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > DECIMAL_BITS:
        raise NotTree(value, "is a fraction of huge numbers")
    return str(value)


def _read_fraction(cls: Callable[[str], object], tree: object) -> object:
    text = _text(tree)
    if _FRACTION.fullmatch(text) is None:
        raise ValueError("not of the form 1/3")
    return cls(text)


def _write_uuid(value: Any) -> str:
    # How it was made is no part of comparing, but it is kept: `uuid1` says so on most machines.
    known = value.is_safe.name
    return str(value) if known == "unknown" else f"{value}[{known}]"


def _read_uuid(cls: Any, tree: object) -> object:
    match = _UUID.fullmatch(_text(tree))
    if match is None:
        raise ValueError("not a UUID with its safety in brackets")
    return cls(match[1], is_safe=importlib.import_module("uuid").SafeUUID[match[2] or "unknown"])


def _write_path(value: Any) -> str:
    text = str(value)
    if type(value)(text) != value:
        raise NotTree(value, "is a path that its own text does not bring back")
    return text


def _from_text(cls: Callable[[str], object], tree: object) -> object:
    return cls(_text(tree))


def _from_iso(cls: Any, tree: object) -> object:
    return cls.fromisoformat(_text(tree))


def _from_ints(cls: Callable[..., object], tree: object) -> object:
    return cls(*_ints(tree, 3))


# Every leaf by its tag. `$int`, `$float` and `$str` are only for values that JSON cannot hold.
LEAVES: Mapping[str, Leaf] = {
    leaf.tag: leaf
    for leaf in (
        Leaf("$int", "builtins", "int", write_int, _read_int),
        Leaf("$float", "builtins", "float", repr, _from_text),
        Leaf("$str", "builtins", "str", _write_str, _read_str),
        Leaf("$bytes", "builtins", "bytes", _write_bytes, _read_bytes),
        Leaf("$bytearray", "builtins", "bytearray", _write_bytes, _read_bytes),
        Leaf("$complex", "builtins", "complex", _write_complex, _read_complex),
        Leaf("$range", "builtins", "range", _write_range, _from_ints),
        Leaf("$datetime", "datetime", "datetime", _write_moment, _read_moment),
        Leaf("$date", "datetime", "date", dt.date.isoformat, _from_iso),
        Leaf("$time", "datetime", "time", _write_moment, _read_moment),
        Leaf("$timedelta", "datetime", "timedelta", _write_timedelta, _read_timedelta),
        Leaf("$timezone", "datetime", "timezone", _write_timezone, _read_timezone),
        Leaf("$zone", "zoneinfo", "ZoneInfo", _write_zone, _from_text),
        Leaf("$decimal", "decimal", "Decimal", str, _from_text),
        Leaf("$fraction", "fractions", "Fraction", _write_fraction, _read_fraction),
        Leaf("$uuid", "uuid", "UUID", _write_uuid, _read_uuid),
        Leaf("$path", "pathlib", "PosixPath", _write_path, _from_text),
        Leaf("$pure_path", "pathlib", "PurePosixPath", _write_path, _from_text),
        Leaf("$windows_path", "pathlib", "WindowsPath", _write_path, _from_text),
        Leaf("$pure_windows_path", "pathlib", "PureWindowsPath", _write_path, _from_text),
    )
}

_BY_NAME: dict[str, list[Leaf]] = {}
for _leaf in LEAVES.values():
    _BY_NAME.setdefault(_leaf.name, []).append(_leaf)
_BY_TYPE: dict[type, Leaf] = {}
