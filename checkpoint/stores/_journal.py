"""
The journal of one run in a directory of its own: the one place that appends, syncs and acknowledges.

It must never acknowledge what could be lost, never write to a journal that is not as it left it, and never go
on after a failed flush: nobody knows then what is on the disk.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from typing import Any

from checkpoint._core.lines import Mark
from checkpoint._core.records import Line
from checkpoint.errors import SaveError
from checkpoint.stores._ends import check_first, read_all
from checkpoint.stores._failures import changed, closed, damaged, forked, not_saved, reading, stopped
from checkpoint.stores._files import Files
from checkpoint.stores._layout import JOURNAL, SUMMARY, Place
from checkpoint.stores._ownership import Ownership
from checkpoint.stores._payloads import Payloads, replace_whole, write_whole
from checkpoint.stores._recovery import End, Recovered


class FileJournal:
    """
    One run that this process owns; see `Journal` for the contract.

    Args:
        descriptor: The journal, open for reading and appending; also in `ownership`, which closes it.
        recovered: What the journal held.
    """

    def __init__(self, files: Files, place: Place, ownership: Ownership, descriptor: int, recovered: Recovered) -> None:
        self._files = files
        self._place = place
        self._ownership = ownership
        self._descriptor = descriptor
        self._path = os.path.join(place.folder, JOURNAL)
        self._payloads = Payloads(files, place.folder, place.run, flushed=place.durable)
        self._recovered: bytes | None = recovered.data
        self._notes = recovered.notes
        self._end = recovered.end
        # A failed flush cuts back to here, and so never more than this session wrote.
        self._acknowledged = recovered.end
        self._unflushed_parents = place.parents if place.durable else ()
        facts = files.fstat(descriptor)
        self._inode, self._links = facts.st_ino, facts.st_nlink
        self._lock = threading.Lock()
        self._flushed = threading.Condition(self._lock)
        self._flushing = False
        self._dirty = False
        self._failure: SaveError | None = None
        self._closed = False

    @property
    def location(self) -> str:
        """The run's directory."""
        return self._place.folder

    @property
    def private(self) -> bool:
        """Whether nobody but this user can have written here."""
        return self._place.private

    @property
    def notes(self) -> list[str]:
        """What opening found and mended."""
        return self._notes

    def settle(self) -> None:
        """
        Make durable what was recovered, and mark it so.

        The last owner may have died between its write and its sync: its last records are whole, but in memory only.
        """
        if not self._end.count:
            return
        if self._place.durable:
            self._flushing = True
            self._lead(self._end)
        else:
            self._acknowledge(self._end)

    def records(self) -> bytes:
        """Return every line; what opening read is handed out once, later calls read it again."""
        self._check_owned()
        with self._lock:
            self._check_usable()
            data, self._recovered = self._recovered, None
            size = self._end.size
            if data is not None and len(data) == size:
                return data
            with reading(self._path):
                data = read_all(self._files, self._descriptor)[:size]
        if len(data) != size:
            raise damaged(self._path, self._place.run, f"it has {len(data)} bytes instead of {size}")
        return data

    def append(self, line: Line) -> None:
        """Write one line; on any failure the journal ends where it did."""
        self._check_owned()
        with self._lock:
            end = self._end
            if self._dirty or self._failure or self._closed or line.number != end.count:
                self._prepare(line)
            elif not line.number:
                check_first(line, self._place.workflow, self._place.key)
            self._check_unchanged()
            self._dirty = True
            try:
                written = self._files.write(self._descriptor, line.data)
                if written != len(line.data):
                    write_whole(self._files, self._descriptor, memoryview(line.data)[written:])
            except OSError as error:
                self._roll_back(error, line)
            # In this order: whatever interrupts between the two, cutting off at the end changes nothing.
            self._end = End(end.count + 1, end.size + len(line.data), line.sum)
            self._dirty = False

    def sync(self, number: int) -> None:
        """Flush, unless another thread's flush already covers line `number`; then set the mark."""
        self._check_owned()
        with self._lock:
            while self._flushing and self._acknowledged.count <= number:
                self._check_usable()
                self._flushed.wait()
            self._check_usable()
            if self._acknowledged.count > number:
                return
            if number >= self._end.count:
                raise ValueError(f"line {number} was not appended: the journal has {self._end.count}")
            if self._dirty:
                self._mend()
            end = self._end
            if not self._place.durable:
                self._acknowledge(end)
                return
            self._flushing = True
        self._lead(end)

    def put(self, digest: str, data: memoryview) -> None:
        """Keep a payload durably."""
        self._check_owned()
        with self._lock:
            self._check_usable()
        self._payloads.put(digest, data)

    def get(self, digest: str, size: int) -> bytearray:
        """Return a payload, verified."""
        self._check_owned()
        if self._closed:
            raise closed(self._place.run)
        return self._payloads.get(digest, size)

    def publish(self, summary: dict[str, Any]) -> None:
        """Replace `state.json`; only once a record is durable, since the file proves that there was one."""
        self._check_owned()
        if self._closed:
            raise closed(self._place.run)
        if not self._acknowledged.count:
            return
        place = self._place
        tree = {"workflow": place.workflow, "run": place.run, "key": place.key, **summary}
        if not place.durable:
            tree["boot"] = place.boot
        with suppress(OSError):
            data = (json.dumps(tree, indent=2) + "\n").encode("ascii")
            replace_whole(self._files, os.path.join(place.folder, SUMMARY), data, flushed=place.durable)

    def close(self) -> None:
        """
        Give the run up; idempotent, and nothing in a forked child.

        Raises:
            SaveError: Some file systems say only now that a write failed; the run was given up nevertheless.
        """
        if self._closed or self._ownership.forked:
            return
        with self._lock:
            while self._flushing:
                self._flushed.wait()
            if self._dirty:
                with suppress(OSError):
                    self._files.truncate(self._descriptor, self._end.size)
            self._closed = True
        try:
            self._ownership.release()
        except OSError as error:
            # What was flushed is there, whatever closing says: to speak of a loss would make the user repeat work.
            if not self._place.durable or self._acknowledged.count < self._end.count:
                raise not_saved(error, self._path, "the last records") from error

    def _lead(self, end: End) -> None:
        """Flush for every thread that waits, and acknowledge all lines up to `end`."""
        failure: OSError | None = None
        done = False
        try:
            self._files.flush(self._descriptor)
            for directory in self._unflushed_parents:
                self._files.flush_directory(directory)
            self._unflushed_parents = ()
            done = True
        except OSError as error:
            failure = error
        finally:
            with self._lock:
                self._flushing = False
                # First: whatever interrupts what follows, nobody may wait for ever.  They go on when the lock is free.
                self._flushed.notify_all()
                if done:
                    self._acknowledge(end)
                elif failure is not None:
                    self._give_up(not_saved(failure, self._path, f"record {end.count - 1}"))
        if failure is not None:
            raise not_saved(failure, self._path, f"record {end.count - 1}") from failure

    def _acknowledge(self, end: End) -> None:
        """Set the mark, which is true from now on."""
        self._acknowledged = end
        boot = self._place.boot
        if self._place.durable or boot is not None:
            self._ownership.write(Mark(end.count, end.sum, None if self._place.durable else boot).format())

    def _give_up(self, failure: SaveError) -> None:
        """Never write again; cut off what was not acknowledged, which the next process would take for durable."""
        self._failure = failure
        with suppress(OSError):
            self._files.truncate(self._descriptor, self._acknowledged.size)
        self._end = self._acknowledged

    def _roll_back(self, error: OSError, line: Line) -> None:
        failure = not_saved(error, self._path, f"a record of {len(line.data)} bytes")
        try:
            self._mend()
        except SaveError:
            self._failure = failure
        raise failure from error

    def _mend(self) -> None:
        """Cut off what an interrupted append left."""
        try:
            self._files.truncate(self._descriptor, self._end.size)
        except OSError as error:
            raise not_saved(error, self._path, "anything after an interrupted write") from error
        self._dirty = False

    def _prepare(self, line: Line) -> None:
        """Answer the rare cases of an append: an interrupted one before it, or a journal that is not for writing."""
        self._check_usable()
        if self._dirty:
            self._mend()
        if line.number != self._end.count:
            self._failure = changed(
                self._path, f"it has {self._end.count} records, and record {line.number} was to follow"
            )
            raise self._failure
        if not line.number:
            check_first(line, self._place.workflow, self._place.key)

    def _check_unchanged(self) -> None:
        """Notice a second writer on a file system without working locks, and a journal removed or replaced."""
        try:
            facts = self._files.fstat(self._descriptor)
        except OSError as error:
            raise not_saved(error, self._path, "a record") from error
        if facts.st_size != self._end.size:
            what = f"it has {facts.st_size} bytes instead of {self._end.size}"
        # A backup may link the journal; only when the links change is it worth a look at the name.
        elif facts.st_ino != self._inode or (facts.st_nlink != self._links and not self._is_in_place()):
            what = "it was removed or replaced"
        else:
            self._links = facts.st_nlink
            return
        self._failure = changed(self._path, what)
        raise self._failure

    def _is_in_place(self) -> bool:
        try:
            return self._files.lstat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise not_saved(error, self._path, "a record") from error

    def _check_owned(self) -> None:
        # Before any lock: another thread may have held it when the child was forked.
        if self._ownership.forked:
            raise forked(self._place.run)

    def _check_usable(self) -> None:
        if self._closed:
            raise closed(self._place.run)
        if self._failure is not None:
            raise stopped(self._failure)
