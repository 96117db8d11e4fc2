"""
How a call and a run may move from one record to the next, as tables; the diagrams in the docs are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping

# The last record of a call -> the records that may follow it.  `None` is a call that has no record yet.  A call
# whose last record is `started` and whose session is over was cut by a crash: it is in doubt.
CALL: Mapping[str | None, tuple[str, ...]] = {
    None: ("started",),
    "started": ("completed", "failed", "interrupted", "started"),
    "failed": ("started",),
    "interrupted": ("started",),
    "completed": (),
}

# The status of a run -> what may follow.  A run that is `running` without a living owner has crashed.
RUN: Mapping[str | None, tuple[str, ...]] = {
    None: ("running",),
    "running": ("finished", "failed", "stopped", "crashed"),
    "failed": ("running",),
    "stopped": ("running",),
    "crashed": ("running",),
    "finished": (),
}


def is_over(status: str) -> bool:
    """Whether a run of this status is never continued."""
    return status in RUN and not RUN[status]


def diagram(table: Mapping[str | None, tuple[str, ...]]) -> str:
    """Draw a table as a Mermaid state diagram."""
    rows = ["stateDiagram-v2"]
    for before, followers in table.items():
        rows += [f"    {before or '[*]'} --> {after}" for after in followers]
        if not followers:
            rows.append(f"    {before} --> [*]")
    return "\n".join(rows)
