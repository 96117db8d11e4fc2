"""
Finding which part of a value cannot be saved, after saving the whole has failed.

It costs nothing while all is well, and about twice the failed attempt afterwards.  It looks at what is there and
calls no property and no method of the user's but those that pickle calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any, cast

from checkpoint._core.pickles import NotPickle, check, dump, why_passing
from checkpoint._core.tags_classes import is_named_tuple
from checkpoint._core.tags_words import describe
from checkpoint._core.tags_writing import key_step

# No message gets better by a longer path than this.
_MAX_STEPS = 50


@dataclass(frozen=True, slots=True)
class Culprit:
    """
    The innermost part of a value that cannot be saved.

    Attributes:
        path: Where it sits, as in `result['conn']`.
        value: The part itself.
        why: What is the matter with it, to be read after its path.
    """

    path: str
    value: object
    why: str


def why_unsavable(value: object) -> str | None:
    """Return why `value` can be neither pickled and loaded again, or None if it can."""
    try:
        check(dump(value), copy=True)
    except NotPickle as error:
        return error.why if error.culprit is value else f"is {describe(value)} {error.why}"
    return None


def find_unsavable(value: object, name: str, why: Callable[[object], str | None] = why_unsavable) -> Culprit:
    """
    Return the innermost part of `value`, which is called `name`, that cannot be saved.

    Args:
        value: A value that could not be saved.
        name: What to call it in the path.
        why: Says why a part cannot be saved, or None if it can.
    """
    path, reason = name, why(value) or f"is {describe(value)}"
    seen = {id(value)}
    for _ in range(_MAX_STEPS):
        if why_passing(value) is not None:
            break  # refused for what it is: its insides are not the user's concern
        children = [(step, part) for step, part in _parts(value) if id(part) not in seen]
        found = _first_failing(children, why)
        if found is None:
            break
        step, value, reason = found
        path += step
        seen.add(id(value))
    return Culprit(path, value, reason)


def _first_failing(
    children: list[tuple[str, object]], why: Callable[[object], str | None]
) -> tuple[str, object, str] | None:
    """Return the first part that cannot be saved alone, by halving: one bad row in a million takes twenty looks."""
    low, high = 0, len(children)
    if not children or why([part for _, part in children]) is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if why([part for _, part in children[low:middle]]) is None:
            low = middle
        else:
            high = middle
    step, part = children[low]
    reason = why(part)
    return None if reason is None else (step, part, reason)


def _parts(value: object) -> list[tuple[str, object]]:
    """Return the parts of `value` that its pickle would hold, each with the step that leads to it."""
    if isinstance(value, dict):
        items = list(dict.items(value))
        keys = [(f".keys(){key_step(key)}", key) for key, _ in items if type(key) is not str]
        return keys + [(key_step(key), part) for key, part in items] + _attributes(value)
    if isinstance(value, tuple) and is_named_tuple(type(value)):
        names: tuple[str, ...] = cast("Any", value)._fields
        return [(f".{name}", part) for name, part in zip(names, value, strict=False)]
    if isinstance(value, (list, tuple, deque)):
        return [(f"[{index}]", part) for index, part in enumerate(value)] + _attributes(value)
    if isinstance(value, (set, frozenset)):
        return [("{...}", part) for part in value]
    if isinstance(value, FunctionType):
        return _function_parts(value)
    if isinstance(value, MethodType):
        return [(".__self__", value.__self__), (".__func__", value.__func__)]
    if isinstance(value, partial):
        return [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, BaseException):
        return [(".args", value.args), *_attributes(value)]
    return _attributes(value)


def _function_parts(function: FunctionType) -> list[tuple[str, object]]:
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
    parts: list[tuple[str, object]] = []
    for name, cell in cells:
        try:
            parts.append((f".__closure__[{name!r}]", cell.cell_contents))
        except ValueError:
            continue  # not assigned yet
    names = [name for name in code.co_names if name in function.__globals__]
    return parts + [(f".__globals__[{name!r}]", function.__globals__[name]) for name in names]


def _attributes(value: object) -> list[tuple[str, object]]:
    if isinstance(value, type):
        return []
    try:
        found: dict[str, Any] = dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        found = {}
    for base in type(value).__mro__:
        for name, member in vars(base).items():
            if type(member) is MemberDescriptorType and hasattr(value, name):
                found.setdefault(name, member.__get__(value))
    return [(f".{name}", part) for name, part in found.items()]
