"""
The tables of transitions, and that real journals keep to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from checkpoint import checkpointed, workflow
from checkpoint._core import transitions
from checkpoint.stores import MemoryStore


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


@pytest.mark.parametrize("table", [transitions.CALL, transitions.RUN], ids=["call", "run"])
def test_every_state_is_known(table: Mapping[str | None, tuple[str, ...]]) -> None:
    """Whatever may follow has a row of its own, and every row is reached."""
    reached = {follower for followers in table.values() for follower in followers}
    assert reached == table.keys() - {None}


@pytest.mark.parametrize(
    ("status", "expected"),
    [("finished", True), ("running", False), ("failed", False), ("stopped", False), ("crashed", False), ("odd", False)],
)
def test_is_over(status: str, expected: bool) -> None:
    """Only a finished run is never continued; a status of a later version is not taken for an end."""
    assert expected is transitions.is_over(status)


def test_diagram() -> None:
    """A table is drawn as Mermaid, with its beginning and its ends."""
    drawn = transitions.diagram({None: ("started",), "started": ("completed",), "completed": ()})
    expected = ["stateDiagram-v2", "    [*] --> started", "    started --> completed", "    completed --> [*]"]
    assert expected == drawn.splitlines()


def test_journals_keep_to_the_table() -> None:
    """In a run with failures, interruptions, retries and reruns each call's records follow the table."""
    outcomes: dict[str, list[type[BaseException] | None]] = {
        "a": [None],
        "b": [Stop, Stop, None],
        "c": [KeyboardInterrupt, Stop, None],
    }

    @checkpointed
    def work(name: str) -> str:
        problem = outcomes[name].pop(0)
        if problem is not None:
            raise problem
        return name

    store = MemoryStore()
    for _ in range(10):
        try:
            with workflow("table", store=store, output="off") as run:
                for name in outcomes:
                    work(name)
            break
        except (Stop, KeyboardInterrupt):
            continue
    last: dict[str, str] = {}
    seen: set[tuple[Any, str]] = set()
    for line in store.read("table", run.id).splitlines():
        record = json.loads(line)
        if record["key"] != "run":
            before = last.get(record["key"])
            assert record["kind"] in transitions.CALL[before]
            seen.add((before, record["kind"]))
            last[record["key"]] = record["kind"]
    assert {"completed"} == set(last.values())
    assert {("started", "failed"), ("started", "interrupted"), ("failed", "started")} <= seen
