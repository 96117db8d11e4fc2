"""
The words of the journal: what a record says, and the plain values that travel between the layers.

Nothing here decides anything or touches anything; the line format is in `lines`, the meaning of the
records in `progress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# Version of the journal's format. A reader refuses a newer one, because guessing could lose work.
FORMAT = 1

# The scope of calls made outside every step, and the key of records that speak of the run itself.
RUN_KEY = "run"

CallKind: TypeAlias = Literal["started", "completed", "failed", "interrupted"]
RunKind: TypeAlias = Literal["created", "opened", "saved", "finished", "failed", "stopped"]
Status: TypeAlias = Literal["running", "finished", "failed", "stopped", "crashed", "lost"]

# A value made of plain JSON types only: what a record can hold.
Tree: TypeAlias = bool | int | float | str | list["Tree"] | dict[str, "Tree"] | None


@dataclass(frozen=True, slots=True)
class Line:
    """
    One sealed line of a journal, ready to be written.

    Attributes:
        number: Position in the journal, from 0, without gaps.
        data: The whole line with its checksum and the newline, ASCII only.
        sum: The checksum: 16 hexadecimal digits.
    """

    number: int
    data: bytes
    sum: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """
    A value as it is stored.

    Attributes:
        text: JSON text of the record's members that hold the value, without braces, ASCII only: `"value":`
            and the value for plain JSON, otherwise the codec's name with what it needs to be read again.
        payloads: Large parts that go into files of their own, by the SHA-256 of their contents (64
            hexadecimal digits): one-dimensional, C-contiguous byte views of the user's own memory where
            possible, never a copy of it.
    """

    text: str
    payloads: Mapping[str, memoryview] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """
    What a listing shows of a run without opening it: read from the ends of its journal, not verified.

    Attributes:
        workflow: Name of the workflow.
        id: The run's id; ids sort by the time the run was created.
        key: What tells the workflow's runs apart, or None.
        status: `running` stands for every run without an end record; who holds the lock is not asked.
        at: Time of the last record, ISO 8601 in UTC, or None if nothing could be read.
        command: Command line that created the run.
    """

    workflow: str
    id: str
    key: str | None
    status: Status
    at: str | None
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunEvent:
    """
    Something to say about a run.

    Attributes:
        kind: What happened; `idle` is a finished run that was opened with `once`.
        workflow: Name of the workflow.
        run: The run's short id, as shown to people.
        key: What tells the workflow's runs apart, or None.
        kept: Steps of this run whose saved result was there when the session began.
        ran: Steps that completed in this session.
        seconds: How long this session has lasted.
        ago: Seconds since the last session (or the last finished run, for `new`) ended, or None.
        why: What stopped it: `Ctrl-C`, `SIGTERM`, or the type of the exception; for `continuing`, what
            had stopped the last session, or `crashed`.
        where: The call that was running, as a person would write it, or None between steps.
        previous: Short id of the last finished run, for `new`, or None.
        text: The sentence of a `note`.
    """

    kind: Literal["new", "continuing", "idle", "note", "stopping", "stopped", "failed", "finished"]
    workflow: str
    run: str
    key: str | None = None
    kept: int = 0
    ran: int = 0
    seconds: float = 0.0
    ago: float | None = None
    why: str | None = None
    where: str | None = None
    previous: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class StepEvent:
    """
    Something to say about a call.

    Attributes:
        kind: What happened.
        workflow: Name of the workflow.
        run: The run's short id.
        step: Name of the step.
        call: The call as a person would write it.
        seconds: How long it ran; 0.0 for `started` and `kept`.
        attempt: Which try at this call it is, from 1.
    """

    kind: Literal["started", "completed", "failed", "interrupted", "kept"]
    workflow: str
    run: str
    step: str
    call: str
    seconds: float = 0.0
    attempt: int = 1
