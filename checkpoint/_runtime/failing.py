"""
The end of a call that did not complete: half a step's changes never stay, and the user's error always gets through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpoint._runtime import clock
from checkpoint._runtime.attempt import Attempt, error_members
from checkpoint._runtime.checks import is_interruption
from checkpoint.errors import SaveError

if TYPE_CHECKING:
    from checkpoint._runtime.session import Session


def record_failure(session: Session, attempt: Attempt, error: BaseException) -> None:
    """
    Record that the body of a call raised; does nothing for a call that has ended already.

    The record acknowledges nothing, so that it is not flushed, and that it cannot be written is only said.
    """
    try:
        _record(session, attempt, error)
    finally:
        # Whatever went wrong: later calls must not be taken for a part of a critical step, which no signal cuts.
        session.end_critical(attempt)


def _record(session: Session, attempt: Attempt, error: BaseException) -> None:
    kind = "interrupted" if is_interruption(error) else "failed"
    with session.lock:
        if attempt not in session.flow.active:
            return
        seconds = clock.seconds() - attempt.began_s if attempt.began_s else 0.0
        session.note_cut(error, attempt)
        attempt.parent.release(attempt.digest, attempt.occurrence)
        fields, tree = session.flow.leave_failed(attempt)
        if session.closed is None:
            members = f'{fields}"at":"{clock.now()}",{attempt.ended_members(seconds)},{error_members(error)}'
            try:
                session.append(attempt.key, kind, members)
                session.flow.keeper.saved_partly(tree)
            except SaveError:
                session.voice.note(
                    f"that {attempt.show()} {kind} could not be recorded; it will run again all the same."
                )
    if session.voice.wants_steps:
        session.voice.tell_step(kind, attempt, seconds)
