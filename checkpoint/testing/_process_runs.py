"""
What one process did to the runs under a home, read from their journals while it works.

A session's `opened` record names its process; what follows it, up to the next one, is that process's work.  This
module must never own a run, nor change a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from checkpoint._core import lines
from checkpoint._core.records import RUN_KEY
from checkpoint.stores._files import Files
from checkpoint.stores._layout import JOURNAL, LOCK, boot_id
from checkpoint.stores._ownership import read_mark


@dataclass(frozen=True, slots=True)
class Tally:
    """
    What a process found and did.

    Attributes:
        runs: Ids of the runs it opened.
        kept: Completed calls that they had before.
        ran: Calls that it completed.
    """

    runs: tuple[str, ...] = ()
    kept: int = 0
    ran: int = 0

    @property
    def saved(self) -> int:
        """Completed calls in all."""
        return self.kept + self.ran


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int  # of its line
    offset: int  # of its line
    key: str
    pid: int | None  # of an `opened` record; None for a completed call


@dataclass(slots=True)
class _Journal:
    path: str
    size: int = 0
    count: int = 0
    entries: list[_Entry] = field(default_factory=list)
    before: int = 0  # its size when the watch began

    def read(self) -> None:
        """Read what was added since the last time."""
        try:
            found = os.stat(self.path).st_size
            if found < self.size:
                self.size = self.count = 0
                self.entries.clear()
            if found == self.size:
                return
            with open(self.path, "rb") as file:
                file.seek(self.size)
                data = file.read()
        except FileNotFoundError:
            return
        for line in lines.split(data):
            entry = _entry(line, self.count, self.size)
            if entry is not None:
                self.entries.append(entry)
            self.count += 1
            self.size += len(line) + 1

    def durable_count(self) -> int:
        """Return how many of its lines were acknowledged, or all of them where that is not written down."""
        files = Files()
        boot = boot_id(files)
        mark = read_mark(files, os.path.join(os.path.dirname(self.path), LOCK), boot)
        if mark is not None:
            return mark.count
        return self.count if boot is None else 0


def _entry(line: bytes, number: int, offset: int) -> _Entry | None:
    # A test may have damaged the journal: what cannot be read is nobody's work.
    with suppress(ValueError, KeyError, TypeError):
        key, kind = lines.key_and_kind(line)
        if key == RUN_KEY and kind == "opened":
            return _Entry(number, offset, key, json.loads(line)["pid"])
        if key != RUN_KEY and kind == "completed":
            return _Entry(number, offset, key, None)
    return None


class RunWatch:
    """
    Follows the journals under a home from this moment on.

    Args:
        home: The directory of the store; it need not exist yet.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self._journals: dict[str, _Journal] = {}
        for journal in self._read():
            # Records of now are told from those of an earlier process that had the same id.
            journal.before = journal.size

    def tally(self, pid: int, *, durable: bool) -> Tally:
        """
        Return what process `pid` did since the watch began.

        A finished run that was opened again with `once=True` has no record of that, and is not counted.

        Args:
            pid: The process.
            durable: Whether to count only what was acknowledged; a process that was killed leaves more than that.
        """
        runs: list[str] = []
        kept = ran = 0
        for journal in self._read():
            if not any(entry.pid == pid for entry in journal.entries):
                continue
            limit = journal.durable_count() if durable else journal.count
            found, own = _count(journal, pid, limit)
            if own is not None:
                runs.append(os.path.basename(os.path.dirname(journal.path)))
                kept, ran = kept + found, ran + own
        return Tally(tuple(runs), kept, ran)

    def _read(self) -> list[_Journal]:
        for path in _journal_paths(os.path.join(self.home, "runs")):
            self._journals.setdefault(path, _Journal(path))
        for journal in self._journals.values():
            journal.read()
        return list(self._journals.values())


def _count(journal: _Journal, pid: int, limit: int) -> tuple[int, int | None]:
    """Return how many completed calls the process found in the first `limit` lines, and how many it added to them."""
    before: set[str] = set()
    ran: int | None = None
    owner: int | None = None
    for entry in journal.entries:
        if entry.number >= limit:
            break
        if entry.pid is not None:
            owner = entry.pid if entry.offset >= journal.before else None
            ran = ran or 0 if owner == pid else ran
        elif owner == pid:
            ran = (ran or 0) + 1
        elif ran is None:
            before.add(entry.key)
    return len(before), ran


def _journal_paths(directory: str) -> Iterator[str]:
    for folder in _folders(directory):
        for run in _folders(folder):
            yield os.path.join(run, JOURNAL)


def _folders(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as found:
            return sorted(entry.path for entry in found if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
