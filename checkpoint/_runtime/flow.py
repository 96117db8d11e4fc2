"""
Which calls run at this moment, and what that means for the state.

Not locked: the session calls it under its own lock.  Calls that follow or enclose each other end one stretch
and begin the next; calls that overlap in time do neither, and the state is then only saved.
"""

from __future__ import annotations

from checkpoint._core.records import Tree
from checkpoint._runtime.attempt import Attempt
from checkpoint._runtime.keeper import Keeper


class Flow:
    """
    The calls that run.

    Attributes:
        keeper: The state.
        active: Attempts whose body runs, in the order they began.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.active: list[Attempt] = []
        self._overlapped = 0
        self._tries_here: dict[str, int] = {}

    def is_overlapping(self, attempt: Attempt) -> bool:
        """Whether a call that begins now would run beside one that does not enclose it."""
        return self._overlapped > 0 or any(not attempt.is_within(other) for other in self.active)

    def pass_kept(self, attempt: Attempt) -> None:
        """Walk over a call whose saved result is handed out."""
        if self.is_overlapping(attempt):
            # What follows those that run follows this one too: the next rerun may come to it last.
            self.keeper.join(attempt.key)
        else:
            self.keeper.pass_kept(attempt.key, is_aside=attempt.here != attempt.parent.here)

    def prepare(self, attempt: Attempt) -> tuple[str, Tree]:
        """End what the beginning of a call ends; returns `Keeper.fields` for its `started` record."""
        attempt.nth = self._tries_here.get(attempt.key, 0) + 1
        if self.is_overlapping(attempt):
            self._overlap(attempt)
        else:
            self.keeper.end_stretch(attempt.key)
            self.keeper.begin_body(attempt.key, attempt.nth)
        return self.keeper.fields(overlapping=attempt.overlapped)

    def abandon(self, attempt: Attempt) -> None:
        """Undo `prepare`: the call's `started` record could not be written."""
        if attempt.overlapped:
            self._end_overlap()
        elif not self._overlapped:
            self.keeper.reopen()

    def enter(self, attempt: Attempt, tree: Tree) -> None:
        """Begin the body, after the record with `tree` was written."""
        self.keeper.saved(tree, attempt.key)
        self.active.append(attempt)
        if not attempt.overlapped:
            self.keeper.enter_body(attempt.key)

    def finish(self, attempt: Attempt) -> tuple[str, Tree]:
        """End what the end of a body ends; returns `Keeper.fields` for its `completed` record."""
        if not attempt.overlapped:
            self.keeper.end_body(attempt.key)
        return self.keeper.fields(overlapping=attempt.overlapped)

    def leave(self, attempt: Attempt, tree: Tree) -> None:
        """Leave a completed call, after the record with `tree` was written."""
        self.keeper.saved(tree, attempt.key)
        self.active.remove(attempt)
        self.keeper.join(attempt.key)
        if attempt.overlapped:
            self._end_overlap()
        else:
            self.keeper.begin_joined()

    def leave_failed(self, attempt: Attempt) -> tuple[str, Tree]:
        """Leave a call that raised: half a step's changes never stay; returns `Keeper.failure_fields`."""
        self.active.remove(attempt)
        self._tries_here[attempt.key] = attempt.nth
        if attempt.overlapped:
            self.keeper.join(attempt.key, attempt.nth)
            self._end_overlap()
            return "", self.keeper.saved_tree
        self.keeper.begin_after_failure(attempt.key, attempt.nth)
        return self.keeper.failure_fields()

    def _overlap(self, attempt: Attempt) -> None:
        self.keeper.suspend()
        attempt.overlapped = True
        self._overlapped += 1
        for other in self.active:
            if not other.overlapped and not attempt.is_within(other):
                other.overlapped = True
                self._overlapped += 1

    def _end_overlap(self) -> None:
        self._overlapped -= 1
        if not self._overlapped:
            self.keeper.begin_joined()
