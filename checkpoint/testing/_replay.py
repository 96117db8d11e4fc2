"""
`replay`: today's program walks over a run that an earlier version of it has saved, and no step runs.

The run is opened in a throw-away home; what the library does to open a run and to begin a call is replaced meanwhile.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from checkpoint._run import Run
from checkpoint._runtime import opening
from checkpoint._runtime.attempt import Attempt
from checkpoint._runtime.paths import KEY_FILE_VARIABLE
from checkpoint._runtime.reporter import SilentReporter
from checkpoint._runtime.secret import KEY_BYTES
from checkpoint._runtime.session import Session
from checkpoint.errors import CheckpointError, UntrustedError, UsageError
from checkpoint.stores import FileStore
from checkpoint.testing._replay_export import Export, put_unfinished, read_export
from checkpoint.testing._replay_report import LostStep, ReplayReport
from checkpoint.testing._replay_saved import AskedCall, SavedCall, SavedCalls
from checkpoint.testing._replay_stop import NewWork, call, is_stop, quiet_threads

__all__ = ["LostStep", "ReplayReport", "replay"]

# What is replaced belongs to the process, so that two replays at once would see each other's calls.
_one_at_a_time = threading.Lock()

_KEY_HINT = (
    "This is a replay: the run was exported by somebody with another key. Give that key as replay(…, key_file=…), "
    "or let the steps of runs that are exported return plain data."
)


def replay(
    exported_run: str | os.PathLike[str],
    function: Callable[[], object],
    *,
    key_file: str | os.PathLike[str] | None = None,
) -> ReplayReport:
    """
    Find out whether a run of an earlier version of a program still resumes with today's: which steps are kept.

    Keep a run beside the tests: copy the directory that `checkpoint path RUN` prints, or let a test make one with
    `RunView.export`.  The test that replays it fails when an edit would make users do work again: a step or a parameter
    was renamed, an argument looks different, the state's class no longer fits.

    No step runs.  A call that is not kept is given the result of the saved call it most probably was, and is reported
    as lost; one that the run does not have is reported as new, and the function is left there.  Everything else of the
    function does run: what it writes or sends outside its steps is written and sent, and steps that it calls outside
    the workflow, or hands to other processes, run too.

    Every workflow that is opened meanwhile is kept in a directory that is thrown away.  The exported run stands in for
    the first run of its workflow that the function opens, whatever its `key=`, since a key often is a path that is
    different on every machine; `fresh=True` is refused.  A finished run is treated as if it had stopped right before
    it finished.  Library functions are replaced for the time of the replay in the whole process, so that no other
    thread may work on runs of its own.

    Args:
        exported_run: A run's directory, or its `journal.jsonl`.  It is not changed.
        function: Opens the workflow and calls the steps; what it returns is awaited if it is a coroutine.
        key_file: The key under which results were pickled that are no plain data; 32 bytes, as in
            `CHECKPOINT_KEY_FILE`.  Make one for exports: who has it can make such results.

    Raises:
        DamagedRunError: The exported run cannot be relied on, or a result's payload was not copied with it.
        StateError: The saved state does not fit the state's class.
        UntrustedError: A pickled result was saved under another key; see `key_file`.
        UnloadableError: A result cannot be loaded by today's program.
        UsageError: There is no such run, or the function does not open its workflow.
    """
    export = read_export(exported_run)
    if not _one_at_a_time.acquire(blocking=False):
        raise _misuse("a run is being replayed in this process already. Replay one after the other.", exported_run)
    try:
        with tempfile.TemporaryDirectory(prefix="checkpoint-replay-") as directory, _key(key_file, directory):
            home = os.path.join(os.path.realpath(directory), "home")
            os.mkdir(home, 0o700)
            return _Walk(export, home).over(function)
    finally:
        _one_at_a_time.release()


class _Walk:
    """One walk of today's program over a run.  Its methods may be called from any thread of the program."""

    def __init__(self, export: Export, home: str) -> None:
        self._export = export
        self._home = home
        self._session: Session | None = None
        self._saved: SavedCalls
        self._others: list[Session] = []
        self._lock = threading.Lock()
        self._kept: dict[str, str] = {}  # calls as they are written, by key
        self._lost: list[tuple[AskedCall, SavedCall | None]] = []  # in order; without a saved call it is new work
        self._steps: set[str] = set()
        self._changed: dict[str, None] = {}
        self._refusal: CheckpointError | None = None
        self._has_stopped = False

    def over(self, function: Callable[[], object]) -> ReplayReport:
        """Let the function run, and report."""
        from unittest import mock

        open_session, begin = opening.open_session, Session.begin
        error: BaseException | None = None
        with (
            mock.patch.object(opening, "open_session", lambda request: self._open(open_session, request)),
            mock.patch.object(Session, "begin", lambda session, attempt: self._begin(begin, session, attempt)),
            quiet_threads(),
        ):
            try:
                call(function)
            except BaseException as raised:
                error = raised
        report = self._report(error)
        if error is not None and report.error is None and not (self._has_stopped and is_stop(error)):
            raise error
        if self._refusal is not None and report.error is None:
            raise self._refusal  # the function has swallowed it
        return report

    def _open(self, original: Callable[[opening.Request], Session], request: opening.Request) -> Session:
        is_first = self._session is None and request.workflow == self._export.workflow
        if is_first and request.fresh:
            raise _misuse(
                f"the function opens workflow {request.workflow!r} with fresh=True, so that it never continues a run. "
                "Replay it without.",
                request.workflow,
            )
        if is_first:
            put_unfinished(self._export, self._home, request.key)
        store = FileStore(self._home, durability="process", pickle=request.store.pickle)
        session = original(dataclasses.replace(request, store=store, reporter=SilentReporter()))
        if is_first:
            self._session, self._saved = session, SavedCalls(session.progress)
        else:
            self._others.append(session)
        return session

    def _begin(self, original: Callable[[Session, Attempt], bool], session: Session, attempt: Attempt) -> bool:
        if session is not self._session and session not in self._others:
            return original(session, attempt)  # not the function's: it was open before
        # The key of a kept call: its own, or that of the call it is given the result of.  The state follows that too.
        with self._lock:
            key = self._choose(session, attempt)
        if key is None:
            attempt.parent.release(attempt.digest, attempt.occurrence)
            raise NewWork(f"{attempt.show()} would have to run")
        attempt.key = key
        try:
            return original(session, attempt)
        except CheckpointError as error:
            if isinstance(error, UntrustedError):
                error.add_note(_KEY_HINT)
            self._refusal = self._refusal or error
            raise

    def _choose(self, session: Session, attempt: Attempt) -> str | None:
        asked = AskedCall(attempt)
        self._steps.add(asked.step)
        if session is self._session:
            saved = self._saved.calls.get(asked.key)
            if saved is not None:
                self._kept[asked.key] = asked.call
            else:
                saved = self._saved.find(asked, self._taken(), self._steps)
            if saved is not None:
                self._compare_code(attempt, saved)
                if saved.key != asked.key:
                    self._lost.append((asked, saved))
                return saved.key
        if asked.key not in [known.key for known, saved in self._lost if saved is None]:
            self._lost.append((asked, None))
        self._has_stopped = True
        return None

    def _taken(self) -> set[str]:
        """Return the keys of calls that are kept, would run, or have stood in for others."""
        return {*self._kept, *(saved.key for _, saved in self._lost if saved), *(asked.key for asked, _ in self._lost)}

    def _compare_code(self, attempt: Attempt, saved: SavedCall) -> None:
        now = attempt.definition.code
        # Bytecode of another Python says nothing about an edit.
        if saved.code != now and saved.code.partition(":")[0] == now.partition(":")[0]:
            self._changed[attempt.definition.name] = None

    def _report(self, error: BaseException | None) -> ReplayReport:
        session, export = self._session, self._export
        if session is None:
            if error is not None and not (self._has_stopped and is_stop(error)):
                raise error
            opened = ", ".join(sorted({repr(other.workflow) for other in self._others})) or "none"
            raise _misuse(
                f"the exported run {export.path!r} is one of workflow {export.workflow!r}, and the function opened "
                f"{opened}. Give the function that opens {export.workflow!r}; if the workflow was renamed, its "
                "runs are not found any more.",
                export.workflow,
            ) from None
        lost, new = self._settle()
        taken = self._taken()
        is_told = isinstance(error, Exception) and (
            bool(lost) or (self._has_stopped and not isinstance(error, CheckpointError))
        )
        return ReplayReport(
            workflow=export.workflow,
            run=export.run,
            kept=list(self._kept.values()),
            lost_steps=lost,
            new=new,
            unused=[saved.call for saved in self._saved.unused(taken)],
            changed=list(self._changed),
            reached_end=error is None and not self._has_stopped,
            state=session.run.state if isinstance(session.run, Run) else None,
            error=error if is_told and isinstance(error, Exception) else None,
        )

    def _settle(self) -> tuple[list[LostStep], list[str]]:
        """
        Tell lost work from new, now that it is known which calls are kept.

        A call that was inserted was given the result of one that was asked for later; then it is another that was
        lost, or none.
        """
        lost: list[LostStep] = []
        new: list[str] = []
        settled: list[tuple[AskedCall, SavedCall | None]] = []
        waiting, self._lost = self._lost, settled
        reserved = {saved.key for _, saved in waiting if saved is not None}
        for asked, saved in waiting:
            if saved is not None and self._is_alive(asked, saved):
                saved = self._saved.find(asked, self._taken() | reserved, self._steps)
            settled.append((asked, saved))
            if saved is None:
                new.append(asked.call)
            else:
                lost.append(LostStep(asked.call, saved.call, self._saved.reason(asked, saved)))
        return lost, new

    def _is_alive(self, asked: AskedCall, saved: SavedCall) -> bool:
        """Whether `saved` was no predecessor of `asked`: it is kept, or its step is there beside the other."""
        return saved.key in self._kept or (saved.step != asked.step and saved.step in self._steps)


def _misuse(message: str, value: object) -> UsageError:
    return UsageError(message, slug="replay", value=value)


@contextmanager
def _key(path: str | os.PathLike[str] | None, directory: str) -> Iterator[None]:
    """Let pickled results be checked with another key; a copy, because a repository does not keep a file's mode."""
    if path is None:
        yield
        return
    try:
        with open(path, "rb") as file:
            data = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise _misuse(f"cannot read key_file={os.fspath(path)!r}: {error.strerror}.", path) from error
    if len(data) != KEY_BYTES:
        raise _misuse(f"key_file={os.fspath(path)!r} is no key: it has not {KEY_BYTES} bytes.", path)
    from unittest import mock

    copy = os.path.join(directory, "key")
    with open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    with mock.patch.dict(os.environ, {KEY_FILE_VARIABLE: copy}):
        yield
