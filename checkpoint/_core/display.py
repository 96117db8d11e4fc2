"""
A call as a person would write it, short enough for a line: `align('login')`.

Must never raise, never run a user's `__repr__` or property, and never show what is secret or ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from inspect import Parameter, formatannotation
from typing import Any

from checkpoint._core.display_values import ELLIPSIS, HIDDEN, is_secret_name, show_value

# What fits on a terminal's line beside a mark and a duration.
LONGEST_CALL = 80

# One value's share of it, and what remains of it when there are many.
_LONGEST_VALUE = 48
_SHORTEST_VALUE = 12

_SECRET_ANNOTATION = re.compile(r"\bSecret(Str|Bytes)?\b")

# Types whose values may be compared with `==` to see whether a parameter is at its default.
_PLAIN = (str, int, float, bool, bytes, type(None))


class CallDisplay:
    """How the calls of one step are shown; made once per step."""

    def __init__(
        self, function: Callable[..., Any], members: Collection[Parameter], *, hidden: Collection[str]
    ) -> None:
        """
        Read the signature.

        Args:
            function: The step's function.
            members: Its parameters, in the order of bound values.
            hidden: Names of parameters that are shown as `…`.
        """
        name: object = getattr(function, "__name__", None)
        qualname = str(getattr(function, "__qualname__", ""))
        self._name = name if isinstance(name, str) else type(function).__name__
        kinds = [member.kind for member in members]
        owner = qualname.rpartition(".")[0]
        first = next(iter(members), None)
        self._has_receiver = first is not None and first.name in ("self", "cls") and bool(owner)
        self._plan = [
            (place, member.name, member.kind, member.name in hidden or _is_secret(member), member.default)
            for place, member in enumerate(members)
        ]
        self._rest = kinds.index(Parameter.VAR_POSITIONAL) if Parameter.VAR_POSITIONAL in kinds else None

    def show(self, values: tuple[Any, ...]) -> str:
        """Return the call with these bound values: parameters at their default are left out."""
        name, plan = self._name, self._plan
        if self._has_receiver:
            name = f"{_class_of(values[0])}.{name}"
            plan = plan[1:]
        by_name = False
        has_rest = self._rest is not None and bool(values[self._rest])
        parts: list[tuple[str, object]] = []
        for place, label, kind, hidden, default in plan:
            value = values[place]
            if kind is Parameter.VAR_POSITIONAL:
                parts += [("", HIDDEN)] if hidden and value else [("", item) for item in value]
            elif kind is Parameter.VAR_KEYWORD:
                parts += [
                    (f"{_label(key)}=", HIDDEN if hidden or is_secret_name(key) else item)
                    for key, item in value.items()
                ]
            elif _is_default(value, default) and not (has_rest and kind is not Parameter.KEYWORD_ONLY):
                by_name = True
            else:
                prefix = f"{label}=" if by_name or kind is Parameter.KEYWORD_ONLY else ""
                parts.append((prefix, HIDDEN if hidden else value))
        return show_call(name, parts)


def show_call(name: str, parts: Collection[tuple[str, object]]) -> str:
    """
    Return `name(…)` with each value behind its prefix, such as `limit=`, in at most `LONGEST_CALL` characters.

    Args:
        name: The function as a person calls it.
        parts: Prefix and value of every argument; `HIDDEN` is shown as `…`.
    """
    text = f"{name}({', '.join([prefix + show_value(value, _LONGEST_VALUE) for prefix, value in parts])})"
    return text if len(text) <= LONGEST_CALL else _squeezed(name, list(parts))


def _squeezed(name: str, parts: list[tuple[str, object]]) -> str:
    if len(name) > LONGEST_CALL - 2 * _SHORTEST_VALUE:
        name = f"{name[: LONGEST_CALL - 2 * _SHORTEST_VALUE - 1]}{ELLIPSIS}"
    room = LONGEST_CALL - len(name) - 2
    widest = max(_SHORTEST_VALUE, room // max(len(parts), 1) - 10)
    shown: list[str] = []
    used = 0
    for place, (prefix, value) in enumerate(parts):
        piece = prefix[:_LONGEST_VALUE] + show_value(value, widest)
        # Another one needs room behind it for the sign that there are more.
        needed = len(piece) if place == len(parts) - 1 else len(piece) + 3
        if used + needed > room:
            shown.append(ELLIPSIS)
            break
        shown.append(piece)
        used += len(piece) + 2
    return f"{name}({', '.join(shown)})"


def _is_secret(member: Parameter) -> bool:
    if is_secret_name(member.name):
        return True
    if member.annotation is Parameter.empty:
        return False
    try:
        text = member.annotation if isinstance(member.annotation, str) else formatannotation(member.annotation)
    except Exception:  # an annotation may be any object, with any repr
        return False
    return _SECRET_ANNOTATION.search(text) is not None


def _label(key: str) -> str:
    # Through `**` any text may be a keyword.
    return key if key.isidentifier() else ascii(key)


def _is_default(value: object, default: object) -> bool:
    return value is default or (type(value) is type(default) and type(value) in _PLAIN and value == default)


def _class_of(receiver: object) -> str:
    cls = receiver if isinstance(receiver, type) else type(receiver)
    return str(type.__dict__["__name__"].__get__(cls))
