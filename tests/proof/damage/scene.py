"""
A small run that a kill left in its last step, kept as bytes, so that each damage starts from the same files.

The values a step returns are drawn from a counter, so that a result that was handed to the wrong call, or computed
again, is seen.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from checkpoint import checkpointed, current_run, workflow
from checkpoint._core.lines import Mark
from checkpoint.errors import CheckpointError, DamagedRunError, NewerFormatError
from checkpoint.stores import FileStore
from checkpoint.stores._files import Files

JOURNAL = "journal.jsonl"
LOCK = "lock"
SUMMARY = "state.json"

# Just above the 32 KiB beneath which a value stays in the journal.
PAYLOAD_CHARACTERS = 33_000


class QuickFiles(Files):
    """The real operations without waiting for the disk: what a damaged file holds does not depend on it."""

    def flush(self, descriptor: int) -> None:
        """Do nothing."""

    def flush_directory(self, path: str) -> None:
        """Do nothing."""


class World:
    """
    What the program's steps do outside the run.

    Attributes:
        executed: Names of the bodies that ran, in order.
        drawn: How many values were drawn.
        at_last: Called in the body of the last step.
    """

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.drawn = 0
        self.at_last: Callable[[], None] = lambda: None

    def draw(self, name: str) -> int:
        """Note that a body ran, and return a value that no other body was given."""
        self.executed.append(name)
        self.drawn += 1
        return self.drawn


world = World()


@checkpointed(name="fetch")
def fetch(name: str) -> str:
    """Return a value that is too large for the journal."""
    return f"{name}{world.draw('fetch')}".ljust(PAYLOAD_CHARACTERS, name)


@checkpointed(name="inner")
def inner(name: str) -> list[int]:
    """Be called by a step, and change the state."""
    current_run().state["inner"] = name  # type: ignore[index]
    return [world.draw("inner")]


@checkpointed(name="outer")
def outer(name: str) -> dict[str, Any]:
    """Call a step, and change the state before and after."""
    state: Any = current_run().state
    state["log"].append("before")
    found = inner(name)
    state["log"].append("after")
    return {"drawn": world.draw("outer"), "inner": found}


@checkpointed(name="tick")
def tick() -> int:
    """Be called twice with the same arguments."""
    return world.draw("tick")


@checkpointed(name="last")
def last() -> str:
    """Be cut short."""
    world.draw("last")
    world.at_last()
    return "last"


def program(store: FileStore, **options: Any) -> tuple[list[Any], dict[str, Any]]:
    """Run the workflow; returns its results and its state."""
    with workflow("align", store=store, output="off", **options) as run:
        run.state.setdefault("log", [])
        results: list[Any] = [fetch("a")]
        run.state["log"].append("a")
        results.append(fetch("b"))
        run.state["count"] = run.state.get("count", 0) + 1
        results.append(outer("x"))
        results.append(tick())
        run.state["log"].append("tick")
        results.append(tick())
        run.state["count"] = run.state.get("count", 0) + 1
        results.append(last())
    return results, run.state


class Scene:
    """
    The run's directory as the kill left it, to be damaged and opened again.

    Attributes:
        folder: The run's directory.
        pristine: Its files, by their path below it.
        acknowledged: Size of the part of the journal that was acknowledged.
        outcomes: How many damages were refused, and how many did no harm.
    """

    def __init__(self, home: Path, **options: Any) -> None:
        self.store = FileStore(home, _files=QuickFiles())
        self.options = options
        self.outcomes: Counter[str] = Counter()
        self.pristine: dict[str, bytes] = {}
        world.at_last = self._keep
        self.truth = program(self.store, **options)
        self.options = {name: value for name, value in options.items() if name != "fresh"}
        world.at_last = lambda: None
        self.restore()
        mark = Mark.parse(self.pristine[LOCK])
        assert mark is not None
        self.acknowledged = sum(map(len, self.lines[: mark.count]))

    @property
    def journal(self) -> bytes:
        """The journal as the kill left it."""
        return self.pristine[JOURNAL]

    @property
    def lines(self) -> list[bytes]:
        """Its lines."""
        return self.journal.splitlines(keepends=True)

    @property
    def payloads(self) -> list[str]:
        """Paths of the payloads, below the run's directory."""
        return sorted(name for name in self.pristine if name.startswith("payloads"))

    def _keep(self) -> None:
        self.folder = Path(self.store.location("align", self.store.runs("align")[0].id))
        self.pristine = self.files()

    def files(self) -> dict[str, bytes]:
        """Return the files that are there now."""
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in self._paths()}

    def _paths(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                yield Path(folder, name)

    def restore(self, files: dict[str, bytes] | None = None) -> None:
        """Put the run's directory back to what the kill left, or to `files`."""
        files = self.pristine if files is None else files
        if self.folder.exists():
            for path in list(self._paths()):
                if path.relative_to(self.folder).as_posix() not in files:
                    path.unlink()
        for name in files:
            self.write(name, files[name])

    def write(self, name: str, data: bytes | None) -> None:
        """Write one file of the run, or remove it."""
        path = self.folder / name
        if data is None:
            path.unlink(missing_ok=True)
            return
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            # Not emptied first, which takes longer than all the rest of a try.
            os.pwrite(descriptor, data, 0)
            if os.fstat(descriptor).st_size != len(data):
                os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)

    def rerun(self) -> tuple[Any, list[str]]:
        """Run the program again; returns what came of it, or the error, and the bodies that ran."""
        world.executed.clear()
        try:
            found: Any = program(self.store, **self.options)
        except CheckpointError as error:
            found = error
        return found, world.executed[:]

    def attempt(self, name: str, data: bytes | None, *, line: int | None = None) -> str:
        """
        Damage one file, run the program, check that it was refused or did no harm, and put the files back.

        Args:
            name: The file.
            data: What it holds now, or None if it is missing.
            line: Which line of the journal a refusal names, from 1; by default the first that differs.
        """
        self.write(name, data)
        outcome = self.check(name, data, line)
        if outcome == "harmless":
            self.restore()
        else:
            self.write(name, self.pristine[name])
        return outcome

    def check(self, name: str, data: bytes | None, line: int | None = None) -> str:
        """Run the program on damaged files; returns `refused` or `harmless`, and counts it."""
        found, executed = self.rerun()
        if isinstance(found, CheckpointError):
            self._check_refusal(found, name, data, line)
            assert [] == executed
            outcome = "refused"
        else:
            # Exact: the step that was cut short ran again, no other did, and every value is the one handed out first.
            assert (self.truth, ["last"]) == (found, executed)
            outcome = "harmless"
        self.outcomes[outcome] += 1
        return outcome

    def _check_refusal(self, error: CheckpointError, name: str, data: bytes | None, line: int | None) -> None:
        assert isinstance(error, DamagedRunError | NewerFormatError), repr(error)
        path = str(self.folder / (name if name.startswith("payloads") else JOURNAL))
        assert path == error.path
        assert path in str(error)
        if name.startswith("payloads"):
            return
        left = (self.folder / name).read_bytes() if data is not None else None
        assert data == left, "a refused run was changed"
        if isinstance(error, NewerFormatError):
            return
        assert error.reason
        if name == JOURNAL and data:
            self._check_line(error, data, line)

    def _check_line(self, error: DamagedRunError, data: bytes, line: int | None) -> None:
        if error.slug == "lost-run":
            assert b"\n" not in data.rstrip(b"\n"), "not a single record is left"
            return
        number = self.journal.count(b"\n", 0, first_difference(self.journal, data)) if line is None else line - 1
        # A refusal because of the mark tells where the good records end.
        good = data.count(b"\n") if line is not None and "is not the one that was saved" in error.reason else number
        assert number + 1 == error.line
        assert sum(map(len, data.splitlines(keepends=True)[:good])) == error.byte
        assert f"at line {error.line} (byte {error.byte})" in str(error)

    def copy_to(self, folder: Path) -> None:
        """Copy the run's directory as it is now."""
        shutil.copytree(self.folder, folder)


def first_difference(left: bytes, right: bytes) -> int:
    """Return the offset of the first byte that differs."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[:middle] == right[:middle] else (low, middle - 1)
    return low
