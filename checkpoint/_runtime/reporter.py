"""
Says what happens to a run: sentences on stderr, step lines on a terminal, or log records if the program logs.

It must never change what the program does: not its stdout, not its logging, not its outcome.  A stream that is
closed, broken or cannot hold a character is none of the program's business.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from checkpoint._core.records import RunEvent, StepEvent
from checkpoint._runtime._reporter_stream import LineReporter, Output, TerminalReporter
from checkpoint._runtime._reporter_text import plain, step_line
from checkpoint.errors import UsageError

if TYPE_CHECKING:
    import logging

OUTPUTS = ("auto", "lines", "steps", "off")


class Reporter(Protocol):
    """
    What is told of everything that happens to a run.  May be called from any thread, and from a signal handler.

    Nothing it does raises because of the stream it writes to.
    """

    @property
    def wants_steps(self) -> bool:
        """Whether `step` does anything; if not, the caller need not even make the event."""
        ...

    @property
    def wants_kept(self) -> bool:
        """Whether `step` does anything with a call that was `kept`, which is the quickest there is."""
        ...

    def run(self, event: RunEvent) -> None:
        """Say what happened to the run."""

    def step(self, event: StepEvent) -> None:
        """Say what happened to a call."""


class SilentReporter:
    """Says nothing."""

    wants_steps = False
    wants_kept = False

    def run(self, event: RunEvent) -> None:
        """Do nothing."""

    def step(self, event: StepEvent) -> None:
        """Do nothing."""


class LogReporter:
    """Makes log records of the logger `checkpoint`: INFO for a run, DEBUG for a step."""

    def __init__(self) -> None:
        import logging

        self._logger: logging.Logger = logging.getLogger("checkpoint")
        # Without a handler of its own a library's warnings would go to stderr by logging's last resort.
        if not self._logger.handlers:
            self._logger.addHandler(logging.NullHandler())
        self._debug = logging.DEBUG

    @property
    def wants_steps(self) -> bool:
        """Whether DEBUG records would go anywhere, at this moment."""
        return self._logger.isEnabledFor(self._debug)

    wants_kept = wants_steps

    def run(self, event: RunEvent) -> None:
        """Make one INFO record."""
        facts = {"run_id": event.run, "workflow": event.workflow, "step": None, "call": event.where}
        self._logger.info(plain(event), extra={**facts, "seconds": event.seconds})

    def step(self, event: StepEvent) -> None:
        """Make one DEBUG record."""
        facts = {"run_id": event.run, "workflow": event.workflow, "step": event.step, "call": event.call}
        self._logger.debug(step_line(event), extra={**facts, "seconds": event.seconds})


def _has_configured_logging() -> bool:
    # A program that never imported logging cannot have configured it, and should not pay for it.
    logging = sys.modules.get("logging")
    if logging is None:
        return False
    handlers = [*logging.getLogger().handlers, *logging.getLogger("checkpoint").handlers]
    return any(not isinstance(handler, logging.NullHandler) for handler in handlers)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError, AttributeError):
        return False


def _wants_colour(terminal: bool, environ: Mapping[str, str]) -> bool:
    if environ.get("FORCE_COLOR"):
        return True
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _chosen(output: str, environ: Mapping[str, str]) -> str:
    """Return what was asked for, by the program or, if it leaves that open, by the user."""
    asked, where = output, "output"
    if output == "auto" and environ.get("CHECKPOINT_OUTPUT"):
        asked, where = environ["CHECKPOINT_OUTPUT"], "CHECKPOINT_OUTPUT"
    if asked not in OUTPUTS:
        ways = "'auto', 'lines', 'steps' or 'off'"
        raise UsageError(f"Cannot report as {where}={asked!r} says. Use {ways}.", slug="unknown-output", value=asked)
    return asked


def make_reporter(output: str, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> Reporter:
    """
    Return the reporter for a session that begins now.

    Whether there is a terminal, and whether the program has configured logging, is asked once, here.

    Args:
        output: `lines` for sentences only, `steps` for a line per step too, `off` for nothing; `auto` is what
            `CHECKPOINT_OUTPUT` says, else nothing under pytest, log records if the program logs, `steps` on a
            terminal, otherwise `lines`.
        stream: Where to write; stderr if None.
        environ: The environment.

    Raises:
        UsageError: `output` or `CHECKPOINT_OUTPUT` is none of these.
    """
    asked = _chosen(output, environ)
    stream = sys.stderr if stream is None else stream
    if asked == "auto" and "PYTEST_CURRENT_TEST" in environ:
        asked = "off"
    if asked == "auto" and _has_configured_logging():
        return LogReporter()
    # A program without a console has no stderr at all.
    if asked == "off" or stream is None:
        return SilentReporter()
    terminal = _is_terminal(stream)
    colour = _wants_colour(terminal, environ)
    steps = asked == "steps" or (asked == "auto" and terminal)
    if terminal:
        return TerminalReporter(stream, Output(stream), environ, steps=steps, colour=colour)
    return LineReporter(Output(stream), steps=steps, colour=colour)
