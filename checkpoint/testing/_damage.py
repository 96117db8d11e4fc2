"""
Damage to a file, as functions of its bytes: what disks, crashes, careless copies and editors do to the files of a run.

Pure: files are read and written by whoever calls.  `KINDS` lists every kind, `positions` every place where one can
strike, so that a test can go through all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from checkpoint._core.lines import SECTOR_BYTES
from checkpoint.errors import UsageError

# What a crash leaves of a record whose journal has no line to take it from.
_TORN_RECORD = b'{"key":"run","ki'


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of damage.

    Attributes:
        name: What `damage` calls it.
        unit: What `at` counts: `byte` from 0, `line` from 1, `record` from the end (1 is the last), or None if the
            damage has no place.
        change: Given the contents and `at`, returns the new contents.
        said: What was done, with `{at}`, `{next}` and `{bytes}` (how much was added) to be filled in.
    """

    name: str
    unit: Literal["byte", "line", "record"] | None
    change: Callable[[bytes, int], bytes]
    said: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """
    What damage makes of a file.

    Attributes:
        data: The new contents, or None: the file is to be removed.
        at: Where it struck, counted from the beginning, or None for a kind that has no place.
        said: What was done, for people.
    """

    data: bytes | None
    at: int | None
    said: str


def flip(data: bytes, at: int, bit: int = 0) -> bytes:
    """Return `data` with one bit of byte `at` turned over."""
    return b"".join([data[:at], bytes([data[at] ^ 1 << bit]), data[at + 1 :]])


def cut(data: bytes, at: int) -> bytes:
    """Return the first `at` bytes."""
    return data[:at]


def zero(data: bytes, at: int) -> bytes:
    """Return `data` with zeros for the 512 bytes of the disk's sector that byte `at` lies in; the length stays."""
    start = at - at % SECTOR_BYTES
    gone = len(data[start : start + SECTOR_BYTES])
    return b"".join([data[:start], bytes(gone), data[start + gone :]])


def drop(data: bytes, line: int) -> bytes:
    """Return `data` without this line, counted from 1."""
    lines = _lines(data)
    return b"".join(lines[: line - 1] + lines[line:])


def double(data: bytes, line: int) -> bytes:
    """Return `data` with this line twice."""
    lines = _lines(data)
    return b"".join(lines[:line] + lines[line - 1 :])


def swap(data: bytes, line: int) -> bytes:
    """Return `data` with this line and the next in each other's place."""
    lines = _lines(data)
    return b"".join([*lines[: line - 1], lines[line], lines[line - 1], *lines[line + 1 :]])


def append(data: bytes) -> bytes:
    """Return `data` with the first half of one more line, as a crash in the middle of a write leaves it."""
    whole = _whole_lines(data)
    return data + (whole[-1][: len(whole[-1]) // 2] if whole else _TORN_RECORD)


def older(data: bytes, records: int) -> bytes:
    """Return what the journal was before its last records were written, whole or torn."""
    whole = _whole_lines(data)
    return b"".join(whole[: len(whole) - records])


# Those that only a file of lines, the journal, can have, and those for every file.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("flip", "byte", flip, "flipped the lowest bit of byte {at}"),
        Kind("cut", "byte", cut, "cut off everything from byte {at}"),
        Kind("zero", "byte", zero, "put zeros into the disk's sector of byte {at}"),
        Kind("remove", None, lambda data, at: data, "removed the file"),
        Kind("drop", "line", drop, "dropped line {at}"),
        Kind("double", "line", double, "doubled line {at}"),
        Kind("swap", "line", swap, "swapped lines {at} and {next}"),
        Kind("append", None, lambda data, at: append(data), "appended {bytes} bytes of an unfinished line"),
        Kind("older", "record", older, "put back the journal of {at} record(s) ago"),
    )
}
FOR_JOURNALS = frozenset({"drop", "double", "swap", "append", "older"})


def find_kind(name: str) -> Kind:
    """
    Return the kind of damage with this name.

    Raises:
        UsageError: There is none.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"There is no damage {name!r}. Kinds: {', '.join(KINDS)}.", value=name)
    return kind


def positions(name: str, data: bytes) -> range:
    """
    Return every `at` at which this kind of damage can strike, each with another outcome; empty if it has no place.

    Raises:
        UsageError: There is no such kind.
    """
    kind = find_kind(name)
    possible = _possible(kind, data)
    return possible[::SECTOR_BYTES] if name == "zero" else possible


def damage(name: str, data: bytes, at: int | None = None) -> Damaged:
    """
    Return what one kind of damage makes of `data`.

    Args:
        name: One of `KINDS`.
        data: Contents of the file.
        at: Where: number of a byte from 0 or of a line from 1, negative from the end; for `older`, how many
            records ago.  By default in the middle, for `older` one record ago.

    Raises:
        UsageError: There is no such kind or place, or nothing would change.
    """
    kind = find_kind(name)
    place = _place(kind, data, at)
    if name == "remove":
        return Damaged(None, None, kind.said)
    changed = kind.change(data, place or 0)
    if changed == data:
        raise UsageError(f"damage {name!r} at {place} changes nothing: these bytes are there already.", value=at)
    said = kind.said.format(at=place, next=(place or 0) + 1, bytes=len(changed) - len(data))
    return Damaged(changed, place, said)


def _possible(kind: Kind, data: bytes) -> range:
    if kind.unit is None:
        return range(0)
    if kind.unit == "byte":
        return range(len(data))
    lines = len(_whole_lines(data))
    return range(1, lines if kind.name == "swap" else lines + 1)


def _place(kind: Kind, data: bytes, at: int | None) -> int | None:
    if kind.unit is None:
        if at is not None:
            raise UsageError(f"damage {kind.name!r} has no place, and at={at!r} was given. Leave at= out.", value=at)
        return None
    possible = _possible(kind, data)
    if not possible:
        lacking = "two lines" if kind.name == "swap" else "one byte" if kind.unit == "byte" else "one line"
        raise UsageError(f"damage {kind.name!r} needs a file of at least {lacking}, and this one is shorter.", value=at)
    if at is None:
        return 1 if kind.unit == "record" else possible[len(possible) // 2]
    if type(at) is not int:
        raise UsageError(f"at={at!r} is no place. Give a number.", value=at)
    found = possible.stop + at if at < 0 and kind.unit != "record" else at
    if found not in possible:
        backwards = "" if kind.unit == "record" else f", or -1 to {-len(possible)} from the end"
        raise UsageError(
            f"damage {kind.name!r} cannot strike at {at}: this file has {kind.unit}s {possible[0]} to {possible[-1]} "
            f"for it. Give one of these{backwards}.",
            value=at,
        )
    return found


def _lines(data: bytes) -> list[bytes]:
    """Return the lines with their newlines; the last one may have none."""
    # Not splitlines: it would also split at the carriage returns and form feeds that damage can make.
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _whole_lines(data: bytes) -> list[bytes]:
    return [line for line in _lines(data) if line.endswith(b"\n")]
