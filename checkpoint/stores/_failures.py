"""
Turn what the operating system reports into this library's errors: what could not be done, and what to do.

The one place where the stores' messages are worded.  It must never swallow an error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from checkpoint._core.lines import Verdict
from checkpoint.errors import DamagedRunError, NewerFormatError, RunClosedError, RunInUseError, SaveError, StoreError
from checkpoint.stores._names import short_id

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def reason_of(error: OSError) -> str:
    """Return in a few words why the operating system refused."""
    if error.errno == errno.ENOSPC:
        return "disk full"
    if error.errno == errno.EDQUOT:
        return "disk full: the quota is used up"
    return os.strerror(error.errno) if error.errno else str(error)


def not_saved(error: OSError, path: str, what: str) -> SaveError:
    """Return the error for `what`, such as `a record of 210 bytes`, which could not be written to `path`."""
    full = error.errno in _FULL
    cure = "Make room" if full else "See what is wrong with the disk"
    return SaveError(
        f"cannot save {what} in {path!r}: {reason_of(error)}. What was saved before is safe. "
        f"{cure}, then run the same command again.",
        slug="disk-full" if full else "not-saved",
        path=path,
        errno=error.errno,
    )


def stopped(cause: SaveError) -> SaveError:
    """Return the error for every call after a save that failed for good."""
    return SaveError(
        f"nothing more is saved in {cause.path!r}, because an earlier save failed ({cause}). "
        "Run the same command again in a new process.",
        slug="saving-stopped",
        path=cause.path,
        errno=cause.errno,
    )


def changed(path: str, what: str) -> SaveError:
    """Return the error for a journal that is not as its writer left it."""
    return SaveError(
        f"cannot save in {path!r}: {what}, so that something else writes to it, or has removed or replaced it. "
        "Nothing more is written. Find the other program, then run the same command again.",
        slug="journal-changed",
        path=path,
        errno=None,
    )


def payload_changed(path: str, size: int) -> SaveError:
    """Return the error for a payload whose memory changed between hashing and writing."""
    return SaveError(
        f"cannot save a value of {size} bytes in {path!r}: another thread changed it while it was saved. "
        "What was saved before is safe. Copy the value before returning it, then run the same command again.",
        slug="payload-changed",
        path=path,
        errno=None,
    )


def closed(run: str) -> RunClosedError:
    """Return the error for a journal that was given up."""
    return RunClosedError(
        f"run {short_id(run)} is closed: its `with` block was left. Call steps inside the block.", run=run
    )


def forked(run: str) -> RunClosedError:
    """Return the error for a journal in a forked child."""
    return RunClosedError(
        f"a forked child does not own run {short_id(run)}: only the process that opened it can save its steps. "
        "Return results to the parent, and call steps there.",
        slug="forked-child",
        run=run,
    )


def in_use(workflow: str, run: str, owner: Mapping[str, Any]) -> RunInUseError:
    """Return the error for a run that another process, or this one, has open; `owner` may be empty."""
    who = "by a process that has not said yet who it is"
    if owner:
        since = _clock(owner.get("since"))
        here = "this process" if owner.get("pid") == os.getpid() else f"process {owner.get('pid')}"
        who = f"({here} on {owner.get('host')}{f', since {since}' if since else ''})"
    return RunInUseError(
        f"run {short_id(run)} is already running {who}. Not started.", workflow=workflow, run=run, owner=dict(owner)
    )


def damaged(path: str, run: str, reason: str, verdict: Verdict | None = None, slug: str | None = None) -> StoreError:
    """Return the error for a run's files that cannot be relied on."""
    if verdict is not None and verdict.kind == "newer":
        return NewerFormatError(
            f"cannot read {path!r}: {verdict.reason}. Upgrade to continue run {short_id(run)}.",
            path=path,
            format=verdict.version,
        )
    # A payload is read when its call is reached: by then the session is open, and other steps may have run.
    said = "Its step was not run again" if slug == "damaged-payload" else "Nothing was changed and nothing was run"
    where = f" at line {verdict.line} (byte {verdict.size})" if verdict is not None and verdict.line else ""
    return DamagedRunError(
        f"cannot continue run {short_id(run)}: {path!r} cannot be relied on{where}: {reason}. "
        f"{said}. Restore the run's directory from a copy, or give the run up: begin a "
        f"new one with fresh=True, or delete its directory, which `checkpoint path {short_id(run)}` shows.",
        slug=slug,
        path=path,
        line=None if verdict is None else verdict.line,
        byte=None if verdict is None or verdict.line is None else verdict.size,
        reason=reason,
    )


def unknown_run(path: str, workflow: str, run: str) -> StoreError:
    """Return the error for a run that is not in the store."""
    return StoreError(
        f"there is no run {run!r} of workflow {workflow!r}. See `checkpoint ls` for those there are.",
        slug="no-such-run",
        path=path,
    )


@contextmanager
def opening(home: str) -> Iterator[None]:
    """Turn an OSError of making or opening what lies under `home` into a StoreError."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else home
        if error.errno == errno.ELOOP:
            raise not_private(where, "it is a symbolic link, where a file of this library should be") from error
        if error.errno in _NO_LOCKS:
            raise StoreError(
                f"cannot keep runs in {home!r}: its file system has no locks ({reason_of(error)}), so that two "
                "processes could work on one run. Set CHECKPOINT_HOME to a directory on a local disk.",
                slug="no-locks",
                path=home,
            ) from error
        raise unusable(home, f"{where!r}: {reason_of(error)}") from error


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn an OSError of reading a run's file into a StoreError: it is not known what it holds."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise not_private(path, "it is a symbolic link, where a file of this library should be") from error
        raise StoreError(
            f"cannot read {path!r}: {reason_of(error)}. Nothing was changed and nothing was run. "
            "See what is wrong with the file or the disk, then run the same command again.",
            slug="unreadable",
            path=path,
        ) from error


def unusable(home: str, reason: str) -> StoreError:
    """Return the error for a directory that cannot hold runs."""
    return StoreError(
        f"cannot keep runs in {home!r} ({reason}). Set CHECKPOINT_HOME to a directory that you can write.",
        slug="unusable-home",
        path=home,
    )


def not_private(path: str, reason: str) -> StoreError:
    """Return the error for a directory in which somebody else could have written."""
    return StoreError(
        f"cannot trust {path!r}: {reason}, so that somebody else could change saved results. "
        "Make it yours alone (chown, chmod 700), or set CHECKPOINT_HOME to a directory that is.",
        slug="not-private-directory",
        path=path,
    )


def _clock(at: object) -> str:
    """Return a UTC time as the time of day here, with the date if it is not today's; empty if it is no time."""
    try:
        moment = datetime.fromisoformat(str(at)).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    today = moment.date() == datetime.now(moment.tzinfo).date()
    return moment.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
