"""
A life in a forked child of this process, which can be killed for real; what it has to say comes back through a file.

A file, because a pipe would be at its end only when the last process that the child has started is gone too.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from checkpoint.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a child ended.

    Attributes:
        status: Its exit status; negative if a signal ended it.
        said: The last object it sent, or None.
        failure: The traceback of the exception that left the function, or "".
    """

    status: int
    said: Any
    failure: str


def run_in_child(function: Callable[[Callable[[object], object]], None]) -> Ended:
    """
    Run `function` in a forked child and wait for its end; what it has started itself is killed then.

    The child is in a process group of its own, so that Ctrl-C reaches this process alone, which then kills it.

    Args:
        function: Is given a function that sends an object to the parent; the last one counts.

    Raises:
        UsageError: This platform cannot fork.
    """
    if not hasattr(os, "fork"):
        raise UsageError(
            "how='SIGKILL' kills a forked child, and this platform cannot fork. "
            "Use how='crash', or checkpoint_process.",
            slug="cannot-fork",
            value="SIGKILL",
        )
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with tempfile.TemporaryFile(buffering=0) as file:
        child = _fork()
        if not child:
            _live(function, file)
        status = _wait(child)
        file.seek(0)
        said = _read_all(file)
    last = next((one[1] for one in reversed(said) if one[0] == "said"), None)
    failure = next((one[1] for one in reversed(said) if one[0] == "failed"), "")
    return Ended(os.waitstatus_to_exitcode(status), last, failure)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of threads; the child starts none of theirs, and takes none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _wait(child: int) -> int:
    """Wait for the child, and leave nothing of it behind, also if this is interrupted; returns how it ended."""
    try:
        if hasattr(os, "waitid"):
            # Not reaped yet: while it is there, its number is that of no other process or group.
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            with suppress(OSError):
                os.killpg(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    except BaseException:
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
            os.killpg(child, signal.SIGKILL)
        with suppress(OSError):
            os.waitpid(child, 0)
        raise


def _live(function: Callable[[Callable[[object], object]], None], file: IO[bytes]) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        try:
            function(lambda said: file.write(pickle.dumps(("said", said))))
            status = 0
        except BaseException:
            file.write(pickle.dumps(("failed", traceback.format_exc())))
    finally:
        # Neither pytest nor anybody else's clean-up runs in the child.
        os._exit(status)


def _read_all(file: IO[bytes]) -> list[tuple[str, Any]]:
    said = []
    while True:
        try:
            said.append(pickle.load(file))
        except (EOFError, pickle.UnpicklingError):
            return said
