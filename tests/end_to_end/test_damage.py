"""
Files that are not what the library wrote: refused by name, with nothing changed and nothing run.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def lines_of(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines(keepends=True)


def cut_in_a_line(journal: Path) -> None:
    lines = lines_of(journal)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:40])


def cut_between_lines(journal: Path) -> None:
    journal.write_bytes(b"".join(lines_of(journal)[:-1]))


def empty(journal: Path) -> None:
    journal.write_bytes(b"")


def flip_in_line_3(journal: Path) -> None:
    lines = lines_of(journal)
    lines[2] = lines[2][:60] + bytes([lines[2][60] ^ 1]) + lines[2][61:]
    journal.write_bytes(b"".join(lines))


def flip_in_the_last_line(journal: Path) -> None:
    data = bytearray(journal.read_bytes())
    data[-60] ^= 1
    journal.write_bytes(data)


def zero_a_sector(journal: Path) -> None:
    data = bytearray(journal.read_bytes())
    data[512:1024] = bytes(512)
    journal.write_bytes(data)


def zero_everything(journal: Path) -> None:
    journal.write_bytes(bytes(journal.stat().st_size))


def swap_two_lines(journal: Path) -> None:
    lines = lines_of(journal)
    lines[2], lines[3] = lines[3], lines[2]
    journal.write_bytes(b"".join(lines))


def append_a_foreign_line(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes() + b"hello\n")


def make_newer(journal: Path) -> None:
    data = journal.read_bytes()
    assert b'"format":1,' in data
    journal.write_bytes(data.replace(b'"format":1,', b'"format":2,', 1))


JOURNALS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cut in a line": (cut_in_a_line, "DamagedRunError", r"line 4 \(byte \d+\)"),
    "cut between lines": (cut_between_lines, "DamagedRunError", r"line \d+ \(byte \d+\)"),
    "emptied": (empty, "DamagedRunError", "it is empty, but records had been saved in it"),
    "missing": (Path.unlink, "DamagedRunError", "it is missing, but records had been saved in it"),
    "flipped in the middle": (flip_in_line_3, "DamagedRunError", r"line 3 \(byte \d+\)"),
    "flipped at the end": (flip_in_the_last_line, "DamagedRunError", r"line \d+ \(byte \d+\)"),
    "sector zeroed": (zero_a_sector, "DamagedRunError", r"line \d+ \(byte \d+\)"),
    "all zeroed": (zero_everything, "DamagedRunError", "it is empty, but records had been saved in it"),
    "lines swapped": (swap_two_lines, "DamagedRunError", r"line 3 \(byte \d+\)"),
    "foreign line": (append_a_foreign_line, "DamagedRunError", r"line \d+ \(byte \d+\)"),
    "newer": (make_newer, "NewerFormatError", "Upgrade to continue run"),
}


@pytest.mark.parametrize("how", list(JOURNALS))
def test_damaged_journal_is_refused(programs: Any, how: str) -> None:
    """The error names file, place and reason; the program ends with status 1, nothing ran and no byte changed."""
    damage, error, place = JOURNALS[how]
    programs.items(status=-9, STRIKE="before c SIGKILL")
    journal = programs.run_directory() / "journal.jsonl"
    damage(journal)
    files, effects = programs.snapshot(), programs.effects()
    _, stderr = programs.items(status=1)
    last = stderr.splitlines()[-1]
    assert f"checkpoint.errors.{error}: " in last
    assert str(journal) in last
    assert re.search(place, last), last
    assert (files, effects + Counter(["atexit"])) == (programs.snapshot(), programs.effects())


def test_damaged_journal_can_be_left_behind(programs: Any) -> None:
    """A copy of the journal that is put back is continued: the damage was not made worse by looking at it."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    journal = programs.run_directory() / "journal.jsonl"
    copy = shutil.copy(journal, programs.directory / "copy")
    flip_in_line_3(journal)
    programs.items(status=1)
    shutil.copy(copy, journal)
    printed, _ = programs.items()
    assert {"done": ["a", "b", "c", "d"]} == printed["state"]
    assert 1 == programs.effects()["begin a"]


def test_journal_of_another_workflow_is_refused(programs: Any) -> None:
    """A run's directory that was copied to another workflow is not continued there, and nothing runs."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    run = programs.run_directory()
    shutil.copytree(run.parent, run.parent.with_name("other"))
    path = programs.copy("items.py", "other.py")
    path.write_text(path.read_text().replace('workflow("items")', 'workflow("other")'))
    files, effects = programs.snapshot(), programs.effects()
    done = programs.scripts.run("other.py")
    assert 1 == done.returncode
    assert "it is of workflow 'items'" in done.stderr.splitlines()[-1]
    assert files == programs.snapshot() | {key: value for key, value in files.items() if key == "runs/other/lock"}
    assert effects["begin a"] == programs.effects()["begin a"]


def test_unfinished_last_line_is_dropped_with_a_note(programs: Any) -> None:
    """What a crash left of a record in the middle of its write is cut off and said; everything before it is kept."""
    programs.items(status=-9, STRIKE="before c SIGKILL")
    journal = programs.run_directory() / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"key":"run","kind":"sto')
    printed, stderr = programs.items()
    assert {"done": ["a", "b", "c", "d"]} == printed["state"]
    assert "note: discarded an unfinished record of 24 bytes" in stderr
    assert [1, 1] == [programs.effects()[f"begin {item}"] for item in "ab"]


PAYLOADS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "it is missing"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
    "flipped": (lambda path: path.write_bytes(b"!" + path.read_bytes()[1:]), "its contents are not what was saved"),
    "zeroed": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "its contents are not what was saved"),
}


@pytest.mark.parametrize("how", list(PAYLOADS))
def test_damaged_payload_is_refused(programs: Any, how: str) -> None:
    """A large result whose file is damaged is never returned: the error names the file, and no step runs."""
    damage, reason = PAYLOADS[how]
    programs.items(status=-9, STRIKE="before c SIGKILL", REPEAT="20000")
    value = next(record for record in programs.records() if record["kind"] == "completed")
    (payload,) = [path for path in programs.run_directory().glob("payloads/*/*") if path.name in json.dumps(value)]
    damage(payload)
    left = payload.read_bytes() if payload.exists() else None
    before = programs.effects()
    for _ in range(2):
        _, stderr = programs.items(status=1, REPEAT="20000")
        last = stderr.splitlines()[-1]
        assert f"{str(payload)!r} cannot be relied on: " in last
        assert reason in last
    assert not {name for name in programs.effects() - before if name.startswith("begin")}
    assert left == (payload.read_bytes() if payload.exists() else None)
