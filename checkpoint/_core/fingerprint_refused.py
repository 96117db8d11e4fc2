"""
The values that have no lasting value by their nature, and what they are called in a message.

Everything here is told by its type alone: nothing may be iterated, awaited, read or asked.
"""

from __future__ import annotations

from typing import NoReturn

from checkpoint._core.fingerprint_names import a_or_an, class_name
from checkpoint._core.fingerprint_table import Encoder, Family, NoLastingValue

# What lives in one process only, by the name of a class it is or is derived from, in every Python version.
_LIVE = frozenset(
    {
        "_thread.lock",
        "_thread.RLock",
        "_thread._local",
        "threading.Thread",
        "threading.Condition",
        "threading.Event",
        "threading.Semaphore",
        "threading.Barrier",
        "socket.socket",
        "_socket.socket",
        "_ssl._SSLContext",
        "subprocess.Popen",
        "sqlite3.Connection",
        "sqlite3.Cursor",
        "queue.Queue",
        "_queue.SimpleQueue",
        "asyncio.locks._ContextManagerMixin",
        "asyncio.locks.Event",
        "asyncio.queues.Queue",
        "asyncio.events.AbstractEventLoop",
        "concurrent.futures._base.Executor",
        "concurrent.futures._base.Future",
        "multiprocessing.process.BaseProcess",
        "_contextvars.Context",
        "_contextvars.ContextVar",
    }
)

# What changes behind its holder's back.
_VIEWS = {
    "dict_keys": "is a dict's keys(), a view that changes with its dict",
    "dict_values": "is a dict's values(), a view that changes with its dict",
    "dict_items": "is a dict's items(), a view that changes with its dict",
    "collections.odict_keys": "is a dict's keys(), a view that changes with its dict",
    "odict_keys": "is a dict's keys(), a view that changes with its dict",
    "odict_values": "is a dict's values(), a view that changes with its dict",
    "odict_items": "is a dict's items(), a view that changes with its dict",
    "collections.abc.MappingView": "is a view that changes with its mapping",
    "os._Environ": "is os.environ, which differs from process to process",
}

_NOT_AWAITED = {"coroutine": "coroutine", "_asyncio.Task": "task", "_asyncio.Future": "future"}


def refused_rule(cls: type, _value: object) -> Encoder | None:
    """Refuse what has no lasting value by its nature, with the words for it."""
    found = _why(cls)
    if found is None:
        return None
    why, family = found

    def refuse(value: object) -> NoReturn:
        raise NoLastingValue(value, why, family)

    return refuse


def _why(cls: type) -> tuple[str, Family] | None:
    if cls is object:
        return "is a bare object(), which nothing tells from another", "no-lasting-value"
    names = [class_name(base) for base in cls.__mro__]
    if "unittest.mock.Base" in names or "mock.mock.Base" in names:
        return "is a mock", "mock"
    if "_io._IOBase" in names or "io.IOBase" in names:
        return "is an open file or stream", "open-file"
    view = next((_VIEWS[name] for name in names if name in _VIEWS), None)
    if view is not None:
        return view, "live-view"
    if _LIVE.intersection(names):
        return f"is {a_or_an(names[0])} (it lives in this process only)", "no-lasting-value"
    attributes = {name for base in cls.__mro__ for name in base.__dict__}
    if "__await__" in attributes:
        return f"is a {_NOT_AWAITED.get(names[0], names[0])} that has not been awaited", "not-awaited"
    if "__next__" in attributes or "__anext__" in attributes:
        kind = names[0].replace("_", " ")
        return (
            f"is {a_or_an(kind if kind.endswith(('generator', 'iterator')) else f'{kind} iterator')}",
            "one-pass-value",
        )
    return None
