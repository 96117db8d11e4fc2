"""
`ScriptProcess`: a program in a process of its own, to be stopped by real signals and started again.

It must never signal a process that it did not start, and never leave one behind after `end`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from checkpoint._runtime.paths import HOME_VARIABLE
from checkpoint.testing import _process_start as start
from checkpoint.testing._process_runs import RunWatch, Tally

# Longer than any program of a test should need.
TIMEOUT_S = 60.0

# Pauses between two looks at the journals: quick at first, and then no burden to a machine that runs many tests.
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02

# How much of the output a failure shows.
_TAIL_LINES = 20

# Sent to stop and to wake a process, not to end it.
_NOT_ENDING = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGCHLD", "SIGWINCH", "SIGURG")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How a process ended, and what it did to the runs that it opened.

    Attributes:
        status: Its exit status; negative for the signal that killed it, as in `subprocess`.
        stdout: What it wrote there.
        stderr: What it wrote there.
        kept: Completed calls that its runs had when it opened them.
        ran: Calls that it completed.
        runs: Ids of the runs that it opened.  One that had finished, and was opened with `once=True`, is not seen.
    """

    status: int
    stdout: str
    stderr: str
    kept: int
    ran: int
    runs: tuple[str, ...]

    @property
    def saved(self) -> int:
        """Completed calls that its runs had when it was over."""
        return self.kept + self.ran

    def __repr__(self) -> str:
        said = f"{start.status_text(self.status)}, {self.kept} kept, {self.ran} ran"
        tail = (self.stderr or self.stdout).strip().splitlines()[-1:]
        return f"<Outcome: {said}{f', last line {tail[0]!r}' if tail else ''}>"


class ScriptProcess:
    """
    A Python program in a process and session of its own, started at once.

    It sees the sandbox of the test (`CHECKPOINT_HOME`, `CHECKPOINT_KEY_FILE`), and apart from that what a user's
    program sees: it says its sentences on stderr, and signals are at their defaults.  Its stdin is empty; what it
    writes goes to files, so that it never waits for a reader.

    Use it with `with`, or call `end`: no process may outlive its test.  A signal may arrive before the program has
    come to its workflow; wait with `until` for what must have happened before.

    Args:
        script: Path of the program, seen from `cwd`; or `-m`, followed by a module.
        arguments: Its arguments.
        env: Variables to set; one that is None is removed.
        cwd: Where it runs; by default here.

    Raises:
        UsageError: There is no such script, or no sandbox: its runs would go among the developer's own.
    """

    def __init__(
        self,
        script: str | os.PathLike[str],
        *arguments: object,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        self._cwd = os.path.abspath(os.getcwd() if cwd is None else os.fspath(cwd))
        self._words = [os.fspath(script), *map(str, arguments)]
        self._env = dict(env or {})
        start.check_script(self._words, self._cwd)
        environ = start.environment(self._env)
        self._watch = RunWatch(os.path.join(self._cwd, os.path.expanduser(environ[HOME_VARIABLE])))
        self._outputs = (start.Output(), start.Output())
        self._outcome: Outcome | None = None
        self._orphans: bool | None = None  # not known before its end
        self._reruns: list[ScriptProcess] = []
        stdout, stderr = self._outputs
        self._child = subprocess.Popen(
            start.command(self._words),
            cwd=self._cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout.file,
            stderr=stderr.file,
            start_new_session=True,
        )

    def __repr__(self) -> str:
        status = self._poll()
        how = "running" if status is None else start.status_text(status)
        return f"<ScriptProcess {' '.join(self._words)!r}, process {self.pid}, {how}>"

    def __enter__(self) -> ScriptProcess:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The process's id, which is also that of its session and its group."""
        return self._child.pid

    @property
    def stdout(self) -> str:
        """What it has written to stdout so far."""
        return self._outputs[0].text()

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._outputs[1].text()

    def until(
        self, *, saved: int | None = None, text: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> ScriptProcess:
        """
        Wait until something has happened, and return this object.  The program meanwhile goes on.

        Args:
            saved: At least so many completed calls of the runs it has open are durable, those of earlier processes
                included; 0 says that a run is open.
            text: It has written this to stdout or stderr.
            timeout_s: How long to wait.

        Raises:
            AssertionError: It ended without that, or the time is over; with the end of its output.
            UsageError: Not exactly one of `saved` and `text` is given.
        """
        if (saved is None) == (text is None):
            raise start.misuse("until() takes either saved= or text=. Call it twice to wait for both.", (saved, text))
        if saved is not None:
            wanted = saved
            self._wait_for(lambda: self._has_saved(wanted), f"{saved} steps were saved", timeout_s)
        elif text is not None:
            search = start.Search(text, self._outputs)
            self._wait_for(search.found, f"{text!r} was written", timeout_s)
        return self

    def signal(self, number: int | str, *, group: bool = False) -> ScriptProcess:
        """
        Send a signal, and return at once: to stop it, to wake it, or to send a second one while it handles the first.

        Args:
            number: A number or a name, such as `SIGINT`.
            group: Whether its child processes get it too, as a terminal's Ctrl-C does.

        Raises:
            AssertionError: It has ended already.
        """
        sent = start.signal_number(number)
        status = self._poll()
        if status is not None:
            what = f"{start.status_text(status)}, before {signal.Signals(sent).name} could be sent to it"
            raise AssertionError(self._told(f"has ended with {what}; let it wait for something"))
        (os.killpg if group else os.kill)(self.pid, sent)
        return self

    def send(self, number: int | str, *, group: bool = False, timeout_s: float = TIMEOUT_S) -> Outcome:
        """
        Send a signal that ends it, and wait for the end; if it was stopped, it is woken for that.

        Raises:
            AssertionError: It had ended already, or does not end in time.
            UsageError: The signal ends no program; see `signal`.
        """
        sent = start.signal_number(number)
        name = signal.Signals(sent).name
        if name in _NOT_ENDING:
            raise start.misuse(
                f"{name} ends no program, so that send() would wait in vain. Use signal({name!r}).", number
            )
        self.signal(sent, group=group)
        if name != "SIGKILL":
            # Also if a stop is still on its way: this takes it back.
            with suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self.pid, signal.SIGCONT)
        outcome = self.wait(timeout_s)
        if name == "SIGKILL" and outcome.status != -sent:
            how = start.status_text(outcome.status)
            raise AssertionError(self._told(f"ended with {how} before SIGKILL arrived; let it wait for something"))
        return outcome

    def wait(self, timeout_s: float = TIMEOUT_S) -> Outcome:
        """
        Wait for the end; the outcome stays the same however often it is asked for.

        Raises:
            AssertionError: It still runs; with the end of its output.
        """
        if self._outcome is None:
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise AssertionError(self._told(f"{self._how_it_runs()} after {timeout_s:g} s")) from None
            status = self._poll()
            assert status is not None
            tally = self._tally(durable=False)
            self._outcome = Outcome(status, self.stdout, self.stderr, tally.kept, tally.ran, tally.runs)
        return self._outcome

    # What a test says of a process that is not disturbed.
    run = wait

    def rerun(self) -> ScriptProcess:
        """Start the same command anew, in the same place; `end` of this object ends that process too."""
        script, *arguments = self._words
        started = ScriptProcess(script, *arguments, env=self._env, cwd=self._cwd)
        self._reruns.append(started)
        return started

    def end(self) -> None:
        """Kill it and every process of its group that still runs, and those that `rerun` started; idempotent."""
        for started in self._reruns:
            started.end()
        if self._poll() is None or self._orphans:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()
        self._orphans = False
        for output in self._outputs:
            output.close()

    def _poll(self) -> int | None:
        status = self._child.poll()
        if status is not None and self._orphans is None:
            self._orphans = False
            # Asked only now: later the system may have given the number to others.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, 0)
                self._orphans = True
        return status

    def _tally(self, *, durable: bool) -> Tally:
        return self._watch.tally(self.pid, durable=durable)

    def _has_saved(self, wanted: int) -> bool:
        tally = self._tally(durable=True)
        return bool(tally.runs) and tally.saved >= wanted

    def _wait_for(self, happened: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            status = self._poll()  # before looking, so that nothing of its last moments is missed
            if happened():
                return
            if status is not None:
                raise AssertionError(self._told(f"ended with {start.status_text(status)} before {what}"))
            if time.monotonic() > deadline:
                raise AssertionError(self._told(f"{self._how_it_runs()} after {timeout_s:g} s, before {what}"))
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    def _how_it_runs(self) -> str:
        with suppress(AttributeError, ChildProcessError):  # not on every system
            if os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None:
                return "is stopped, and waits for SIGCONT,"
        return "still runs"

    def _told(self, what: str) -> str:
        tally = self._tally(durable=False)
        runs = f"runs {', '.join(tally.runs)}" if tally.runs else f"no run under {self._watch.home}"
        parts = [f"{' '.join(self._words)} (process {self.pid}) {what}."]
        parts.append(f"It had opened {runs}; {tally.kept} steps kept, {tally.ran} ran.")
        for name, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            shown = text.splitlines()[-_TAIL_LINES:]
            parts += [f"--- {name}, last {len(shown)} lines ---", *shown] if shown else [f"--- {name} is empty ---"]
        return "\n".join(parts)
