"""
The end of a simulated process: what the kernel does for a real one, so that nothing of it reaches the next.

Its threads are waited for, its files closed and its locks given up.  It must never save anything.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from checkpoint._runtime import scope as scopes
from checkpoint.stores import _ownership
from checkpoint.stores._journal import FileJournal

if TYPE_CHECKING:
    from checkpoint._runtime.session import Session

# A thread of a dead process ends at its next step; one that takes longer than this waits for something that will
# never come.
_PATIENCE_S = 1.0
_PAUSE_S = 0.001

_STORES = "checkpoint.stores."


def wait_for_threads(before: Collection[threading.Thread]) -> None:
    """
    Wait for the threads that were started since, as a process does at its end.

    Daemons are not waited for, and neither are the idle threads of a pool.
    """
    deadline = time.monotonic() + _PATIENCE_S
    for thread in threading.enumerate():
        if thread in before or thread.daemon:
            continue
        while thread.is_alive() and not _is_idle(thread) and time.monotonic() < deadline:
            thread.join(_PAUSE_S)


def bury(sessions: Iterable[Session], descriptors: Collection[int]) -> None:
    """Close what a process has left open: its sessions, the descriptors of its stores, and its locks."""
    for session in sessions:
        if session.closed is None:
            session.closed = "The process that worked on this run has ended, in a simulated crash."
        if session in scopes.open_sessions:
            scopes.open_sessions.remove(session)
        if isinstance(session.journal, FileJournal):
            session.journal._closed = True  # what a thread of it still wants to write goes nowhere
    owned = _ownership._table.owned
    for identity in [one for one, found in owned.items() if found.descriptors[0] in descriptors]:
        del owned[identity]
    is_used = bool(descriptors) and _is_store_running()
    for descriptor in descriptors:
        with suppress(OSError):
            if is_used:
                _deaden(descriptor)
            else:
                os.close(descriptor)
    for session in sessions:
        # A journal of another kind: that it cannot be closed any more is what its store must be prepared for.
        with suppress(Exception):
            session.journal.close()
    scope = scopes.current.get()
    if scope is not None and scope.session in sessions:
        scopes.current.set(None)


def _is_idle(thread: threading.Thread) -> bool:
    """Whether it is a thread of a pool that waits for work."""
    pools = sys.modules.get("concurrent.futures.thread")
    frame = sys._current_frames().get(thread.ident or 0)
    return pools is not None and frame is not None and frame.f_code is pools._worker.__code__


def _is_store_running() -> bool:
    """Whether another thread is within an operation of a store at this moment."""
    here = threading.get_ident()
    return any(_is_in_store(frame) for thread, frame in sys._current_frames().items() if thread != here)


def _is_in_store(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_STORES):
            return True
        frame = frame.f_back
    return False


def _deaden(descriptor: int) -> None:
    # The thread may still use the number, which must not be another file's by then.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor, inheritable=False)
    os.close(null)
