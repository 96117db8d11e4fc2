"""
Who owns a run: the kernel's lock on its `lock` file, for as long as the run is open, and the mark in that file.

Liveness is decided by the kernel's lock alone, never by a process id.  A forked child closes what it inherited
and must never unlock: that would drop its parent's lock.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from checkpoint._core.lines import Mark
from checkpoint.errors import StoreError
from checkpoint.stores._files import Files

# The longest mark: 28 bytes, and the boot with its newline.
_LOCK_BYTES = 128

# A process chooses its run in milliseconds; one that takes this long hangs.
WORKFLOW_LOCK_WAIT_S = 10.0
_PAUSE_S = 0.005

_Identity = tuple[int, int]


class Ownership:
    """
    One run's lock, held.

    Attributes:
        path: The lock file.
        descriptors: What is open as long as the run is, and what a forked child closes: the lock, then the journal.
        forked: Whether this is a forked child's copy, which owns nothing.
    """

    def __init__(self, files: Files, path: str, descriptor: int, identity: _Identity) -> None:
        self.path = path
        self.descriptors = [descriptor]
        self.forked = False
        self._files = files
        self._descriptor = descriptor
        self._identity = identity
        self._size = -1

    def read(self) -> bytes:
        """Return what the lock file holds: a mark, a claim, or nothing."""
        return self._files.read(self._descriptor, _LOCK_BYTES, 0)

    def write(self, data: bytes) -> None:
        """
        Replace what the lock file holds; not synced, and never an error.

        A mark that is older than the journal is always true, so that failing to advance it is harmless.  Its bytes
        lie in one page and one sector, so that neither a kill nor a power cut leaves half of them.
        """
        try:
            whole = self._files.write_at(self._descriptor, data, 0) == len(data)
            if not whole or self._size != len(data):
                self._files.truncate(self._descriptor, len(data) if whole else 0)
            self._size = len(data) if whole else -1
        except OSError:
            self._size = -1
            # Half a mark must not be read as a whole one.
            with suppress(OSError):
                self._files.truncate(self._descriptor, 0)

    def release(self) -> None:
        """
        Close every descriptor and give the lock up; idempotent, and nothing in a forked child.

        Raises:
            OSError: Closing the journal failed, and some file systems say only then that a write did.
        """
        failure: OSError | None = None
        with _table.guard:
            if self.forked or _table.owned.pop(self._identity, None) is None:
                return
            for descriptor in self.descriptors[1:]:
                try:
                    self._files.close(descriptor)
                except OSError as error:
                    failure = failure or error
            with suppress(OSError):
                # A child forked by foreign code may hold the descriptor; closing alone would leave it the lock.
                self._files.unlock(self._descriptor)
            with suppress(OSError):
                self._files.close(self._descriptor)
        if failure is not None:
            raise failure


class _Table:
    """The runs that this process owns, and the locks that keep forks away while that changes."""

    def __init__(self) -> None:
        self.owned: dict[_Identity, Ownership] = {}
        self.guard = threading.RLock()
        self.choosing = threading.Lock()
        self.watched = False

    def watch_forks(self) -> None:
        if not self.watched and hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: self.guard.acquire() and None,
                after_in_parent=lambda: self.guard.release(),
                after_in_child=self._forget,
            )
        self.watched = True

    def _forget(self) -> None:
        owned, self.owned = self.owned, {}
        self.guard, self.choosing = threading.RLock(), threading.Lock()
        for ownership in owned.values():
            ownership.forked = True
            for descriptor in ownership.descriptors:
                with suppress(OSError):
                    os.close(descriptor)


_table = _Table()


def take(files: Files, path: str) -> Ownership | None:
    """Lock the file at `path`, making it if need be, or return None if this or another process owns the run."""
    with _table.guard:
        _table.watch_forks()
        # Before opening: where locks belong to processes, closing a second descriptor would drop the first one's.
        if _owner_here(files, path) is not None:
            return None
        descriptor = _open_or_create(files, path)
        try:
            facts = files.fstat(descriptor)
            identity = (facts.st_dev, facts.st_ino)
            if files.try_lock(descriptor):
                ownership = Ownership(files, path, descriptor, identity)
                _table.owned[identity] = ownership
                return ownership
        except BaseException:
            files.close(descriptor)
            raise
        files.close(descriptor)
        return None


def read_lock(files: Files, path: str) -> bytes:
    """Return what the lock file of a run holds, without owning the run; empty if there is none."""
    with _table.guard:
        if (ownership := _owner_here(files, path)) is not None:
            return ownership.read()
        try:
            descriptor = files.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return files.read(descriptor, _LOCK_BYTES, 0)
        finally:
            files.close(descriptor)


def claim(key: str | None) -> bytes:
    """Return what the lock file of a run says before its first record: for which key it is, and no mark."""
    return b"claim %b\n" % sha256(json.dumps(key).encode("ascii")).hexdigest()[:16].encode("ascii")


def read_mark(files: Files, path: str, boot: str | None) -> Mark | None:
    """Return the mark of a run, or None if there is none, or it holds for another boot of the machine."""
    mark = Mark.parse(read_lock(files, path))
    return mark if mark is None or mark.boot is None or mark.boot == boot else None


@contextmanager
def workflow_lock(files: Files, path: str) -> Iterator[None]:
    """
    Hold the lock of a workflow's directory, which makes choosing a run one step.

    Raises:
        StoreError: Another process has held it for `WORKFLOW_LOCK_WAIT_S`.
    """
    if not _table.choosing.acquire(timeout=WORKFLOW_LOCK_WAIT_S):
        raise _busy(path)
    choosing = _table.choosing
    try:
        descriptor = _open_or_create(files, path)
        try:
            waited = 0.0
            while not files.try_lock(descriptor):
                if waited >= WORKFLOW_LOCK_WAIT_S:
                    raise _busy(path)
                files.sleep(_PAUSE_S)
                waited += _PAUSE_S
            try:
                yield
            finally:
                # Closing is not enough: a child forked meanwhile has the descriptor too.
                files.unlock(descriptor)
        finally:
            files.close(descriptor)
    finally:
        choosing.release()


def _busy(path: str) -> StoreError:
    return StoreError(
        f"cannot choose a run: {path!r} has been locked by another process for {WORKFLOW_LOCK_WAIT_S:.0f} s. "
        "See whether a stopped or hanging process holds it (`fuser` names it), then run the same command again.",
        slug="store-busy",
        path=path,
    )


def _owner_here(files: Files, path: str) -> Ownership | None:
    try:
        facts = files.stat(path)
    except FileNotFoundError:
        return None
    return _table.owned.get((facts.st_dev, facts.st_ino))


def _open_or_create(files: Files, path: str) -> int:
    try:
        return files.open(path, os.O_RDWR)
    except FileNotFoundError:
        pass
    try:
        return files.create(path, os.O_RDWR)
    except FileExistsError:
        return files.open(path, os.O_RDWR)
