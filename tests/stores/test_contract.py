"""
What every store does: the same tests over all of them.
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from checkpoint.errors import DamagedRunError, RunClosedError, RunInUseError, SaveError, StoreError, UsageError

if TYPE_CHECKING:
    from checkpoint.stores import Store


def test_new_run_is_empty(store: Store, writer: Any) -> None:
    """The journal of a new run holds nothing."""
    assert b"" == writer(store).journal.records()


def test_records_are_what_was_appended(store: Store, writer: Any) -> None:
    """A reopened run gives back every line, in order."""
    first = writer(store).begin()
    first.save()
    first.append()
    first.close()
    assert b"".join(first.submitted) == writer(store).journal.records()


def test_records_can_be_asked_for_again(store: Store, writer: Any) -> None:
    """Asking twice gives the same, with what was appended since."""
    first = writer(store).begin()
    first.save()
    assert b"".join(first.submitted) == first.journal.records() == first.journal.records()


def test_unfinished_run_is_continued(store: Store, writer: Any) -> None:
    """A run without an end is the one to work on."""
    first = writer(store).begin().close()
    assert first.run == writer(store).run


@pytest.mark.parametrize("kind", ["failed", "stopped"])
def test_run_that_failed_or_was_stopped_is_continued(store: Store, writer: Any, kind: str) -> None:
    """Only finishing ends a run."""
    first = writer(store).begin()
    first.save("run", kind)
    first.close()
    assert first.run == writer(store).run


def test_finished_run_is_not_reopened(store: Store, writer: Any) -> None:
    """After a finished run a new one begins, and sorts after it."""
    first = writer(store).begin()
    first.save("run", "finished")
    first.close()
    assert first.run < writer(store).run


def test_a_step_named_finished_does_not_end_a_run(store: Store, writer: Any) -> None:
    """Only a record of the run itself ends it."""
    first = writer(store).begin()
    first.save("a" * 32, "finished")
    first.close()
    assert first.run == writer(store).run


def test_once_reopens_a_finished_run(store: Store, writer: Any) -> None:
    """With once, a finished run is opened with all its records."""
    first = writer(store).begin()
    first.save("run", "finished")
    first.close()
    again = writer(store, once=True)
    assert (first.run, first.submitted) == (again.run, again.submitted)


def test_fresh_leaves_an_unfinished_run_alone(store: Store, writer: Any) -> None:
    """With fresh, a new run begins, and the next session works on that one."""
    first = writer(store).begin().close()
    second = writer(store, fresh=True).begin().close()
    assert (True, second.run) == (first.run < second.run, writer(store).run)


def test_run_that_was_given_up_by_fresh_stays_given_up(store: Store, writer: Any) -> None:
    """When the fresh run has finished, the one before it is not taken up again."""
    writer(store).begin().close()
    second = writer(store, fresh=True).begin()
    second.save("run", "finished")
    second.close()
    assert second.run < writer(store).run


def test_keys_have_runs_of_their_own(store: Store, writer: Any) -> None:
    """Runs of one workflow with different keys do not meet."""
    runs = {key: writer(store, key=key).begin().close().run for key in ("a", "b", None, "")}
    assert runs == {key: writer(store, key=key).run for key in ("a", "b", None, "")}


def test_workflows_have_runs_of_their_own(store: Store, writer: Any) -> None:
    """Names that differ only in what file systems forget do not meet either."""
    names = ["align", "Align", "a/b", "a%2Fb", "..", "con", "ä" * 200, "ä" * 201, "x.", "a b"]
    runs = {name: writer(store, name).begin().close().run for name in names}
    assert runs == {name: writer(store, name).run for name in names}
    assert sorted(names) == sorted({summary.workflow for summary in store.runs()})


def test_workflow_needs_a_name(store: Store, writer: Any) -> None:
    """The empty name is refused."""
    with pytest.raises(UsageError) as caught:
        writer(store, "")
    assert "empty-workflow-name" == caught.value.slug


def test_run_that_never_began_is_not_there(store: Store, writer: Any) -> None:
    """A session that died before its first record leaves no run."""
    writer(store).close()
    assert [] == store.runs()
    writer(store).begin().close()
    assert 1 == len(store.runs())


def test_second_owner_is_refused(store: Store, writer: Any) -> None:
    """A run that is open is refused, and the error says who has it."""
    first = writer(store).begin()
    with pytest.raises(RunInUseError) as caught:
        writer(store)
    assert ("align", first.run) == (caught.value.workflow, caught.value.run)
    assert {"pid": 4182, "host": "build-3", "command": "align.py", "since": "2026-11-22T14:02:00.000Z"} == (
        caught.value.owner
    )
    assert f"run {first.run[-4:]} is already running (process 4182 on build-3, since " in str(caught.value)
    assert str(caught.value).endswith("). Not started.")


def test_second_owner_is_refused_before_the_first_record(store: Store, writer: Any) -> None:
    """Two sessions that begin at the same time do not both get a run."""
    first = writer(store)
    with pytest.raises(RunInUseError) as caught:
        writer(store)
    assert (first.run, {}) == (caught.value.run, caught.value.owner)


def test_other_keys_begin_beside_a_run_without_records(store: Store, writer: Any) -> None:
    """A run that is only just beginning does not keep other keys waiting."""
    first = writer(store, key="a")
    assert first.run != writer(store, key="b").run


def test_refused_owner_changed_nothing(store: Store, writer: Any) -> None:
    """The owner goes on as if nothing had happened."""
    first = writer(store).begin()
    with pytest.raises(RunInUseError):
        writer(store)
    first.save()
    first.close()
    assert first.submitted == writer(store).submitted


def test_closing_gives_a_run_up(store: Store, writer: Any) -> None:
    """Closing is idempotent, and another session may follow."""
    first = writer(store).begin().close().close()
    assert first.run == writer(store).run


@pytest.mark.parametrize("name", ["append", "sync", "put", "get", "publish", "records"])
def test_closed_run_refuses(store: Store, writer: Any, name: str) -> None:
    """Nothing is written or read through a journal that was given up."""
    first = writer(store).begin()
    line = first.chain.seal("a", "started", "")
    arguments = {"append": (line,), "sync": (0,), "put": ("0" * 64, memoryview(b"")), "get": ("0" * 64, 0)}
    first.close()
    with pytest.raises(RunClosedError):
        getattr(first.journal, name)(*arguments.get(name, ({},) if name == "publish" else ()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("name", ["append", "sync", "put", "get", "publish", "records"])
def test_forked_child_refuses(store: Store, writer: Any, name: str) -> None:
    """A forked child owns nothing, and says so; its parent goes on owning the run."""
    first = writer(store).begin()
    line = first.chain.seal("a", "started", "")
    arguments = {"append": (line,), "sync": (0,), "put": ("0" * 64, memoryview(b"")), "get": ("0" * 64, 0)}
    child = os.fork()
    if not child:
        status = 1
        try:
            getattr(first.journal, name)(*arguments.get(name, ({},) if name == "publish" else ()))
        except RunClosedError as error:
            status = 0 if error.slug == "forked-child" else 2
        finally:
            os._exit(status)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with pytest.raises(RunInUseError):
        writer(store)
    first.save()


def test_line_out_of_order_is_refused(store: Store, writer: Any) -> None:
    """A line that is not the next one is not written."""
    first = writer(store).begin()
    line = first.append()
    with pytest.raises(SaveError) as caught:
        first.journal.append(line)
    assert "journal-changed" == caught.value.slug
    first.close()
    assert first.submitted == writer(store).submitted


def test_first_line_must_name_the_run(store: Store, writer: Any) -> None:
    """A run that could not be found again is not begun."""
    first = writer(store, key="a")
    first.key = "b"
    with pytest.raises(ValueError, match="key 'a'"):
        first.begin()


def test_sync_of_a_line_that_was_not_appended(store: Store, writer: Any) -> None:
    """What was not appended cannot be synced."""
    first = writer(store).begin()
    with pytest.raises(ValueError, match="was not appended"):
        first.journal.sync(2)


def test_concurrent_appends_are_all_kept(store: Store, writer: Any) -> None:
    """Threads that append under one lock and sync together lose nothing."""
    first = writer(store).begin()
    lock = threading.Lock()

    def work() -> None:
        for _ in range(20):
            with lock:
                line = first.append()
            first.journal.sync(line.number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.close()
    assert (162, first.submitted) == (len(first.submitted), writer(store).submitted)


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_payload_comes_back(store: Store, writer: Any, size: int) -> None:
    """A payload is what was put, also in the next session."""
    first = writer(store).begin()
    data = os.urandom(size)
    digest = first.put(data)
    assert digest == first.put(data)
    assert data == first.journal.get(digest, size)
    first.close()
    assert data == writer(store).journal.get(digest, size)


def test_payload_belongs_to_whoever_got_it(store: Store, writer: Any) -> None:
    """Changing what was got does not change what is kept."""
    first = writer(store).begin()
    digest = first.put(b"abc")
    first.journal.get(digest, 3)[0] = 0
    assert b"abc" == first.journal.get(digest, 3)


def test_missing_payload_is_damage(store: Store, writer: Any) -> None:
    """A payload that is not there is refused, naming it."""
    digest = hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(DamagedRunError) as caught:
        writer(store).begin().journal.get(digest, 3)
    assert ("damaged-payload", True) == (caught.value.slug, caught.value.path.endswith(digest))


def test_payload_of_another_size_is_damage(store: Store, writer: Any) -> None:
    """The size is checked before anything is read."""
    first = writer(store).begin()
    digest = first.put(b"abc")
    with pytest.raises(DamagedRunError, match="3 bytes instead of 4"):
        first.journal.get(digest, 4)


def test_payload_that_is_not_its_digest_is_damage(store: Store, writer: Any) -> None:
    """Contents that do not have their name's checksum are not handed back."""
    first = writer(store).begin()
    digest = hashlib.sha256(b"abc").hexdigest()
    first.journal.put(digest, memoryview(b"abd"))
    with pytest.raises(DamagedRunError):
        first.journal.get(digest, 3)


def test_payload_that_changes_while_it_is_saved_is_refused(store: Store, writer: Any) -> None:
    """Memory that is not what was hashed is not kept, so that nothing acknowledged can be unreadable."""
    first = writer(store).begin()
    data = bytearray(600_000)
    digest = hashlib.sha256(data).hexdigest()
    data[-1] = 1
    with pytest.raises(SaveError) as caught:
        first.journal.put(digest, memoryview(data))
    assert ("payload-changed", None) == (caught.value.slug, caught.value.errno)
    with pytest.raises(DamagedRunError, match="missing"):
        first.journal.get(digest, len(data))
    data[-1] = 0
    first.journal.put(digest, memoryview(data))
    assert data == first.journal.get(digest, len(data))


def test_runs_are_listed_newest_first(store: Store, writer: Any) -> None:
    """A listing shows which runs there are and how they ended."""
    for kind in ("finished", "stopped", "failed"):
        session = writer(store, fresh=True, key=kind).begin()
        session.save("run", kind, '"at":"2026-11-22T15:00:00.000Z"')
        session.close()
    writer(store, "other").begin()
    expected = ["running", "failed", "stopped", "finished"]
    listed = store.runs()
    assert sorted(expected) == sorted(summary.status for summary in listed)
    assert sorted((summary.id for summary in listed), reverse=True) == [summary.id for summary in listed]
    newest = store.runs("align")[0]
    assert ("align", "failed", "failed", "2026-11-22T15:00:00.000Z", ("align.py",)) == (
        newest.workflow,
        newest.key,
        newest.status,
        newest.at,
        newest.command,
    )


def test_runs_of_an_unknown_workflow(store: Store) -> None:
    """There are none."""
    assert [] == store.runs("nothing")


def test_read_shows_a_run_that_is_worked_on(store: Store, writer: Any) -> None:
    """Reading needs no ownership."""
    first = writer(store).begin()
    first.append()
    assert b"".join(first.submitted) == store.read("align", first.run)


@pytest.mark.parametrize("name", ["read", "delete"])
@pytest.mark.parametrize("run", ["20261122T100000-0000", "..", "nothing", ""])
def test_unknown_run(store: Store, writer: Any, name: str, run: str) -> None:
    """A run that is not there is an error, and so is what is no id."""
    writer(store).begin().close()
    with pytest.raises(StoreError) as caught:
        getattr(store, name)("align", run)
    assert "no-such-run" == caught.value.slug


def test_deleted_run_is_gone(store: Store, writer: Any) -> None:
    """Deleting removes the run and its payloads, and a new one gets another id."""
    first = writer(store).begin()
    first.put(b"abc")
    first.close()
    store.delete("align", first.run)
    assert [] == store.runs()
    assert b"" == writer(store).journal.records()


def test_run_that_is_open_is_not_deleted(store: Store, writer: Any) -> None:
    """Deleting refuses a run with an owner, and changes nothing."""
    first = writer(store).begin()
    with pytest.raises(RunInUseError):
        store.delete("align", first.run)
    first.save()


def test_own_directory_is_private(store: Store, writer: Any) -> None:
    """What only this user can write may be unpickled, and there is nothing to say about it."""
    journal = writer(store).journal
    assert (True, []) == (journal.private, journal.notes)


def test_publish_is_harmless(store: Store, writer: Any) -> None:
    """A summary may be published at any time, also before the first record."""
    first = writer(store)
    first.journal.publish({"status": "running"})
    first.begin()
    first.journal.publish({"status": "running"})
    first.close()
    assert first.run == writer(store).run


def test_location_is_where_a_run_says_it_is(store: Store, writer: Any) -> None:
    """The store and the journal agree on where a run is kept."""
    first = writer(store)
    assert first.journal.location == store.location("align", first.run)
    assert store.location("align", first.run).startswith(store.location("align"))
    assert store.location("align").startswith(store.location())


def test_location_of_what_is_missing_is_where_it_would_be(store: Store) -> None:
    """Asking where something is kept neither fails nor makes it."""
    run = "20261122T100000-abcd"
    assert store.location("nothing", run).endswith(run)
    assert [] == store.runs("nothing")


def test_pickle_policy_is_told(store: Store) -> None:
    """Values that are no plain data are authenticated unless the store says otherwise."""
    assert "authenticated" == store.pickle
