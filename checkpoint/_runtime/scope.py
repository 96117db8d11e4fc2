"""
Who is calling: the run and the step a piece of code runs in, found by context or because only one run is open.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from checkpoint._core.progress import Claims
from checkpoint.errors import RunClosedError, UsageError

if TYPE_CHECKING:
    from checkpoint._runtime.session import Session


class Scope:
    """
    What calls are made in: the run itself, or the body of a step.

    Attributes:
        session: The session the scope belongs to.
        key: `run`, or the key of the step's call.
        depth: How many steps enclose calls made here.
        here: The thread or task that it belongs to; see `where`.
    """

    __slots__ = ("_claims", "depth", "here", "key", "session")

    def __init__(self, session: Session, key: str, depth: int) -> None:
        self.session = session
        self.key = key
        self.depth = depth
        self.here = where()
        self._claims = Claims()

    def claim(self, digest: str) -> int:
        """Return the occurrence of one more call with this digest."""
        with _claiming:
            return self._claims.claim(digest)

    def release(self, digest: str, occurrence: int) -> None:
        """Give back the occurrence of a call that did not complete."""
        with _claiming:
            self._claims.release(digest, occurrence)


def where() -> object:
    """Return what tells the thread or the task of the calling code from others."""
    asyncio = sys.modules.get("asyncio")
    # Another thread may be importing it just now.
    running = getattr(asyncio, "_get_running_loop", None)
    loop = running() if running is not None else None
    task = asyncio.current_task(loop) if asyncio is not None and loop is not None else None
    return task if task is not None else threading.get_ident()


# One lock for all: it is held for less than a microsecond.
_claiming = threading.Lock()

# Of threads without a context of their own, the session that their steps belong to.
_adopted: weakref.WeakKeyDictionary[threading.Thread, Session] = weakref.WeakKeyDictionary()

# Idents of the threads that were there when a session began.
_before: weakref.WeakKeyDictionary[Session, frozenset[int | None]] = weakref.WeakKeyDictionary()

current: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("checkpoint_scope", default=None)

# Sessions open in this process, in the order they were opened.
open_sessions: list[Session] = []


def open_here(session: Session) -> None:
    """Let code without a context of its own find this session."""
    _before[session] = frozenset([thread.ident for thread in threading.enumerate()])
    open_sessions.append(session)


def disown() -> None:
    """Close every open session in a forked child: the run is the parent's."""
    for session in open_sessions:
        if session.closed is None:
            session.closed = (
                f"Run {session.short_id} of workflow {session.workflow!r} belongs to the process that opened it, and a "
                "forked child cannot add to it. Return values to the parent and call the steps there."
            )


def adopt_threads(session: Session) -> None:
    """
    Let the threads that were started during a session belong to it, though they have called no step yet.

    The session is cut short, and what these threads go on to do must not go on unrecorded.
    """
    before = _before.get(session, ())
    for thread in threading.enumerate():
        if thread.ident not in before:
            _adopted.setdefault(thread, session)


def find_scope() -> Scope | None:
    """
    Return the scope of the code that calls, or None outside every workflow.

    Code without a context of its own, such as a plain thread, belongs to the only open run.

    Raises:
        UsageError: Several runs are open, and nothing says which is meant.
        RunClosedError: The run this code belongs to is over.
    """
    scope = current.get()
    if scope is not None:
        if scope.session.closed is not None:
            raise RunClosedError(scope.session.closed, run=scope.session.id)
        return scope
    if not open_sessions:
        _refuse_orphan()
        return None
    # In a forked child those of the parent are closed, but still there, so that their steps do not run unrecorded.
    candidates = [session for session in open_sessions if session.closed is None] or open_sessions
    if len(candidates) > 1:
        names = sorted(f"{session.workflow} ({session.short_id})" for session in candidates)
        raise UsageError(
            f"This thread was started outside every workflow, and several runs are open ({', '.join(names)}): "
            "it is not clear to which of them its steps belong. "
            "Start the thread with contextvars.copy_context().run, or inside one workflow only.",
            slug="which-run",
            value=names,
        )
    only = candidates[0]
    if only.closed is not None:
        raise RunClosedError(only.closed, run=only.id)
    if threading.current_thread() is not threading.main_thread():
        _adopted[threading.current_thread()] = only
    return only.root


def _refuse_orphan() -> None:
    # A thread that outlives its run must not go on unrecorded.
    session = _adopted.get(threading.current_thread())
    if session is not None:
        raise RunClosedError(session.closed or f"Run {session.short_id} is over.", run=session.id)
