"""
How a function is left at new work, from whatever thread, task or depth it comes to it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class NewWork(BaseException):
    """Leaves the function at a call that would have to run; no program's `except Exception` catches it."""


def call(function: Callable[[], object]) -> None:
    """Call the function; if it returns a coroutine, run that to its end."""
    result = function()
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.run(result)


def is_stop(error: BaseException) -> bool:
    """Whether `error` is how the function was left at new work, or what became of that on the way."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        if isinstance(link, NewWork):
            return True
        seen.add(id(link))
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
    return False


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Let threads that come to new work end without a word; an executor hands it on as it does every exception."""
    from unittest import mock

    previous = threading.excepthook

    def hook(raised: threading.ExceptHookArgs) -> None:
        if not isinstance(raised.exc_value, NewWork):
            previous(raised)

    with mock.patch.object(threading, "excepthook", hook):
        yield
