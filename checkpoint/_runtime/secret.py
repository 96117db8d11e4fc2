"""
This user's secret key, which proves that a pickled value was written by this user.

It lies outside the directories of runs, so that who can write there cannot make up values.  The key must never be
shown, logged, or replaced once it exists.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress

from checkpoint._runtime.paths import KEY_FILE_VARIABLE, key_file
from checkpoint.errors import StoreError, UntrustedError

KEY_BYTES = 32

_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def load_secret() -> bytes:
    """
    Return this user's key of 32 bytes; the first call ever makes it, durably, and two at once make the same one.

    Raises:
        UntrustedError: The file belongs to somebody else, or others can read it, or it is no key.
        StoreError: It cannot be read or made.
    """
    path = key_file()
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise StoreError(
            f"cannot use the key file {path!r}: {os.strerror(error.errno) if error.errno else error}. "
            f"Set {KEY_FILE_VARIABLE} to a file in a directory that you can write.",
            slug="unusable-key",
            path=path,
        ) from error


def _read(path: str) -> bytes:
    _wait_until_filled(path)
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _check(path, os.fstat(descriptor))
        data = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) != KEY_BYTES:
        raise _untrusted(path, f"it has not {KEY_BYTES} bytes")
    return data


def _check(path: str, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise _untrusted(path, "it is no file")
    if sys.platform == "win32":
        return
    if facts.st_uid != os.geteuid():
        raise _untrusted(path, f"it belongs to user {facts.st_uid}, and this program runs as user {os.geteuid()}")
    if facts.st_mode & 0o077:
        raise _untrusted(path, f"others than you can use it (mode {stat.S_IMODE(facts.st_mode):04o})")


def _make(path: str) -> None:
    """Write a new key under another name, and give it its name only if no other process was quicker."""
    directory = os.path.dirname(path)
    _make_directories(directory)
    temporary = f"{path}.tmp-{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, 0o600)
            os.write(descriptor, os.urandom(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _name(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    _flush_directory(directory)


def _name(temporary: str, path: str) -> None:
    """Give the file its name unless the name is taken; unlike a rename, a link never replaces a key."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except (OSError, NotImplementedError):
        # No hard links here: take the name first, so that exactly one process fills it.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600))
        except FileExistsError:
            return
        os.replace(temporary, path)


def _wait_until_filled(path: str) -> None:
    """Wait for another process that has made the file and not written it yet, as happens without hard links."""
    for _ in range(100):
        facts = os.lstat(path)
        if facts.st_size or not stat.S_ISREG(facts.st_mode):
            return
        time.sleep(0.01)


def _make_directories(directory: str) -> None:
    missing: list[str] = []
    while not os.path.isdir(directory):
        missing.append(directory)
        above = os.path.dirname(directory)
        if above == directory:
            break
        directory = above
    for path in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        _flush_directory(os.path.dirname(path))


def _flush_directory(directory: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _untrusted(path: str, reason: str) -> UntrustedError:
    return UntrustedError(
        f"cannot trust the key file {path!r}: {reason}. If nobody else can have used it, chown and chmod 600 it; "
        "otherwise remove it, and values that were pickled with it are not loaded any more.",
        slug="untrusted-key",
        path=path,
        reason=reason,
    )
