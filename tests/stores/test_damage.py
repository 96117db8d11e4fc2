"""
Files of a run that somebody damaged, removed or exchanged: always refused with file and position, never repaired.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core.lines import Mark
from checkpoint.errors import CheckpointError, DamagedRunError, NewerFormatError, StoreError
from checkpoint.stores import FileStore


def journal_of(session: Any) -> Path:
    """Return the journal's file of a session that was closed."""
    return Path(session.path / "journal.jsonl")


@pytest.fixture
def session(files_store: FileStore, writer: Any) -> Any:
    """Return a run of six acknowledged records, closed."""
    session = writer(files_store).begin()
    for number in range(4):
        session.save(f"key{number}")
    session.journal.publish({"status": "stopped"})
    return session.close()


def reopened(session: Any, files_store: FileStore) -> str:
    """Return what comes of opening: `same` for the same records, `fewer`, `new`, or the slug of the error."""
    try:
        again = type(session)(files_store)
    except CheckpointError as error:
        return error.slug
    again.close()
    if again.run != session.run:
        return "new"
    assert again.submitted == session.submitted[: len(again.submitted)]
    return "same" if len(again.submitted) == len(session.submitted) else "fewer"


def test_every_flipped_bit_is_refused(session: Any, files_store: FileStore, faults: Any) -> None:
    """No flipped bit of an acknowledged journal is accepted, drops a record, or begins a new run."""
    path = journal_of(session)
    data = path.read_bytes()
    outcomes = set()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        outcomes.add(reopened(session, files_store))
        assert flipped == path.read_bytes()
    assert outcomes <= {"damaged-run", "newer-format", "lost-run"}
    faults.count("one bit of a store's journal flipped", len(data) * 8, refused=len(data) * 8)


def test_every_truncation_is_refused(session: Any, files_store: FileStore, faults: Any) -> None:
    """No cut of an acknowledged journal is accepted or begins a new run, and nothing is changed."""
    path = journal_of(session)
    data = path.read_bytes()
    outcomes = set()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        outcomes.add(reopened(session, files_store))
        assert size == path.stat().st_size
    assert {"damaged-run", "lost-run"} == outcomes
    faults.count("a store's journal cut off", len(data), refused=len(data))


def test_every_truncation_of_what_was_not_acknowledged_is_mended(
    files_store: FileStore, writer: Any, faults: Any
) -> None:
    """A cut within records that were not acknowledged leaves those before it, and a note."""
    session = writer(files_store).begin()
    acknowledged = journal_of(session).stat().st_size
    session.append()
    session.close()
    path, saved = journal_of(session), journal_of(session).read_bytes()
    mark = (session.path / "lock").read_bytes()
    for size in range(acknowledged + 1, len(saved)):
        path.write_bytes(saved[:size])
        (session.path / "lock").write_bytes(mark)
        again = writer(files_store)
        assert session.submitted[:2] == again.submitted
        assert [f"discarded an unfinished record of {size - acknowledged} bytes"] == again.journal.notes
        again.close()
    cuts = len(saved) - acknowledged - 1
    faults.count("a store's journal cut off", cuts, harmless=cuts)


def test_unfinished_bytes_are_kept_beside_the_journal(files_store: FileStore, writer: Any) -> None:
    """What is cut off is there to be looked at, after what was cut off before."""
    session = writer(files_store).begin().close()
    for torn in (b'{"key":"abc', b"\0" * 10):
        with journal_of(session).open("ab") as file:
            file.write(torn)
        writer(files_store).close()
    assert b'{"key":"abc' + b"\0" * 10 == (session.path / "journal.torn").read_bytes()


@pytest.mark.parametrize("bit", range(0, 28 * 8, 3))
def test_flipped_bit_of_the_mark_never_loses_a_record(
    session: Any, files_store: FileStore, bit: int, faults: Any
) -> None:
    """A mark that is damaged is ignored or refuses the run; it never drops what was saved."""
    path = session.path / "lock"
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    outcome = reopened(session, files_store)
    assert outcome in ("same", "damaged-run")
    faults.count("one bit of a store's mark flipped", **{"harmless" if outcome == "same" else "refused": 1})


def test_missing_mark_is_written_again(session: Any, files_store: FileStore, writer: Any) -> None:
    """The mark is derived: without it a run is continued, and has one again."""
    (session.path / "lock").unlink()
    assert "same" == reopened(session, files_store)
    mark = Mark.parse((session.path / "lock").read_bytes())
    assert mark is not None
    assert len(session.submitted) == mark.count


def test_zero_sector_is_refused(files_store: FileStore, writer: Any, faults: Any) -> None:
    """A sector of zeros in an acknowledged record is refused, also in the last one."""
    session = writer(files_store).begin()
    for _ in range(3):
        session.save(members=f'"value":"{"x" * 2000}"')
    session.close()
    path = journal_of(session)
    data = path.read_bytes()
    outcomes = set()
    sectors = range(0, len(data) - 512, 512)
    for sector in sectors:
        path.write_bytes(data[:sector] + bytes(512) + data[sector + 512 :])
        outcomes.add(reopened(session, files_store))
    assert {"damaged-run"} == outcomes
    faults.count("a sector of a store's journal zeroed", len(sectors), refused=len(sectors))


@pytest.mark.parametrize("order", [[0, 1, 3, 4, 5], [0, 1, 2, 2, 3, 4, 5], [0, 2, 1, 3, 4, 5], [0, 1, 2, 3, 4]])
def test_rearranged_lines_are_refused(session: Any, files_store: FileStore, order: list[int], faults: Any) -> None:
    """Removed, repeated and swapped lines are refused."""
    journal_of(session).write_bytes(b"".join(session.submitted[number] for number in order))
    assert "damaged-run" == reopened(session, files_store)
    faults.count("lines of a store's journal rearranged", refused=1)


def test_error_names_file_line_byte_and_reason(session: Any, files_store: FileStore, writer: Any) -> None:
    """The error says where the damage is, and what to do."""
    path = journal_of(session)
    data = bytearray(path.read_bytes())
    start = sum(map(len, session.submitted[:3]))
    data[start + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedRunError) as caught:
        writer(files_store)
    error = caught.value
    assert (str(path), 4, start, "its checksum is wrong") == (error.path, error.line, error.byte, error.reason)
    assert f"at line 4 (byte {start})" in str(error)
    assert f"checkpoint path {session.run[-4:]}" in str(error)


def test_refused_run_is_free_again(session: Any, files_store: FileStore) -> None:
    """Refusing gives the lock up: with the good file back in place the run is opened."""
    path = journal_of(session)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert "damaged-run" == reopened(session, files_store)
    path.write_bytes(data)
    assert "same" == reopened(session, files_store)


@pytest.mark.parametrize("left", [["lock", "state.json"], ["lock"], ["state.json"]])
def test_missing_journal_is_lost(session: Any, files_store: FileStore, left: list[str]) -> None:
    """A journal that is missing while anything shows that it was there is never a silent new beginning."""
    for path in session.path.iterdir():
        if path.name not in left:
            path.unlink()
    assert "lost-run" == reopened(session, files_store)
    assert ["lost"] == [summary.status for summary in files_store.runs()]
    with pytest.raises(DamagedRunError):
        files_store.read("align", session.run)


def test_emptied_journal_is_lost(session: Any, files_store: FileStore) -> None:
    """A journal that was emptied is refused like one that is missing."""
    os.truncate(journal_of(session), 0)
    assert "lost-run" == reopened(session, files_store)


def test_lost_run_of_another_key_is_not_in_the_way(files_store: FileStore, writer: Any) -> None:
    """A run that is known to be of another key is passed over."""
    session = writer(files_store, key="other").begin()
    session.journal.publish({})
    journal_of(session.close()).unlink()
    assert session.run != writer(files_store).run


def test_fresh_begins_beside_a_lost_run(session: Any, files_store: FileStore, writer: Any) -> None:
    """Who asks for a fresh run is not stopped by a damaged one."""
    journal_of(session).unlink()
    assert session.run < writer(files_store, fresh=True).run


def test_older_copy_is_refused(files_store: FileStore, writer: Any) -> None:
    """A journal restored from an older copy is refused, saying how much is missing."""
    session = writer(files_store).begin()
    older = journal_of(session).read_bytes()
    for _ in range(8):
        session.save()
    session.close()
    journal_of(session).write_bytes(older)
    with pytest.raises(DamagedRunError, match="it ends at record 2, but 10 had been saved"):
        writer(files_store)


def test_whole_directory_restored_from_an_older_copy_is_continued(
    files_store: FileStore, writer: Any, tmp_path: Path
) -> None:
    """A run that was restored whole is a run: nothing in it shows that there was more."""
    session = writer(files_store).begin().close()
    shutil.copytree(session.path, tmp_path / "copy")
    again = writer(files_store)
    again.save()
    again.close()
    shutil.rmtree(session.path)
    shutil.move(tmp_path / "copy", session.path)
    assert session.submitted == writer(files_store).submitted


def test_journal_of_another_run_is_refused(files_store: FileStore, writer: Any) -> None:
    """A good journal in the wrong place is refused."""
    first = writer(files_store).begin().close()
    second = writer(files_store, fresh=True).begin().close()
    shutil.copyfile(journal_of(first), journal_of(second))
    assert "damaged-run" == reopened(second, files_store)


def test_journal_of_another_workflow_is_refused(files_store: FileStore, writer: Any) -> None:
    """A directory that was renamed by hand is not taken for what its name says."""
    session = writer(files_store, "other").begin().close()
    shutil.copytree(session.path.parent, session.path.parent.parent / "align")
    with pytest.raises(DamagedRunError, match="it is of workflow 'other'"):
        writer(files_store)


def test_damaged_first_record_is_not_skipped(session: Any, files_store: FileStore) -> None:
    """A first record whose key was damaged does not pass for a run of another key."""
    path = journal_of(session)
    (session.path / "state.json").unlink()
    path.write_bytes(path.read_bytes().replace(b'"key_of_run":null', b'"key_of_run":1234'))
    assert "damaged-run" == reopened(session, files_store)


def test_newer_format_is_refused(session: Any, files_store: FileStore, writer: Any) -> None:
    """A run of a newer version asks for an upgrade."""
    path = journal_of(session)
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(NewerFormatError) as caught:
        writer(files_store)
    assert (2, str(path)) == (caught.value.format, caught.value.path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_unreadable_journal_is_refused(session: Any, files_store: FileStore) -> None:
    """A journal that cannot be read is not one that is not there."""
    journal_of(session).chmod(0)
    assert "unreadable" == reopened(session, files_store)


def test_directory_in_place_of_the_journal_is_refused(session: Any, files_store: FileStore) -> None:
    """What cannot be read as a file is refused."""
    journal_of(session).unlink()
    journal_of(session).mkdir()
    assert "unreadable" == reopened(session, files_store)


def test_link_in_place_of_the_journal_is_refused(session: Any, files_store: FileStore, tmp_path: Path) -> None:
    """A symbolic link is not followed."""
    journal_of(session).rename(tmp_path / "elsewhere")
    journal_of(session).symlink_to(tmp_path / "elsewhere")
    assert "not-private-directory" == reopened(session, files_store)


@pytest.mark.parametrize("change", ["missing", "flipped", "short", "long", "exchanged", "directory"])
def test_damaged_payload_is_refused(files_store: FileStore, writer: Any, change: str, faults: Any) -> None:
    """A payload that is not what was put is refused, naming its file; the run stays open."""
    session = writer(files_store).begin()
    digest, other = session.put(b"a" * 5000), session.put(b"b" * 5000)
    path = session.path / "payloads" / digest[:2] / digest
    data = path.read_bytes()
    if change == "missing":
        path.unlink()
    elif change == "flipped":
        path.write_bytes(data[:100] + b"b" + data[101:])
    elif change == "short":
        path.write_bytes(data[:-1])
    elif change == "long":
        path.write_bytes(data + b"a")
    elif change == "exchanged":
        shutil.copyfile(session.path / "payloads" / other[:2] / other, path)
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(StoreError) as caught:
        session.journal.get(digest, 5000)
    assert str(path) == caught.value.path
    session.save()
    faults.count("a store's payload damaged", refused=1)


def test_damaged_payload_is_replaced_by_the_next_session(files_store: FileStore, writer: Any) -> None:
    """A step that runs again puts its result whole, although a file of that name is there."""
    session = writer(files_store).begin()
    digest = session.put(b"a" * 5000)
    (session.path / "payloads" / digest[:2] / digest).write_bytes(b"b" * 5000)
    session.close()
    again = writer(files_store)
    again.put(b"a" * 5000)
    assert b"a" * 5000 == again.journal.get(digest, 5000)


@pytest.mark.parametrize("digest", ["../../lock", "x" * 64, "A" * 64, ""])
def test_payload_with_a_made_up_name_is_refused(files_store: FileStore, writer: Any, digest: str) -> None:
    """A journal that somebody wrote cannot reach other files."""
    with pytest.raises(DamagedRunError):
        writer(files_store).begin().journal.get(digest, 28)


def test_unreadable_summary_is_ignored(session: Any, files_store: FileStore) -> None:
    """The summary is derived: whatever it holds, the run is continued."""
    (session.path / "state.json").write_bytes(b"\xff{")
    assert "same" == reopened(session, files_store)


def test_files_that_are_no_runs_are_passed_over(session: Any, files_store: FileStore) -> None:
    """What else lies among the runs is left alone."""
    stranger = session.path.parent / "notes.txt"
    stranger.write_text("mine")
    assert "same" == reopened(session, files_store)
    assert 1 == len(files_store.runs())
    assert "mine" == stranger.read_text()


def test_run_that_never_began_is_removed(files_store: FileStore, writer: Any) -> None:
    """What a session left that died before its first record was whole gives way to the next run."""
    session = writer(files_store).close()
    journal_of(session).write_bytes(b'{"key":"run","ki')
    again = writer(files_store)
    assert not session.path.exists()
    assert again.run != session.run


def test_interrupted_deletion_is_finished(session: Any, files_store: FileStore, writer: Any) -> None:
    """A run whose deletion was cut short is no run, and the next one that begins removes the rest."""
    doomed = session.path.rename(session.path.parent / f"deleted-{session.run}")
    assert [] == files_store.runs()
    assert session.run < writer(files_store).run
    assert not doomed.exists()


def test_mark_of_another_boot_is_ignored(home: Path, writer: Any) -> None:
    """Without syncs a power cut loses records: after it the mark proves nothing, and what is left is continued."""
    store = FileStore(home, durability="process")
    session = writer(store).begin()
    session.save()
    session.close()
    os.truncate(journal_of(session), sum(map(len, session.submitted[:2])))
    assert "damaged-run" == reopened(session, store)
    mark = Mark.parse((session.path / "lock").read_bytes())
    assert mark is not None
    other = Mark(mark.count, mark.sum, "00000000-0000-0000-0000-000000000000")
    (session.path / "lock").write_bytes(other.format())
    assert "fewer" == reopened(session, store)


def test_run_that_a_power_cut_took_whole_gives_way(home: Path, writer: Any) -> None:
    """Without syncs a power cut may keep the summary and lose the journal: the next run begins."""
    store = FileStore(home, durability="process")
    session = writer(store).begin()
    session.journal.publish({})
    session.close()
    os.truncate(journal_of(session), 0)
    (session.path / "lock").unlink()
    assert "lost-run" == reopened(session, store)
    summary = session.path / "state.json"
    summary.write_text(re.sub(r'"boot": ".{36}"', '"boot": "another"', summary.read_text()))
    assert "new" == reopened(session, store)
