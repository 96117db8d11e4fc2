"""
One process working on one run: the only code that appends to a journal.

Two phases: `begin` before the user's function, `complete` or `fail` after it.  Every method may be called from
any thread.  While one runs, no signal is delivered (`_runtime.signals`), so that what a step did and what
the journal says cannot come apart.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from checkpoint._core.lines import Chain
from checkpoint._core.progress import Progress
from checkpoint._core.records import RUN_KEY
from checkpoint._runtime import clock
from checkpoint._runtime.attempt import Attempt
from checkpoint._runtime.checks import (
    check_same_function,
    finished_run,
    run_over,
    signal_name,
)
from checkpoint._runtime.failing import record_failure
from checkpoint._runtime.flow import Flow
from checkpoint._runtime.scope import Scope
from checkpoint._runtime.signals import watch
from checkpoint._runtime.voice import Voice
from checkpoint.errors import RunClosedError, SaveError

if TYPE_CHECKING:
    from checkpoint._core.codec import Codec
    from checkpoint._core.records import Line
    from checkpoint._runtime.reporter import Reporter
    from checkpoint.stores import Journal


class Session:
    """
    One process working on one run, from `_runtime.opening.open_session` to `close_session`.

    Attributes:
        workflow, id, key: Which run it is.
        root: The scope of calls made outside every step.
        run: What the user holds of the run.
        resumed: Whether an earlier session worked on the run.
        closed: Why nothing more can be done, or None while the run is open.
        kept_at_start: Completed calls that the journal had when the session began.
        ran: Calls completed in this session.
        flow: The calls that run, and the state.
        doubtful: Keys of calls that earlier sessions began and that were not made again in this one.
    """

    def __init__(
        self,
        workflow: str,
        run: str,
        key: str | None,
        journal: Journal,
        chain: Chain,
        progress: Progress,
        reporter: Reporter,
    ) -> None:
        self.workflow = workflow
        self.id = run
        self.short_id = run.rpartition("-")[2]
        self.key = key
        self.root = Scope(self, RUN_KEY, 0)
        self.run: object = None
        self.closed: str | None = None
        self.resumed = bool(progress.run_records)
        self.is_over = False
        self.kept_at_start = len(progress.completed)
        self.ran = 0
        self.began_s = clock.seconds()
        self.journal = journal
        self.progress = progress
        self.lock = threading.Lock()
        self.flow: Flow
        self.codec: Codec
        self.voice = Voice(self, reporter)
        self.doubtful = set(progress.tries)
        self._cut: tuple[BaseException, str] | None = None
        self._abandoned: deque[tuple[Attempt, BaseException]] = deque()
        self._chain = chain
        self._functions: dict[str, Any] = {}

    @property
    def steps(self) -> int:
        """How many completed calls the run has."""
        return self.kept_at_start + self.ran

    def cut_by(self, error: BaseException) -> str | None:
        """Return the innermost call that `error` came from, as a person would write it, or None."""
        if self._cut is not None and self._cut[0] is error:
            return self._cut[1]
        return self.flow.active[-1].show() if self.flow.active else None

    def note_cut(self, error: BaseException, attempt: Attempt) -> None:
        """Remember the innermost call that `error` came from."""
        if self._cut is None or self._cut[0] is not error:
            self._cut = (error, attempt.show())

    def begin(self, attempt: Attempt) -> bool:
        """
        Begin a call.

        Returns:
            True if it is kept: `attempt.value` is its saved result.  False if its body is to be run: its
            `started` record is written, and for a critical step durable.

        Raises:
            SaveError: The record could not be written; the body must not run.
        """
        try:
            return self._begin(attempt)
        except BaseException as error:
            # The body has not run: whoever mends what was wrong and calls again makes the same call.
            if attempt in self.flow.active:
                self.fail(attempt, error)
            else:
                attempt.parent.release(attempt.digest, attempt.occurrence)
            raise

    def _begin(self, attempt: Attempt) -> bool:
        watch.check()
        self.bury_abandoned()
        with self.lock:
            self.check_open()
            self._check_function(attempt)
            line = self.progress.completed.get(attempt.key.encode())
            number = None
            if line is None:
                number = self._start(attempt)
            else:
                self.flow.pass_kept(attempt)
        if line is not None:
            self._keep(attempt, line)
            return True
        if attempt.definition.critical and number is not None:
            self.journal.sync(number)
            attempt.holds_signals = True
            watch.begin_critical(
                lambda number: self.voice.tell("stopping", where=attempt.show(), why=signal_name(number))
            )
        if self.voice.wants_steps:
            self.voice.tell_step("started", attempt, 0.0)
        attempt.began_s = clock.seconds()
        return False

    def _start(self, attempt: Attempt) -> int:
        if self.is_over:
            raise finished_run(self.workflow, self.short_id, attempt.show())
        tried = self.progress.tries
        key = attempt.key.encode()
        attempt.number = tried.get(key, 0) + 1
        try:
            fields, tree = self.flow.prepare(attempt)
            line = self.append(attempt.key, "started", f'{fields}"at":"{clock.now()}",{attempt.started_members()}')
        except BaseException:
            self.flow.abandon(attempt)
            raise
        self.flow.enter(attempt, tree)
        tried[key] = attempt.number
        self.doubtful.discard(key)
        return line.number

    def complete(self, attempt: Attempt, value: object) -> None:
        """
        Record that the body returned `value`; durable when this returns.

        Raises:
            UnsavableError: The value cannot be saved.
            SaveError: The record could not be written.
        """
        seconds = clock.seconds() - attempt.began_s
        self.voice.check_arguments(attempt, seconds)
        encoded = self.codec.encode(value, call_key=attempt.key, call=attempt.show())
        try:
            for digest, data in encoded.payloads.items():
                self.journal.put(digest, data)
            with self.lock:
                self.check_open()
                fields, tree = self.flow.finish(attempt)
                members = f'{fields}"at":"{clock.now()}",{attempt.ended_members(seconds)},{encoded.text}'
                line = self.append(attempt.key, "completed", members)
                self.flow.leave(attempt, tree)
                self._remember(attempt, line.data)
            self.journal.sync(line.number)
        except SaveError as error:
            raise SaveError(
                f"{attempt.show()} ran, but its result could not be saved: {error}",
                slug=error.slug,
                **error.facts,
            ) from error
        if self.voice.wants_steps:
            self.voice.tell_step("completed", attempt, seconds)
        self.end_critical(attempt)
        watch.check()

    def _remember(self, attempt: Attempt, line: bytes) -> None:
        self.ran += 1
        self.progress.tries.pop(attempt.key.encode(), None)
        parent = attempt.parent
        if isinstance(parent, Attempt):
            # If the outer step fails and is called again, its completed inner steps are kept.
            self.progress.completed[attempt.key.encode()] = line
            parent.inner.append(attempt.key)
        for key in attempt.inner:
            self.progress.completed.pop(key.encode(), None)  # nobody will ask again

    def fail(self, attempt: Attempt, error: BaseException) -> None:
        """
        Record that the body raised, or that its value could not be saved; take back what it did to the state.

        Never raises because of the record: it acknowledges nothing, and the user's error must get through.
        """
        if isinstance(error, GeneratorExit):
            # An async step may be closed by the garbage collector, at any moment of this very thread, which may
            # hold the lock: the next call takes care of it.
            self._abandoned.append((attempt, error))
            return
        record_failure(self, attempt, error)

    def bury_abandoned(self) -> None:
        """Record the interruption of steps that the garbage collector has closed."""
        while self._abandoned:
            record_failure(self, *self._abandoned.popleft())

    def save(self) -> None:
        """Save the state as it stands; durable when this returns."""
        watch.check()
        with self.lock:
            self.check_open()
            fields, tree = self.flow.keeper.partial_fields()
            line = self.append(RUN_KEY, "saved", f'{fields}"at":"{clock.now()}"') if fields else None
            self.flow.keeper.saved_partly(tree)
        if line is not None:
            self.journal.sync(line.number)
        watch.check()

    def append(self, key: str, kind: str, members: str) -> Line:
        """Append one record, under the lock; it is durable after `journal.sync` of its number."""
        line = self._chain.seal(key, kind, members)
        self.journal.append(line)
        self._chain.accept(line)
        return line

    def end(self) -> None:
        """Let nothing more be done; under the lock that the last record was appended under."""
        self.closed = run_over(self.workflow, self.short_id)

    def check_open(self) -> None:
        """Raise RunClosedError if the run is not this process's to work on any more."""
        if self.closed is not None:
            raise RunClosedError(self.closed, run=self.id)

    def summary(self, status: str) -> dict[str, Any]:
        """Return what `state.json` says of the run."""
        return {
            "workflow": self.workflow,
            "run": self.id,
            "key": self.key,
            "status": status,
            "steps": self.steps,
            "at": clock.now(),
            "state": self.flow.keeper.saved_tree,
        }

    def _keep(self, attempt: Attempt, line: bytes) -> None:
        record = json.loads(line)
        self.voice.check_code(attempt, record.get("code", ""))
        attempt.value = self.codec.decode(
            record,
            call_key=attempt.key,
            call=record.get("call", ""),
            fetch=self.journal.get,
            private=self.journal.private,
            location=self.journal.location,
        )
        self.doubtful.discard(attempt.key.encode())
        if self.voice.wants_kept:
            self.voice.tell_step("kept", attempt, 0.0)
        watch.check()

    def end_critical(self, attempt: Attempt) -> None:
        """Let a signal through that waited for the end of this call."""
        if attempt.holds_signals:
            attempt.holds_signals = False
            watch.end_critical()

    def _check_function(self, attempt: Attempt) -> None:
        definition = attempt.definition
        known = self._functions.setdefault(definition.name, definition)
        if known is not definition:
            check_same_function(known, definition)
            self._functions[definition.name] = definition
