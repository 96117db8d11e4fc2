"""
Values that are their own tree, many at once: what can be said of them, and copied, without a loop in Python.
"""

from __future__ import annotations

from math import isfinite
from operator import countOf
from typing import Any

from checkpoint._core.records import Tree
from checkpoint._core.tags_leaves import DECIMAL_BITS

# From here on an int is not written as a JSON number.
HUGE = 1 << DECIMAL_BITS

# Lists shorter than this are written entry by entry, which is quicker than looking at all their types first.
_SHORT = 8


def is_writable(text: str) -> bool:
    """Tell whether JSON brings `text` back: two halves of a character side by side would become one character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def are_names(keys: list[Any]) -> bool:
    """Tell whether all keys are text that can be the names in a JSON object."""
    if countOf(map(type, keys), str) != len(keys):
        return False
    joined = "".join(keys)
    if "$" in joined and any(key[:1] == "$" for key in keys):
        return False
    return is_writable(joined)


def copy_scalars(values: list[Any], passes: frozenset[type]) -> list[Tree] | None:
    """Return a copy of a list whose entries are all their own trees and of one type, or None: walk it instead."""
    if len(values) < _SHORT:
        return None
    kind = type(values[0])
    if kind not in passes or countOf(map(type, values), kind) != len(values):
        return None
    if kind is str:
        fits = is_writable("".join(values))
    elif kind is int:
        fits = min(values) > -HUGE and max(values) < HUGE
    else:
        fits = kind is not float or all(map(isfinite, values))
    return values[:] if fits else None
