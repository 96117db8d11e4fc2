"""
The journal's line format: seal lines, find lines, and judge whether a journal is whole.

A journal is a file of lines, each one JSON object in ASCII that ends with a newline:

    {"key":"<key>","kind":"<kind>","n":<number>,<members>,"sum":"<16 hexadecimal digits>"}

`n` counts from 0 without gaps.  `sum` is the first 16 digits of the SHA-256 of every byte of the journal
before this line's `,"sum":`, so that one call verifies a whole file, a person can recompute it with
`head -c` and `sha256sum`, and a missing, repeated, swapped or foreign line is found as surely as a
damaged one.  The first line carries the format's version and a random nonce, which makes every journal's
sums its own.

A mark says how much of a journal was acknowledged; it is kept elsewhere and written only after the
journal was made durable, so that it may lag behind the journal but is never ahead of it.

This module must never touch a file, and never mend anything: it says what is there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from checkpoint._core.records import FORMAT, Line
from checkpoint.errors import SaveError

# A reader must never be made to hold more than this for one line, be it damaged or hostile.
MAX_LINE_BYTES = 64 * 1024 * 1024

# Disks and file systems lose or zero whole sectors of this size.
SECTOR_BYTES = 512

# `,"sum":"` + 16 digits + `"}` + newline.
_TAIL_BYTES = 27

_START = re.compile(rb'\{"key":"[^"\\\n]*","kind":"[^"\\\n]*","n":(0|[1-9][0-9]{0,17}),')
_MARK = re.compile(rb"([0-9]{10}) ([0-9a-f]{16})\n(?:([0-9a-f-]{36})\n)?")


class Chain:
    """
    The running checksum of one journal; makes the lines that may follow.  Not safe for threads.

    Attributes:
        count: Number of lines accepted, and so the number of the next one.
    """

    __slots__ = ("_digest", "_sealed", "_sealed_digest", "count")

    def __init__(self) -> None:
        self._digest = sha256()
        self._sealed: Line | None = None
        self._sealed_digest = self._digest
        self.count = 0

    @classmethod
    def resume(cls, data: bytes) -> Chain:
        """Return the chain that continues `data`, which must have been found whole by `inspect`."""
        chain = cls()
        chain._digest.update(data)
        chain.count = data.count(b"\n")
        return chain

    def seal(self, key: str, kind: str, members: str) -> Line:
        """
        Return the next line; the chain does not advance until it is accepted, so that a failed write can be repeated.

        Args:
            key: What the record speaks of; without quotes, backslashes and control characters.
            kind: What it says; likewise.
            members: JSON text of the other members without braces, as in `"at":"…","value":1`; may be empty.

        Raises:
            SaveError: The line would be longer than `MAX_LINE_BYTES`.
            ValueError: The parts do not make one line of ASCII.
        """
        comma = "," if members else ""
        body = f'{{"key":"{key}","kind":"{kind}","n":{self.count}{comma}{members}'.encode("ascii")
        if len(body) > MAX_LINE_BYTES - _TAIL_BYTES:
            raise SaveError(
                f"cannot save a record of {len(body)} bytes: a record holds at most {MAX_LINE_BYTES} bytes. "
                "Return large values from steps instead of keeping them in the state.",
                slug="record-too-large",
                path="",
                errno=None,
            )
        if b"\n" in body or '"' in key or "\\" in key:
            raise ValueError(f"these parts do not make one line: key {key!r}, kind {kind!r}")
        digest = self._digest.copy()
        digest.update(body)
        checksum = digest.hexdigest()[:16]
        line = Line(self.count, b'%b,"sum":"%b"}\n' % (body, checksum.encode("ascii")), checksum)
        self._sealed, self._sealed_digest = line, digest
        return line

    def accept(self, line: Line) -> None:
        """
        Advance past `line`, which was sealed here and has been written.

        Raises:
            ValueError: It is not the next line.
        """
        if line.number != self.count:
            raise ValueError(f"line {line.number} is not the next line, {self.count}")
        if line is self._sealed:
            # What seal hashed is not hashed again: a line may hold 32 KiB.
            self._digest = self._sealed_digest
            self._digest.update(line.data[-_TAIL_BYTES:])
            self._sealed = None
        else:
            self._digest.update(line.data)
        self.count += 1


@dataclass(frozen=True, slots=True)
class Mark:
    """
    How much of a journal was acknowledged, kept outside it.

    Attributes:
        count: Number of lines that were durable.
        sum: Checksum of the last of them.
        boot: With `durability="process"`, the boot of the machine for which this holds; else None.
    """

    count: int
    sum: str
    boot: str | None = None

    def format(self) -> bytes:
        """Return the 28 bytes `<10-digit count> <sum>` and a newline, followed by the boot, if any, and a newline."""
        boot = f"{self.boot}\n" if self.boot else ""
        return f"{self.count:010d} {self.sum}\n{boot}".encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> Mark | None:
        """Return the mark, or None if it cannot be read: it is derived, and its loss is no damage."""
        found = _MARK.fullmatch(data)
        if found is None or int(found[1]) == 0:
            return None
        boot = found[3].decode("ascii") if found[3] else None
        return cls(int(found[1]), found[2].decode("ascii"), boot)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What was found in a journal.

    Attributes:
        kind: `whole`; `torn`, an unfinished write at the end that was never acknowledged and may be cut off;
            `damaged`; `missing`, acknowledged lines are gone; `newer`, written by a newer version.
        count: Number of good lines at the beginning.
        size: Their size in bytes.
        sum: Checksum of the last of them, or an empty string.
        line: Number of the first bad line, from 1, or None.
        reason: What is wrong with it.
        version: Version of the format, if it is a newer one.
    """

    kind: Literal["whole", "torn", "damaged", "missing", "newer"]
    count: int
    size: int
    sum: str = ""
    line: int | None = None
    reason: str = ""
    version: int = FORMAT


def split(data: bytes) -> list[bytes]:
    """Return the whole lines of `data`, without their newlines."""
    lines = data.split(b"\n")
    lines.pop()
    return lines


def key_and_kind(line: bytes) -> tuple[str, str]:
    """
    Return a verified line's key and kind without parsing it.

    Raises:
        ValueError: It is not a line of a journal.
    """
    # Twice as quick as looking for each quote.
    _, _, _, key, _, _, _, kind, _ = line.split(b'"', 8)
    return key.decode("ascii"), kind.decode("ascii")


def inspect(data: bytes, mark: Mark | None) -> Verdict:
    """
    Return what a journal is worth: one pass over `data` when all is well.

    A journal without a single line is whole, unless the mark says that there were some.
    """
    version = format_version(data)
    if version > FORMAT:
        reason = f"its format is {version}, and this version reads up to {FORMAT}"
        return Verdict("newer", 0, 0, line=1, reason=reason, version=version)
    end = data.rfind(b"\n") + 1
    count = data.count(b"\n", 0, end)
    start = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
    # The last line's sum covers all bytes before it: if that one is right, so is every other line.
    if end and (_too_long(data, end) or _check(data, start, end, count - 1)):
        return _first_bad(data, end, mark)
    checksum = data[end - 19 : end - 3].decode("ascii") if end else ""
    if mark is not None and (refusal := _against_mark(data, end, count, mark)):
        return refusal
    if end < len(data):
        return Verdict("torn", count, end, checksum, count + 1, "it is incomplete")
    return Verdict("whole", count, end, checksum)


def format_version(data: bytes) -> int:
    """Return the version of the format named by the first line, or 0 if it cannot be read."""
    try:
        version = json.loads(data[: max(data.find(b"\n", 0, MAX_LINE_BYTES), 0)])["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return version if type(version) is int else 0


def _fault(data: bytes, start: int, stop: int, number: int, claimed: bytes, computed: str) -> str:
    """Return what is wrong with the line from `start` to `stop`, or an empty string."""
    head = _START.match(data, start, stop)
    if head is None or data[stop - 27 : stop - 19] != b',"sum":"' or data[stop - 3 : stop] != b'"}\n':
        return "it is not a record"
    if int(head[1]) != number:
        return f"record {int(head[1])} stands where record {number} should be"
    return "" if claimed == computed.encode("ascii") else "its checksum is wrong"


def _check(data: bytes, start: int, stop: int, number: int) -> str:
    computed = sha256(memoryview(data)[: max(stop - _TAIL_BYTES, 0)]).hexdigest()[:16]
    return _fault(data, start, stop, number, data[stop - 19 : stop - 3], computed)


def _too_long(data: bytes, end: int) -> bool:
    start = 0
    while end - start > MAX_LINE_BYTES:
        start = data.rfind(b"\n", start, start + MAX_LINE_BYTES) + 1
        if start == 0:
            return True
    return False


def _first_bad(data: bytes, end: int, mark: Mark | None) -> Verdict:
    """Return the verdict on a journal of which it is known that a line is bad."""
    view, digest, start, number, checksum = memoryview(data), sha256(), 0, 0, ""
    reason = "its checksum is wrong"
    while start < end:
        stop = data.index(b"\n", start) + 1
        digest.update(view[start : max(stop - _TAIL_BYTES, start)])
        reason = _fault(data, start, stop, number, data[stop - 19 : stop - 3], digest.hexdigest()[:16])
        if stop - start > MAX_LINE_BYTES:
            reason = f"it is longer than {MAX_LINE_BYTES} bytes"
        if reason:
            break
        digest.update(view[stop - _TAIL_BYTES : stop])
        checksum = data[stop - 19 : stop - 3].decode("ascii")
        start, number = stop, number + 1
    acknowledged = mark is not None and mark.count > number
    if mark is not None and not acknowledged and (refusal := _against_mark(data, start, number, mark)):
        return refusal
    # A power cut may leave zeros instead of a write that was begun; good lines after it mean something else.
    if not acknowledged and data.find(b"\n", start) + 1 == end and _has_zero_sector(data, start, end):
        return Verdict("torn", number, start, checksum, number + 1, "it is incomplete")
    return Verdict("damaged", number, start, checksum, number + 1, reason)


def _has_zero_sector(data: bytes, start: int, stop: int) -> bool:
    first = -(-start // SECTOR_BYTES) * SECTOR_BYTES
    sectors = range(first, stop - SECTOR_BYTES + 1, SECTOR_BYTES)
    return any(not any(data[sector : sector + SECTOR_BYTES]) for sector in sectors)


def _against_mark(data: bytes, size: int, count: int, mark: Mark) -> Verdict | None:
    """Return why `count` good lines are not what the mark says was saved, or None."""
    if mark.count > count:
        reason = (
            f"it ends at record {count}, but {mark.count} had been saved; was the file restored from an older copy?"
        )
        return Verdict("missing", count, size, line=count + 1, reason=reason)
    stop = size
    for _ in range(count - mark.count):
        stop = data.rfind(b"\n", 0, stop - 1) + 1
    if data[stop - 19 : stop - 3] == mark.sum.encode("ascii"):
        return None
    reason = f"record {mark.count - 1} is not the one that was saved; is the file from another run?"
    return Verdict("damaged", mark.count - 1, size, line=mark.count, reason=reason)
