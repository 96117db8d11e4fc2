"""
Look for what an alignment may have broken: markers of a conflict, Python that no longer compiles, a failing check.

Only reads the repository; what is run, runs in a copy that is thrown away.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
import warnings
from typing import TypedDict

from git_plumbing import Change, ReadObject, Repository, UserError, clean_environment

MARKERS = tuple(re.compile(rb"^" + mark + rb"( |\r?$)", re.MULTILINE) for mark in (b"<{7}", b"={7}", b">{7}"))
# What a check says at its end is what tells why it failed.
TAIL_BYTES = 2000
# How long a check may take to end after it was asked to, before it is killed.
GRACE_S = 2.0


class Verdict(TypedDict):
    """How a check ended: its exit status (negative for a signal), and the last of what it printed."""

    status: int
    output: str


def has_markers(text: bytes) -> bool:
    """Return whether the three markers of an unresolved conflict stand in `text`, in their order."""
    position = 0
    for mark in MARKERS:
        found = mark.search(text, position)
        if found is None:
            return False
        position = found.end()
    return b"\0" not in text


def explain_uncompilable(path: str, text: bytes) -> str:
    """Return why `text` is not a Python program, or nothing if it is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""


def find_errors(repository: Repository, tip: str, onto: str, aligned: str) -> list[str]:
    """
    Return what is wrong with the files in which commit `aligned` differs from `onto`, one sentence each.

    What was wrong before, on the branch (at `tip`) or on the target, is not the alignment's doing and is not
    told; markers of a conflict are told also if the branch itself brought them, because they were overlooked.
    """
    since_tip: dict[str, Change] | None = None
    found: list[str] = []
    with repository.objects() as read:
        for change in repository.changes(onto, aligned):
            text = read(change.new) or b""
            if has_markers(text) and not has_markers(read(change.old) or b""):
                found.append(f"{change.path}: markers of a conflict were left in")
            why = explain_uncompilable(change.path, text) if change.path.endswith(".py") else ""
            if not why:
                continue
            if since_tip is None:
                since_tip = {one.path: one for one in repository.changes(tip, aligned)}
            if not _was_broken(read, change, since_tip.get(change.path)):
                found.append(f"{change.path}: no longer compiles ({why})")
    return found


def _was_broken(read: ReadObject, since_onto: Change, since_tip: Change | None) -> bool:
    # Without a change since the tip, the branch itself had these very contents.
    if since_tip is None:
        return True
    return any(explain_uncompilable("", read(one.old) or b"") for one in (since_onto, since_tip))


def run_check(repository: Repository, commit: str, command: str) -> Verdict:
    """
    Run `command` in a copy of the files of `commit`, without a shell, and return how it ended.

    Whatever ends this function early (Ctrl-C) ends the command and its children too.

    Raises:
        UserError: The command cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="align_branches-") as scratch, tempfile.TemporaryFile() as output:
        files = os.path.join(scratch, "files")
        os.mkdir(files)
        repository.check_out(commit, files)
        try:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=files,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise UserError(f"the check {command!r} cannot be started ({error}): change --check") from error
        try:
            status = process.wait()
        finally:
            _end_session(process)
        output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL_BYTES))
        return {"status": status, "output": output.read().decode("utf-8", "replace")}


def _end_session(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        deadline = time.monotonic() + GRACE_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    process.wait()
