"""
What identifies a value: canonical text that every process, directory and Python version agrees on.

The text is type-tagged and looks like Python literals; its hash is part of a call's key.  What has no
lasting value is refused by name: nothing here may guess, iterate an iterator, or use `repr` of an unknown
object, `id` or pickle bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from checkpoint._core import fingerprint_builtin, fingerprint_names
from checkpoint._core.fingerprint_arrays import array_rule
from checkpoint._core.fingerprint_culprit import find_culprit
from checkpoint._core.fingerprint_frames import frame_rule
from checkpoint._core.fingerprint_names import lasting_module, lasting_name
from checkpoint._core.fingerprint_objects import KEY_FUNCTIONS, enum_rule, fields_rule, key_rule, object_rule
from checkpoint._core.fingerprint_refused import refused_rule
from checkpoint._core.fingerprint_stdlib import stdlib_rule
from checkpoint._core.fingerprint_table import BUILT_IN, RULES, TOO_DEEP, NoLastingValue, encode, forget_learned
from checkpoint.errors import UsageError

__all__ = [
    "FORMAT",
    "NoLastingValue",
    "canonical",
    "digest",
    "find_culprit",
    "lasting_module",
    "lasting_name",
    "register",
]

# Version of the canonical text; part of every hash, so that a later one can be told from it.
FORMAT = "1"

_T = TypeVar("_T")

# The first that knows a type wins: what the user says comes first, what pickle would store comes last.
RULES[:] = (
    key_rule,
    refused_rule,
    enum_rule,
    fields_rule,
    array_rule,
    frame_rule,
    stdlib_rule,
    fingerprint_names.class_rule,
    fingerprint_builtin.subclass_rule,
    object_rule,
)


def canonical(value: object) -> str:
    """
    Return the text that stands for a value: equal for equal values, different for any others.

    Distinct on purpose: 1, True and 1.0; list and tuple; `Decimal("1")` and `Decimal("1.0")`; one instant
    in two time zones.  Equal on purpose: any order of a dict or set, shared and copied parts, any layout of
    an array in memory, all NaNs.

    Raises:
        NoLastingValue: The value, or something inside it, could not be recognised by another process.
    """
    try:
        return encode(value)
    except RecursionError:
        raise NoLastingValue(value, TOO_DEEP, "nested-too-deeply") from None


def digest(text: str) -> str:
    """Return the 32 hexadecimal digits that stand for a canonical text."""
    return hashlib.sha256(f"{FORMAT}\0{text}".encode()).hexdigest()[:32]


def register(cls: type[_T], key_function: Callable[[_T], object]) -> None:
    """
    Let a function say what identifies the instances of a class that one does not own.

    It holds for derived classes too, until one has a key of its own; registering again replaces it.

    Args:
        cls: The class.
        key_function: Takes an instance, returns any value with a lasting value.

    Raises:
        UsageError: It is no class, or a built-in one, whose values identify themselves.
    """
    given: Any = cls
    if not isinstance(given, type) or given in BUILT_IN or given is object:
        raise UsageError(
            f"cannot register a key function for {given!r}: it is not a class of your own or of a library. "
            "Register the class whose instances are passed to steps.",
            slug="register-class",
            value=given,
        )
    if not callable(key_function):
        raise UsageError(
            f"cannot register {key_function!r} as key function of {cls.__name__}: it cannot be called. "
            f"Pass a function that takes an instance, such as lambda value: value.name.",
            slug="register-key-function",
            value=key_function,
        )
    KEY_FUNCTIONS[cls] = key_function
    forget_learned()
