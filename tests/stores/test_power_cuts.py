"""
The power goes off: what was not flushed is gone, names that were not flushed are gone, and the lock's mark too.

Stricter than any file system: nothing is written back by itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from checkpoint.stores import FileStore, _ownership
from checkpoint.stores._files import Files


class ForgetfulFiles(Files):
    """
    Files of which the disk knows only what was flushed.

    Args:
        at: After which operation the power goes off; -1 for never.
    """

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.count = 0
        self.contents: dict[int, bytes] = {}
        self.names_of: dict[int, dict[str, int]] = {}
        self.descriptors: set[int] = set()

    def step(self) -> None:
        """Count one operation that changes something; the process ends with the power."""
        if self.at >= 0 and self.count >= self.at:
            raise PowerCut
        self.count += 1

    def open(self, path: str, flags: int) -> int:
        descriptor = super().open(path, flags)
        self.descriptors.add(descriptor)
        return descriptor

    def create(self, path: str, flags: int) -> int:
        self.step()
        descriptor = super().create(path, flags)
        self.descriptors.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self.descriptors.discard(descriptor)
        super().close(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self.step()
        return super().write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        self.step()
        return super().write_at(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        self.step()
        super().truncate(descriptor, size)

    def replace(self, source: str, target: str) -> None:
        self.step()
        super().replace(source, target)

    def make_directory(self, path: str) -> None:
        self.step()
        super().make_directory(path)

    def flush(self, descriptor: int) -> None:
        self.step()
        facts = os.fstat(descriptor)
        self.contents[facts.st_ino] = os.pread(descriptor, facts.st_size, 0) if _readable(descriptor) else _whole(facts)

    def flush_directory(self, path: str) -> None:
        self.step()
        names = {entry.name: entry.inode() for entry in os.scandir(path)}
        self.names_of[os.stat(path).st_ino] = names

    def cut(self, source: Path, target: Path, torn: bool) -> None:
        """Make in `target` what the disk holds of `source`; with `torn`, half of what was not flushed got there."""
        target.mkdir(mode=0o700)
        for name, inode in self.names_of.get(source.stat().st_ino, {}).items():
            path = source / name
            if not path.exists() or path.stat().st_ino != inode:
                path = next((found for found in source.iterdir() if found.stat().st_ino == inode), path)
            if path.is_dir():
                self.cut(path, target / name, torn)
                continue
            known = self.contents.get(inode, b"")
            now = path.read_bytes() if path.exists() else known
            if torn and now.startswith(known) and name == "journal.jsonl":
                known = now[: len(known) + (len(now) - len(known)) // 2]
            (target / name).write_bytes(known)
            (target / name).chmod(0o600)


class PowerCut(BaseException):
    """The power is off."""


def _readable(descriptor: int) -> bool:
    try:
        os.pread(descriptor, 1, 0)
    except OSError:
        return False
    return True


def _whole(facts: os.stat_result) -> bytes:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        path = f"/proc/self/fd/{descriptor}"
        if os.path.exists(path) and os.stat(path).st_ino == facts.st_ino:
            return Path(os.readlink(path)).read_bytes()
    raise AssertionError("the file is not open")


def bury(files: ForgetfulFiles) -> None:
    """Close what the process had open."""
    _ownership._table.owned.clear()
    for descriptor in files.descriptors:
        os.close(descriptor)
    files.descriptors.clear()


def work(home: Path, files: ForgetfulFiles, writer: Any, promised: list[tuple[list[bytes], list[str]]]) -> None:
    """Begin a run, or continue it, and note what was promised after every acknowledgement."""
    digests = promised[-1][1][:] if promised else []
    session = writer(FileStore(home, _files=files))
    promised.append((session.submitted[:], digests))
    session.opened() if session.submitted else session.begin()
    promised.append((session.submitted[:], digests))
    for _ in range(2):
        session.append()
        digests = [*digests, session.put(os.urandom(40))]
        session.save()
        session.journal.publish({})
        promised.append((session.submitted[:], digests))
    session.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the model looks for open files in /proc")
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("killed_at", [0, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30])
def test_nothing_acknowledged_is_lost(tmp_path: Path, writer: Any, torn: bool, killed_at: int, faults: Any) -> None:
    """Begin, be killed at an operation, continue, lose power at every operation: the promises hold."""
    number = 0
    while True:
        source, files = tmp_path / f"before{number}", ForgetfulFiles(killed_at or -1)
        source.mkdir(mode=0o700)
        promised: list[tuple[list[bytes], list[str]]] = []
        files.names_of[tmp_path.stat().st_ino] = {}
        if killed_at:
            with pytest.raises(PowerCut):
                work(source / "home", files, writer, promised)
            bury(files)
        files.at, files.count = number, 0
        try:
            work(source / "home", files, writer, promised)
            finished = True
        except PowerCut:
            finished = False
        bury(files)
        target = tmp_path / f"after{number}"
        files.cut(source, target, torn)
        lines, digests = promised[-1] if promised else ([], [])
        after = writer(FileStore(target / "home"))
        assert lines == after.submitted[: len(lines)]
        for digest in digests:
            assert 40 == len(after.journal.get(digest, 40))
        after.close()
        number += 1
        if finished:
            break
    assert number > 20
    kind = "a power cut that tears the last write" if torn else "a power cut"
    # Also at the very end, when all is done.
    faults.count(f"{kind}, after a kill" if killed_at else kind, number * (2 if killed_at else 1))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the model looks for open files in /proc")
def test_directories_of_a_killed_process_are_made_durable(tmp_path: Path, writer: Any, faults: Any) -> None:
    """Killed between making a directory and flushing the one above; then continued, and the power goes off."""
    for killed_at in range(1, 21):
        source, files = tmp_path / f"before{killed_at}", ForgetfulFiles(killed_at)
        source.mkdir(mode=0o700)
        home = Path("above", "home")
        promised: list[tuple[list[bytes], list[str]]] = []
        with pytest.raises(PowerCut):
            work(source / home, files, writer, [])
        bury(files)
        files.at = -1
        work(source / home, files, writer, promised)
        bury(files)
        target = tmp_path / f"after{killed_at}"
        files.cut(source, target, torn=False)
        after = writer(FileStore(target / home))
        assert promised[-1][0] == after.submitted
        after.close()
    faults.count("a power cut after a kill among the first directories", 2 * 20)


def test_model_forgets_what_is_not_flushed(tmp_path: Path, writer: Any) -> None:
    """The model is strict: a record that was appended and not synced is gone."""
    files = ForgetfulFiles()
    session = writer(FileStore(tmp_path / "home", _files=files)).begin()
    session.append()
    files.names_of[tmp_path.stat().st_ino] = {"home": (tmp_path / "home").stat().st_ino}
    bury(files)
    files.cut(tmp_path, tmp_path / "after", torn=False)
    assert session.submitted[:2] == writer(FileStore(tmp_path / "after" / "home")).submitted
