"""
Tell what became of the branches: a table for people, a JSON file for programs.

Both are made from what the run remembers and from nothing else (no clock), so that they can be made again
at any time and come out the same.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from git_plumbing import UserError

# Version of the summary's format.
SUMMARY_FORMAT = 1
SHORT_ID = 10


class Outcome(TypedDict):
    """
    What became of one branch.

    Attributes:
        target: Its primary target, or nothing.
        outcome: `aligned`, `already aligned`, `skipped: ...`, `conflict`, `invalid` or `moved by somebody else`.
        old: Where it stood.
        new: Where it stands; the same as `old` if it was not moved.
        details: Files in conflict, or what is wrong, one sentence each.
        changes: What it changes on its target, in a few words; empty if it was not looked at.
    """

    target: str
    outcome: str
    old: str
    new: str
    details: list[str]
    changes: str


def printable(text: str) -> str:
    """Return `text` with everything a terminal could take for more than letters made visible."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def make_table(outcomes: Mapping[str, Outcome]) -> str:
    """Return the table of outcomes, a line for each branch in the order of their names, and a line of totals."""
    rows = [("branch", "target", "outcome", "old -> new")]
    for branch, one in sorted(outcomes.items()):
        places = "" if one["old"] == one["new"] else f" -> {one['new'][:SHORT_ID]}"
        outcome = one["outcome"] + (f" ({'; '.join(one['details'])})" if one["details"] else "")
        row = (branch, one["target"] or "-", outcome, (one["old"][:SHORT_ID] or "-") + places)
        rows.append((printable(row[0]), printable(row[1]), printable(row[2]), row[3]))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    totals = ", ".join(f"{number} {outcome}" for outcome, number in sorted(count(outcomes).items()))
    return "\n".join([*lines, "", f"{len(outcomes)} branches: {totals}"])


def count(outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    """Return how many branches had each outcome."""
    return dict(Counter(one["outcome"] for one in outcomes.values()))


def write_summary(
    path: str,
    *,
    inputs: Mapping[str, object],
    targets: Mapping[str, str],
    outcomes: Mapping[str, Outcome],
    pending: list[str],
) -> None:
    """
    Replace the summary at `path`, whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    document = {
        "format": SUMMARY_FORMAT,
        "inputs": inputs,
        "targets": targets,
        "counts": count(outcomes),
        "pending": sorted(pending),
        "branches": outcomes,
    }
    half_written = f"{path}.{os.getpid()}.tmp"
    try:
        Path(half_written).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="ascii")
        os.replace(half_written, path)
    except OSError as error:
        raise UserError(f"the summary {path!r} cannot be written ({error.strerror}): change --summary") from error
