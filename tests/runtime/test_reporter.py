"""What the reporter says, to a terminal, to a pipe and to a log."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import pytest

from checkpoint._core.records import RunEvent, StepEvent
from checkpoint._runtime._reporter_text import ago, columns, duration, ordinal, printable, shortened
from checkpoint._runtime.reporter import LogReporter, SilentReporter, make_reporter
from checkpoint.errors import UsageError


class Screen:
    """A terminal: what a person would see after everything that was written."""

    encoding = "utf-8"

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self.encoding = encoding
        self.rows: list[list[str]] = [[]]
        self.raw = ""
        self.writes: list[str] = []
        self._row = self._column = 0

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("not a real one")

    def flush(self) -> None:
        pass

    def write(self, text: str) -> int:
        text.encode(self.encoding)
        self.raw += text
        self.writes.append(text)
        self.type(text)
        return len(text)

    def type(self, text: str) -> None:
        """Interpret `text` with the terminal's delayed wrap; also what the user's own program prints."""
        position = 0
        while position < len(text):
            char = text[position]
            position += 1
            if char == "\n":
                self._row, self._column = self._row + 1, 0
            elif char == "\r":
                self._column = 0
            elif char == "\x1b":
                end = next(i for i in range(position, len(text)) if text[i].isalpha())
                if text[end] == "K":
                    del self.rows[self._row][self._column :]
                else:
                    assert text[end] == "m", f"unexpected escape {text[position - 1 : end + 1]!r}"
                position = end + 1
            else:
                self._put(char)
            while len(self.rows) <= self._row:
                self.rows.append([])

    def _put(self, char: str) -> None:
        if self._column == WIDTH:
            self._row, self._column = self._row + 1, 0
        while len(self.rows) <= self._row:
            self.rows.append([])
        row = self.rows[self._row]
        row.extend(" " * (self._column - len(row)))
        row[self._column : self._column + 1] = [char]
        self._column += 1

    @property
    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.rows)


WIDTH = 100
TERMINAL = {"TERM": "xterm", "COLUMNS": str(WIDTH), "NO_COLOR": "1"}


def said(event: RunEvent, environ: dict[str, str] | None = None) -> str:
    """Return what is written about `event` without a terminal."""
    stream = io.StringIO()
    make_reporter("lines", stream, environ or {}).run(event)
    return stream.getvalue()


def shown(*events: RunEvent | StepEvent, environ: dict[str, str] | None = None) -> str:
    """Return what a terminal shows after `events`."""
    screen = Screen()
    show(screen, *events, environ=environ)
    return screen.text


def show(screen: Screen, *events: RunEvent | StepEvent, environ: dict[str, str] | None = None) -> None:
    """Report `events` to `screen`."""
    reporter = make_reporter("steps", cast(TextIO, screen), TERMINAL if environ is None else environ)
    for event in events:
        if isinstance(event, RunEvent):
            reporter.run(event)
        else:
            reporter.step(event)


def run_event(kind: Any, **facts: Any) -> RunEvent:
    """Make an event of the run that the documentation speaks of."""
    return RunEvent(**{"kind": kind, "workflow": "align", "run": "7f3a", **facts})


def step_event(kind: Any, call: str = "align('login')", **facts: Any) -> StepEvent:
    """Make an event of one of its steps."""
    return StepEvent(**{"kind": kind, "workflow": "align", "run": "7f3a", "step": "align", "call": call, **facts})


@contextmanager
def bare_logging() -> Iterator[None]:
    """Take away the handlers that pytest gives the root logger during a test, and what the test gives to ours."""
    root, ours = logging.getLogger(), logging.getLogger("checkpoint")
    before = root.handlers[:], ours.handlers[:]
    root.handlers[:], ours.handlers[:] = [], []
    try:
        yield
    finally:
        root.handlers[:], ours.handlers[:] = before


PLAIN = [
    (run_event("new"), "new run 7f3a"),
    (run_event("new", previous="81c0", ago=7300), "new run 7f3a (last run 81c0 finished 2 h ago)"),
    (run_event("continuing", kept=2, why="Ctrl-C", ago=12.7), "continuing run 7f3a. 2 steps kept."),
    (run_event("continuing", kept=1, why="crashed", ago=12), "continuing run 7f3a, crashed 12 s ago. 1 step kept."),
    (run_event("continuing", kept=2, why="crashed"), "continuing run 7f3a, crashed. 2 steps kept."),
    (
        run_event("idle", key="2026-11-22", ago=7300),
        "nothing to do, run 7f3a with key 2026-11-22 finished 2 h ago",
    ),
    (run_event("idle", ago=7300), "nothing to do, run 7f3a finished 2 h ago"),
    (run_event("note", text="align() was edited."), "note: align() was edited."),
    (run_event("note", text="keeping them.\nTo redo: x"), "note: keeping them. To redo: x"),
    (
        run_event("stopping", why="Ctrl-C", where="align('billing')"),
        "stopping after align('billing'); Ctrl-C again to stop now",
    ),
    (run_event("stopping", why="SIGTERM"), "stopping; SIGTERM again to stop now"),
    (
        run_event("stopped", why="SIGTERM", where="align('billing')", kept=1, ran=1),
        "stopped by SIGTERM in align('billing'). 2 steps are saved. Run again to continue.",
    ),
    (run_event("stopped", why="Ctrl-C", ran=1), "stopped by Ctrl-C. 1 step is saved. Run again to continue."),
    (
        run_event("failed", why="ValueError", where="align('x')", ran=2),
        "failed with ValueError in align('x'). 2 steps are saved. Run again to continue.",
    ),
    (run_event("finished", kept=2, ran=2, seconds=2.04), "done in 2.0s. 2 ran, 2 kept."),
]


@pytest.mark.parametrize(("event", "expected"), PLAIN, ids=[expected for _, expected in PLAIN])
def test_lines(event: RunEvent, expected: str) -> None:
    """Without a terminal each event is one line, complete in itself."""
    assert f"checkpoint: align: {expected}\n" == said(event)


TERMINAL_SENTENCES = [
    (
        run_event("continuing", kept=2, why="Ctrl-C", ago=12.7),
        "continuing run 7f3a, stopped 12 s ago. 2 steps kept.",
    ),
    (
        run_event("continuing", kept=2, why="ValueError", ago=90),
        "continuing run 7f3a, failed 1 min ago. 2 steps kept.",
    ),
    (
        run_event("continuing", kept=2, why="crashed", ago=12),
        "continuing run 7f3a, crashed 12 s ago. 2 steps kept.",
    ),
    (
        run_event("note", text="align() was edited; keeping them.\nTo do them again: checkpoint redo align"),
        "note: align() was edited; keeping them.\n            To do them again: checkpoint redo align",
    ),
    (
        run_event("stopped", why="SIGTERM", where="align('billing')", ran=2),
        "stopped by SIGTERM in align('billing'). 2 steps are saved.\n"
        "            Run the same command to continue, or look with: checkpoint show align",
    ),
    (
        run_event("failed", why="ValueError", where="align('x')", ran=2),
        "failed with ValueError in align('x'). 2 steps are saved.\n"
        "            Run the same command to continue, or look with: checkpoint show align",
    ),
]


@pytest.mark.parametrize(("event", "expected"), TERMINAL_SENTENCES, ids=[text for _, text in TERMINAL_SENTENCES])
def test_terminal_sentences(event: RunEvent, expected: str) -> None:
    """On a terminal the advice stands on a line of its own, under the first word."""
    assert f"checkpoint: align: {expected}\n" == shown(event)


def test_quickstart_first_session() -> None:
    """The first session looks as the quickstart prints it, with the terminal's own `^C` on its own line."""
    expected = """\
checkpoint: align: new run 7f3a
  ✓ align('login')                        1.0s
  ✓ align('search')                       1.0s
  … align('billing')
^C
checkpoint: align: stopped by Ctrl-C in align('billing'). 2 steps are saved.
            Run the same command to continue, or look with: checkpoint show align
"""
    screen = Screen()
    reporter = make_reporter("steps", cast(TextIO, screen), TERMINAL)
    reporter.run(run_event("new"))
    for call in ("align('login')", "align('search')"):
        reporter.step(step_event("started", call))
        reporter.step(step_event("completed", call, seconds=1.0))
    reporter.step(step_event("started", "align('billing')"))
    screen.type("^C")
    reporter.step(step_event("interrupted", "align('billing')", seconds=0.5))
    reporter.run(run_event("stopped", why="Ctrl-C", where="align('billing')", ran=2))

    assert expected == screen.text


def test_quickstart_second_session() -> None:
    """The second session looks as the quickstart prints it; kept steps are counted, not listed."""
    expected = """\
checkpoint: align: continuing run 7f3a, stopped 12 s ago. 2 steps kept.
  ✓ align('billing')                      1.0s   2nd try
  ✓ align('export')                       1.0s
checkpoint: align: done in 2.0s. 2 ran, 2 kept.
"""
    assert expected == shown(
        run_event("continuing", kept=2, why="Ctrl-C", ago=12),
        step_event("kept", "align('login')"),
        step_event("kept", "align('search')"),
        step_event("started", "align('billing')", attempt=2),
        step_event("completed", "align('billing')", seconds=1.0, attempt=2),
        step_event("started", "align('export')"),
        step_event("completed", "align('export')", seconds=1.0),
        run_event("finished", kept=2, ran=2, seconds=2.0),
    )


def test_what_runs_is_shown() -> None:
    """A call that runs has a line with an ellipsis until it is over."""
    assert "  … align('login')" == shown(step_event("started"))


def test_user_output_is_not_glued_or_overwritten() -> None:
    """What the program prints while a step runs keeps a line of its own."""
    screen = Screen()
    reporter = make_reporter("steps", cast(TextIO, screen), TERMINAL)
    reporter.step(step_event("started"))
    screen.type("rebasing 3 commits\n")
    reporter.step(step_event("completed", seconds=1.0))

    assert ("  … align('login')\nrebasing 3 commits\n  ✓ align('login')                        1.0s\n") == screen.text


def test_failed_step() -> None:
    """A failed call has another mark and the word, so that colour is not needed to see it."""
    assert "  ✗ align('login')                        0.3s   failed, 3rd try\n" == shown(
        step_event("started"), step_event("failed", seconds=0.26, attempt=3)
    )


def test_nested_steps() -> None:
    """When an inner call is over, the line of the outer one comes back."""
    assert "  ✓ inner()                               1.0s\n  … outer()" == shown(
        step_event("started", "outer()"),
        step_event("started", "inner()"),
        step_event("completed", "inner()", seconds=1.0),
    )


def test_stopping_leaves_running_call_shown() -> None:
    """A critical step that is allowed to finish is still shown below the sentence that says so."""
    screen = Screen()
    reporter = make_reporter("steps", cast(TextIO, screen), TERMINAL)
    reporter.step(step_event("started"))
    screen.type("^C")
    reporter.run(run_event("stopping", why="Ctrl-C", where="align('login')"))

    assert (
        "  … align('login')\n^C\n"
        "checkpoint: align: stopping after align('login'); Ctrl-C again to stop now\n  … align('login')"
    ) == screen.text


def test_note_goes_above_running_call() -> None:
    """A note takes the place of the line of the running call, which comes back below."""
    assert "checkpoint: align: note: hello\n  … align('login')" == shown(
        step_event("started"), run_event("note", text="hello")
    )


def test_nothing_shown_as_running_after_the_end() -> None:
    """Calls that were cut are not shown as running after the last sentence."""
    assert "checkpoint: align: done in 1.0s. 0 ran, 0 kept.\n" == shown(
        step_event("started"), run_event("finished", seconds=1.0)
    )


def test_long_call_is_cut_to_the_width() -> None:
    """A line that would wrap could not be rewritten: the call is cut in its middle."""
    screen = Screen()
    call = f"align('{'x' * 200}', 'end')"
    reporter = make_reporter("steps", cast(TextIO, screen), TERMINAL)
    reporter.step(step_event("started", call))
    running = screen.text
    reporter.step(step_event("completed", call, seconds=1.0))

    assert WIDTH == len(running)
    assert "\n" not in running
    assert screen.text.split("\n")[0].endswith("x…, 'end')  1.0s")


def test_real_terminal_is_filled_to_its_width() -> None:
    """The line of what runs ends in the last column of the terminal as it is, not as $COLUMNS has it."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    with open(follower, "w", encoding="utf-8") as stream:
        make_reporter("steps", stream, {"TERM": "xterm", "COLUMNS": "200"}).step(step_event("started"))
        written = os.read(leader, 1000).decode()
    os.close(leader)

    assert "  … align('login')".ljust(50) == written


def test_dumb_terminal_is_not_rewritten() -> None:
    """A terminal without cursor movement gets no control characters at all, and whole lines only."""
    screen = Screen()
    show(
        screen,
        step_event("started"),
        step_event("completed", seconds=1.0),
        run_event("finished", ran=1, seconds=1.0),
        environ={"TERM": "dumb"},
    )

    assert (
        "  ✓ align('login')                        1.0s\ncheckpoint: align: done in 1.0s. 1 ran, 0 kept.\n"
    ) == screen.raw


def test_terminal_without_utf8_gets_ascii_marks() -> None:
    """Marks and names that the terminal's encoding lacks are written in ASCII."""
    screen = Screen(encoding="ascii")
    show(screen, step_event("started", "f('ü…')"), step_event("completed", "f('ü…')", seconds=1.0))

    assert "  + f('\\xfc...')".ljust(42) + "1.0s\n" == screen.text


def test_steps_without_terminal() -> None:
    """Asked for steps without a terminal, each call that is over is one plain line; kept ones are not listed."""
    stream = io.StringIO()
    reporter = make_reporter("steps", stream, {})
    reporter.step(step_event("kept"))
    reporter.step(step_event("started"))
    reporter.step(step_event("completed", seconds=1.0, attempt=2))
    reporter.step(step_event("failed", seconds=0.5))
    reporter.step(step_event("interrupted", seconds=0.5))

    assert (
        "checkpoint: align: align('login') completed in 1.0s, 2nd try\n"
        "checkpoint: align: align('login') failed after 0.5s\n"
        "checkpoint: align: align('login') interrupted after 0.5s\n"
    ) == stream.getvalue()


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_on_terminal(environ: dict[str, str], coloured: bool) -> None:
    """Colour is on unless NO_COLOR or TERM=dumb says otherwise; FORCE_COLOR overrides both."""
    screen = Screen()
    show(screen, run_event("stopped", why="Ctrl-C"), environ=environ)

    assert coloured == ("\x1b[33mstopped by Ctrl-C\x1b[0m" in screen.raw)
    assert coloured == ("\x1b[" in screen.raw)


def test_no_colour_without_terminal() -> None:
    """A pipe gets no colour."""
    assert "\x1b" not in said(run_event("failed", why="ValueError"), {"TERM": "xterm"})


def test_forced_colour_without_terminal() -> None:
    """FORCE_COLOR colours a pipe too, as CI systems want it."""
    assert "\x1b[31mfailed with ValueError\x1b[0m. 0 steps" in said(
        run_event("failed", why="ValueError"), {"FORCE_COLOR": "1"}
    )


@pytest.mark.parametrize("event", [event for event, _ in PLAIN], ids=[event.kind for event, _ in PLAIN])
def test_control_characters_are_harmless(event: RunEvent) -> None:
    """Nothing that a branch, a key or a class may be called reaches the terminal as a control character."""
    nasty = "\x1b]0;owned\x07\r\n\x9b2J\u202e\ud800"
    facts = {name: nasty for name in ("key", "why", "where", "text") if getattr(event, name) is not None}
    screen = Screen()
    show(screen, run_event(event.kind, **{**facts, "workflow": nasty}))

    for char in "\x1b\x07\r\x9b\u202e\ud800":
        assert char not in screen.raw


def test_stopped_by_escapes_the_call() -> None:
    """A control character is shown as Python would write it."""
    assert "in align('a\\x1b[2Jb'). 0 steps" in said(run_event("stopped", where="align('a\x1b[2Jb')"))


def test_undecodable_names_do_not_raise() -> None:
    """A stream that has no such characters gets escapes instead."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1", errors="strict")
    make_reporter("lines", stream, {}).run(run_event("stopped", where="align('é→…')"))

    assert b"in align('\xe9\\u2192...'). 0" in raw.getvalue()


class Broken(io.StringIO):
    """A stream whose reader went away."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_broken_stream_is_ignored() -> None:
    """A pipe whose reader is gone does not stop the program."""
    make_reporter("lines", Broken(), {}).run(run_event("new"))


def test_closed_stream_is_ignored() -> None:
    """A stderr that was closed, before or after the start, does not stop the program."""
    stream = io.StringIO()
    reporter = make_reporter("lines", stream, {})
    stream.close()
    reporter.run(run_event("new"))
    make_reporter("auto", stream, {"CHECKPOINT_OUTPUT": "steps"}).run(run_event("new"))


def test_missing_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without stderr, as a windowed one has none, is not disturbed."""
    monkeypatch.setattr("sys.stderr", None)

    assert isinstance(make_reporter("lines", None, {}), SilentReporter)


def test_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Sentences go to stderr; stdout belongs to the program."""
    make_reporter("lines", None, {}).run(run_event("new"))

    assert ("", "checkpoint: align: new run 7f3a\n") == capsys.readouterr()


def test_one_write_per_line() -> None:
    """A sentence with its advice is one write, so that processes which share a stream do not mix."""
    screen = Screen()
    show(screen, run_event("stopped", why="Ctrl-C"))

    assert 1 == len(screen.writes)


def test_threads_do_not_mix_lines() -> None:
    """Lines of several threads come out whole."""
    stream = io.StringIO()
    reporter = make_reporter("steps", stream, {})
    barrier = threading.Barrier(4)

    def report(number: int) -> None:
        barrier.wait()
        for _ in range(200):
            reporter.step(step_event("completed", f"f({number})", seconds=1.0))

    threads = [threading.Thread(target=report, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = {f"checkpoint: align: f({number}) completed in 1.0s": 200 for number in range(4)}
    lines = stream.getvalue().splitlines()
    assert expected == {line: lines.count(line) for line in set(lines)}


def test_report_from_within_a_write() -> None:
    """A signal handler that reports while a line is being written neither deadlocks nor tears the line."""

    class Interrupting(io.StringIO):
        is_first = True

        def write(self, text: str) -> int:
            if self.is_first:
                self.is_first = False
                reporter.run(run_event("stopping", why="SIGTERM"))
            return super().write(text)

    stream = Interrupting()
    reporter = make_reporter("lines", stream, {})
    reporter.run(run_event("new"))

    assert (
        "checkpoint: align: new run 7f3a\ncheckpoint: align: stopping; SIGTERM again to stop now\n"
    ) == stream.getvalue()


@pytest.mark.parametrize(
    ("output", "environ"),
    [("sometimes", {}), (None, {}), ("auto", {"CHECKPOINT_OUTPUT": "Lines"})],
)
def test_unknown_output(output: Any, environ: dict[str, str]) -> None:
    """An output that is not known is refused with its name, wherever it came from."""
    with pytest.raises(UsageError) as caught:
        make_reporter(output, io.StringIO(), environ)

    assert "unknown-output" == caught.value.slug
    assert environ.get("CHECKPOINT_OUTPUT", output) == caught.value.value
    assert repr(caught.value.value) in str(caught.value)


def test_environment_replaces_auto_only() -> None:
    """CHECKPOINT_OUTPUT decides for a program that leaves it open, and not against one that does not."""
    environ = {"CHECKPOINT_OUTPUT": "steps"}

    assert make_reporter("auto", io.StringIO(), environ).wants_steps
    assert not make_reporter("lines", io.StringIO(), environ).wants_steps


def test_off() -> None:
    """Off says nothing and wants nothing."""
    stream = io.StringIO()
    reporter = make_reporter("off", stream, {})
    reporter.run(run_event("new"))
    reporter.step(step_event("completed"))

    assert ("", False, False) == (stream.getvalue(), reporter.wants_steps, reporter.wants_kept)


def test_auto_is_off_under_pytest() -> None:
    """A user's own tests are not filled with our sentences."""
    with bare_logging():
        assert isinstance(make_reporter("auto", io.StringIO(), {"PYTEST_CURRENT_TEST": "x"}), SilentReporter)


def test_auto_without_terminal_writes_lines() -> None:
    """Without a terminal there are sentences and no steps."""
    stream = io.StringIO()
    with bare_logging():
        reporter = make_reporter("auto", stream, {})
    reporter.run(run_event("new"))
    reporter.step(step_event("completed"))

    assert ("checkpoint: align: new run 7f3a\n", False) == (stream.getvalue(), reporter.wants_steps)


def test_auto_on_terminal_wants_steps() -> None:
    """On a terminal steps are shown."""
    with bare_logging():
        assert make_reporter("auto", cast(TextIO, Screen()), {"TERM": "xterm"}).wants_steps


def test_lines_on_terminal_shows_no_steps() -> None:
    """`lines` means sentences only, on a terminal too."""
    screen = Screen()
    reporter = make_reporter("lines", cast(TextIO, screen), TERMINAL)
    reporter.step(step_event("started"))

    assert ("", False) == (screen.raw, reporter.wants_steps)


@pytest.mark.parametrize("name", [None, "checkpoint"])
def test_auto_logs_if_logging_is_configured(name: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """A program that has given the root logger or ours a handler gets records and no lines."""
    caplog.set_level(logging.INFO, "checkpoint")
    stream, log = io.StringIO(), io.StringIO()
    with bare_logging():
        logging.getLogger(name).addHandler(logging.StreamHandler(log))
        make_reporter("auto", stream, {}).run(run_event("new"))

    assert ("", "align: new run 7f3a\n") == (stream.getvalue(), log.getvalue())


def test_null_handler_is_not_configuration() -> None:
    """The handler that libraries give themselves does not silence the sentences."""
    with bare_logging():
        logging.getLogger("checkpoint").addHandler(logging.NullHandler())

        assert not isinstance(make_reporter("auto", io.StringIO(), {}), LogReporter)


def test_logging_that_was_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that never imported logging cannot have configured it."""
    monkeypatch.delitem(sys.modules, "logging")

    assert not isinstance(make_reporter("auto", io.StringIO(), {}), LogReporter)


def test_log_records(caplog: pytest.LogCaptureFixture) -> None:
    """Events are records with the facts as fields: INFO for the run, DEBUG for steps."""
    caplog.set_level(logging.DEBUG, "checkpoint")
    reporter = LogReporter()
    reporter.run(run_event("stopped", why="SIGTERM", where="align('%s')", seconds=3.0))
    reporter.step(step_event("completed", seconds=1.5, attempt=2))
    reporter.step(step_event("kept"))

    fields = ("levelname", "run_id", "workflow", "step", "call", "seconds")
    assert [
        ("INFO", "7f3a", "align", None, "align('%s')", 3.0),
        ("DEBUG", "7f3a", "align", "align", "align('login')", 1.5),
        ("DEBUG", "7f3a", "align", "align", "align('login')", 0.0),
    ] == [tuple(getattr(record, field) for field in fields) for record in caplog.records]
    assert [
        "align: stopped by SIGTERM in align('%s'). 0 steps are saved. Run again to continue.",
        "align: align('login') completed in 1.5s, 2nd try",
        "align: align('login') kept",
    ] == caplog.messages


def test_log_wants_steps_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    """Below DEBUG no event has to be made for a step."""
    reporter = LogReporter()
    caplog.set_level(logging.INFO, "checkpoint")
    at_info = reporter.wants_steps, reporter.wants_kept
    caplog.set_level(logging.DEBUG, "checkpoint")

    assert ((False, False), (True, True)) == (at_info, (reporter.wants_steps, reporter.wants_kept))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0.0s"),
        (0, "0.0s"),
        (1.04, "1.0s"),
        (59.94, "59.9s"),
        (59.96, "1m00s"),
        (125, "2m05s"),
        (3599.6, "1h00m"),
        (11_220, "3h07m"),
        (86_399.7, "1d00h"),
        (352_800, "4d02h"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """Durations are short, and never show sixty of anything."""
    assert expected == duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s ago"), (59.9, "59 s ago"), (60, "1 min ago"), (7300, "2 h ago"), (86_400 * 3, "3 d ago")],
)
def test_ago(seconds: float, expected: str) -> None:
    """Distances to the past are rounded down; a clock that went back is not shown."""
    assert expected == ago(seconds)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (22, "22nd"),
        (112, "112th"),
    ],
)
def test_ordinal(number: int, expected: str) -> None:
    """Ordinals end as English has it."""
    assert expected == ordinal(number)


@pytest.mark.parametrize(("text", "expected"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_columns(text: str, expected: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert expected == columns(text)


@pytest.mark.parametrize("text", ["x" * 100, "日" * 60, "e\u0301" * 80, "短い", ""])
@pytest.mark.parametrize("room", [8, 9, 30, 76])
def test_shortened_fits(text: str, room: int) -> None:
    """Whatever the characters, the result takes no more columns than there are."""
    assert columns(shortened(text, room, "...")) <= room


def test_printable_keeps_what_can_be_printed() -> None:
    """Letters of any script stay as they are."""
    assert "größe 日本 ✓" == printable("größe 日本 ✓")
