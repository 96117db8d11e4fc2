"""
The end of a session: leaves the run in order, and says how it can be continued.
"""

from __future__ import annotations

import signal
import threading
from json.encoder import encode_basestring_ascii as quote

from checkpoint._core.records import RUN_KEY
from checkpoint._runtime import checks, clock
from checkpoint._runtime.scope import adopt_threads, open_sessions
from checkpoint._runtime.session import Session
from checkpoint._runtime.signals import watch
from checkpoint.errors import SaveError, UsageError


def close_session(session: Session, error: BaseException | None) -> None:
    """
    End a session: the run is finished, or can be continued; durable when this returns.

    Args:
        session: The session; closing it again does nothing.
        error: What leaves the block, or None if it was left normally.

    Raises:
        SaveError: That the run finished could not be recorded; a rerun will continue it.
        StateError: The state cannot be saved; the run is not finished.
    """
    if session.closed is not None:
        return
    status = "failed"
    session.bury_abandoned()
    try:
        if error is None:
            _finish(session)
            status = "finished"
        else:
            status = _stop(session, error)
    except Exception as problem:  # also what the user's own state raises when it is read
        if error is None:
            _stop(session, problem, with_state=False)
            raise
        session.voice.note(f"the state could not be saved as it stood: {problem}")
        _stop(session, error, with_state=False)
    finally:
        session.end()
        open_sessions.remove(session)
        if error is not None:
            adopt_threads(session)
        if not session.is_over:
            session.journal.publish(session.summary(status))
        session.journal.close()


def _finish(session: Session) -> None:
    with session.lock:
        if session.is_over:
            session.flow.keeper.take_back_replay()
            return
        if session.flow.active:
            running = ", ".join(attempt.show() for attempt in session.flow.active[:3])
            raise UsageError(
                f"The block of workflow {session.workflow!r} was left while {running} was still running: its result "
                "could not be saved any more. Join threads and await tasks inside the block.",
                slug="steps-still-running",
                value=running,
            )
        session.flow.keeper.end_body(RUN_KEY)
        fields, tree = session.flow.keeper.fields()
        line = session.append(RUN_KEY, "finished", f'{fields}"at":"{clock.now()}","steps":{session.steps}')
        session.flow.keeper.saved(tree, RUN_KEY)
        session.end()
    session.journal.sync(line.number)
    forgotten = [record["call"] for record in session.progress.started(session.doubtful)]
    if forgotten:
        session.voice.note(checks.never_called_again(forgotten))
    session.voice.tell("finished")


def _stop(session: Session, error: BaseException, *, with_state: bool = True) -> str:
    stopped = checks.is_interruption(error)
    status, why = ("stopped" if stopped else "failed"), _why(error)
    where = session.cut_by(error)
    if not session.is_over:
        with session.lock:
            fields, tree = "", session.flow.keeper.saved_tree
            if with_state:
                session.flow.keeper.take_back_replay()
                fields, tree = session.flow.keeper.partial_fields()
            place = f',"where":{quote(where)}' if where else ""
            members = f'{fields}"at":"{clock.now()}","why":{quote(why)}{place},"steps":{session.steps}'
            try:
                number = session.append(RUN_KEY, status, members).number
                session.flow.keeper.saved_partly(tree)
                session.end()
            except SaveError:
                # The user's own error leaves the block and must not be hidden; without this record the run
                # counts as crashed, and is continued all the same.
                session.voice.note("that the run ended could not be recorded; what was saved before is safe.")
                number = None
        _sync_quietly(session, number)
    session.voice.tell("stopped" if stopped else "failed", why=why, where=where)
    return status


def _sync_quietly(session: Session, number: int | None) -> None:
    if number is None:
        return
    try:
        session.journal.sync(number)
    except SaveError:
        session.voice.note("that the run ended could not be made durable; what was saved before is safe.")


def _why(error: BaseException) -> str:
    # Signals stop what runs in the main thread; what was stopped elsewhere was not stopped by them.
    number = watch.stopped_by if threading.current_thread() is threading.main_thread() else None
    if isinstance(error, KeyboardInterrupt):
        return checks.signal_name(signal.SIGINT)
    if number is not None and checks.is_interruption(error):
        return checks.signal_name(number)
    return "cancellation" if type(error).__name__ == "CancelledError" else type(error).__name__
