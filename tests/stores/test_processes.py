"""
Several processes on one store: real ones, with real locks and real kills.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checkpoint.errors import RunInUseError, StoreError
from checkpoint.stores import FileStore, _ownership

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# Opens a run and writes its first records; then says so and waits to be told to go on, or to be killed.
CHILD = """
import json, os, sys
from checkpoint._core.lines import Chain
from checkpoint.errors import RunInUseError
from checkpoint.stores import FileStore

home, key, begin = sys.argv[1:]
try:
    run, journal = FileStore(home).open("align", key=key or None, fresh=False, once=False)
except RunInUseError as error:
    print("refused", error.run, flush=True)
    sys.exit(75)
chain = Chain.resume(journal.records())
def save(kind, members):
    line = chain.seal("run", kind, members)
    journal.append(line)
    chain.accept(line)
    journal.sync(line.number)
if begin and not chain.count:
    save("created", '"format":1,"workflow":"align","nonce":"1","key_of_run":' + json.dumps(key or None))
if begin:
    save("opened", '"at":"2026-11-22T14:02:00Z","host":"here","command":"a","pid":' + str(os.getpid()))
print("owns", run, flush=True)
sys.stdin.readline()
journal.close()
"""


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a session in a process of its own."""
    children: list[subprocess.Popen[str]] = []

    def begin(key: str = "", begins: str = "yes") -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(home), key, begins],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def said(child: subprocess.Popen[str]) -> list[str]:
    """Return the words of the child's next line."""
    assert child.stdout is not None
    return child.stdout.readline().split()


def test_second_process_is_refused(home: Path, start: Callable[..., Any], writer: Any) -> None:
    """A run that another process works on is refused, and the error names that process."""
    child = start()
    assert "owns" == said(child)[0]
    with pytest.raises(RunInUseError) as caught:
        writer(FileStore(home))
    assert child.pid == caught.value.owner["pid"]
    assert f"(process {child.pid} on here, since " in str(caught.value)


def test_second_process_is_refused_before_the_first_record(home: Path, start: Callable[..., Any], writer: Any) -> None:
    """A run that another process has only just begun is refused too."""
    child = start(begins="")
    run = said(child)[1]
    with pytest.raises(RunInUseError) as caught:
        writer(FileStore(home))
    assert run == caught.value.run


def test_run_of_a_killed_process_is_free(home: Path, start: Callable[..., Any], writer: Any) -> None:
    """The lock of a process that was killed is not in the way."""
    child = start()
    run = said(child)[1]
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert run == writer(FileStore(home)).run


def test_of_eight_at_once_one_wins(start: Callable[..., Any]) -> None:
    """Of several processes that begin at the same moment exactly one gets the run."""
    children = [start() for _ in range(8)]
    words = [said(child) for child in children]
    assert ["owns"] + ["refused"] * 7 == sorted(word[0] for word in words)
    assert 1 == len({word[1] for word in words})


def test_different_keys_at_once_all_win(start: Callable[..., Any], home: Path) -> None:
    """Processes with keys of their own do not get into each other's way."""
    children = [start(str(number)) for number in range(4)]
    words = [said(child) for child in children]
    assert ["owns"] * 4 == [word[0] for word in words]
    assert 4 == len(FileStore(home).runs())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_child_of_a_dead_owner_does_not_hold_the_run(home: Path, writer: Any) -> None:
    """A child forked from an owner that died has closed what it inherited."""
    reading, writing = os.pipe()
    owner = os.fork()
    if not owner:
        session = writer(FileStore(home)).begin()
        child = os.fork()
        if not child:
            os.write(writing, b"ready\n")
            signal.pause()
        os.write(writing, f"{session.run} {child}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(owner, 0)
    told = b""
    while told.count(b"\n") < 2:
        told += os.read(reading, 100)
    run, child = told.replace(b"ready\n", b"").decode().split()
    os.close(reading)
    os.close(writing)
    try:
        assert run == writer(FileStore(home)).run
    finally:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_while_another_thread_works(home: Path, writer: Any) -> None:
    """A child forked while another thread appends and syncs neither hangs nor touches the run."""
    session = writer(FileStore(home)).begin()
    going = threading.Event()
    going.set()

    def work() -> None:
        while going.is_set():
            session.save()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if not child:
                try:
                    session.journal.sync(0)
                finally:
                    os._exit(3)
            assert 3 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        going.clear()
        thread.join()
    session.close()
    assert session.submitted == writer(FileStore(home)).submitted


def test_closing_gives_a_run_up_also_where_others_inherited_it(home: Path, writer: Any) -> None:
    """A child that foreign code forked may hold the lock's descriptor: closing gives the run up all the same."""
    session = writer(FileStore(home)).begin()
    inherited = os.dup(session.journal._ownership.descriptors[0])
    session.close()
    assert session.run == writer(FileStore(home)).run
    os.close(inherited)


def test_threads_of_one_process_exclude_each_other(home: Path, writer: Any) -> None:
    """Of several threads that open the same run exactly one gets it."""
    outcomes: list[str] = []

    def work() -> None:
        try:
            writer(FileStore(home)).begin()
            outcomes.append("owns")
        except RunInUseError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["owns"] + ["refused"] * 5 == sorted(outcomes)


def test_flushes_are_shared(home: Path, writer: Any, faulty: Callable[..., Any]) -> None:
    """Threads that wait for a flush at the same time share the next one."""
    files = faulty()
    flushes: list[int] = []

    def slow(descriptor: int) -> None:
        flushes.append(descriptor)
        time.sleep(0.02)

    files.flush = slow
    session = writer(FileStore(home, _files=files)).begin()
    flushes.clear()
    lines = [session.append() for _ in range(16)]
    threads = [threading.Thread(target=session.journal.sync, args=(line.number,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(flushes) <= 2


def test_waiting_threads_are_told_of_a_failed_flush(home: Path, writer: Any, faulty: Callable[..., Any]) -> None:
    """When the shared flush fails, nobody who waited for it is told that the record is safe."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    lines = [session.append() for _ in range(4)]
    entered = threading.Event()

    def fail(descriptor: int) -> None:
        entered.set()
        time.sleep(0.05)
        raise OSError(5, "Input/output error")

    files.flush = fail
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            session.journal.sync(number)
            outcomes.append("saved")
        except StoreError as error:
            outcomes.append(error.slug)

    threads = [threading.Thread(target=work, args=(line.number,)) for line in lines]
    for thread in threads:
        thread.start()
        entered.wait()
    for thread in threads:
        thread.join()
    assert ["not-saved"] + ["saving-stopped"] * 3 == sorted(outcomes)


def test_workflow_lock_that_is_never_given_up(
    home: Path, writer: Any, faulty: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs while it chooses a run is not waited for for ever."""
    monkeypatch.setattr(_ownership, "WORKFLOW_LOCK_WAIT_S", 0.05)
    writer(FileStore(home)).close()
    files = faulty()
    files.sleep = lambda seconds: None
    descriptor = files.open(str(home / "runs" / "align" / "lock"), os.O_RDWR)
    assert files.try_lock(descriptor)
    with pytest.raises(StoreError) as caught:
        writer(FileStore(home, _files=files))
    assert "store-busy" == caught.value.slug


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP"])
def test_file_system_without_locks_is_refused(home: Path, writer: Any, faulty: Callable[..., Any], name: str) -> None:
    """Without locks two processes could work on one run, so that nothing is begun."""
    import errno

    files = faulty()

    def refuse(descriptor: int) -> bool:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    files.try_lock = refuse
    with pytest.raises(StoreError) as caught:
        writer(FileStore(home, _files=files))
    assert "no-locks" == caught.value.slug
