"""
What a session tells the user: turns what happened into events, and says nothing twice that once is enough for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpoint._core.records import RunEvent, StepEvent
from checkpoint._runtime import checks, clock
from checkpoint._runtime.attempt import Attempt
from checkpoint._runtime.reporter import Reporter

if TYPE_CHECKING:
    from checkpoint._runtime.session import Session

# Whether a step changed its arguments is looked at if that takes no longer than this share of the step's own
# time, or than this in any case: for an array of a gigabyte it would cost more than many a step.
_CHECK_SHARE = 0.05
_CHECK_FREELY_S = 50e-6


class Voice:
    """
    Speaks for one session.

    Attributes:
        wants_steps: Whether anybody listens to the beginning and the end of steps.
        wants_kept: Whether anybody listens to kept calls.
    """

    def __init__(self, session: Session, reporter: Reporter) -> None:
        self.wants_steps = reporter.wants_steps
        self.wants_kept = reporter.wants_kept
        self._session = session
        self._reporter = reporter
        self._said: set[tuple[str, str]] = set()

    def tell(self, kind: Any, **facts: Any) -> None:
        """Say what happened to the run: a kind of `RunEvent`, and what it needs beside the session's own facts."""
        session = self._session
        self._reporter.run(
            RunEvent(
                kind=kind,
                workflow=session.workflow,
                run=session.short_id,
                key=session.key,
                kept=session.kept_at_start,
                ran=session.ran,
                seconds=clock.seconds() - session.began_s,
                **facts,
            )
        )

    def note(self, text: str) -> None:
        """Say something in one sentence."""
        self.tell("note", text=text)

    def tell_step(self, kind: Any, attempt: Attempt, seconds: float) -> None:
        """Say what happened to a call: a kind of `StepEvent`."""
        self._reporter.step(
            StepEvent(
                kind=kind,
                workflow=self._session.workflow,
                run=self._session.short_id,
                step=attempt.definition.name,
                call=attempt.show(),
                seconds=seconds,
                attempt=max(attempt.number, 1),
            )
        )

    def check_code(self, attempt: Attempt, saved: str) -> None:
        """Say, once a step, that its code is not what it was when the result was saved."""
        now = attempt.definition.code
        # Bytecode of another Python says nothing about an edit.
        if saved != now and saved.partition(":")[0] == now.partition(":")[0]:
            self._note_once("edited", attempt, checks.edited_step(attempt.definition.function.__name__))

    def check_arguments(self, attempt: Attempt, seconds: float) -> None:
        """Say, once a step and argument, that the step changed it; `seconds` is how long the body took."""
        if attempt.identity_s > max(_CHECK_FREELY_S, seconds * _CHECK_SHARE):
            return
        changed = attempt.definition.binder.mutated(attempt.values, attempt.identity)
        if changed is not None:
            name = attempt.definition.function.__name__
            self._note_once(f"changed {changed}", attempt, checks.changed_argument(name, changed))

    def _note_once(self, topic: str, attempt: Attempt, text: str) -> None:
        if (topic, attempt.definition.name) not in self._said:
            self._said.add((topic, attempt.definition.name))
            self.note(text)
