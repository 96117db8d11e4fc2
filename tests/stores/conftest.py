"""
What the tests of stores share: a writer that keeps account of what was acknowledged, and files that fail, tear or die.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core.lines import Chain
from checkpoint._core.records import FORMAT, Line
from checkpoint.stores import FileStore, Journal, MemoryStore, Store, _ownership
from checkpoint.stores._files import Files


class Writer:
    """
    One session on one run, as the runtime does it.

    Attributes:
        run: The run's id.
        journal: What it was given.
        chain: Seals its lines.
        submitted: Every line that was to be written, in order, including those that were there.
        acknowledged: How many of them were synced.
    """

    def __init__(self, store: Store, workflow: str = "align", key: str | None = None, **options: bool) -> None:
        wanted = {"fresh": False, "once": False, **options}
        self.run, self.journal = store.open(workflow, key=key, **wanted)
        self.workflow, self.key = workflow, key
        data = self.journal.records()
        self.chain = Chain.resume(data)
        self.submitted = data.splitlines(keepends=True)
        self.acknowledged = len(self.submitted)

    def begin(self) -> Writer:
        """Write the first two records."""
        tree = {
            "format": FORMAT,
            "workflow": self.workflow,
            "key_of_run": self.key,
            "command": ["align.py"],
            "nonce": os.urandom(8).hex(),
            "at": "2026-11-22T10:00:00.000Z",
        }
        self.append("run", "created", json.dumps(tree, separators=(",", ":"))[1:-1])
        return self.opened()

    def opened(self, pid: int = 4182) -> Writer:
        """Write who owns the run, and sync."""
        self.save("run", "opened", f'"at":"2026-11-22T14:02:00.000Z","pid":{pid},"host":"build-3","command":"align.py"')
        return self

    def append(self, key: str = "a" * 32, kind: str = "started", members: str = '"value":1') -> Line:
        """Append one record without a sync."""
        line = self.chain.seal(key, kind, members)
        self.submitted[line.number :] = [line.data]
        self.journal.append(line)
        self.chain.accept(line)
        return line

    def save(self, key: str = "a" * 32, kind: str = "completed", members: str = '"value":1') -> Line:
        """Append one record and sync it."""
        line = self.append(key, kind, members)
        self.journal.sync(line.number)
        self.acknowledged = line.number + 1
        return line

    def put(self, data: bytes) -> str:
        """Put one payload and return its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.journal.put(digest, memoryview(data))
        return digest

    def close(self) -> Writer:
        """Close."""
        self.journal.close()
        return self

    @property
    def path(self) -> Path:
        """The run's directory."""
        return Path(self.journal.location)


class Death(BaseException):
    """The process ends here; nothing that runs afterwards reaches a file."""


class FaultyFiles(Files):
    """
    Files of which the N-th operation goes wrong.

    Args:
        at: Which operation, from 0; -1 for none.
        fault: `EIO`, `ENOSPC`: it fails; `short`: a write writes half; `before`, `after`: the process dies; `torn`:
            it dies in the middle of a write.
    """

    def __init__(self, at: int = -1, fault: str = "EIO") -> None:
        self.at, self.fault = at, fault
        self.count = 0
        self.fired = False
        self.dead = False
        self.descriptors: set[int] = set()

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("_") or name not in OPERATIONS:
            return found
        return lambda *arguments: self._do(name, found, arguments)

    def _do(self, name: str, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self.dead:
            raise Death
        number = self.count
        self.count += 1
        if number != self.at:
            return self._track(name, operation, arguments)
        self.fired = True
        # A mark is 28 bytes at the beginning of a page and of a sector: neither a kill nor a power cut can halve it.
        writes = name == "write" or (name == "write_at" and self.fault == "short")
        if self.fault == "after":
            self._track(name, operation, arguments)
        if self.fault in ("short", "torn") and writes:
            half = bytes(arguments[1])[: len(arguments[1]) // 2 or 1]
            done = operation(arguments[0], half, *arguments[2:])
            if self.fault == "short":
                return done
        if self.fault == "short":
            return self._track(name, operation, arguments)
        if self.fault in ("before", "after", "torn"):
            self.dead = True
            raise Death
        if name == "close":
            self._track(name, operation, arguments)
        number = getattr(errno, self.fault)
        raise OSError(number, os.strerror(number))

    def _track(self, name: str, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        found = operation(*arguments)
        if name in ("open", "create"):
            self.descriptors.add(found)
        elif name == "close":
            self.descriptors.discard(arguments[0])
        return found

    def bury(self) -> None:
        """Do what the kernel does when a process ends: close its files, and so give up its locks."""
        _ownership._table.owned.clear()
        for descriptor in self.descriptors:
            with suppress(OSError):
                os.close(descriptor)
        self.descriptors.clear()


OPERATIONS = {name for name in vars(Files) if not name.startswith("_")} - {"now", "sleep"}


class FastFiles(FaultyFiles):
    """The same without waiting for the disk, for sweeps."""

    def flush(self, descriptor: int) -> None:
        """Do nothing."""

    def flush_directory(self, path: str) -> None:
        """Do nothing."""


@pytest.fixture
def writer() -> type[Writer]:
    """Return the class of writers."""
    return Writer


@pytest.fixture
def faulty() -> Iterator[Callable[..., FastFiles]]:
    """Return a maker of files that fail; what they leave open is closed when the test ends."""
    made: list[FastFiles] = []

    def make(at: int = -1, fault: str = "EIO") -> FastFiles:
        made.append(FastFiles(at, fault))
        return made[-1]

    yield make
    for files in made:
        files.bury()


@pytest.fixture
def death() -> type[Death]:
    """Return what ends a process in a sweep."""
    return Death


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return where a file store may keep runs; it does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def files_store(home: Path) -> FileStore:
    """Return a file store without waiting for the disk."""
    return FileStore(home, _files=FastFiles())


@pytest.fixture(params=["full", "process", "memory"])
def store(request: pytest.FixtureRequest, home: Path) -> Store:
    """Return each store in turn."""
    return MemoryStore() if request.param == "memory" else FileStore(home, durability=request.param)


@pytest.fixture(autouse=True)
def no_run_stays_owned() -> Iterator[None]:
    """Give up what a test left open, so that no lock reaches the next one."""
    yield
    for ownership in list(_ownership._table.owned.values()):
        ownership.release()


@pytest.fixture
def opened() -> Callable[[Store], Journal]:
    """Return a function that opens the run of a store."""
    return lambda store: store.open("align", key=None, fresh=False, once=False)[1]
