"""
What a journal says: kept calls, tries, the state, and the counting of equal calls.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from checkpoint._core import changes
from checkpoint._core.progress import Claims, Progress


def line(number: int, key: str, kind: str, **members: Any) -> bytes:
    """A journal's line without its checksum, the members in the given order."""
    return json.dumps({"key": key, "kind": kind, "n": number, **members}, separators=(",", ":")).encode()


def journal(*records: tuple[str, str, dict[str, Any]]) -> Progress:
    lines = [line(number, key, kind, **members) for number, (key, kind, members) in enumerate(records)]
    return Progress(lines)


CREATED = ("run", "created", {"state": {"whole": {"n": 0}}, "at": "t"})


def set_n(value: int) -> dict[str, Any]:
    return {"whole": {"n": value}}


def change_n(before: int, now: int) -> dict[str, Any]:
    return {"changes": changes.diff({"n": before}, {"n": now})}


def test_completed_calls_are_kept() -> None:
    """The line of a completed call is found by its key; it has no tries any more."""
    progress = journal(CREATED, ("a.0", "started", {}), ("a.0", "completed", {"value": 5}))
    assert [b"a.0"] == list(progress.completed)
    assert 5 == json.loads(progress.completed[b"a.0"])["value"]
    assert {} == progress.tries


@pytest.mark.parametrize("end", ["failed", "interrupted", None])
def test_tries_are_counted(end: str | None) -> None:
    """Calls that were begun and not completed are counted, however they ended."""
    records: list[Any] = [CREATED]
    for _ in range(3):
        records.append(("a.0", "started", {}))
        if end is not None:
            records.append(("a.0", end, {}))
    progress = journal(*records)
    assert {b"a.0": 3} == progress.tries
    assert {} == progress.completed


def test_run_records() -> None:
    """The records of the run itself are told from those of calls."""
    progress = journal(CREATED, ("run", "opened", {}), ("a.0", "started", {}), ("run", "failed", {}))
    assert ["created", "opened", "failed"] == [json.loads(record)["kind"] for record in progress.run_records]
    assert {b"a.0": 1} == progress.tries


def test_state_is_the_last_whole_copy() -> None:
    """Of several whole copies the last counts."""
    progress = journal(CREATED, ("a.0", "started", {"state": set_n(1)}), ("a.0", "completed", {"state": set_n(2)}))
    saved = progress.state()
    assert ({"n": 2}, {"n": 2}, frozenset()) == (saved.tree, saved.base, saved.partial)


def test_a_value_that_looks_like_a_state() -> None:
    """A user's value with the same words in it is not taken for the state."""
    value = {"state": {"whole": {"n": 99}}, "stretches": ["after x.0"], "partial": ["after y.0"]}
    progress = journal(CREATED, ("a.0", "started", {}), ("a.0", "completed", {"at": "t", "value": value}))
    saved = progress.state()
    assert ({"n": 0}, frozenset()) == (saved.tree, saved.partial)
    assert {} == progress.contained().enders


def test_partial_keeps_its_base() -> None:
    """Of a stretch caught in the middle both are known: the state as saved, and as it was when the stretch began."""
    progress = journal(
        CREATED,
        ("a.0", "completed", {"state": set_n(1)}),
        ("run", "stopped", {"partial": ["after a.0"], "state": change_n(1, 2)}),
        ("run", "opened", {}),
    )
    saved = progress.state()
    assert ({"n": 2}, {"n": 1}, frozenset({"after a.0"})) == (saved.tree, saved.base, saved.partial)


def test_several_partial_saves_have_one_base() -> None:
    """Saving twice in the middle of one stretch leaves the base where the stretch began."""
    progress = journal(
        CREATED,
        ("run", "saved", {"partial": ["after a.0"], "state": change_n(0, 1)}),
        ("run", "saved", {"partial": ["after a.0"], "state": change_n(1, 2)}),
    )
    saved = progress.state()
    assert ({"n": 2}, {"n": 0}) == (saved.tree, saved.base)


def test_later_change_ends_partial() -> None:
    """Once a later record has changed the state, there is nothing to go back to."""
    progress = journal(
        CREATED,
        ("run", "saved", {"partial": ["after a.0"], "state": change_n(0, 1)}),
        ("b.0", "started", {"stretches": ["after a.0"], "state": set_n(2)}),
    )
    saved = progress.state()
    assert ({"n": 2}, {"n": 2}, frozenset()) == (saved.tree, saved.base, saved.partial)


def test_completion_of_a_partial_stretch() -> None:
    """A stretch that was saved in the middle and then ended is partial no more, though nothing changed since."""
    progress = journal(
        CREATED,
        ("run", "saved", {"partial": ["after a.0"], "state": change_n(0, 1)}),
        ("b.0", "started", {"stretches": ["after a.0"]}),
    )
    saved = progress.state()
    assert ({"n": 1}, {"n": 1}, frozenset()) == (saved.tree, saved.base, saved.partial)


def test_no_state() -> None:
    """Records without any state do not fit together."""
    with pytest.raises(ValueError, match="no record holds the state"):
        journal(("run", "created", {"at": "t"})).state()


def test_contained() -> None:
    """Every stretch that a save lists is contained, with the call that ended it."""
    progress = journal(
        CREATED,
        ("a.0", "started", {"stretches": ["entered run"]}),
        ("b.0", "started", {"stretches": ["after a.0", "after x.0!2"], "state": set_n(1)}),
    )
    assert {"entered run": "a.0", "after a.0": "b.0", "after x.0!2": "b.0"} == progress.contained().enders


def test_repeated() -> None:
    """Calls with equals are known by there being a second of them, completed or not."""
    progress = journal(
        CREATED,
        *[(key, "completed", {}) for key in ("a.0", "a.1", "b.0")],
        *[(key, "started", {}) for key in ("c.0", "c.1", "d.0")],
    )
    assert {"a", "c"} == progress.contained().repeated


def test_started_records() -> None:
    """The last `started` record of a call is found, of those that are asked for only."""
    progress = journal(
        CREATED,
        ("a.0", "started", {"attempt": 1}),
        ("b.0", "started", {"attempt": 1}),
        ("a.0", "started", {"attempt": 2}),
    )
    assert [2] == [record["attempt"] for record in progress.started({b"a.0"})]
    assert [] == progress.started(set())


def test_claims_count_equal_calls() -> None:
    """Equal calls are numbered from 0, each digest for itself."""
    claims = Claims()
    assert [0, 1, 0, 2] == [claims.claim(digest) for digest in ("a", "a", "b", "a")]


def test_released_claim_is_claimed_again() -> None:
    """A call that raised gives its number back, the smallest first."""
    claims = Claims()
    for _ in range(3):
        claims.claim("a")
    claims.release("a", 2)
    claims.release("a", 0)
    assert [0, 2, 3] == [claims.claim("a") for _ in range(3)]
