"""
The store in memory: the same contract as the file store, for tests and for runs that need not outlive the process.

It must never do less checking than the file store: it is the model that other stores are compared with.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from checkpoint._core.records import Line, RunSummary
from checkpoint.errors import SaveError
from checkpoint.stores._ends import check_first, ends_of, last_owner
from checkpoint.stores._failures import (
    changed,
    closed,
    damaged,
    forked,
    in_use,
    payload_changed,
    stopped,
    unknown_run,
)
from checkpoint.stores._interface import Journal, PicklePolicy
from checkpoint.stores._names import directory_name, new_run_id, random_digits


@dataclass(slots=True)
class _Run:
    """What is kept of one run."""

    workflow: str
    key: str | None
    lines: list[bytes] = field(default_factory=list)
    payloads: dict[str, bytes] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    owned: bool = False

    @property
    def data(self) -> bytes:
        return b"".join(self.lines)


class MemoryStore:
    """
    Keep runs for as long as this object lives.  May be shared by threads, not by processes.

    Args:
        pickle: As for `FileStore`.
    """

    def __init__(self, *, pickle: PicklePolicy = "authenticated") -> None:
        self.pickle: PicklePolicy = pickle
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._workflows: dict[str, dict[str, _Run]] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore of {sum(map(len, self._workflows.values()))} runs>"

    def open(self, workflow: str, *, key: str | None, fresh: bool, once: bool) -> tuple[str, Journal]:
        """Own the run to work on; see `Store.open`."""
        directory_name(workflow)
        with self._lock:
            runs = self._workflows.setdefault(workflow, {})
            for run in sorted(runs, reverse=True):
                found = runs[run]
                if not found.lines and not found.owned:
                    del runs[run]
                elif found.key == key and not fresh:
                    if ends_of(b"".join((*found.lines[:1], *found.lines[-1:]))).status == "finished" and not once:
                        break
                    if found.owned:
                        raise in_use(workflow, run, last_owner(found.data))
                    return run, MemoryJournal(run, found)
            run = new_run_id(runs, time.time(), random_digits)
            runs[run] = _Run(workflow, key)
            return run, MemoryJournal(run, runs[run])

    def location(self, workflow: str | None = None, run: str | None = None) -> str:
        """Return a name for people."""
        return "memory:" + "/".join(part for part in (workflow, run) if part)

    def runs(self, workflow: str | None = None) -> list[RunSummary]:
        """List runs, newest first."""
        with self._lock:
            found = [
                (ends.age(run), ends.summary(name, run))
                for name, runs in self._workflows.items()
                if workflow in (None, name)
                for run, kept in runs.items()
                if kept.lines
                for ends in [ends_of(kept.data)]
            ]
        return [summary for _, summary in sorted(found, key=lambda found_run: found_run[0], reverse=True)]

    def read(self, workflow: str, run: str) -> bytes:
        """Return the lines of a run, as they are now."""
        with self._lock:
            return self._find(workflow, run).data

    def delete(self, workflow: str, run: str) -> None:
        """Remove a run."""
        with self._lock:
            found = self._find(workflow, run)
            if found.owned:
                raise in_use(workflow, run, last_owner(found.data))
            del self._workflows[workflow][run]

    def _find(self, workflow: str, run: str) -> _Run:
        try:
            return self._workflows[workflow][run]
        except KeyError:
            raise unknown_run(self.location(), workflow, run) from None


class MemoryJournal:
    """One run that is open; see `Journal` for the contract."""

    def __init__(self, run: str, kept: _Run) -> None:
        self._run = run
        self._kept = kept
        self._process = os.getpid()
        self._closed = False
        self._failure: SaveError | None = None
        kept.owned = True

    @property
    def location(self) -> str:
        """A name for people."""
        return f"memory:{self._kept.workflow}/{self._run}"

    @property
    def private(self) -> bool:
        """Always: no other process sees this."""
        return True

    @property
    def notes(self) -> list[str]:
        """Always empty: nothing is ever cut short."""
        return []

    def records(self) -> bytes:
        """Return every line."""
        self._check_writable()
        return self._kept.data

    def append(self, line: Line) -> None:
        """Add a line."""
        self._check_writable()
        kept = self._kept
        if line.number != len(kept.lines):
            what = f"it has {len(kept.lines)} records, and record {line.number} was to follow"
            self._failure = changed(self.location, what)
            raise self._failure
        if not line.number:
            check_first(line, kept.workflow, kept.key)
        kept.lines.append(line.data)

    def sync(self, number: int) -> None:
        """Return at once: nothing here outlives the process."""
        self._check_writable()
        if number >= len(self._kept.lines):
            raise ValueError(f"line {number} was not appended: the journal has {len(self._kept.lines)}")

    def put(self, digest: str, data: memoryview) -> None:
        """Keep a copy of a payload."""
        self._check_writable()
        kept = bytes(data)
        if not isinstance(data.obj, bytes) and sha256(kept).hexdigest() != digest:
            raise payload_changed(f"{self.location}/payloads/{digest}", len(kept))
        self._kept.payloads[digest] = kept

    def get(self, digest: str, size: int) -> bytearray:
        """Return a copy of a payload, verified."""
        self._check_usable()
        path = f"{self.location}/payloads/{digest}"
        data = self._kept.payloads.get(digest)
        if data is None:
            raise damaged(path, self._run, "it is missing", slug="damaged-payload")
        if len(data) != size:
            raise damaged(path, self._run, f"it has {len(data)} bytes instead of {size}", slug="damaged-payload")
        if sha256(data).hexdigest() != digest:
            raise damaged(path, self._run, "its contents are not what was saved", slug="damaged-payload")
        return bytearray(data)

    def publish(self, summary: dict[str, Any]) -> None:
        """Keep the summary, which nobody reads."""
        self._check_usable()
        self._kept.summary = summary

    def close(self) -> None:
        """Give the run up; idempotent, and nothing in a forked child."""
        if not self._closed and self._process == os.getpid():
            self._closed = True
            self._kept.owned = False

    def _check_writable(self) -> None:
        self._check_usable()
        if self._failure is not None:
            raise stopped(self._failure)

    def _check_usable(self) -> None:
        if self._process != os.getpid():
            raise forked(self._run)
        if self._closed:
            raise closed(self._run)
