"""
Where things lie in a file store, and how its directories are made.

    <home>/runs/<workflow>/lock                     held for the milliseconds in which a run is chosen
    <home>/runs/<workflow>/<run id>/journal.jsonl   the truth; see `lines`
    <home>/runs/<workflow>/<run id>/journal.torn    unfinished writes that were cut off, for people to look at
    <home>/runs/<workflow>/<run id>/payloads/<2>/<sha256>
    <home>/runs/<workflow>/<run id>/state.json      for people and listings; derived
    <home>/runs/<workflow>/<run id>/lock            locked while the run is open; holds the mark

Directories have mode 0700, files 0600.  This module must never make a directory in a place that is not trusted.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from checkpoint._core.lines import Mark
from checkpoint.stores._ends import read_whole
from checkpoint.stores._files import Files
from checkpoint.stores._names import directory_name, is_run_id
from checkpoint.stores._ownership import read_mark
from checkpoint.stores._privacy import check_directory, check_way

JOURNAL = "journal.jsonl"
SUMMARY = "state.json"
LOCK = "lock"

# A run that is being deleted has this prefix from the first moment, so that nobody takes the rest for a run.
DELETED = "deleted-"

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Layout:
    """
    The directories of one store.

    Attributes:
        files: Does what is to be done with files.
        home: The directory of the store, absolute.
        durable: Whether names must survive a power cut.
    """

    files: Files
    home: str
    durable: bool

    @property
    def runs(self) -> str:
        """The directory of all workflows."""
        return os.path.join(self.home, "runs")

    def workflow(self, workflow: str) -> str:
        """Return the directory of a workflow's runs."""
        return os.path.join(self.runs, directory_name(workflow))

    def run_ids(self, folder: str) -> list[str]:
        """Return the ids of the runs in a workflow's directory, newest first; empty if there is no such directory."""
        try:
            names = self.files.names(folder)
        except FileNotFoundError:
            return []
        return sorted((name for name in names if is_run_id(name)), reverse=True)

    def prepare(self, workflow: str) -> tuple[str, bool]:
        """
        Make the directory of a workflow, and those above it, and check that nobody else can write there.

        Returns:
            The directory, and whether it is private; see `_privacy`.
        """
        private = check_way(self.files, self.home)
        self._make_way(self.home)
        private = check_directory(self.files, self.home, follow=True) and private
        self._make_way(self.runs)
        folder = self.workflow(workflow)
        self.make(folder)
        for directory in (self.runs, folder):
            private = check_directory(self.files, directory) and private
        return folder, private

    def make(self, directory: str) -> None:
        """Make one directory, unless it is there."""
        with suppress(FileExistsError):
            self.files.make_directory(directory)

    def _make_way(self, directory: str) -> None:
        missing: list[str] = []
        while not self._exists(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        if missing and self.durable:
            # What stands here without anything in it may be what an earlier process made just before it died, so that
            # its own name is not durable.  Where we cannot look, we cannot have made it.
            with suppress(PermissionError):
                self.files.flush_directory(os.path.dirname(directory))
        for path in reversed(missing):
            self.make(path)
            if self.durable:
                self.files.flush_directory(os.path.dirname(path))

    def _exists(self, path: str) -> bool:
        try:
            self.files.stat(path)
        except FileNotFoundError:
            return os.path.dirname(path) == path
        return True


@dataclass(frozen=True, slots=True)
class Place:
    """
    Which run a journal is, and how it is to be kept.

    Attributes:
        folder: The run's directory.
        workflow: Name of the workflow.
        run: The run's id.
        key: What tells the workflow's runs apart, or None.
        private: Whether only this user can have written there.
        durable: Whether what is acknowledged must survive a power cut.
        boot: With `durable` false, the boot of the machine for which marks hold; None if it is not known.
        parents: Directories whose names must be durable before anything is acknowledged, the innermost first.
    """

    folder: str
    workflow: str
    run: str
    key: str | None
    private: bool
    durable: bool
    boot: str | None
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traces:
    """
    What tells that a run was begun, beside its journal.

    Attributes:
        mark: How much was acknowledged, or None.
        summary: What `state.json` says; empty if it cannot be read, None if there is none.
    """

    mark: Mark | None
    summary: dict[str, Any] | None

    @property
    def any(self) -> bool:
        """Whether the run was begun."""
        return self.mark is not None or self.summary is not None

    def is_of(self, key: str | None) -> bool:
        """Return whether the run may be one with `key`."""
        return not self.summary or "key" not in self.summary or self.summary["key"] == key


def traces(files: Files, folder: str) -> Traces:
    """Return what is left of a run beside its journal; OSError if that cannot be read."""
    boot = boot_id(files)
    mark = read_mark(files, os.path.join(folder, LOCK), boot)
    try:
        summary = json.loads(read_whole(files, os.path.join(folder, SUMMARY)))
    except FileNotFoundError:
        return Traces(mark, None)
    except (ValueError, RecursionError):
        return Traces(mark, {})
    summary = summary if isinstance(summary, dict) else {}
    # Without syncs a power cut may keep this file and lose the journal: then it proves nothing.
    if summary.get("boot", boot) != boot:
        return Traces(mark, None)
    return Traces(mark, summary)


def boot_id(files: Files) -> str | None:
    """Return what is different after each start of the machine, or None if the system does not say."""
    try:
        return read_whole(files, _BOOT_ID).decode("ascii").strip() or None
    except (OSError, ValueError):
        return None


def discard(files: Files, folder: str) -> None:
    """Remove a directory and what is in it, as far as that goes: what remains is tried again another time."""
    with suppress(OSError):
        for name in files.names(folder):
            path = os.path.join(folder, name)
            try:
                files.remove(path)
            except (IsADirectoryError, PermissionError):
                discard(files, path)
    with suppress(OSError):
        files.remove_directory(folder)
