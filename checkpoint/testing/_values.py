"""
Values of one life, taken down so that they can be compared with those of another.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from checkpoint._core.fingerprint import NoLastingValue, canonical

# What a message shows of a value.
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Value:
    """
    A value to compare with that of another life.

    Attributes:
        text: Its canonical text; None if it has none, and then `value` is compared.
        value: The value, if it has no text.
        shown: The value for people.
    """

    text: str | None
    value: object
    shown: str

    def equals(self, other: Value, names: Mapping[str, str]) -> bool:
        """Whether both are the same, but for texts of `names`, such as the ids of runs, which no two lives share."""
        if self.text is not None and other.text is not None:
            return renamed(self.text, names) == renamed(other.text, names)
        try:
            return bool(self.value == other.value)
        except Exception:  # such as tables, which compare cell by cell
            return self.shown == other.shown


@dataclass(frozen=True, slots=True)
class Left:
    """
    What was left behind at the end of a life.

    Attributes:
        outcome: What `same=` returned, or None.
        effects: What `effects=` returned, or None.
    """

    outcome: Value | None
    effects: Counter[Any] | None


def take(value: object) -> Value:
    """Take down a value."""
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    try:
        return Value(canonical(value), None, shown)
    except NoLastingValue:
        return Value(None, value, shown)


def portable(value: Value | None) -> Value | None:
    """Return a value that can be sent to another process: as it is shown, if it cannot be pickled."""
    try:
        pickle.dumps(value)
    except Exception:  # whatever the user's own object raises
        assert value is not None
        return replace(value, text=value.shown, value=None)
    return value


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return `text` with each of `names` replaced."""
    for old, new in names.items():
        text = text.replace(old, new)
    return text
