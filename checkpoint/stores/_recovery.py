"""
Read a journal that its last owner may have left in the middle of a write, and mend what may be mended.

Only an unfinished write at the end that was never acknowledged is cut off, and its bytes are kept beside the
journal.  Everything else that is wrong is refused, and then nothing may have been changed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from checkpoint._core.lines import Mark, inspect
from checkpoint.stores._ends import read_all
from checkpoint.stores._failures import damaged, reading
from checkpoint.stores._files import Files
from checkpoint.stores._payloads import write_whole


@dataclass(frozen=True, slots=True)
class End:
    """
    Where a journal ends.

    Attributes:
        count: Number of lines.
        size: Their size in bytes.
        sum: Checksum of the last one, or an empty string.
    """

    count: int
    size: int
    sum: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """
    A journal that can be relied on.

    Attributes:
        data: Its lines.
        end: Where it ends.
        notes: What was mended, one sentence each.
    """

    data: bytes
    end: End
    notes: list[str]


def recover(files: Files, path: str, run: str, descriptor: int, mark: Mark | None) -> Recovered:
    """
    Read the journal at `path`, which is open for writing, and cut off an unfinished end.

    Raises:
        DamagedRunError: It cannot be relied on; nothing was changed.
        NewerFormatError: A newer version wrote it; nothing was changed.
        StoreError: It could not be read, or not be mended.
    """
    with reading(path):
        data = read_all(files, descriptor)
        verdict = inspect(data, mark)
        end = End(verdict.count, verdict.size, verdict.sum)
        if verdict.kind == "whole":
            return Recovered(data, end, [])
        if verdict.kind != "torn":
            raise damaged(path, run, verdict.reason, verdict)
        _keep(files, os.path.splitext(path)[0] + ".torn", data[verdict.size :])
        files.truncate(descriptor, verdict.size)
        files.flush(descriptor)
    note = f"discarded an unfinished record of {len(data) - verdict.size} bytes"
    return Recovered(data[: verdict.size], end, [note])


def _keep(files: Files, path: str, torn: bytes) -> None:
    """Add the bytes of an unfinished write to the file that keeps them for people to look at."""
    flags = os.O_WRONLY | os.O_APPEND
    descriptor = -1
    with suppress(FileNotFoundError):
        descriptor = files.open(path, flags)
    if descriptor < 0:
        descriptor = files.create(path, flags)
    try:
        write_whole(files, descriptor, torn)
        files.flush(descriptor)
    finally:
        files.close(descriptor)
