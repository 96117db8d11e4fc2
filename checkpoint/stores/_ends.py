"""
Read the two ends of a journal: which run it is, and how it ended, without reading what is between.

It must never verify more than the first line: whoever continues a run reads it whole.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from checkpoint._core.lines import MAX_LINE_BYTES, inspect, key_and_kind
from checkpoint._core.records import RUN_KEY, Line, RunSummary, Status
from checkpoint.stores._files import Files

# Most first and last lines are shorter than this; longer ones take further reads.
_CHUNK_BYTES = 64 * 1024

# Enough for almost every first line; whether a run has another key is asked of all of them when one is chosen.
_HEAD_BYTES = 4 * 1024

_END_STATUS: dict[str, Status] = {"finished": "finished", "failed": "failed", "stopped": "stopped"}


@dataclass(frozen=True, slots=True)
class Header:
    """
    What the first line of a journal says: which run it is.

    Attributes:
        workflow: Name of the workflow; the member `workflow`.
        key: What tells the workflow's runs apart, or None; the member `key_of_run`, since `key` is every line's own.
        command: Command line that created the run; the member `command`.
        at: When the run was created, ISO 8601 in UTC; the member `at`, or empty.
    """

    workflow: str
    key: str | None
    command: tuple[str, ...]
    at: str = ""

    @classmethod
    def parse(cls, line: bytes) -> Header | None:
        """Return what a journal's first line says, or None if it is damaged or no such line."""
        if inspect(line, None).kind not in ("whole", "newer"):
            return None
        try:
            tree = json.loads(line)
            key = tree["key_of_run"]
            return cls(
                str(tree["workflow"]),
                None if key is None else str(key),
                tuple(str(word) for word in tree.get("command", ())),
                str(tree.get("at", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Ends:
    """
    The ends of a journal.

    Attributes:
        header: What its first line says, or None if that is damaged or there is none.
        last: Its last whole line, without the newline; empty if there is none.
    """

    header: Header | None
    last: bytes

    @property
    def begun(self) -> bool:
        """Whether there is a single whole line."""
        return bool(self.last)

    @property
    def status(self) -> Status:
        """How the run ended; `running` without an end record."""
        try:
            key, kind = key_and_kind(self.last)
        except ValueError:
            return "running"
        return _END_STATUS.get(kind, "running") if key == RUN_KEY else "running"

    def age(self, run: str) -> tuple[str, str, str]:
        """Return what sorts runs of all workflows by the time they were created; ids alone tell whole seconds."""
        return run.partition("-")[0], self.header.at if self.header else "", run

    def summary(self, workflow: str, run: str) -> RunSummary:
        """Return what a listing shows."""
        if self.header is None:
            return RunSummary(workflow, run, None, "lost", None)
        try:
            at = json.loads(self.last).get("at")
        except (ValueError, AttributeError, RecursionError):
            at = None
        at = at if isinstance(at, str) else None
        return RunSummary(self.header.workflow, run, self.header.key, self.status, at, self.header.command)


def check_first(line: Line, workflow: str, key: str | None) -> None:
    """
    Refuse a first line by which the run would not be found again.

    Raises:
        ValueError: It does not name this workflow and key.
    """
    header = Header.parse(line.data)
    if header is None or (header.workflow, header.key) != (workflow, key):
        raise ValueError(f"the first line must name workflow {workflow!r} and key {key!r}: {line.data[:200]!r}")


def ends_of(data: bytes) -> Ends:
    """Return the ends of a journal that is in memory."""
    end = data.rfind(b"\n")
    if end < 0:
        return Ends(None, b"")
    first = data[: data.find(b"\n") + 1]
    return Ends(Header.parse(first), data[data.rfind(b"\n", 0, end) + 1 : end])


def read_ends(files: Files, path: str) -> Ends | None:
    """Return the ends of the journal at `path`, or None if there is no such file; OSError if it cannot be read."""
    try:
        descriptor = files.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        size = files.fstat(descriptor).st_size
        head = files.read(descriptor, _CHUNK_BYTES, 0)
        if len(head) >= size:
            return ends_of(head)
        head = _until_newline(files, descriptor, head)
        newline = head.find(b"\n")
        if newline < 0:
            return Ends(None, b"")
        return Ends(Header.parse(head[: newline + 1]), _last_line(files, descriptor, size))
    finally:
        files.close(descriptor)


def read_header(files: Files, path: str) -> Header | None:
    """Return what the first line of the journal at `path` says, or None if that takes a closer look."""
    try:
        descriptor = files.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        head = files.read(descriptor, _HEAD_BYTES, 0)
    finally:
        files.close(descriptor)
    return Header.parse(head[: head.find(b"\n") + 1])


def read_whole(files: Files, path: str) -> bytes:
    """Return all bytes of a file; OSError if it cannot be read."""
    descriptor = files.open(path, os.O_RDONLY)
    try:
        return read_all(files, descriptor)
    finally:
        files.close(descriptor)


def read_all(files: Files, descriptor: int) -> bytes:
    """Return all bytes of an open file."""
    chunks: list[bytes] = []
    size = 0
    wanted = files.fstat(descriptor).st_size
    while chunk := files.read(descriptor, max(wanted - size, _CHUNK_BYTES), size):
        chunks.append(chunk)
        size += len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def last_owner(data: bytes) -> dict[str, Any]:
    """Return what the last session said of itself: `pid`, `host`, `command` and `since`; empty if it cannot be read."""
    start = data.rfind(b'{"key":"%b","kind":"opened",' % RUN_KEY.encode("ascii"))
    try:
        record = json.loads(data[start : data.find(b"\n", max(start, 0))])
        return {
            "pid": record["pid"],
            "host": record["host"],
            "command": record["command"],
            "since": record["at"],
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _until_newline(files: Files, descriptor: int, head: bytes) -> bytes:
    while b"\n" not in head[-_CHUNK_BYTES:] and len(head) < MAX_LINE_BYTES:
        chunk = files.read(descriptor, _CHUNK_BYTES, len(head))
        if not chunk:
            break
        head += chunk
    return head


def _last_line(files: Files, descriptor: int, size: int) -> bytes:
    width = _CHUNK_BYTES
    while True:
        start = max(size - width, 0)
        tail = files.read(descriptor, size - start, start)
        end = tail.rfind(b"\n")
        before = tail.rfind(b"\n", 0, max(end, 0))
        if before >= 0 or start == 0 or width > 2 * MAX_LINE_BYTES:
            return tail[before + 1 : max(end, 0)]
        width *= 4
