"""
Where crash tests reach into the library: every place is listed here, and nothing else in the package knows of it.

The places are replaced while a life is observed and put back afterwards, so that a program outside of tests pays
nothing for them.  One life at a time in a process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from checkpoint import _step
from checkpoint._runtime import opening
from checkpoint._runtime import scope as scopes
from checkpoint._runtime.attempt import Attempt
from checkpoint._runtime.session import Session
from checkpoint._runtime.signals import calls_user_code
from checkpoint.errors import UsageError
from checkpoint.stores._files import Files
from checkpoint.stores.memory import MemoryJournal

if TYPE_CHECKING:
    from checkpoint._core.records import Line

# Where a call is: about to begin; in its body; its body returned and nothing recorded yet; recorded durably.
Boundary: TypeAlias = Literal["before", "inside", "saving", "after"]

# Operations on files that are not watched: they read no file.
_UNWATCHED = {"now", "sleep"}
FILE_OPERATIONS = [name for name in vars(Files) if not name.startswith("_") and name not in _UNWATCHED]
MEMORY_OPERATIONS = ["append", "sync", "put", "get", "publish"]


class Observer(Protocol):
    """What is told of everything that happens in a life, and may raise in its place."""

    def boundary(self, place: Boundary, attempt: Attempt) -> None:
        """A call comes to a boundary; called in the thread that makes it."""
        ...

    def left(self, attempt: Attempt) -> None:
        """The body of a call was left, in whatever way."""
        ...

    def saved(self, attempt: Attempt) -> None:
        """A call's result is saved durably."""
        ...

    def kept(self, attempt: Attempt) -> None:
        """A call's saved result is handed out."""
        ...

    def began(self, request: opening.Request, session: Session) -> None:
        """A session has begun."""
        ...

    def recording(self, session: Session, kind: str, key: str) -> None:
        """A record is about to be appended."""
        ...

    def operation(self, name: str, perform: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Perform one operation of a store, or raise instead; returns what it returns."""
        ...


_observed: list[Observer] = []


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """
    Tell `observer` of everything the library does in this process, in all threads, until the block is left.

    Raises:
        UsageError: Another one is told already.
    """
    if _observed:
        raise UsageError(
            "a crash is being simulated in this process already: one crash test cannot stand inside another. "
            "Leave the outer block first, or use checkpoint_sweep(…, pairs=True) for two crashes in a row.",
            slug="nested-crash",
            value=None,
        )
    _observed.append(observer)
    originals: list[tuple[Any, str, Any]] = []
    try:
        for target, name, replacement in _replacements(observer):
            originals.append((target, name, getattr(target, name)))
            setattr(target, name, replacement)
        yield
    finally:
        for target, name, original in reversed(originals):
            setattr(target, name, original)
        _observed.clear()


def _replacements(observer: Observer) -> Iterator[tuple[Any, str, Any]]:
    for owner, names in ((Files, FILE_OPERATIONS), (MemoryJournal, MEMORY_OPERATIONS)):
        for name in names:
            yield owner, name, _operation(observer, name, getattr(owner, name))
    yield Session, "begin", _begin(observer, Session.begin)
    yield Session, "complete", _complete(observer, Session.complete)
    yield Session, "append", _append(observer, Session.append)
    yield opening, "open_session", _open(observer, opening.open_session)
    yield _step, "_run", _run(observer)
    yield _step, "_run_async", _run_async(observer)


def _operation(observer: Observer, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def operation(self: Any, *arguments: Any) -> Any:
        return observer.operation(name, functools.partial(original, self), arguments)

    return operation


def _begin(observer: Observer, original: Callable[[Session, Attempt], bool]) -> Callable[[Session, Attempt], bool]:
    def begin(session: Session, attempt: Attempt) -> bool:
        if attempt.key.encode() not in session.progress.completed:
            try:
                observer.boundary("before", attempt)
            except BaseException:
                # As `Session.begin` does: the body has not run, and calling again makes the same call.
                attempt.parent.release(attempt.digest, attempt.occurrence)
                raise
        is_kept = original(session, attempt)
        if is_kept:
            observer.kept(attempt)
        return is_kept

    return begin


def _complete(observer: Observer, original: Callable[..., None]) -> Callable[..., None]:
    def complete(session: Session, attempt: Attempt, value: object) -> None:
        observer.boundary("saving", attempt)
        try:
            original(session, attempt, value)
        except (KeyboardInterrupt, SystemExit):
            # A signal that was held back until the record was durable.
            if attempt not in session.flow.active:
                observer.saved(attempt)
            raise
        observer.saved(attempt)
        observer.boundary("after", attempt)

    return complete


def _append(observer: Observer, original: Callable[..., Line]) -> Callable[..., Line]:
    def append(session: Session, key: str, kind: str, members: str) -> Line:
        observer.recording(session, kind, key)
        return original(session, key, kind, members)

    return append


def _open(observer: Observer, original: Callable[..., Session]) -> Callable[..., Session]:
    def open_session(request: opening.Request) -> Session:
        session = original(request)
        observer.began(request, session)
        return session

    return open_session


def _run(observer: Observer) -> Callable[..., Any]:
    def run(wrapped: Any, args: Any, kwargs: Any) -> Any:
        attempt = scopes.current.get()
        assert isinstance(attempt, Attempt)
        try:
            observer.boundary("inside", attempt)
            return wrapped(*args, **kwargs)
        finally:
            observer.left(attempt)

    calls_user_code(run)
    return run


def _run_async(observer: Observer) -> Callable[..., Any]:
    async def run(wrapped: Any, args: Any, kwargs: Any) -> Any:
        attempt = scopes.current.get()
        assert isinstance(attempt, Attempt)
        try:
            observer.boundary("inside", attempt)
            return await wrapped(*args, **kwargs)
        finally:
            observer.left(attempt)

    calls_user_code(run)
    return run
