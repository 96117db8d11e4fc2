"""
Every operation on files that the file store does, in one small object that tests replace to fail, tear or kill.

It must never decide anything and never catch what it cannot answer: an `OSError` goes up as it is.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

# A link in place of a file of ours is refused, and no program we start inherits a descriptor.
_ALWAYS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

# Windows locks bytes, and locked bytes cannot be read: this one lies beyond everything the file holds.
_LOCKED_BYTE = 1 << 20

# A scanner or an editor that holds a file open on Windows lets go of it within about this time.
_REPLACE_TRIES = 20
_REPLACE_PAUSE_S = 0.05


class Files:
    """The real operations.  Paths are absolute; descriptors are the caller's to close."""

    def open(self, path: str, flags: int) -> int:
        """Open what exists."""
        return os.open(path, flags | _ALWAYS)

    def create(self, path: str, flags: int) -> int:
        """Create a file that only its owner can read, whatever the umask; FileExistsError if something is there."""
        descriptor = os.open(path, flags | _ALWAYS | os.O_CREAT | os.O_EXCL, FILE_MODE)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, FILE_MODE)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Close; the descriptor is gone even if this raises."""
        os.close(descriptor)

    def stat(self, path: str) -> os.stat_result:
        """Return the facts of what `path` names, following links."""
        return os.stat(path)

    def lstat(self, path: str) -> os.stat_result:
        """Return the facts of `path` itself, which may be a link."""
        return os.lstat(path)

    def fstat(self, descriptor: int) -> os.stat_result:
        """Return the facts of an open file."""
        return os.fstat(descriptor)

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, in no order."""
        return os.listdir(path)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty at the end."""
        if hasattr(os, "pread"):
            return os.pread(descriptor, size, offset)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)

    def read_into(self, descriptor: int, view: memoryview) -> int:
        """Read on into `view` and return how many bytes came; 0 at the end."""
        if hasattr(os, "readv"):
            return os.readv(descriptor, [view])
        data = os.read(descriptor, len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write some of `data` and return how much, which may be less than all."""
        return os.write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        """Overwrite at `offset` and return how much was written."""
        if hasattr(os, "pwrite"):
            return os.pwrite(descriptor, data, offset)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file off; needs no space."""
        os.ftruncate(descriptor, size)

    def flush(self, descriptor: int) -> None:
        """Return once the file's contents and size are on the disk, past the drive's own cache."""
        _flush(descriptor)

    def flush_directory(self, path: str) -> None:
        """Return once the names in a directory are on the disk; Windows has no such operation."""
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            _flush_names(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, source: str, target: str) -> None:
        """Give `source` the name `target`, in one step for everybody who looks."""
        for remaining in range(_REPLACE_TRIES, -1, -1):
            try:
                os.replace(source, target)
                return
            except PermissionError:
                if os.name != "nt" or not remaining:
                    raise
                time.sleep(_REPLACE_PAUSE_S)

    def make_directory(self, path: str) -> None:
        """Make a directory that only its owner can enter, whatever the umask; FileExistsError if something is there."""
        os.mkdir(path, DIRECTORY_MODE)
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & 0o777 != DIRECTORY_MODE:
            # The set-group bit stays: shared disks count space by it.
            os.chmod(path, mode & ~0o777 | DIRECTORY_MODE)

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def try_lock(self, descriptor: int) -> bool:
        """Lock the file for this process and return whether that went; OSError where there are no locks."""
        return _try_lock(descriptor)

    def unlock(self, descriptor: int) -> None:
        """Give a lock up, also for descriptors that a forked child still holds."""
        _unlock(descriptor)

    def now(self) -> float:
        """Return the time in seconds since 1970, for names and messages only."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait, for a lock that another process is about to give up."""
        time.sleep(seconds)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

    def _flush(descriptor: int) -> None:
        os.fsync(descriptor)

    def _flush_names(descriptor: int) -> None:
        raise NotImplementedError
else:
    import fcntl

    # macOS: fsync leaves the data in the drive's cache, only this reaches the disk.
    _FULL = getattr(fcntl, "F_FULLFSYNC", None)
    _UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY)

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _flush(descriptor: int) -> None:
        if _FULL is not None:
            _flush_names(descriptor)
        elif hasattr(os, "fdatasync"):
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def _flush_names(descriptor: int) -> None:
        if _FULL is not None:
            try:
                fcntl.fcntl(descriptor, _FULL)
                return
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
        os.fsync(descriptor)
