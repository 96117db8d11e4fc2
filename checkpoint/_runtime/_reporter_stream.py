"""
Writes what the reporter says to a stream: plain lines, or a terminal's with a line for what runs now.

Nothing here may raise because of the stream, print a control character that came from the user, or touch stdout.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TextIO

from checkpoint._core.records import RunEvent, StepEvent
from checkpoint._runtime._reporter_text import (
    PREFIX,
    Colour,
    Sentence,
    columns,
    duration,
    ordinal,
    printable,
    sentence,
    shortened,
    step_line,
)

_COLOURS: dict[Colour, str] = {"green": "\x1b[32m", "yellow": "\x1b[33m", "red": "\x1b[31m", "dim": "\x1b[2m"}

# Times stand under each other here unless a call is longer; the terminal may be narrower.
_CALL_COLUMNS = 38

# After these the session says nothing more about its steps.
_ENDS = frozenset({"stopped", "failed", "finished", "idle"})


class Output:
    """A stream that takes whole lines and never raises because of what it is or of what is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None)
        # Reentrant, because a signal handler may report while this very thread does.
        self._lock = threading.RLock()
        self._is_writing = False
        self._late: list[str] = []

    def write(self, text: str) -> None:
        """Write `text` by one call.  What comes from a signal handler in the middle of it follows after it."""
        with self._lock:
            if self._is_writing:
                self._late.append(text)
                return
            self._is_writing = True
            try:
                self._write_now(text)
                while self._late:
                    self._write_now(self._late.pop(0))
            finally:
                self._is_writing = False

    def _write_now(self, text: str) -> None:
        try:
            self._stream.write(self.encodable(text))
            self._stream.flush()
        except (OSError, ValueError):
            # Closed, a broken pipe, a full disk behind it: the program's work is worth more than our sentence.
            pass

    def encodable(self, text: str) -> str:
        """Return `text` with what the stream's encoding lacks written as escapes."""
        if self._encoding is None or text.isascii():
            return text
        try:
            text.encode(self._encoding)
            return text
        except UnicodeEncodeError:
            encoding = self._encoding
        except LookupError:
            encoding = "ascii"
        return text.replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)


class LineReporter:
    """Writes plain lines, each complete in itself, for a pipe, a file, cron or CI."""

    def __init__(self, output: Output, *, steps: bool, colour: bool) -> None:
        self.wants_steps = steps
        self.wants_kept = False
        self._output = output
        self._colour = colour

    def run(self, event: RunEvent) -> None:
        """Write one line."""
        said = sentence(event, terminal=False)
        text = _painted(event.workflow, said, self._colour)
        self._output.write(f"{text} {said.advice}\n" if said.advice else f"{text}\n")

    def step(self, event: StepEvent) -> None:
        """Write one line when the call is over; what was kept is counted by the sentences."""
        if self.wants_steps and event.kind not in ("started", "kept"):
            self._output.write(f"{PREFIX}{step_line(event)}\n")


class TerminalReporter:
    """
    Writes for somebody who watches: sentences, and a line per step, of which the last shows what runs now.

    That line is not ended, so that it can be rewritten in place.  It is filled with blanks up to the last column:
    whatever the program, its child processes or the terminal's own `^C` print next begins on a line of its own, and
    is never overwritten.
    """

    def __init__(
        self, stream: TextIO, output: Output, environ: Mapping[str, str], *, steps: bool, colour: bool
    ) -> None:
        self.wants_steps = steps
        self.wants_kept = False
        self._stream = stream
        self._output = output
        self._environ = environ
        self._colour = colour
        self._can_rewrite = environ.get("TERM") != "dumb"
        is_utf8 = (getattr(stream, "encoding", None) or "").lower().replace("_", "-") in ("utf-8", "utf8")
        self._done, self._now, self._bad = ("✓", "…", "✗") if is_utf8 else ("+", ".", "x")
        self._ellipsis = "…" if is_utf8 else "..."
        self._lock = threading.RLock()
        self._running: list[str] = []
        self._shows_running = False
        self._was_interrupted = False

    def run(self, event: RunEvent) -> None:
        """Write the sentence, its advice on a second line, and again what runs now."""
        said = sentence(event, terminal=True)
        text = _painted(event.workflow, said, self._colour) + "\n"
        if said.advice:
            text += f"{' ' * len(PREFIX)}{said.advice}\n"
        with self._lock:
            # What a signal or an error cut short stays to be seen above the sentence about it.
            text = self._end_running_line(keep=event.kind in ("stopping", "stopped", "failed")) + text
            if event.kind in _ENDS:
                self._running.clear()
            self._output.write(text + self._running_line())

    def step(self, event: StepEvent) -> None:
        """Show a call that has begun, or write the line of one that is over."""
        if not self.wants_steps or event.kind == "kept":
            return
        # Before it is measured: escapes take more columns than what they stand for.
        call = self._output.encodable(printable(event.call))
        with self._lock:
            if event.kind == "started":
                self._running.append(call)
                self._output.write(self._end_running_line() + self._running_line())
                return
            if call in self._running:
                self._running.remove(call)
            if event.kind == "interrupted":
                # The sentence that follows names it; its line stays as it is.
                self._was_interrupted = self._shows_running
                return
            self._output.write(self._end_running_line() + self._outcome_line(event, call) + self._running_line())

    def _end_running_line(self, *, keep: bool = False) -> str:
        """Return what has to be written before anything else: the line of what runs now is taken away, or left."""
        keep = keep or self._was_interrupted
        was_shown = self._shows_running
        self._shows_running = self._was_interrupted = False
        if not was_shown:
            return ""
        return "\n" if keep else "\r\x1b[K"

    def _running_line(self) -> str:
        """Return the line of the call that began last, if any runs; it fills the terminal's width exactly."""
        if not self._running or not self._can_rewrite:
            return ""
        self._shows_running = True
        width = self._width()
        line = f"  {self._now} {shortened(self._running[-1], width - 4, self._ellipsis)}"
        return line + " " * (width - columns(line))

    def _outcome_line(self, event: StepEvent, call: str) -> str:
        remarks = ["failed"] if event.kind == "failed" else []
        if event.attempt > 1:
            remarks.append(f"{ordinal(event.attempt)} try")
        tail = duration(event.seconds) + (f"   {', '.join(remarks)}" if remarks else "")
        room = max(8, self._width() - 4 - 2 - len(tail))
        call = shortened(call, room, self._ellipsis)
        gap = " " * (max(0, min(_CALL_COLUMNS - 2, room) - columns(call)) + 2)
        mark = self._bad if event.kind == "failed" else self._done
        return f"  {_paint(mark, 'red' if event.kind == 'failed' else 'green', self._colour)} {call}{gap}{tail}\n"

    def _width(self) -> int:
        # Not by shutil, whose import costs more than this module may; and the true width first, not $COLUMNS,
        # because a line that fills a width which is not the terminal's could not be rewritten.
        try:
            width = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError, AttributeError):
            width = 0
        told = self._environ.get("COLUMNS", "")
        return max(20, width or (int(told) if told.isdecimal() else 0) or 80)


def _paint(text: str, colour: Colour | None, is_wanted: bool) -> str:
    return f"{_COLOURS[colour]}{text}\x1b[0m" if is_wanted and colour and text else text


def _painted(workflow: str, said: Sentence, is_wanted: bool) -> str:
    lead = _paint(said.lead, said.colour, is_wanted)
    return f"{PREFIX}{printable(workflow)}: {lead}{said.rest}{_paint(said.kept, 'dim', is_wanted)}"
