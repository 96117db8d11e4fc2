"""
What is left after a power cut: contents as far as they were flushed, and names as their directory was.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from checkpoint import checkpointed, workflow
from checkpoint.stores._files import Files
from checkpoint.stores._journal import FileJournal
from checkpoint.testing import Crashes, SweepFailure, sweep
from checkpoint.testing._disk import Disk, Remains

APPEND = os.O_WRONLY | os.O_APPEND


class Machine:
    """Performs operations on real files and shows them to a disk, as a simulated process does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.disk = Disk()
        self._files = Files()

    def do(self, name: str, *arguments: Any) -> Any:
        """Perform one operation; texts are names in the directory."""
        given = tuple(str(self.directory / one) if isinstance(one, str) else one for one in arguments)
        self.disk.before(name, given)
        result = getattr(self._files, name)(*given)
        self.disk.after(name, given, result)
        return result

    def write(self, name: str, data: bytes, *, flush: bool = False) -> None:
        """Append to a file, which is made if it is not there."""
        there = (self.directory / name).exists()
        descriptor = self.do("open", name, APPEND) if there else self.do("create", name, APPEND)
        self.do("write", descriptor, data)
        if flush:
            self.do("flush", descriptor)
        self.do("close", descriptor)

    def cut(self, remains: Remains = "nothing") -> dict[str, bytes | None]:
        """Cut the power; returns every file with its contents, and every directory."""
        self.disk.cut(remains)
        found = sorted(self.directory.rglob("*"))
        return {str(path.relative_to(self.directory)): None if path.is_dir() else path.read_bytes() for path in found}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine whose disk holds one directory with one file, for long."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "old").write_bytes(b"old")
    return Machine(tmp_path / "home")


def test_what_was_there_before_is_durable(machine: Machine) -> None:
    """A file that was only read is as it was."""
    machine.do("close", machine.do("open", "old", os.O_RDONLY))
    assert {"old": b"old"} == machine.cut()


@pytest.mark.parametrize(("remains", "left"), [("nothing", b"old"), ("half", b"old12"), ("zeros", b"old\0\0\0\0")])
def test_appended_and_not_flushed(machine: Machine, remains: Remains, left: bytes) -> None:
    """Of what was appended nothing is there, or half, or as many zeros."""
    machine.write("old", b"1234")
    assert {"old": left} == machine.cut(remains)


def test_appended_and_flushed(machine: Machine) -> None:
    """What was flushed stays, and only what came after is lost."""
    machine.write("old", b"12", flush=True)
    machine.write("old", b"34")
    assert {"old": b"old12"} == machine.cut()


def test_overwritten_and_not_flushed(machine: Machine) -> None:
    """Bytes that were overwritten are the old ones again, never by halves."""
    descriptor = machine.do("open", "old", os.O_RDWR)
    machine.do("write_at", descriptor, b"new", 0)
    machine.do("close", descriptor)
    assert {"old": b"old"} == machine.cut("half")


def test_truncated_and_not_flushed(machine: Machine) -> None:
    """What was cut off is there again."""
    descriptor = machine.do("open", "old", os.O_RDWR)
    machine.do("truncate", descriptor, 1)
    machine.do("close", descriptor)
    assert {"old": b"old"} == machine.cut()


def test_made_without_its_name(machine: Machine) -> None:
    """A file whose contents were flushed is gone if its directory was not."""
    machine.write("new", b"1", flush=True)
    assert {"old": b"old"} == machine.cut()


def test_made_with_its_name_alone(machine: Machine) -> None:
    """A name that was flushed names an empty file if the contents were not."""
    machine.write("new", b"1")
    machine.do("flush_directory", "")
    assert {"new": b"", "old": b"old"} == machine.cut()


def test_made_with_contents_and_name(machine: Machine) -> None:
    """Both flushed, in either order, it stays."""
    machine.write("new", b"1", flush=True)
    machine.do("flush_directory", "")
    assert {"new": b"1", "old": b"old"} == machine.cut()


def test_replaced_and_not_flushed(machine: Machine) -> None:
    """The old file is there again under its name, with its contents."""
    machine.write("new", b"1", flush=True)
    machine.do("replace", "new", "old")
    assert {"old": b"old"} == machine.cut("half")


def test_replaced_and_flushed(machine: Machine) -> None:
    """Once the directory is flushed, the new file has the name."""
    machine.write("new", b"1", flush=True)
    machine.do("replace", "new", "old")
    machine.do("flush_directory", "")
    assert {"old": b"1"} == machine.cut()


def test_replaced_with_contents_that_were_not_flushed(machine: Machine) -> None:
    """The classic mistake: the new name is durable and the contents are not."""
    machine.write("new", b"1")
    machine.do("replace", "new", "old")
    machine.do("flush_directory", "")
    assert {"old": b""} == machine.cut()


def test_removed_and_not_flushed(machine: Machine) -> None:
    """A file that was removed comes back."""
    machine.do("remove", "old")
    assert {"old": b"old"} == machine.cut()


def test_removed_and_flushed(machine: Machine) -> None:
    """Once the directory is flushed, it is gone."""
    machine.do("remove", "old")
    machine.do("flush_directory", "")
    assert {} == machine.cut()


def test_directory_and_not_flushed(machine: Machine) -> None:
    """A directory whose name was not flushed is gone with all that is in it."""
    machine.do("make_directory", "sub")
    machine.write("sub/file", b"1", flush=True)
    machine.do("flush_directory", "sub")
    assert {"old": b"old"} == machine.cut()


def test_directory_whose_own_names_were_not_flushed(machine: Machine) -> None:
    """A directory is durable without what was put into it later."""
    machine.do("make_directory", "sub")
    machine.do("flush_directory", "")
    machine.write("sub/file", b"1", flush=True)
    assert {"old": b"old", "sub": None} == machine.cut()


def test_directory_moved_and_removed_without_a_flush(machine: Machine) -> None:
    """A directory that was given another name, emptied and removed is back with its files."""
    (machine.directory / "sub").mkdir()
    (machine.directory / "sub" / "file").write_bytes(b"1")
    machine.do("replace", "sub", "gone")
    machine.do("remove", "gone/file")
    machine.do("remove_directory", "gone")
    assert {"old": b"old", "sub": None, "sub/file": b"1"} == machine.cut()


def test_directory_moved_and_flushed(machine: Machine) -> None:
    """A directory keeps its files under its new name."""
    machine.do("make_directory", "sub")
    machine.write("sub/file", b"1", flush=True)
    machine.do("flush_directory", "sub")
    machine.do("flush_directory", "")
    machine.do("replace", "sub", "moved")
    machine.do("flush_directory", "")
    assert {"moved": None, "moved/file": b"1", "old": b"old"} == machine.cut()


def test_directory_that_was_there_before_its_own_names_were_known(machine: Machine) -> None:
    """What is put into an old directory is followed, also if the directory above it was looked at first."""
    (machine.directory / "sub").mkdir()
    machine.do("flush_directory", "")
    machine.write("sub/file", b"1", flush=True)
    assert {"old": b"old", "sub": None} == machine.cut()


def test_files_of_the_program_are_left_alone(machine: Machine) -> None:
    """What a step wrote by itself is there, flushed or not: only the library's operations are followed."""
    machine.write("new", b"1")
    (machine.directory / "mine").write_bytes(b"mine")
    (machine.directory / "old").write_bytes(b"changed")
    machine.do("flush_directory", "")
    (machine.directory / "later").write_bytes(b"later")
    assert {"later": b"later", "mine": b"mine", "new": b"", "old": b"changed"} == machine.cut()


def test_two_processes_before_the_cut(machine: Machine) -> None:
    """What the first has written and the second has flushed is durable."""
    machine.write("old", b"1")
    descriptor = machine.do("open", "old", APPEND)
    machine.do("flush", descriptor)
    machine.do("close", descriptor)
    assert {"old": b"old1"} == machine.cut()


def test_second_cut(machine: Machine) -> None:
    """After a cut the disk begins anew with what it left."""
    machine.write("old", b"1", flush=True)
    machine.cut()
    machine.write("old", b"2")
    assert {"old": b"old1"} == machine.cut()


# That the model can tell: a library that forgets to flush is found out.


@checkpointed
def step(directory: str, name: str) -> str:
    """Do one effect."""
    with open(f"{directory}/effects", "a") as file:
        file.write(name + "\n")
    return name


def program(world: Path) -> str:
    """Two steps, the second with a result in a file of its own."""
    with workflow("disk"):
        return step(str(world), "a") + step(str(world), "b" * 40_000)


def effects(world: Path) -> list[str]:
    """Return what has happened."""
    path = world / "effects"
    return [line[:1] for line in path.read_text().split()] if path.exists() else []


@pytest.mark.parametrize("forgotten", ["flush", "flush_directory"])
def test_library_that_forgets_to_flush_is_found_out(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without flushing the journal, or the names above it, a power cut loses what was acknowledged."""
    lead = FileJournal._lead

    def forgetful(journal: Any, end: Any) -> None:
        class Deaf:
            def __getattr__(self, name: str) -> Any:
                return (lambda *_: None) if name == forgotten else getattr(files, name)

        files, journal._files = journal._files, Deaf()
        try:
            lead(journal, end)
        finally:
            journal._files = files

    monkeypatch.setattr(FileJournal, "_lead", forgetful)
    assert [] == sweep(program, effects=effects, how="crash").violations
    with pytest.raises(SweepFailure, match=r"ran again although the result was saved|the rerun failed"):
        sweep(program, effects=effects, how="unsynced")


def test_nothing_but_the_end_is_lost_of_a_real_run(tmp_path: Path) -> None:
    """After a power cut the run is continued from the last step that was acknowledged."""
    with Crashes().after(step, 2, how="unsynced-zeros"):
        program(tmp_path)
    assert "a" + "b" * 40_000 == program(tmp_path)
    assert ["a", "b"] == effects(tmp_path)
