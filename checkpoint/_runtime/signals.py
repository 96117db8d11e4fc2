"""
Ctrl-C and SIGTERM: holds a signal back while our own code runs, lets it through in the user's.

Nothing depends on the handler: it is only the quick way out.  It decides by the interrupted frame.  If that
is the user's code, the signal is delivered at once; if it is ours, between "the user's function returned" and
"its record is durable" say, the signal is kept until `check` is called on the way back to the user's code.
While a `critical` step runs, the first signal waits for its end, the second does not.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, TypeAlias

# Frames of these modules are ours...
_OWN = "checkpoint."
# ...but for these, which stand on the user's side.
_NOT_OWN = ("checkpoint._tools", "checkpoint.testing", "checkpoint.pytest_plugin", "checkpoint.__main__")

# Our own functions whose only work is to call the user's: what runs beneath them is not ours.
_user_side: set[CodeType] = set()

# A signal that arrives in the last bytecodes of our code, after `check`, is sent again after this time.  Long
# enough for our code to be left, short enough not to be felt.
_RESEND_AFTER_S = 0.005

# This many signals held back at once mean that the user does not want to wait for a disk that hangs.
_GIVE_UP_AT = 3


def calls_user_code(function: Callable[..., Any]) -> None:
    """Mark `function` as one that calls the user's code."""
    _user_side.add(function.__code__)


def is_own_code(frame: FrameType | None) -> bool:
    """Whether `frame` runs on behalf of this library rather than of the user's own code."""
    innermost = frame
    while frame is not None:
        if frame.f_code in _user_side:
            return frame is innermost
        name = frame.f_globals.get("__name__", "")
        if name.startswith(_OWN) and not name.startswith(_NOT_OWN):
            return True
        frame = frame.f_back
    return False


# Leaves the program in another way than by raising; see `Watch.enter`.
Cancel: TypeAlias = Callable[[int, set[object]], bool]

# What `Watch.leave` needs to know of an `enter`.
Entered: TypeAlias = tuple[list[int], Cancel | None]


class Watch:
    """
    The handlers of this process, and the signals they hold back.  One for the process: see `watch`.

    Attributes:
        stopped_by: The signal that was delivered last since the outermost workflow was entered, or None.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self._entered = 0
        self._previous: dict[int, Any] = {}
        self._users: dict[int, int] = {}
        self._held: list[int] = []
        self._critical = 0
        self._waiting: int | None = None
        self._resending: int | None = None
        self._cancels: list[Cancel] = []
        self._announce: Callable[[int], None] | None = None
        self._resenders: list[int] = []

    def enter(self, signals: Iterable[int], cancel: Cancel | None = None) -> Entered | None:
        """
        Install handlers, if this is the main thread; signals that are ignored or handled outside Python are left alone.

        Args:
            signals: Signal numbers.
            cancel: Called instead of raising, with the number and the tasks that are cancelled already; returns
                whether it has arranged for the program to be left.

        Returns:
            What `leave` needs, or None off the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        _watch_forks()
        if not self._entered:
            self.stopped_by = self._waiting = None
            self._held.clear()
        installed: list[int] = []
        # SIGINT first, and put back last: from the one to the other no Ctrl-C can raise in our own code.
        for number in sorted(signals, key=lambda number: number != signal.SIGINT):
            if number not in self._previous:
                previous = signal.getsignal(number)
                if previous in (signal.SIG_IGN, None):
                    continue
                signal.signal(number, self._handle)
                self._previous[number] = previous
            self._users[number] = self._users.get(number, 0) + 1
            installed.append(number)
        self._entered += 1
        if cancel is not None:
            self._cancels.append(cancel)
        return installed, cancel

    def leave(self, entered: Entered | None) -> None:
        """Put back the handlers that nobody needs any more, unless somebody has replaced ours meanwhile."""
        if entered is None or not self._entered:
            return  # off the main thread, or a forked child that leaves its parent's block
        installed, cancel = entered
        if cancel is not None:
            self._cancels.remove(cancel)
        self._entered -= 1
        held: list[int] = []
        while not self._entered:
            self._drain(held)
            if not self._resenders:
                break
            time.sleep(_RESEND_AFTER_S / 5)  # so that none of them sends to a handler that is ours no more
        for number in reversed(installed):
            self._users[number] -= 1
            if self._users[number]:
                continue  # workflows of several tasks may be left in any order
            previous = self._previous.pop(number)
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        if not self._entered:
            self._drain(held)  # one may have arrived since
        if held and callable(signal.getsignal(held[0])):
            signal.raise_signal(held[0])  # nobody has seen it yet: the handler that was there before gets it
        elif held:
            raise SystemExit(128 + held[0])

    def _drain(self, held: list[int]) -> None:
        while self._held:  # one by one: another may arrive between any two bytecodes
            held.append(self._held.pop(0))

    def check(self) -> None:
        """Deliver a signal that was held back; called on the way back to the user's code."""
        if self._held and threading.current_thread() is threading.main_thread():
            number = self._held.pop(0)
            self._held.clear()
            self._arrive(number, None)

    def begin_critical(self, announce: Callable[[int], None]) -> None:
        """Let the first signal wait from here; `announce` tells the user so, given its number."""
        self._announce = announce
        self._critical += 1

    def end_critical(self) -> None:
        """Deliver the signal that waited, if no critical step runs any more."""
        self._critical -= 1
        if not self._critical and self._waiting is not None:
            number, self._waiting = self._waiting, None
            if threading.current_thread() is threading.main_thread():
                self._held.append(number)
                self._resend_later()  # if the step raised, nobody calls `check`
            else:
                self._resend(number)

    def in_child(self) -> None:
        """Put everything back in a forked child: its signals are its own."""
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self.__init__()  # type: ignore[misc]  # a fresh object under the name that every module holds

    def _handle(self, number: int, frame: FrameType | None) -> None:
        resent = self._resending == number
        if resent:
            self._resending = None
            if not self._held:
                return  # `check` was quicker
        if is_own_code(frame):
            if not resent:
                self._held.append(number)
            if len(self._held) >= _GIVE_UP_AT:
                os._exit(128 + number)
            self._resend_later()
            return
        if self._held:
            number = self._held[0]
            self._held.clear()
        self._arrive(number, frame)

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        if self._critical and self._waiting is None:
            self._waiting = number
            if self._announce is not None:
                self._announce(number)
            return
        self._waiting = None
        self._deliver(number, frame)

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        again = self.stopped_by is not None
        self.stopped_by = number
        previous = self._previous.get(number)
        if callable(previous) and previous is not signal.default_int_handler:
            previous(number, frame)
        elif not again and self._cancel_tasks(number):
            return
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            # Not by killing ourselves: process 1 of a container cannot, and `finally` blocks would not run.
            raise SystemExit(128 + number)

    def _cancel_tasks(self, number: int) -> bool:
        cancelled: set[object] = set()
        return any([cancel(number, cancelled) for cancel in reversed(self._cancels)])

    def _resend_later(self) -> None:
        self._resenders.append(0)
        try:
            # Not threading.Thread: its locks may be held by the very code that was interrupted.
            _thread.start_new_thread(self._resend_if_held, ())
        except RuntimeError:
            self._resenders.pop()  # the interpreter is shutting down

    def _resend_if_held(self) -> None:
        time.sleep(_RESEND_AFTER_S)
        held = self._held[:1]
        if held:
            self._resending = held[0]
            _send_to_main(held[0])
        self._resenders.pop()

    def _resend(self, number: int) -> None:
        self._held.append(number)
        self._resending = number
        _send_to_main(number)


def _send_to_main(number: int) -> None:
    # A real signal where there is one: it wakes a main thread that sleeps or waits, which interrupt_main does not.
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


watch = Watch()

_is_watching_forks = False


def _watch_forks() -> None:
    global _is_watching_forks
    if not _is_watching_forks and hasattr(os, "register_at_fork"):
        _is_watching_forks = True
        os.register_at_fork(after_in_child=watch.in_child)


# Set on an exception that a workflow has reported: its traceback would only repeat it.  The value is the exit
# status, or None for Python's own.
_REPORTED = "__checkpoint_reported__"

_previous_hook = sys.excepthook


def mark_reported(error: BaseException, status: int | None = None) -> None:
    """
    See to it that `error`, which a workflow reports itself, ends the program without a traceback.

    Args:
        error: A plain KeyboardInterrupt then lets Python die of the signal, so that a shell's loop stops too.
        status: Exit status of a program that is left by `error`; its message is printed.
    """
    global _previous_hook
    setattr(error, _REPORTED, status)
    if sys.excepthook is not _quiet_hook:
        _previous_hook = sys.excepthook
        sys.excepthook = _quiet_hook


def _quiet_hook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    link: BaseException | None = error
    # asyncio ends a cancelled program with a KeyboardInterrupt of its own, raised while ours was handled.
    while link is not None and not hasattr(link, _REPORTED):
        link = link.__cause__ or (link.__context__ if kind is KeyboardInterrupt else None)
    if link is None:
        _previous_hook(kind, error, traceback)
        return
    status = getattr(link, _REPORTED)
    if status is not None:
        print(f"checkpoint: {link}", file=sys.stderr)
        raise SystemExit(status)
