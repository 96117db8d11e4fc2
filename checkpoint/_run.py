"""
`Run`: what user code holds of the run it is in.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from checkpoint._runtime import scope as scopes
from checkpoint._runtime.session import Session
from checkpoint.errors import RunClosedError, UsageError

S = TypeVar("S")


class Run(Generic[S]):
    """
    One durable execution of a workflow, continued by reruns until its block is left normally.

    Made by `workflow(...)`; also found by `current_run()`.
    """

    __slots__ = ("_session", "_state")

    def __init__(self, session: Session, state: S) -> None:
        self._session = session
        self._state = state

    @property
    def id(self) -> str:
        """The run's id; ids sort by the time runs were created, and messages show the last four characters."""
        return self._session.id

    @property
    def workflow(self) -> str:
        """Name of the workflow."""
        return self._session.workflow

    @property
    def key(self) -> str | None:
        """What tells the workflow's runs apart, as given to `workflow(key=…)`."""
        return self._session.key

    @property
    def resumed(self) -> bool:
        """Whether an earlier session worked on this run."""
        return self._session.resumed

    @property
    def location(self) -> str:
        """Where the run is kept: a directory, or a name in memory."""
        return self._session.journal.location

    @property
    def state(self) -> S:
        """
        The state: saved with the start and the end of every step, when the run is stopped, and by `save`.

        Change it in place.  It can be read after the run is over.
        """
        return self._state

    @state.setter
    def state(self, value: S) -> None:
        raise UsageError(
            "run.state cannot be replaced, only changed: a name bound to a part of it before must stay good. "
            "Assign to its fields, or run.state.clear() and run.state.update(…) for a dict.",
            slug="state-replaced",
            value=value,
        )

    def save(self) -> None:
        """
        Save the state as it stands, in the middle of a stretch; durable on return.

        Steps save it anyway.  In a rerun the state is found as saved here; if the rerun then walks over the step
        before this point, the code after that step runs again from its beginning, with the state as it was there.
        Before the first step there is no such place: the code runs again on the state as saved here.

        Raises:
            StateError: It holds a value that cannot be saved.
            SaveError: It could not be written.
            RunClosedError: The run is over.
        """
        self._session.save()

    def __repr__(self) -> str:
        session = self._session
        status = "open" if session.closed is None else "closed"
        return f"<Run {session.short_id} of {session.workflow!r}, {session.steps} steps saved, {status}>"


def current_run() -> Run[object]:
    """
    Return the run that the calling code belongs to: the innermost open workflow of this thread or task.

    Raises:
        UsageError: No workflow is open, or several and nothing says which is meant.
        RunClosedError: The run this code belongs to is over.
    """
    scope = scopes.find_scope()
    if scope is None:
        raise UsageError(
            "No workflow is open here, so that there is no current run. Call this inside `with workflow(…):`.",
            slug="no-run",
            value=None,
        )
    run = scope.session.run
    if not isinstance(run, Run):
        raise RunClosedError("The run is not open yet.", run=scope.session.id)
    return run
