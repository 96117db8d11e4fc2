"""
The store in a directory: one journal of JSON lines for each run, payloads beside it, and a kernel lock.

See `_layout` for what lies where, `lines` for the format, and `Store` for the contract.  This module must never
touch a file but through its `Files`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Literal, cast

from checkpoint._core.records import RunSummary
from checkpoint._runtime.paths import default_home, wanted_durability
from checkpoint.errors import UsageError
from checkpoint.stores._choice import Wanted, choose, owner_of
from checkpoint.stores._ends import Ends, read_ends, read_whole
from checkpoint.stores._failures import damaged, in_use, opening, reading, unknown_run
from checkpoint.stores._files import Files
from checkpoint.stores._interface import Journal, PicklePolicy
from checkpoint.stores._journal import FileJournal
from checkpoint.stores._layout import DELETED, JOURNAL, LOCK, Layout, Place, boot_id, discard, traces
from checkpoint.stores._names import is_run_id, workflow_name
from checkpoint.stores._ownership import Ownership, read_mark, take, workflow_lock
from checkpoint.stores._payloads import remove_unfinished
from checkpoint.stores._privacy import check_directory, check_facts
from checkpoint.stores._recovery import End, Recovered, recover

Durability = Literal["full", "process"]


class FileStore:
    """
    Keep runs in a directory of this machine.  May be shared by threads and processes.

    Args:
        path: The directory; by default this user's own, which `CHECKPOINT_HOME` overrides.  Made when first needed.
        durability: `full`, the default: what was saved survives a power cut; `process`: it survives the end of the
            process, for steps that are much shorter than a flush of the disk.  `CHECKPOINT_DURABILITY` is the default.
        pickle: `authenticated`: values that are no plain data are pickled, and unpickled only if this user wrote
            them; `never`: they are refused.

    Raises:
        UsageError: An option has none of these values.
        StoreError: No path is given, and this user has no directory to keep runs in.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        durability: Durability | None = None,
        pickle: PicklePolicy = "authenticated",
        _files: Files | None = None,
    ) -> None:
        if durability is None:
            durability = cast("Durability", wanted_durability())
        if durability not in ("full", "process"):
            raise UsageError(
                f"durability={durability!r} is unknown. Give 'full' or 'process'.",
                slug="unknown-durability",
                value=durability,
            )
        if pickle not in ("authenticated", "never"):
            raise UsageError(
                f"pickle={pickle!r} is unknown. Give 'authenticated' or 'never'.",
                slug="unknown-pickle-policy",
                value=pickle,
            )
        home = default_home() if path is None else os.path.expanduser(os.fspath(path))
        self._files = _files or Files()
        self._layout = Layout(self._files, os.path.abspath(home), durability == "full")
        self.durability: Durability = durability
        self.pickle: PicklePolicy = pickle

    def __repr__(self) -> str:
        return f"FileStore({self.home!r}, durability={self.durability!r}, pickle={self.pickle!r})"

    @property
    def home(self) -> str:
        """The directory of the store, absolute."""
        return self._layout.home

    def location(self, workflow: str | None = None, run: str | None = None) -> str:
        """Return the directory of the store, of a workflow or of a run, whether it is there or not."""
        if workflow is None:
            return self.home
        folder = self._layout.workflow(workflow)
        return folder if run is None else os.path.join(folder, run)

    def open(self, workflow: str, *, key: str | None, fresh: bool, once: bool) -> tuple[str, Journal]:
        """Own the run to work on, verified, mended and durable; see `Store.open`."""
        with opening(self.home):
            folder, private = self._layout.prepare(workflow)
            with workflow_lock(self._files, os.path.join(folder, LOCK)):
                run, ownership, new = choose(self._layout, folder, Wanted(workflow, key, fresh, once))
            try:
                return run, self._own(self._place(workflow, run, key, private), ownership, new=new)
            except BaseException:
                with suppress(OSError):
                    ownership.release()
                raise

    def runs(self, workflow: str | None = None) -> list[RunSummary]:
        """List runs, newest first, from the ends of their journals."""
        with reading(self.home):
            folders = self._workflow_folders() if workflow is None else [self._layout.workflow(workflow)]
            found = [
                found_run
                for folder in folders
                for run in self._layout.run_ids(folder)
                if (found_run := self._summary(folder, run)) is not None
            ]
        return [summary for _, summary in sorted(found, key=lambda found_run: found_run[0], reverse=True)]

    def read(self, workflow: str, run: str) -> bytes:
        """Return the whole lines of a run, as they are now."""
        folder = self._find(workflow, run)
        journal = os.path.join(folder, JOURNAL)
        with reading(journal):
            try:
                data = read_whole(self._files, journal)
            except FileNotFoundError as error:
                if traces(self._files, folder).any:
                    raise damaged(journal, run, "it is missing", slug="lost-run") from error
                return b""
        return data[: data.rfind(b"\n") + 1]

    def delete(self, workflow: str, run: str) -> None:
        """Remove a run; one that was begun to be removed is no run any more, whatever happens then."""
        folder = self._find(workflow, run)
        above = os.path.dirname(folder)
        doomed = os.path.join(above, DELETED + run)
        with opening(self.home), workflow_lock(self._files, os.path.join(above, LOCK)):
            ownership = take(self._files, os.path.join(folder, LOCK))
            if ownership is None:
                raise in_use(workflow, run, owner_of(self._files, folder))
            # Windows renames no directory with an open file in it; nobody takes the run under the workflow's lock.
            ownership.release()
            self._files.replace(folder, doomed)
            if self._layout.durable:
                self._files.flush_directory(above)
            discard(self._files, doomed)

    def _place(self, workflow: str, run: str, key: str | None, private: bool) -> Place:
        folder = os.path.join(self._layout.workflow(workflow), run)
        return Place(
            folder=folder,
            workflow=workflow,
            run=run,
            key=key,
            private=check_directory(self._files, folder) and private,
            durable=self._layout.durable,
            boot=None if self._layout.durable else boot_id(self._files),
            # All of them: whoever made them may have died before their names were durable.
            parents=(folder, os.path.dirname(folder), self._layout.runs, self.home),
        )

    def _own(self, place: Place, ownership: Ownership, *, new: bool) -> FileJournal:
        path = os.path.join(place.folder, JOURNAL)
        flags = os.O_RDWR | os.O_APPEND
        if new:
            descriptor = self._files.create(path, flags)
            ownership.descriptors.append(descriptor)
            recovered = Recovered(b"", End(0, 0, ""), [])
        else:
            with reading(path):
                descriptor = self._files.open(path, flags)
                ownership.descriptors.append(descriptor)
                check_facts(path, self._files.fstat(descriptor))
                mark = read_mark(self._files, os.path.join(place.folder, LOCK), boot_id(self._files))
            recovered = recover(self._files, path, place.run, descriptor, mark)
            remove_unfinished(self._files, place.folder)
        journal = FileJournal(self._files, place, ownership, descriptor, recovered)
        journal.settle()
        return journal

    def _workflow_folders(self) -> list[str]:
        try:
            return [os.path.join(self._layout.runs, name) for name in self._files.names(self._layout.runs)]
        except FileNotFoundError:
            return []

    def _summary(self, folder: str, run: str) -> tuple[tuple[str, str, str], RunSummary] | None:
        """Return the age of a run and what a listing shows of it, or None if it was never begun."""
        path = os.path.join(folder, run)
        workflow = workflow_name(os.path.basename(folder))
        try:
            ends = read_ends(self._files, os.path.join(path, JOURNAL))
            if (ends is None or not ends.begun) and not traces(self._files, path).any:
                return None
        except OSError:
            ends = None
        ends = ends or Ends(None, b"")
        return ends.age(run), ends.summary(workflow, run)

    def _find(self, workflow: str, run: str) -> str:
        folder = os.path.join(self._layout.workflow(workflow), run)
        with reading(folder):
            try:
                if is_run_id(run) and self._files.lstat(folder):
                    return folder
            except FileNotFoundError:
                pass
        raise unknown_run(self.home, workflow, run)
