"""
Single guarantees on which everything rests, each shown where it is given: what is flushed, in which order, and by whom.

`tests/nightly/mutations.py` breaks each of them and looks whether a test notices.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from checkpoint import checkpointed, workflow
from checkpoint.errors import RunClosedError, RunInUseError
from checkpoint.stores import FileStore
from checkpoint.stores._files import Files

needs_fdatasync = pytest.mark.skipif(sys.platform != "linux", reason="other systems flush by other calls")


class Telling(Files):
    """Files that tell what is done to them, in order; the tests add what the program does."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.kept: dict[int, str] = {}

    def create(self, path: str, flags: int) -> int:
        descriptor = super().create(path, flags)
        self.kept[descriptor] = os.path.basename(path).partition("-")[0]
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self.told.append(f"write {self.kept[descriptor]}")
        return super().write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        self.told.append(f"mark {self.kept[descriptor]}")
        return super().write_at(descriptor, data, offset)

    def flush(self, descriptor: int) -> None:
        super().flush(descriptor)
        self.told.append(f"flush {self.kept[descriptor]}")

    def flush_directory(self, path: str) -> None:
        super().flush_directory(path)
        self.told.append("flush names")

    def replace(self, source: str, target: str) -> None:
        super().replace(source, target)
        self.told.append("rename")


def since(files: Telling, event: str) -> list[str]:
    """Return what was done after the program did this."""
    return files.told[files.told.index(event) + 1 :]


@needs_fdatasync
def test_flush_reaches_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing a file is a system call on that very file."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
    Files().flush(descriptor)
    os.close(descriptor)
    assert [descriptor] == flushed


@needs_fdatasync
def test_flush_of_names_reaches_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing the names in a directory is a system call on that very directory."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    Files().flush_directory(str(tmp_path))
    assert [tmp_path.stat().st_ino] == flushed


def test_order_of_a_step(tmp_path: Path) -> None:
    """A step's beginning is written before its body, and its end is written, flushed and marked before it returns."""
    files = Telling()

    @checkpointed
    def work() -> int:
        files.told.append("body")
        return 1

    with workflow("order", store=FileStore(tmp_path / "home", _files=files)):
        files.told.append("calling")
        work()
        files.told.append("returned")
    expected = ["write journal.jsonl", "body", "write journal.jsonl", "flush journal.jsonl", "mark lock", "returned"]
    assert expected == since(files, "calling")[: len(expected)]


def test_order_of_a_critical_step(tmp_path: Path) -> None:
    """The beginning of a critical step is flushed before its body runs."""
    files = Telling()

    @checkpointed(critical=True)
    def work() -> int:
        files.told.append("body")
        return 1

    with workflow("order", store=FileStore(tmp_path / "home", _files=files)):
        files.told.append("calling")
        work()
    expected = ["write journal.jsonl", "flush journal.jsonl", "mark lock", "body"]
    assert expected == since(files, "calling")[: len(expected)]


def test_order_of_a_large_result(tmp_path: Path) -> None:
    """A payload has its contents, its name and its directories on the disk before a record speaks of it."""
    files = Telling()

    @checkpointed
    def work() -> str:
        files.told.append("body")
        return "x" * 40_000

    with workflow("order", store=FileStore(tmp_path / "home", _files=files)):
        work()
    expected = ["write tmp", "flush tmp", "rename", *["flush names"] * 3, "write journal.jsonl", "flush journal.jsonl"]
    assert expected == since(files, "body")[: len(expected)]


def test_summary_is_not_there_before_a_record_is(tmp_path: Path) -> None:
    """`state.json` proves that there was a journal, and so is not written while there is none on the disk."""
    _, journal = FileStore(tmp_path / "home").open("align", key=None, fresh=False, once=False)
    journal.publish({})
    names = os.listdir(journal.location)
    journal.close()
    assert ["journal.jsonl", "lock"] == sorted(names)


class LocksOfProcesses(Files):
    """Files whose locks belong to the process, as on NFS: a second one in the same process always succeeds."""

    def try_lock(self, descriptor: int) -> bool:
        return True


def test_run_is_owned_once_in_a_process(tmp_path: Path) -> None:
    """Where the system's locks do not tell two sessions of one process apart, the library does."""
    store = FileStore(tmp_path / "home", _files=LocksOfProcesses())
    _, journal = store.open("align", key=None, fresh=False, once=False)
    with pytest.raises(RunInUseError):
        store.open("align", key=None, fresh=False, once=False)
    journal.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_step_in_a_forked_child_is_refused(tmp_path: Path) -> None:
    """The run is the parent's: a child that calls a step is told so before the body runs, and the run goes on."""
    ran = tmp_path / "ran"

    @checkpointed
    def work(number: int) -> int:
        if number == 2:
            ran.touch()
        return number

    with workflow("fork", store=FileStore(tmp_path / "home")):
        work(1)
        child = os.fork()
        if not child:
            try:
                work(2)
            except RunClosedError:
                os._exit(7)
            finally:
                os._exit(1)
        assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        work(3)
    assert not ran.exists()


def test_inner_step_belongs_to_the_outer_call(tmp_path: Path) -> None:
    """Equal calls inside different outer calls are different calls: none gets the other's result in a rerun."""
    store = FileStore(tmp_path / "home")
    results = iter("ab")
    fails = [True]

    @checkpointed
    def inner() -> str:
        return next(results)

    @checkpointed
    def outer(number: int) -> str:
        if number == 2 and fails:
            raise OSError
        return inner()

    for _ in range(2):
        with suppress(OSError), workflow("inner", store=store):
            found = [outer(1), outer(2)]
        fails.clear()
    assert ["a", "b"] == found


def test_replay_that_an_error_ends_is_taken_back(tmp_path: Path) -> None:
    """Whoever looks at the state after a block that was left in a replayed stretch finds it as it was saved."""
    store = FileStore(tmp_path / "home")

    @checkpointed
    def number(item: int) -> int:
        return item

    def session(last: int) -> list[int]:
        with suppress(OSError), workflow("replay", store=store) as run:
            run.state.setdefault("done", [])
            for item in range(last):
                run.state["done"].append(number(item))
            raise OSError
        return list(run.state["done"])

    assert [0, 1] == session(2)
    assert [0, 1] == session(1)
