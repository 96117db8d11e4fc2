"""
What happened in a run, read from its journal without owning it: data only, nothing is printed or unpickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from checkpoint._core import lines
from checkpoint._core.records import RUN_KEY, RunSummary
from checkpoint.errors import UsageError
from checkpoint.stores import Store


@dataclass(frozen=True, slots=True)
class CallHistory:
    """
    One call of a run.

    Attributes:
        key: What identifies the call.
        step: Name of the step.
        call: The call as a person would write it.
        status: Its last record: `completed`, `failed`, `interrupted`, or `started` for one that was cut or runs.
        attempts: How often it was tried.
        seconds: How long the last attempt took, or None if it has no end.
        depth: How many steps enclose it.
    """

    key: str
    step: str
    call: str
    status: str
    attempts: int
    seconds: float | None
    depth: int


@dataclass(frozen=True, slots=True)
class RunHistory:
    """
    One run.

    Attributes:
        summary: Workflow, id, key, status.
        calls: Its calls, in the order they were first begun.
        sessions: How many processes have worked on it.
        command: Command line that began it.
    """

    summary: RunSummary
    calls: list[CallHistory]
    sessions: int
    command: list[str]


def find_run(store: Store, name: str) -> RunSummary:
    """
    Return the run that `name` means: a workflow (its newest run), a run's id, or the end of one.

    Raises:
        UsageError: None is meant, or several.
    """
    runs = store.runs()
    for found in (
        [run for run in runs if run.workflow == name][:1],
        [run for run in runs if run.id.endswith(name)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{run.workflow} {run.id}" for run in found)
            raise UsageError(f"{name!r} could be {listed}. Give the whole id.", slug="which-run", value=name)
    known = ", ".join(sorted({run.workflow for run in runs})) or "none: nothing was run yet"
    raise UsageError(f"There is no run {name!r}. Workflows here: {known}.", slug="no-such-run", value=name)


def read_history(store: Store, summary: RunSummary) -> RunHistory:
    """Read what happened in a run."""
    records = [json.loads(line) for line in lines.split(store.read(summary.workflow, summary.id))]
    command = list(records[0].get("command", [])) if records else []
    return RunHistory(summary, calls_of(records), count_sessions(records), command)


def count_sessions(records: list[dict[str, Any]]) -> int:
    """Return how many sessions a run's records tell of."""
    return sum(record["key"] == RUN_KEY and record["kind"] == "opened" for record in records)


def calls_of(records: list[dict[str, Any]]) -> list[CallHistory]:
    """Return the calls that a run's records tell of, in the order they were first begun."""
    begun: dict[str, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["key"] != RUN_KEY:
            if record["kind"] == "started":
                begun.setdefault(record["key"], record)
                last[record["key"]] = record
            else:
                last[record["key"]] = {**record, "attempt": last[record["key"]]["attempt"]}
    return [_call(begun, key, last[key]) for key in begun]


def _call(begun: dict[str, dict[str, Any]], key: str, record: dict[str, Any]) -> CallHistory:
    depth, scope = 0, begun[key].get("scope")
    while scope in begun:
        depth, scope = depth + 1, begun[scope].get("scope")
    return CallHistory(
        key=key,
        step=begun[key]["step"],
        call=record["call"],
        status=record["kind"],
        attempts=record["attempt"],
        seconds=record.get("seconds"),
        depth=depth,
    )
