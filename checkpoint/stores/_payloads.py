"""
The payload files of one run: written once under the SHA-256 of their contents, verified when read.

It must never copy a payload in memory as a whole, never keep one that is not its digest's, and never hand back a
byte that was not put.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from hashlib import sha256

from checkpoint.errors import SaveError, StoreError
from checkpoint.stores._failures import damaged, not_saved, payload_changed, reading
from checkpoint.stores._files import Files

# Hashed while it is still in the processor's cache, and large enough that the calls cost nothing.
_READ_BYTES = 256 * 1024

# One call for more than this would keep a signal waiting.
_WRITE_BYTES = 16 * 1024 * 1024

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"tmp-[0-9a-f]{16}")


class Payloads:
    """
    The payloads of one run.  Safe for threads: every write has a file of its own until it is renamed.

    Args:
        folder: The run's directory.
        flushed: Whether a payload must survive a power cut.
    """

    def __init__(self, files: Files, folder: str, run: str, *, flushed: bool) -> None:
        self._files = files
        self._folder = folder
        self._root = os.path.join(folder, "payloads")
        self._run = run
        self._flushed = flushed
        self._kept: dict[str, int] = {}
        # A directory that exists may have been made by a session that died before its name was durable.
        self._durable: set[str] = set()

    def put(self, digest: str, data: memoryview) -> None:
        """Write a payload durably; one that this process has written is not written again."""
        path = self._path(digest)
        try:
            # A file of this name that an earlier session left may be damaged, or its name not durable yet.
            if self._kept.get(digest) == data.nbytes and self._is_there(path, data.nbytes):
                return
            self._write(path, data)
        except OSError as error:
            raise not_saved(error, path, f"a value of {data.nbytes} bytes") from error
        self._kept[digest] = data.nbytes

    def get(self, digest: str, size: int) -> bytearray:
        """Read a payload, hashing it as it comes."""
        path = self._path(digest)
        with reading(path):
            try:
                descriptor = self._files.open(path, os.O_RDONLY)
            except FileNotFoundError as error:
                raise self._damaged(path, "it is missing") from error
            try:
                found = self._files.fstat(descriptor).st_size
                if found != size:
                    raise self._damaged(path, f"it has {found} bytes instead of {size}")
                return self._read(path, descriptor, digest, size)
            finally:
                self._files.close(descriptor)

    def _read(self, path: str, descriptor: int, digest: str, size: int) -> bytearray:
        data = bytearray(size)
        checksum = sha256()
        done = 0
        with memoryview(data) as view:
            while done < size:
                count = self._files.read_into(descriptor, view[done : done + _READ_BYTES])
                if not count:
                    raise self._damaged(path, f"it has {done} bytes instead of {size}")
                checksum.update(view[done : done + count])
                done += count
        if checksum.hexdigest() != digest:
            raise self._damaged(path, "its contents are not what was saved")
        return data

    def _write(self, path: str, data: memoryview) -> None:
        folder = os.path.dirname(path)
        for directory in (self._root, folder):
            if directory not in self._durable:
                with suppress(FileExistsError):
                    self._files.make_directory(directory)
        # The bytes of a `bytes` cannot change; others may be an array that another thread still works on.
        digest = None if isinstance(data.obj, bytes) else os.path.basename(path)
        replace_whole(self._files, path, data, flushed=self._flushed, digest=digest)
        if self._flushed:
            for directory, parent in ((folder, self._root), (self._root, self._folder)):
                if directory not in self._durable:
                    self._files.flush_directory(parent)
        self._durable |= {folder, self._root}

    def _path(self, digest: str) -> str:
        if _DIGEST.fullmatch(digest) is None:
            raise self._damaged(self._root, f"{digest!r} is no name of a payload")
        return os.path.join(self._root, digest[:2], digest)

    def _is_there(self, path: str, size: int) -> bool:
        try:
            return self._files.lstat(path).st_size == size
        except FileNotFoundError:
            return False

    def _damaged(self, path: str, reason: str) -> StoreError:
        return damaged(path, self._run, reason, slug="damaged-payload")


def write_whole(files: Files, descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`, in as many calls as it takes."""
    view = memoryview(data)
    done = 0
    while done < len(view):
        count = files.write(descriptor, view[done : done + _WRITE_BYTES])
        if not count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += count


def replace_whole(
    files: Files, path: str, data: bytes | memoryview, *, flushed: bool, digest: str | None = None
) -> None:
    """
    Give `path` these contents in one step; durably with `flushed`, and leaving nothing behind on an error.

    Raises:
        SaveError: There is a `digest`, and what was written has another one.
    """
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f"tmp-{os.urandom(8).hex()}")
    descriptor = files.create(temporary, os.O_WRONLY)
    try:
        try:
            if digest is None:
                write_whole(files, descriptor, data)
            elif _write_copied(files, descriptor, memoryview(data)) != digest:
                raise payload_changed(path, len(data))
            if flushed:
                files.flush(descriptor)
        finally:
            files.close(descriptor)
        files.replace(temporary, path)
    except (OSError, SaveError):
        with suppress(OSError):
            files.remove(temporary)
        raise
    if flushed:
        files.flush_directory(folder)


def remove_unfinished(files: Files, folder: str) -> None:
    """Remove what killed writes left in a run that this process owns, as far as that goes: nothing refers to it."""
    payloads = os.path.join(folder, "payloads")
    _remove_temporaries(files, folder)
    names: list[str] = []
    with suppress(OSError):
        names = files.names(payloads)
    for name in names:
        _remove_temporaries(files, os.path.join(payloads, name))


def _remove_temporaries(files: Files, folder: str) -> None:
    with suppress(OSError):
        for name in files.names(folder):
            if _TEMPORARY.fullmatch(name):
                files.remove(os.path.join(folder, name))


def _write_copied(files: Files, descriptor: int, data: memoryview) -> str:
    """Write all of `data` and return the SHA-256 of what was written, whatever other threads do to it meanwhile."""
    checksum = sha256()
    for start in range(0, len(data), _READ_BYTES):
        # A copy: between hashing and writing the memory itself could change.
        chunk = bytes(data[start : start + _READ_BYTES])
        checksum.update(chunk)
        write_whole(files, descriptor, chunk)
    return checksum.hexdigest()
