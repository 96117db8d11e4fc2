"""
Where inside an argument the value sits that could not be fingerprinted.

Searched only after a failure, so that it costs nothing when all is well; it must never raise.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from types import MappingProxyType, MethodType
from typing import Any

from checkpoint._core.fingerprint_builtin import own_attributes
from checkpoint._core.fingerprint_objects import KEY_FUNCTIONS, reduce_value
from checkpoint._core.fingerprint_table import TOO_DEEP, NoLastingValue, encode

# A path that is longer than this names a cycle, or helps nobody.
_DEEPEST = 32


def find_culprit(value: object, name: str) -> str:
    """
    Return the path to what has no lasting value inside `value`, such as `client.session.lock`.

    Args:
        value: A value that was refused.
        name: What to call the value itself.

    Returns:
        `name` alone if the value itself is the culprit, or contains itself.
    """
    try:
        return _search(value, name)
    except Exception:  # the user's own methods are asked; an error while explaining another would hide it
        return name


def _search(value: object, name: str) -> str:
    path = name
    problem = _find_problem(value)
    for _ in range(_DEEPEST):
        # What was refused itself must not be looked into: it could be consumed, or answer with more of itself.
        if problem is None or problem.culprit is value:
            return path
        refused = [(suffix, part, found) for suffix, part in _parts(value) if (found := _find_problem(part))]
        if not refused:
            return path
        # A part that does not count may be refused too.
        same = [step for step in refused if step[2].culprit is problem.culprit]
        suffix, value, problem = (same or refused)[0]
        path += suffix
    return name


def _find_problem(value: object) -> NoLastingValue | None:
    try:
        encode(value)
    except NoLastingValue as problem:
        return problem
    except RecursionError:
        return NoLastingValue(None, TOO_DEEP, "nested-too-deeply")
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    # Mirrors how the encoders take a value apart, but may offer more than they look at.
    cls = type(value)
    if any(base in KEY_FUNCTIONS or "__checkpoint_key__" in base.__dict__ for base in cls.__mro__):
        known: Any = value
        if hasattr(cls, "__checkpoint_key__"):
            yield ".__checkpoint_key__()", known.__checkpoint_key__()
        return
    if isinstance(value, MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
        yield from ((f".keywords[{key!a}]", part) for key, part in value.keywords.items())
    elif isinstance(value, (list, tuple, deque)):
        yield from _elements(value)
    elif isinstance(value, (dict, MappingProxyType)):
        yield from _entries(value)
    elif isinstance(value, (set, frozenset)):
        yield from ((" (an element)", part) for part in value)
    elif cls.__module__.split(".")[0] in ("numpy", "pandas", "polars") and hasattr(cls, "tolist"):
        listed: Any = value
        yield from ((f".flat[{index}]", part) for index, part in enumerate(listed.ravel().tolist()))
    yield from _attributes(value)


def _elements(value: Any) -> Iterator[tuple[str, object]]:
    names = getattr(type(value), "_fields", None)
    for index, part in enumerate(value):
        yield (f".{names[index]}" if names else f"[{index}]"), part


def _entries(value: Any) -> Iterator[tuple[str, object]]:
    for key, part in value.items():
        if _find_problem(key) is not None:
            yield " (a key)", key
        yield f"[{key!a}]" if type(key) in (str, int, float, bool, bytes) else "[…]", part
    if hasattr(value, "default_factory"):
        yield ".default_factory", value.default_factory


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    yield from ((f".{name}", part) for name, part in own_attributes(value).items())
    try:
        made = reduce_value(value)
    except NoLastingValue:
        return
    if isinstance(made, tuple):
        yield from ((f" (part {index})", part) for index, part in enumerate(made[1]))
        state = made[2] if len(made) > 2 else None
        if isinstance(state, dict):
            yield from ((f".{name}", part) for name, part in state.items())
