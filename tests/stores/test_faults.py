"""
Every operation on files, one after the other, fails, tears, or is the last one of its process.

Whatever happens, the next session finds every line that was acknowledged, and no line that was not submitted.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint.errors import CheckpointError, SaveError, StoreError
from checkpoint.stores import FileStore

PAYLOAD = b"p" * 1000


class Scenario:
    """A run that is begun, worked on, closed, opened again and worked on; it keeps account of what was promised."""

    def __init__(self, home: Path, files: Any, writer: Any, durability: Any = "full") -> None:
        self.store = FileStore(home, durability=durability, _files=files)
        self.writer = writer
        self.sessions: list[Any] = []
        self.digest: str | None = None

    def run(self) -> None:
        """Do it all."""
        first = self.begin()
        first.begin()
        first.append()
        first.save()
        self.digest = first.put(PAYLOAD)
        first.save()
        first.journal.publish({"status": "running"})
        first.append()
        first.close()
        second = self.begin().opened()
        second.save()
        second.append()
        second.close()

    def begin(self) -> Any:
        """Open a session and note it."""
        self.sessions.append(self.writer(self.store))
        return self.sessions[-1]

    def check(self) -> Any:
        """Open the run as it is now, and compare it with what was promised."""
        after = self.writer(FileStore(self.store.home, durability=self.store.durability))
        promised = self.sessions[-1].submitted[: self.sessions[-1].acknowledged] if self.sessions else []
        allowed = self.sessions[-1].submitted if self.sessions else []
        assert promised == after.submitted[: len(promised)]
        assert after.submitted == allowed[: len(after.submitted)]
        if self.digest:
            assert PAYLOAD == after.journal.get(self.digest, len(PAYLOAD))
        return after


# What happens at an operation, in words.
FAULTS = {
    "EIO": "an input/output error",
    "ENOSPC": "the disk is full",
    "short": "a write that writes half",
    "before": "killed before it",
    "after": "killed after it",
    "torn": "killed in the middle of a write",
}


def count_operations(home: Path, faulty: Any, writer: Any) -> int:
    """Return how many operations the scenario takes when nothing goes wrong."""
    files = faulty()
    Scenario(home, files, writer).run()
    return int(files.count)


@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_what_was_acknowledged(
    tmp_path: Path, faulty: Callable[..., Any], writer: Any, death: Any, fault: str, durability: str, faults: Any
) -> None:
    """After a fault at any operation the next session finds everything that was acknowledged, and goes on."""
    number, silent = 0, []
    while True:
        files = faulty(number, fault)
        scenario = Scenario(tmp_path / str(number), files, writer, durability)
        try:
            scenario.run()
            if files.fired:
                silent.append(number)
        except (CheckpointError, death):
            pass
        files.bury()
        if not files.fired:
            break
        after = scenario.check()
        if not after.submitted:
            after.begin()
        after.save()
        after.close()
        number += 1
    assert number > 60
    if fault == "short":
        assert number == len(silent)
    faults.count(f"a file operation of the store: {FAULTS[fault]}", number, harmless=len(silent))


def test_a_silent_fault_lost_nothing(tmp_path: Path, faulty: Callable[..., Any], writer: Any, faults: Any) -> None:
    """When an operation fails and nobody is told, every line is there nevertheless."""
    total = count_operations(tmp_path / "clean", faulty, writer)
    silent = 0
    for number in range(total):
        files = faulty(number, "EIO")
        scenario = Scenario(tmp_path / str(number), files, writer)
        try:
            scenario.run()
        except CheckpointError:
            files.bury()
            continue
        files.bury()
        after = scenario.check()
        assert scenario.sessions[-1].submitted == after.submitted
        after.close()
        silent += 1
    faults.count("a file operation of the store: an input/output error that nobody was told of", silent)


def test_append_that_fails_leaves_nothing_and_can_be_tried_again(
    home: Path, faulty: Callable[..., Any], writer: Any
) -> None:
    """After a full disk, the same record can be appended as soon as there is room."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    files.at, files.fault = files.count + 1, "ENOSPC"
    with pytest.raises(SaveError) as caught:
        session.append()
    assert ("disk-full", errno.ENOSPC, True) == (
        caught.value.slug,
        caught.value.errno,
        "disk full" in str(caught.value),
    )
    session.save()
    session.close()
    assert session.submitted == writer(FileStore(home)).submitted


def test_failed_flush_ends_the_writer(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """After a failed flush nobody knows what is on the disk: what was not acknowledged is cut off."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    session.append()
    files.at, files.fault = files.count + 2, "EIO"
    with pytest.raises(SaveError) as caught:
        session.save()
    assert ("not-saved", errno.EIO) == (caught.value.slug, caught.value.errno)
    with pytest.raises(SaveError) as caught:
        session.append()
    assert "saving-stopped" == caught.value.slug
    with pytest.raises(SaveError):
        session.put(b"abc")
    session.close()
    assert session.submitted[:2] == writer(FileStore(home)).submitted


def test_failed_flush_while_opening_cuts_nothing(
    home: Path, faulty: Callable[..., Any], writer: Any, faults: Any
) -> None:
    """A flush that fails before this session wrote anything must not cut off what others were promised."""
    session = writer(FileStore(home)).begin()
    session.save()
    session.close()
    clean = faulty()
    writer(FileStore(home, _files=clean)).close()
    refused = 0
    for number in range(clean.count):
        files = faulty(number, "EIO")
        try:
            writer(FileStore(home, _files=files))
        except StoreError:
            refused += 1
        files.bury()
        again = writer(FileStore(home))
        assert session.submitted == again.submitted
        again.close()
    assert refused > 10
    faults.count("a file operation of the store while it opens: an input/output error", clean.count, refused=refused)


def test_interrupted_append_is_cut_off_before_the_next(
    home: Path, faulty: Callable[..., Any], writer: Any, death: Any
) -> None:
    """An exception in the middle of a write, such as a signal's, leaves half a line, which the next append removes."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    files.at, files.fault = files.count + 1, "torn"
    with pytest.raises(death):
        session.append()
    files.dead = False
    session.save()
    session.close()
    assert session.submitted == writer(FileStore(home)).submitted


def test_interrupted_append_is_cut_off_by_a_sync(
    home: Path, faulty: Callable[..., Any], writer: Any, death: Any
) -> None:
    """A sync never acknowledges half a line."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    line = session.append()
    files.at, files.fault = files.count + 1, "torn"
    with pytest.raises(death):
        session.append()
    files.dead = False
    session.journal.sync(line.number)
    assert b"".join(session.submitted[:3]) == (session.path / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("change", ["longer", "shorter", "removed", "replaced", "only in a copy"])
def test_changed_journal_is_noticed_before_writing(home: Path, writer: Any, change: str) -> None:
    """A second writer, or a journal that was removed or replaced, stops the session; nothing is repaired."""
    session = writer(FileStore(home)).begin()
    path = session.path / "journal.jsonl"
    if change == "longer":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "shorter":
        os.truncate(path, 10)
    elif change == "removed":
        path.unlink()
    elif change == "replaced":
        (session.path / "other").write_bytes(path.read_bytes())
        (session.path / "other").replace(path)
    else:
        os.link(path, session.path / "other")
        session.append()
        path.unlink()
    size = path.stat().st_size if path.exists() else None
    for slug in ("journal-changed", "saving-stopped"):
        with pytest.raises(SaveError) as caught:
            session.append()
        assert slug == caught.value.slug
    assert size == (path.stat().st_size if path.exists() else None)


def test_linked_copy_of_an_open_run_is_not_in_the_way(home: Path, writer: Any) -> None:
    """A backup by hard links, made or removed while the run is open, changes nothing."""
    session = writer(FileStore(home)).begin()
    backup = home / "backup"
    os.link(session.path / "journal.jsonl", backup)
    session.save()
    backup.unlink()
    session.save()
    session.close()
    assert session.submitted == writer(FileStore(home)).submitted


def test_failed_look_at_a_linked_journal_can_be_repeated(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """When it cannot be said whether a journal was replaced, nothing is written; the next append looks again."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    os.link(session.path / "journal.jsonl", home / "backup")
    files.at, files.fault = files.count + 1, "EIO"
    with pytest.raises(SaveError) as caught:
        session.append()
    assert ("not-saved", errno.EIO) == (caught.value.slug, caught.value.errno)
    session.save()


def test_unfinished_writes_of_a_dead_session_are_removed(home: Path, writer: Any) -> None:
    """What a killed write left is gone when the run is opened again; other files stay."""
    session = writer(FileStore(home)).begin()
    digest = session.put(b"abc")
    session.close()
    folder = session.path / "payloads" / digest[:2]
    for left in (session.path, folder):
        (left / "tmp-0123456789abcdef").write_bytes(b"half")
    (folder / "tmp-mine").write_bytes(b"")
    again = writer(FileStore(home))
    assert [digest, "tmp-mine"] == sorted(path.name for path in folder.iterdir())
    assert [] == list(session.path.glob("tmp-*"))
    assert b"abc" == again.journal.get(digest, 3)


def test_failed_put_leaves_no_file(home: Path, faulty: Callable[..., Any], writer: Any, faults: Any) -> None:
    """A payload that could not be written leaves nothing behind, and the run goes on."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    failed = 0
    while True:
        files.at, files.fault = files.count + failed, "ENOSPC"
        files.fired = False
        try:
            session.put(b"%d" % failed * 1000)
        except SaveError as error:
            assert "a value of " in str(error)
            failed += 1
        if not files.fired:
            break
    assert failed > 5
    files.at = -1
    assert [] == list(session.path.glob("payloads/*/tmp-*"))
    session.save()
    faults.count("a file operation of the store: the disk is full", failed)


def test_payload_that_changes_while_it_is_written_leaves_no_file(
    home: Path, faulty: Callable[..., Any], writer: Any
) -> None:
    """Memory that another thread changes between two writes is noticed before the payload gets its name."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    data = bytearray(600_000)
    digest = hashlib.sha256(data).hexdigest()
    write = files.write

    def change(descriptor: int, chunk: Any) -> int:
        data[-1] = 1
        return int(write(descriptor, chunk))

    files.write = change
    with pytest.raises(SaveError, match="another thread changed it"):
        session.journal.put(digest, memoryview(data))
    assert [] == [path for path in session.path.glob("payloads/*/*")]
    session.save()


def test_publish_is_silent_on_every_fault(home: Path, faulty: Callable[..., Any], writer: Any, faults: Any) -> None:
    """The summary is derived: failing to write it is no error, and leaves no other file."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    start = files.count
    session.journal.publish({})
    operations = files.count - start
    for offset in range(operations):
        files.at, files.fault = files.count + offset, "EIO"
        session.journal.publish({"offset": offset})
    assert [] == list(session.path.glob("tmp-*"))
    faults.count("a file operation of the store: an input/output error that nobody was told of", operations)


def fail(*arguments: object) -> None:
    """Be an operation that fails."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_append_that_cannot_be_rolled_back_ends_the_writer(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """When half a line can be neither completed nor cut off, nothing follows it, and the next session cuts it off."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    whole = files.write
    files.write = lambda descriptor, data: whole(descriptor, data[:10]) if len(data) > 150 else fail()
    files.truncate = fail
    for slug in ("not-saved", "saving-stopped"):
        with pytest.raises(SaveError) as caught:
            session.append(members=f'"value":"{"x" * 200}"' if slug == "not-saved" else "")
        assert slug == caught.value.slug
    session.close()
    again = writer(FileStore(home))
    assert (session.submitted[:2], 1) == (again.submitted, len(again.journal.notes))


def test_failed_look_at_the_journal_can_be_repeated(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """When the file cannot be looked at, nothing is written, and the next append does."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    files.at = files.count
    with pytest.raises(SaveError):
        session.append()
    session.save()
    session.close()
    assert session.submitted == writer(FileStore(home)).submitted


def test_close_that_fails_is_told_and_gives_the_run_up(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """Some file systems say only when closing that a write failed."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    session.append()
    files.close = fail
    with pytest.raises(SaveError):
        session.close()
    session.close()
    files.bury()
    assert session.submitted == writer(FileStore(home)).submitted


def test_close_that_fails_says_nothing_of_what_was_flushed(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """A run that has finished is not said to be lost, which would make the user run everything again."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    files.close = fail
    session.close()
    files.bury()
    assert session.submitted == writer(FileStore(home)).submitted


def test_journal_that_shrank_is_not_handed_out_again(home: Path, writer: Any) -> None:
    """Records that are asked for again are all there, or an error is raised."""
    session = writer(FileStore(home)).begin()
    os.truncate(session.path / "journal.jsonl", 10)
    with pytest.raises(StoreError) as caught:
        session.journal.records()
    assert "damaged-run" == caught.value.slug


def test_writing_nothing_is_a_failure(home: Path, faulty: Callable[..., Any], writer: Any) -> None:
    """A write that takes nothing, again and again, does not hang."""
    files = faulty()
    session = writer(FileStore(home, _files=files)).begin()
    files.write = lambda descriptor, data: 0
    with pytest.raises(SaveError):
        session.append()


def test_leftovers_that_cannot_be_removed_are_not_in_the_way(
    home: Path, faulty: Callable[..., Any], writer: Any
) -> None:
    """What a dead session left is removed when that goes, and passed over when it does not."""
    writer(FileStore(home)).close()
    files = faulty()
    files.remove = files.remove_directory = fail
    session = writer(FileStore(home, _files=files)).begin()
    session.close()
    assert session.run == writer(FileStore(home)).run
