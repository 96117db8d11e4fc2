"""
Names that are safe on every file system: directories of workflows, and ids of runs.

It must never look at the clock: the time is passed in, and so are the random digits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from checkpoint.errors import UsageError

# The longest name that every file system and archive format takes is 255; a few letters are left for the suffix.
MAX_NAME_BYTES = 100

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{digit}" for digit in range(1, 10)), *(f"lpt{digit}" for digit in range(1, 10))]
)
_RUN_ID = re.compile(r"([0-9]{8}T[0-9]{6})-([0-9a-f]{4,32})")
_ENCODED = re.compile(rb"%([0-9A-F]{2})")
_TIME = "%Y%m%dT%H%M%S"


def directory_name(workflow: str) -> str:
    """
    Return the name of the directory of `workflow`: the same for the same name, different for different ones.

    Letters, digits, `-`, `_` and `.` stay; everything else is percent-encoded.  A name with capital letters
    gets a suffix, because some file systems do not tell `Align` from `align`; so does one that is too long.

    Raises:
        UsageError: The name is empty.
    """
    if not workflow:
        raise UsageError("a workflow needs a name: '' is none. Give it one, as in workflow('align').",
                         slug="empty-workflow-name", value=workflow)  # fmt: skip
    name = "".join(letter if letter in _SAFE else _percent(letter) for letter in workflow)
    if name[0] == "." or name.partition(".")[0].lower() in _RESERVED:
        name = _percent(name[0]) + name[1:]
    if name[-1] == ".":
        name = name[:-1] + _percent(".")
    if workflow.lower() == workflow and len(name) <= MAX_NAME_BYTES:
        return name
    suffix = "~" + sha256(workflow.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return name[: MAX_NAME_BYTES - len(suffix)] + suffix


def workflow_name(directory: str) -> str:
    """Return the workflow's name as far as its directory's name tells, for runs that say nothing themselves."""
    encoded = directory.partition("~")[0].encode("utf-8", "replace")
    return _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), encoded).decode("utf-8", "replace")


def is_run_id(name: str) -> bool:
    """Return whether `name` is a run's id, and so a safe name for its directory."""
    return _RUN_ID.fullmatch(name) is not None


def short_id(run: str) -> str:
    """Return the part of a run's id that people type: unique among the runs of one workflow."""
    return run.rpartition("-")[2]


def new_run_id(existing: Iterable[str], now: float, digits: Callable[[int], str]) -> str:
    """
    Return an id that sorts after all `existing` ids, also if the clock went backwards or stood still.

    Args:
        existing: Ids of the workflow's runs; other names are passed over.
        now: Seconds since 1970.
        digits: Returns two random hexadecimal digits for each of the given number of bytes.
    """
    times: list[str] = []
    taken: set[str] = set()
    for run in existing:
        if found := _RUN_ID.fullmatch(run):
            times.append(found[1])
            taken.add(found[2])
    time = datetime.fromtimestamp(now, UTC).strftime(_TIME)
    if times and time <= max(times):
        time = _next_second(max(times), time)
    # Four digits are quick to type; with half of them taken, two more bytes keep the search short.
    width = 2 if len(taken) < 0x8000 else 4
    while (short := digits(width)) in taken:
        pass
    return f"{time}-{short}"


def random_digits(count: int) -> str:
    """Return two random hexadecimal digits for each of `count` bytes."""
    return os.urandom(count).hex()


def _next_second(newest: str, otherwise: str) -> str:
    try:
        return (datetime.fromisoformat(newest) + timedelta(seconds=1)).strftime(_TIME)
    except (ValueError, OverflowError):
        return otherwise


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
