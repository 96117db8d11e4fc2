"""
Finding where a state contains itself; used only once writing it has already failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from checkpoint._core.tags_writing import key_step

# Looking at more parts than this would take longer than a person waits for a message.
_MOST_PARTS = 1_000_000

# Writing a level takes a few of the thousand frames that Python allows: fewer levels than this always fit.
_MANY_LEVELS = 100


def find_cycle(value: object) -> str | None:
    """Return the path from `value` to the first part that contains itself, or None if there is none."""
    # Ids of the parts on the way to the current one; those on which nothing was found are not looked at again.
    way: list[tuple[int, str, Iterator[tuple[str, object]]]] = [(id(value), "", _parts(value))]
    above = {id(value)}
    seen: dict[int, object] = {}
    for _ in range(_MOST_PARTS):
        if not way:
            return None
        for step, part in way[-1][2]:
            if id(part) in above:
                return "".join(entry[1] for entry in way) + step
            if id(part) not in seen:
                # Kept alive: an id must not be given to another part.
                seen[id(part)] = part
                above.add(id(part))
                way.append((id(part), step, _parts(part)))
                break
        else:
            above.discard(way.pop()[0])
    return None


def is_deep(value: object) -> bool:
    """Tell whether `value` has more levels than a program has that does not nest things on purpose."""
    level: list[object] = [value]
    seen: dict[int, object] = {}
    for _ in range(_MANY_LEVELS):
        parts = [part for holder in level for _, part in _parts(holder)]
        level = [*{id(part): part for part in parts if id(part) not in seen}.values()]
        # Kept alive: an id must not be given to another part.
        seen.update((id(part), part) for part in level)
        if not level or len(seen) > _MOST_PARTS:
            return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in [*value.items()]:
            yield key_step(key), part
    elif isinstance(value, (list, tuple, deque)):
        for place, part in enumerate([*value]):
            yield f"[{place}]", part
    elif not isinstance(value, (str, bytes, type)):
        members: dict[str, object] = dict(getattr(value, "__dict__", {}))
        for base in type(value).__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    members.setdefault(name, getattr(value, name))
        for name in getattr(type(value), "__struct_fields__", ()):
            members.setdefault(name, getattr(value, name, None))
        for name, part in members.items():
            yield f".{name}", part
