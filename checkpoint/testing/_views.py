"""
What a test can ask of a run: its status, state, steps and records, read from its files without owning it.

It must never answer from a journal that is damaged: then every question but where and which raises.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

from checkpoint._core import lines
from checkpoint._core.codec import Codec
from checkpoint._core.codec_classes import ClassFinder
from checkpoint._core.progress import Progress
from checkpoint._core.records import RUN_KEY, RunSummary, Status, Tree
from checkpoint._core.tags_reading import TreeReader
from checkpoint._core.tags_words import BadTree
from checkpoint._runtime.secret import load_secret
from checkpoint._tools.history import CallHistory, calls_of, count_sessions
from checkpoint.errors import StoreError, UsageError
from checkpoint.stores import FileStore
from checkpoint.stores._failures import damaged
from checkpoint.stores._files import Files
from checkpoint.stores._layout import JOURNAL, LOCK, boot_id
from checkpoint.stores._names import short_id
from checkpoint.stores._ownership import read_mark, take, workflow_lock
from checkpoint.stores._payloads import Payloads
from checkpoint.stores._privacy import check_directory, check_way

StepStatus: TypeAlias = Literal["completed", "failed", "interrupted", "started"]


class StepView:
    """
    One call of a step, as the journal has it.

    Attributes:
        name: Name of the step, such as `align:merge`.
        call: The call as a person would write it, such as `merge('login')`.
        status: `completed`, `failed`, `interrupted`, or `started` for one that runs, or was cut by a crash.
        attempts: How often it was tried, in all sessions.
        key: What identifies the call in the journal.
    """

    __slots__ = ("_record", "_run", "attempts", "call", "key", "name", "status")

    def __init__(self, run: RunView, history: CallHistory, completed: dict[str, Any] | None) -> None:
        self.name = history.step
        self.call = history.call
        self.status: StepStatus = history.status  # type: ignore[assignment]  # a record of a call has no other kind
        self.attempts = history.attempts
        self.key = history.key
        self._run = run
        self._record = completed

    @property
    def value(self) -> Any:
        """
        The saved result, read as a rerun would read it; another object each time.

        Raises:
            UsageError: The call has not completed, so that there is none.
            DamagedRunError: The file that holds it is damaged.
            UntrustedError: It was pickled, and not with the key that is now in force; inside the sandbox it was.
        """
        if self._record is None:
            raise UsageError(f"{self.call} has no result: it is {self.status!r}.", value=self.call)
        return self._run._decode(self.key, self._record)

    def __repr__(self) -> str:
        tries = f", {self.attempts} attempts" if self.attempts > 1 else ""
        return f"<step {self.call}: {self.status}{tries}>"


class RunView:
    """
    One run as its files were when it was asked for; ask again for what came later.

    Attributes:
        id: The run's id.
        workflow: Name of the workflow.
        key: What tells the workflow's runs apart, or None.
        status: `finished`, `failed`, `stopped`; without an end record `running` if a process works on it, else
            `crashed`; `lost` if its journal is missing or its first record damaged.
        location: The run's directory.
    """

    def __init__(self, store: FileStore, summary: RunSummary) -> None:
        self.id = summary.id
        self.workflow = summary.workflow
        self.key = summary.key
        self.location = Path(store.location(summary.workflow, summary.id))
        self._store = store
        self._files = Files()
        self.status: Status = summary.status
        if summary.status == "running" and not _has_owner(self._files, self.location):
            self.status = "crashed"
        self._lines: list[bytes] | StoreError
        try:
            self._lines = self._read()
        except StoreError as error:
            self._lines = error

    def _read(self) -> list[bytes]:
        # The mark first: what a process saves in between makes the journal longer than it, never shorter.
        mark = read_mark(self._files, str(self.location / LOCK), boot_id(self._files))
        data = self._store.read(self.workflow, self.id)
        verdict = lines.inspect(data, mark)
        if verdict.kind not in ("whole", "torn"):
            raise damaged(str(self.location / JOURNAL), self.id, verdict.reason, verdict)
        return lines.split(data[: verdict.size])

    def export(self, target: str | os.PathLike[str]) -> str:
        """
        Copy the run into the new directory `target`, for `replay`, and return its path; see `export_run` for errors.

        Everything the steps returned is in it, and everything the state held: look before you publish it.
        """
        from checkpoint.testing._replay_export import export_run

        return export_run(self.location, target)

    def _journal(self) -> list[bytes]:
        if isinstance(self._lines, StoreError):
            raise self._lines
        return self._lines

    @property
    def records(self) -> list[dict[str, Any]]:
        """
        The lines of the journal, parsed, without an unfinished one at the end.

        Raises:
            DamagedRunError: The journal cannot be relied on; as for every question below.
        """
        return [json.loads(line) for line in self._journal()]

    @property
    def state(self) -> Any:
        """
        The state as last saved: plain data, made without running code of the program's.

        Values that were saved with their type (dates, paths, sets, tuples, arrays, members of loaded enums) have it.
        A state or a part of it that is an object with fields, such as a dataclass, is the dict of its fields; where
        the class itself says a field's type, the value is as the file shows it: a list for a `set[str]`, a text for
        a `datetime`.  What this program cannot make stays as it stands in the file.
        """
        return _Reader(None, ClassFinder()).read(Progress(self._journal()).state().tree, 0)

    @property
    def steps(self) -> list[StepView]:
        """The calls, in the order in which they were first begun; inner ones follow the one that made them."""
        records = self.records
        completed = {record["key"]: record for record in records if record["kind"] == "completed"}
        return [StepView(self, call, completed.get(call.key)) for call in calls_of(records)]

    @property
    def sessions(self) -> int:
        """How many times the run was opened to work on it."""
        return count_sessions(self.records)

    @property
    def kept(self) -> int:
        """How many completed calls there were when the last session began."""
        return self._completed()[0]

    @property
    def ran(self) -> int:
        """How many calls have completed in the last session."""
        return self._completed()[1]

    def _completed(self) -> tuple[int, int]:
        before = within = 0
        for record in self.records:
            if record["key"] == RUN_KEY:
                if record["kind"] == "opened":
                    before, within = before + within, 0
            elif record["kind"] == "completed":
                within += 1
        return before, within

    def _decode(self, key: str, record: dict[str, Any]) -> object:
        payloads = Payloads(self._files, str(self.location), self.id, flushed=False)
        return Codec(load_secret, self._store.pickle).decode(
            copy.deepcopy(record),
            call_key=key,
            call=record["call"],
            fetch=payloads.get,
            private=self._is_private(),
            location=str(self.location),
        )

    def _is_private(self) -> bool:
        home = self._store.home
        private = check_way(self._files, home) and check_directory(self._files, home, follow=True)
        above = (self.location.parents[1], self.location.parent, self.location)
        return private and all(check_directory(self._files, str(path)) for path in above)

    def __repr__(self) -> str:
        key = f" with key {self.key!r}" if self.key is not None else ""
        if isinstance(self._lines, StoreError):
            return f"<run {short_id(self.id)} of {self.workflow!r}{key}: {self.status}, its files are damaged>"
        kept, ran = self._completed()
        return f"<run {short_id(self.id)} of {self.workflow!r}{key}: {self.status}, {kept} steps kept, {ran} ran>"


class _Reader(TreeReader):
    """Reads a state as far as that takes no code of the user's."""

    __slots__ = ()

    def read(self, tree: Tree, depth: int) -> object:
        if isinstance(tree, dict):
            tag = next(iter(tree), "")
            if tag == "$any" and len(tree) == 1:
                return self.read(tree["$any"], depth)
            if tag == "$type" and isinstance(fields := tree.get("fields"), dict):
                return {name: self.read(part, depth + 1) for name, part in fields.items()}
        try:
            return super().read(tree, depth)
        except BadTree:
            return tree


def _has_owner(files: Files, folder: Path) -> bool:
    """Return whether a process, this one or another, works on the run in `folder`."""
    lock = folder / LOCK
    if not lock.exists():
        return False
    # Under the workflow's lock, so that nobody who chooses a run meanwhile finds this one owned by us.
    with workflow_lock(files, os.path.join(folder.parent, LOCK)):
        ownership = take(files, str(lock))
        if ownership is None:
            return True
        ownership.release()
        return False
