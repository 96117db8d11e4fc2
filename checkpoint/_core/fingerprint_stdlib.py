"""
Encoders of standard library types, found by name so that none of their modules is imported for it.

Each writes what the type's documentation calls its value; what pickle stores of them differs between
Python versions and must not be used.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import PurePath
from typing import Any

from checkpoint._core.fingerprint_builtin import encode_dict, encode_int, encode_tuple, own_attributes
from checkpoint._core.fingerprint_names import class_name, tag
from checkpoint._core.fingerprint_table import Encoder, NoLastingValue, encode


def _path(value: PurePath) -> str:
    return f"{PurePath.__str__(value)!a}"


def _datetime(value: Any) -> str:
    # Not `isoformat`, which asks the zone for an offset and which a subclass may answer in its own way.
    return f"{_date(value)},{_time(value)}"


def _time(value: Any) -> str:
    return f"{value.hour},{value.minute},{value.second},{value.microsecond},{value.fold},{encode(value.tzinfo)}"


def _date(value: Any) -> str:
    return f"{value.year},{value.month},{value.day}"


def _duration(value: Any) -> str:
    return f"{value.days},{value.seconds},{value.microseconds}"


def _timezone(value: Any) -> str:
    return encode_tuple(value.__getinitargs__())[1:-1]


def _zone(value: Any) -> str:
    if value.key is None:
        raise NoLastingValue(value, "is a time zone without a key")
    return f"{value.key!a}"


def _decimal(value: Any) -> str:
    # A context may ask for a small `e`; nothing else in the text depends on it.
    return repr(sys.modules["decimal"].Decimal.__str__(value).upper())


def _fraction(value: Any) -> str:
    return f"{encode_int(value.numerator)},{encode_int(value.denominator)}"


def _uuid(value: Any) -> str:
    return f"'{value.int:032x}'"


def _pattern(value: Any) -> str:
    return f"{encode(value.pattern)},{value.flags}"


def _partial(value: Any) -> str:
    attributes = f",{encode_dict(value.__dict__)}" if value.__dict__ else ""
    return f"{encode(value.func)},{encode_tuple(value.args)},{encode_dict(value.keywords)}{attributes}"


def _array(value: Any) -> str:
    return f"{value.typecode!r},{value.itemsize},{len(value)},{hashlib.sha256(value.tobytes()).hexdigest()}"


# The name that stands in the text, which no Python version changes, and how the value follows it.
_ENCODERS: dict[str, tuple[str, Encoder]] = {
    "pathlib.PosixPath": ("pathlib.PosixPath", _path),
    "pathlib.WindowsPath": ("pathlib.WindowsPath", _path),
    "pathlib.PurePosixPath": ("pathlib.PurePosixPath", _path),
    "pathlib.PureWindowsPath": ("pathlib.PureWindowsPath", _path),
    "datetime.datetime": ("datetime.datetime", _datetime),
    "datetime.date": ("datetime.date", _date),
    "datetime.time": ("datetime.time", _time),
    "datetime.timedelta": ("datetime.timedelta", _duration),
    "datetime.timezone": ("datetime.timezone", _timezone),
    "zoneinfo.ZoneInfo": ("zoneinfo.ZoneInfo", _zone),
    "decimal.Decimal": ("decimal.Decimal", _decimal),
    "fractions.Fraction": ("fractions.Fraction", _fraction),
    "uuid.UUID": ("uuid.UUID", _uuid),
    "re.Pattern": ("re.Pattern", _pattern),
    "functools.partial": ("functools.partial", _partial),
    "array.array": ("array.array", _array),
}


def known_name(cls: type) -> str:
    """Return `module.Name` of a class as its documentation has it, whichever private module it was moved to."""
    return class_name(cls).replace("pathlib._local.", "pathlib.").replace("pathlib._abc.", "pathlib.")


def stdlib_rule(cls: type, _value: object) -> Encoder | None:
    """Give an instance of a known standard library type, or of a class derived from one, its encoder."""
    for base in cls.__mro__:
        known = _ENCODERS.get(known_name(base))
        if known is not None:
            name, encode_value = known
            if base is cls:
                return lambda value: f"{name}({encode_value(value)})"
            return _derived(tag(cls), base, known)
    return None


def _derived(own_name: str, base: type, known: tuple[str, Encoder]) -> Encoder:
    name, encode_value = known

    def encode_derived(value: Any) -> str:
        attributes = own_attributes(value, below=base)
        state = encode_dict(attributes) if attributes else ""
        return f"{own_name}({name}({encode_value(value)}){state})"

    return encode_derived
