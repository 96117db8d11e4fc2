"""
`ReplayReport`: what today's program makes of a run that an earlier version of it has saved.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LostStep:
    """
    A call of today's program that would run again although its work is saved.

    Attributes:
        call: The call, as today's program makes it.
        saved_as: The saved call that it most probably was.
        why: What sets the two apart.
    """

    call: str
    saved_as: str
    why: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """
    What became of the calls of an exported run.

    Attributes:
        workflow: Name of the workflow.
        run: The run's id.
        kept: Calls that are kept, in the order in which they were made.
        lost_steps: Calls that would run again although their work is saved.  A test says `report.lost_steps == []`.
            An item that took the place of another cannot be told from one that was renamed, and is listed too.
        new: Calls that the run does not have, and that would run now.
        unused: Saved calls that nothing asked for: work that is no longer wanted, or that comes after new work.
        changed: Names of steps whose code is not what it was; what they saved is kept all the same.
        reached_end: Whether the function returned; if not, it came to new work, or raised `error`.
        state: The state as the function left it.
        error: What the function raised after it was given the result of another call in place of a lost one, or
            after it came to new work; else None.
    """

    workflow: str
    run: str
    kept: list[str]
    lost_steps: list[LostStep]
    new: list[str]
    unused: list[str]
    changed: list[str]
    reached_end: bool
    state: object
    error: Exception | None

    def __str__(self) -> str:
        lines = [f"{self._headline()}."]
        for lost in self.lost_steps:
            lines.append(f"  lost: {lost.call}, saved as {lost.saved_as}: {lost.why}")
        lines += [f"  new: {call}" for call in self.new]
        lines += [f"  unused: {call}" for call in self.unused]
        lines += [f"  edited since: {step}" for step in self.changed]
        if self.error is not None:
            lines.append(f"  raised: {type(self.error).__name__}: {self.error}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<ReplayReport: {self._headline()}>"

    def _headline(self) -> str:
        counts = f"{len(self.kept)} kept, {len(self.lost_steps)} lost, {len(self.new)} new, {len(self.unused)} unused"
        end = "reached the end" if self.reached_end else "raised" if self.error else "stopped at new work"
        return f"run {self.run} of {self.workflow!r}: {counts}; {end}"
