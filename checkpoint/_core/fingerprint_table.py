"""
The table of encoders by exact type, which every part of the fingerprint reads and extends.

An encoder turns a value into canonical text: the same in every process, directory and Python version for
an equal value, and different for any other.  Nothing here may fall back to `repr`, `id` or pickle bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

Encoder: TypeAlias = Callable[[Any], str]

# Looks at a type nobody has an encoder for yet, with the first value of it; None passes it to the next rule.
Rule: TypeAlias = Callable[[type, object], Encoder | None]

# Why a value was refused, which decides what the user is told to do; each has a message in `fingerprint_errors`.
Family: TypeAlias = Literal[
    "no-lasting-value",
    "function-without-name",
    "one-pass-value",
    "not-awaited",
    "open-file",
    "live-view",
    "mock",
    "nested-too-deeply",
]

TOO_DEEP = "contains itself or is nested too deeply"

# Programs that make classes as they go would otherwise fill the table for as long as they live.
MOST_LEARNED = 4096


class NoLastingValue(Exception):
    """
    A value that another process could not recognise; internal, the user sees a `FingerprintError`.

    Attributes:
        culprit: The value that was refused: the argument itself or something inside it.
        why: What it is, as the end of a sentence that begins with its name: `is a lambda`.
        family: What kind of value it is.
    """

    def __init__(self, culprit: object, why: str, family: Family = "no-lasting-value") -> None:
        super().__init__(f"it {why}")
        self.culprit = culprit
        self.why = why
        self.family: Family = family


# Encoders by exact type: those that are built in, and what `unknown` has learned since.
ENCODERS: dict[type, Encoder] = {}

# Types whose encoder is built in; they cannot be registered and are never forgotten.
BUILT_IN: set[type] = set()

# Encoders that are C functions or never recurse: safe to be called from C over a long list.
LEAVES: set[Encoder] = set()

# Asked in order for a type that is not in the table; `fingerprint` fills it.
RULES: list[Rule] = []


def build_in(encoders: dict[type, Encoder], *, leaves: bool = False) -> None:
    """
    Add encoders of types that this library knows.

    Args:
        encoders: Encoders by exact type.
        leaves: Whether their values contain no others.
    """
    ENCODERS.update(encoders)
    BUILT_IN.update(encoders)
    if leaves:
        LEAVES.update(encoders.values())


def unknown(value: object) -> str:
    """Return the canonical text of a value whose type may not be in the table, and learn its encoder."""
    cls = type(value)
    encoder = ENCODERS.get(cls)
    if encoder is not None:
        return encoder(value)
    encoder = next(filter(None, (rule(cls, value) for rule in RULES)))
    text = encoder(value)
    # Only now: every mock has a class of its own, and none of them is worth remembering.
    if len(ENCODERS) - len(BUILT_IN) >= MOST_LEARNED:
        forget_learned()
    ENCODERS[cls] = encoder
    return text


def forget_learned() -> None:
    """Forget every encoder that was found by a rule, because the rules would now find another."""
    for cls in list(ENCODERS):
        if cls not in BUILT_IN:
            ENCODERS.pop(cls, None)


def encode(value: object) -> str:
    """
    Return the canonical text of a value.

    Raises:
        NoLastingValue: It, or something inside it, has none.
        RecursionError: It contains itself or is nested too deeply.
    """
    return ENCODERS.get(type(value), unknown)(value)
