"""Tests of `examples/_report.py`: the table and the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from _report import make_table, printable, write_summary
from git_plumbing import UserError

OLD, NEW = "1" * 40, "2" * 40


def outcome(word: str, new: str = OLD, target: str = "main", details: tuple[str, ...] = ()) -> Any:
    return {"target": target, "outcome": word, "old": OLD, "new": new, "details": list(details), "changes": ""}


OUTCOMES = {
    "feature/b": outcome("conflict", details=("a.txt", "b.txt")),
    "feature/a": outcome("aligned", NEW),
    "island": outcome("skipped: no history in common with a target", target=""),
}


def write(path: Path, outcomes: Any) -> str:
    write_summary(str(path), inputs={"select": "*"}, targets={"main": NEW}, outcomes=outcomes, pending=["z", "y"])
    return path.read_text(encoding="ascii")


def test_the_table_shows_where_each_branch_went() -> None:
    """Branches in the order of their names; an arrow only where something moved."""
    expected = """\
branch     target  outcome                                      old -> new
feature/a  main    aligned                                      1111111111 -> 2222222222
feature/b  main    conflict (a.txt; b.txt)                      1111111111
island     -       skipped: no history in common with a target  1111111111

3 branches: 1 aligned, 1 conflict, 1 skipped: no history in common with a target"""
    assert expected == make_table(OUTCOMES)


def test_a_name_cannot_play_tricks_on_the_terminal() -> None:
    """Direction marks, escapes and broken characters are made visible; letters of any script are left."""
    assert "日本\\u202e\\x1b[31m\\udce9" == printable("日本\u202e\x1b[31m\udce9")


def test_the_summary_depends_on_the_outcomes_only(tmp_path: Path) -> None:
    """Neither the order in which they came nor the clock shows."""
    assert write(tmp_path / "a", OUTCOMES) == write(tmp_path / "b", dict(reversed(OUTCOMES.items())))


def test_the_summary_is_json_for_programs(tmp_path: Path) -> None:
    """All that is known of each branch is in it, and what is still to be done."""
    document = json.loads(write(tmp_path / "summary.json", OUTCOMES))
    assert OUTCOMES == document["branches"]
    assert (1, ["y", "z"], {"main": NEW}) == (document["format"], document["pending"], document["targets"])
    assert {"aligned": 1, "conflict": 1, "skipped: no history in common with a target": 1} == document["counts"]


def test_a_summary_is_replaced_whole(tmp_path: Path) -> None:
    """Nothing half-written is left beside it."""
    write(tmp_path / "summary.json", OUTCOMES)
    assert {} == json.loads(write(tmp_path / "summary.json", {}))["branches"]
    assert ["summary.json"] == [path.name for path in tmp_path.iterdir()]


def test_a_summary_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The path and the reason are named."""
    with pytest.raises(
        UserError, match=r"nowhere/x' cannot be written \(No such file or directory\): change --summary"
    ):
        write(tmp_path / "nowhere" / "x", OUTCOMES)
