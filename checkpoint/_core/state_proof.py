"""
Proofs that values did not change since they were last looked at, found without a loop in Python.

A proof is compared with the one of the last time: if the two are the same, so are the values, to the last type,
the sign of zero and the order of keys.  No proof is ever made of a value that could change without it.
"""

from __future__ import annotations

import datetime as dt
import enum
import io
import uuid
import zoneinfo
from decimal import Decimal
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from pickle import Pickler
from typing import Any, TypeAlias

# Bytes are compared by what they are; the entries of a tuple by being the very same unchangeable objects.
Proof: TypeAlias = bytes | tuple[object, ...]

# Protocol 3 has a form of its own for each type that JSON has, for bytes and for tuples, and for no other: what
# is not of exactly one of them is refused. Later ones also know sets, whose order is another in each process.
_PROTOCOL = 3

# Types of values that nothing can change; a time in a zone that could is refused when it is written.
LASTING: frozenset[type] = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, Decimal, uuid.UUID),
        *(dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone, zoneinfo.ZoneInfo),
        *(PosixPath, PurePosixPath, WindowsPath, PureWindowsPath),
    }
)


class _NotPlainError(Exception):
    """A value is of no type that the bytes could tell."""


class _Writer(Pickler):
    """Writes exact plain data; stops at anything else, so that no code of the user's is ever run."""

    def reducer_override(self, value: object) -> Any:
        raise _NotPlainError


def prove_plain(values: list[Any]) -> Proof | None:
    """Return the bytes of exact plain data, which no other data has, or None if it is not all plain."""
    written = io.BytesIO()
    writer = _Writer(written, _PROTOCOL)
    # No references to what was written before: they depend on which parts are one object. It still notices cycles.
    writer.fast = True
    try:
        writer.dump(values)
    except (_NotPlainError, ValueError, RuntimeError):
        return None
    return written.getvalue()


def prove_lasting(values: tuple[object, ...]) -> Proof | None:
    """Return the values themselves if none of them can change, or None."""
    return values if all(map(_is_lasting, values)) else None


def _is_lasting(value: object) -> bool:
    return type(value) in LASTING or isinstance(value, enum.Enum)
