"""
The ends of a journal are the same, whether they are read from the file or cut out of the whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core.lines import Chain
from checkpoint.errors import RunInUseError
from checkpoint.stores import FileStore
from checkpoint.stores._ends import Ends, Header, ends_of, last_owner, read_ends
from checkpoint.stores._files import Files

# Shorter than one read, about as long, and longer than several.
WIDTHS = [0, 65_400, 65_536, 70_000, 300_000]


def journal(first: int, between: int, last: int) -> bytes:
    """Return a journal whose first, middle and last lines have about these lengths."""
    chain = Chain()
    tree = {"format": 1, "workflow": "align", "key_of_run": "a", "state": "x" * first}
    parts = [json.dumps(tree)[1:-1], f'"value":"{"y" * between}"', f'"value":"{"z" * last}"']
    kinds = [("run", "created"), ("a" * 32, "completed"), ("run", "finished")]
    data = b""
    for (key, kind), members in zip(kinds, parts, strict=True):
        line = chain.seal(key, kind, members)
        chain.accept(line)
        data += line.data
    return data


@pytest.mark.parametrize("last", WIDTHS)
@pytest.mark.parametrize("first", WIDTHS)
def test_ends_of_a_file(tmp_path: Path, first: int, last: int) -> None:
    """However long the lines are, both ends are found, and an unfinished line is passed over."""
    data = journal(first, 1000, last)
    path = tmp_path / "journal.jsonl"
    for torn in (b"", b'{"key":"abc', b'{"key":"abc' + b"x" * 70_000):
        path.write_bytes(data + torn)
        expected = Ends(Header("align", "a", ()), data.splitlines()[-1])
        assert expected == ends_of(data + torn)
        assert expected == read_ends(Files(), str(path))


@pytest.mark.parametrize("size", [0, 10, 65_536, 200_000])
def test_journal_without_a_whole_line(tmp_path: Path, size: int) -> None:
    """A journal that holds only the beginning of a line was never begun."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"x" * size)
    ends = read_ends(Files(), str(path))
    assert ends is not None
    assert (Ends(None, b""), False) == (ends, ends.begun)


def test_missing_journal_has_no_ends(tmp_path: Path) -> None:
    """Only a file that is not there is none."""
    assert read_ends(Files(), str(tmp_path / "journal.jsonl")) is None


@pytest.mark.parametrize("last", [b"", b"hello", b'{"a":1}', b'{"key":"run","kind":"finished"'])
def test_status_of_what_is_no_record(last: bytes) -> None:
    """Only a record of the run says how it ended."""
    expected = "finished" if b"finished" in last and last.count(b'"') >= 8 else "running"
    assert expected == Ends(None, last).status


@pytest.mark.parametrize("last", [b"", b"[]", b"{", b'{"key":"run","kind":"saved","at":5,"x":1}'])
def test_summary_of_what_is_no_record(last: bytes) -> None:
    """A listing shows what can be read."""
    summary = Ends(Header("align", None, ()), last).summary("align", "20261122T103107-7f3a")
    assert ("running", None) == (summary.status, summary.at)


@pytest.mark.parametrize("data", [b"", b"hello\n", b'{"key":"run","kind":"opened","n":1,"pid":1}\n'])
def test_owner_that_cannot_be_read(data: bytes) -> None:
    """The owner is only for the message: what cannot be read is left out."""
    assert {} == last_owner(data)


def test_first_record_saved_while_looking(home: Path, writer: Any) -> None:
    """A run whose first record comes between two looks at it is in use, and not lost."""
    session = writer(FileStore(home)).begin()
    session.journal.publish({})

    class Late(Files):
        """Files on which the journal is not there yet when it is first looked for."""

        late = True

        def open(self, path: str, flags: int) -> int:
            """Fail once."""
            if path.endswith("journal.jsonl") and self.late:
                self.late = False
                raise FileNotFoundError(2, "No such file or directory", path)
            return super().open(path, flags)

    with pytest.raises(RunInUseError) as caught:
        writer(FileStore(home, _files=Late()))
    assert session.run == caught.value.run


class WatchedFiles(Files):
    """Files that remember how much was asked for by each read, and whose clock stands still."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read, and note the size."""
        self.asked.append(size)
        return super().read(descriptor, size, offset)

    def now(self) -> float:
        """Return the same time always."""
        return 1_800_000_000.0


def test_choosing_reads_only_the_beginning_of_runs_of_other_keys(home: Path, writer: Any) -> None:
    """A new key costs one short read for each run that is there."""
    files = WatchedFiles()
    store = FileStore(home, _files=files)
    for key in ("a", "b"):
        session = writer(store, key=key).begin()
        session.append(members=f'"value":"{"y" * 100_000}"')
        session.close()
    files.asked.clear()
    store.open("align", key="c", fresh=False, once=False)
    assert [4096, 4096] == files.asked


def test_long_first_record_of_another_key_is_read_whole(home: Path, writer: Any) -> None:
    """A first record that is longer than a short read still tells whose run it is."""
    store = FileStore(home)
    session = writer(store, key="a")
    tree = {"format": 1, "workflow": "align", "key_of_run": "a", "state": "x" * 10_000}
    session.save("run", "created", json.dumps(tree)[1:-1])
    session.close()
    assert session.run != writer(store, key="b").run
    assert session.run == writer(store, key="a").run


def test_runs_of_one_second_are_listed_by_their_first_record(home: Path, writer: Any) -> None:
    """Ids tell whole seconds; runs of several workflows that began in the same one are still newest first."""
    store = FileStore(home, _files=WatchedFiles())
    names = [f"flow-{number}" for number in range(6)]
    for number, name in enumerate(names):
        tree = {"format": 1, "workflow": name, "key_of_run": None, "at": f"2027-01-15T08:00:00.{number}00Z"}
        writer(store, name).save("run", "created", json.dumps(tree)[1:-1])
    assert names[::-1] == [summary.workflow for summary in store.runs()]
