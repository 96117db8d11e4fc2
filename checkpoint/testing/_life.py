"""
One simulated process: everything the library does between two deaths comes past here, is counted, and can go wrong.

A life that is dead raises `Crash` at every further operation, so that no `finally` can save what a killed process
could not have saved.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from checkpoint._runtime import scope as scopes
from checkpoint.errors import UsageError
from checkpoint.stores._failures import not_saved
from checkpoint.testing._burial import bury, wait_for_threads
from checkpoint.testing._disk import Disk
from checkpoint.testing._faults import CHANGING, FLUSHING, WRITING, Crash, How, Point, remains_of
from checkpoint.testing._seams import MEMORY_OPERATIONS, Boundary, observe

if TYPE_CHECKING:
    from checkpoint._runtime.attempt import Attempt
    from checkpoint._runtime.opening import Request
    from checkpoint._runtime.session import Session

# Given a point, and the call if it is a boundary of one: whether the fault begins here.
Trigger: TypeAlias = "Callable[[Point, Attempt | None], bool]"

# What identifies a call in every life: workflow, key of the run, key of the call.
CallId: TypeAlias = "tuple[str, str | None, str]"


def call_id(attempt: Attempt) -> CallId:
    """Return what identifies a call in every life."""
    return attempt.session.workflow, attempt.session.key, attempt.key


def never(point: Point, attempt: Attempt | None) -> bool:
    """Let a life go through without a fault."""
    return False


class Life:
    """
    Observes one life, and ends it.

    Args:
        trigger: Says at which point the fault begins.
        how: What the fault is.
        disk: Follows what is durable; lives after a power cut share one.
        last_words: Called just before this process is killed, for `SIGKILL`.

    Attributes:
        points: Every point the life came to.
        fired: The point at which the fault began, or None.
        raised: The exception that was raised there, if `how` is one.
        is_dead: Whether the simulated process is gone.
        opened: The requests and sessions of the runs it worked on.
        entered: The calls whose body began, in order, each with its last attempt.
        acknowledged: The calls whose result was saved durably.
        kept_calls: The calls whose saved result was handed out.
    """

    def __init__(
        self,
        trigger: Trigger = never,
        how: How = "crash",
        *,
        disk: Disk | None = None,
        last_words: Callable[[], object] | None = None,
    ) -> None:
        self.points: list[Point] = []
        self.fired: Point | None = None
        self.raised: BaseException | None = None
        self.is_dead = False
        self.opened: list[tuple[Request, Session]] = []
        self.entered: dict[CallId, Attempt] = {}
        self.acknowledged: list[CallId] = []
        self.kept_calls: list[CallId] = []
        self._trigger = trigger
        self._how = how
        self._disk = disk if disk is not None else Disk() if remains_of(how) else None
        self._last_words = last_words
        self._begun: str | None = None
        self._lock = threading.RLock()
        self._descriptors: dict[int, str] = {}
        self._recording = ""

    @contextmanager
    def lived(self) -> Iterator[None]:
        """
        Live it: what this process does in the block is observed; at its end it is over, and what it left is closed.

        Raises:
            UsageError: No life can begin here.
        """
        _check_place(self._how)
        before = threading.enumerate()
        hook = threading.excepthook
        threading.excepthook = lambda arguments: None if self.is_dead else hook(arguments)
        try:
            with observe(self), _default_interrupt():
                try:
                    yield
                finally:
                    wait_for_threads(before)
        finally:
            threading.excepthook = hook
            bury([session for _, session in self.opened], list(self._descriptors))
            if self.is_dead and self._disk is not None and (remains := remains_of(self._how)):
                self._disk.cut(remains)

    def boundary(self, place: Boundary, attempt: Attempt) -> None:
        """A call comes to a boundary."""
        if self.is_dead:
            raise self._crash()
        if place == "inside":
            self.entered[call_id(attempt)] = attempt
        self._point(place, f"{_WORDS[place]} {attempt.show()}", attempt)

    def left(self, attempt: Attempt) -> None:
        """A body was left."""

    def saved(self, attempt: Attempt) -> None:
        """A result is saved durably."""
        self.acknowledged.append(call_id(attempt))

    def kept(self, attempt: Attempt) -> None:
        """A saved result is handed out."""
        self.kept_calls.append(call_id(attempt))

    def began(self, request: Request, session: Session) -> None:
        """A session has begun."""
        self.opened.append((request, session))

    def recording(self, session: Session, kind: str, key: str) -> None:
        """A record is about to be appended."""
        if self.is_dead:
            raise self._crash()  # whatever the store is made of
        attempt = self.entered.get((session.workflow, session.key, key))
        self._recording = f" ({kind} {attempt.show()})" if attempt is not None else f" ({kind})"

    def operation(self, name: str, perform: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Perform one operation of a store, unless it is to fail."""
        if self.is_dead:
            raise self._crash()
        if name in CHANGING:
            self._point(name, f"before {name} {self._object(arguments)}{self._recording}", None)
            self._fail(name, perform, arguments)
        with self._lock:
            if self.is_dead:
                raise self._crash()  # of another thread, while this one waited
            if self._disk is not None:
                self._disk.before(name, arguments)
            # The disk of a simulated process is memory: nobody waits for it.
            result: Any = None if name in ("flush", "flush_directory") else perform(*arguments)
            if name in ("open", "create"):
                self._descriptors[result] = arguments[0]
            elif name == "close":
                self._descriptors.pop(arguments[0], None)
            if self._disk is not None:
                self._disk.after(name, arguments, result)
        return result

    def _point(self, kind: str, what: str, attempt: Attempt | None) -> None:
        with self._lock:
            point = Point(len(self.points) + 1, kind, what)
            self.points.append(point)
            if self.fired is not None or not self._trigger(point, attempt):
                return
            self.fired = point
        self._begin_fault(kind)

    def _begin_fault(self, kind: str) -> None:
        how = self._how
        if how == "SIGKILL":
            if self._last_words is not None:
                self._last_words()
            os.kill(os.getpid(), signal.SIGKILL)
        elif how in ("SIGINT", "SIGTERM"):
            self._signal(signal.Signals[str(how)])
        elif how == "crash" or remains_of(how):
            self._die()
        elif how in ("torn", "full", "io"):
            self._begun = str(how)
        elif not isinstance(how, str):
            # One exception for all points must not collect the tracebacks of all.
            self.raised = how.with_traceback(None) if isinstance(how, BaseException) else how("simulated")
            raise self.raised

    def _signal(self, number: signal.Signals) -> None:
        if signal.getsignal(number) is signal.SIG_DFL:
            self._die()  # as the kernel does with a process that has no handler
        signal.raise_signal(number)

    def _fail(self, name: str, perform: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Let an operation fail that comes after the beginning of a fault of the disk."""
        if self._begun == "torn" and name == "write":
            data = bytes(arguments[1])
            perform(arguments[0], data[: len(data) // 2])
            self._die()
        elif self._begun == "torn" and name == "append":
            self._die()
        elif self._begun == "full" and name in WRITING:
            raise _failure(errno.ENOSPC, name)
        elif self._begun == "io" and name in FLUSHING:
            self._begun = None
            raise _failure(errno.EIO, name)

    def _die(self) -> None:
        self.is_dead = True
        raise self._crash()

    def _crash(self) -> Crash:
        return Crash(f"the simulated process died at point {self.fired}")

    def _object(self, arguments: tuple[Any, ...]) -> str:
        first = arguments[0] if arguments else ""
        path = self._descriptors.get(first, "") if isinstance(first, int) else str(first)[:80]
        return os.path.basename(path)


_WORDS = {"before": "before", "inside": "in the body of", "saving": "after the body of", "after": "after saving"}


def _failure(number: int, name: str) -> Exception:
    error = OSError(number, os.strerror(number))
    # A journal in memory has no files below it that could fail; it answers as one on a disk would.
    return not_saved(error, "memory", "a record") if name in MEMORY_OPERATIONS else error


def _check_place(how: How) -> None:
    """Raise UsageError if no life can begin here that ends in this way."""
    running = [session for session in scopes.open_sessions if session.closed is None]
    if running:
        raise UsageError(
            f"workflow {running[0].workflow!r} is open already: a crash ends a whole process, so that its block must "
            "stand around the workflow, not inside it. Open the workflow within the block.",
            slug="crash-inside-workflow",
            value=running[0].workflow,
        )
    if how in ("SIGINT", "SIGTERM") and threading.current_thread() is not threading.main_thread():
        raise UsageError(
            f"how={how!r} sends a signal, which Python handles in the main thread, and this is another one. "
            "Run the test in the main thread, or use how='crash'.",
            slug="signal-off-main-thread",
            value=how,
        )


@contextmanager
def _default_interrupt() -> Iterator[None]:
    """Let SIGINT interrupt, also where the tests were started in the background with it ignored."""
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not is_ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
