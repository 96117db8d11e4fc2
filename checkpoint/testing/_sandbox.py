"""
`Sandbox`: a store of a test's own, with questions about the runs in it, and ways to damage them.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from types import EllipsisType, TracebackType

from checkpoint._core.records import RunSummary
from checkpoint._runtime.paths import HOME_VARIABLE, KEY_FILE_VARIABLE
from checkpoint._runtime.scope import open_sessions
from checkpoint.errors import UsageError
from checkpoint.stores import FileStore
from checkpoint.stores._layout import JOURNAL, LOCK, SUMMARY
from checkpoint.testing._damage import FOR_JOURNALS, damage
from checkpoint.testing._views import RunView, StepView

__all__ = ["RunView", "Sandbox", "StepView"]

_OUTPUT_VARIABLE = "CHECKPOINT_OUTPUT"

_FILES = {"journal": JOURNAL, "lock": LOCK, "state.json": SUMMARY}

# A payload's name, wherever a record mentions it.
_DIGEST = re.compile(rb'"([0-9a-f]{64})"')


class Sandbox:
    """
    A store of a test's own: while it is entered, every workflow keeps its runs here, also in child processes.

    Entering sets `CHECKPOINT_HOME`, `CHECKPOINT_KEY_FILE` and `CHECKPOINT_OUTPUT=off` in the environment, and leaving
    puts back exactly what was there.  With unittest::

        def setUp(self):
            self.sandbox = self.enterContext(Sandbox())

    In pytest the fixture `checkpoint_store` is an entered one.

    Args:
        directory: Where to keep the runs; made if it is missing, and left there.  By default a temporary
            directory, which is removed when the sandbox is left.

    Attributes:
        home: The directory of the store.
        store: The store, for `workflow(…, store=sandbox.store)` where the environment does not reach.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._is_temporary = directory is None
        if directory is None:
            directory = os.path.join(tempfile.gettempdir(), f"checkpoint-sandbox-{os.urandom(8).hex()}")
        self._directory = Path(os.path.abspath(directory))
        self.home = self._directory / "home"
        self.store = FileStore(self.home)
        self._before: list[dict[str, str | None]] = []

    def __enter__(self) -> Sandbox:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True)
        self.home.mkdir(mode=0o700, exist_ok=True)
        # Beside the home, as the key of a user lies outside the directory of runs.
        ours = {
            HOME_VARIABLE: str(self.home),
            KEY_FILE_VARIABLE: str(self._directory / "key"),
            _OUTPUT_VARIABLE: "off",
        }
        self._before.append({name: os.environ.get(name) for name in ours})
        os.environ.update(ours)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name, value in self._before.pop().items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._is_temporary and not self._before:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __repr__(self) -> str:
        return f"<Sandbox {str(self.home)!r}, {len(self.store.runs())} runs>"

    @property
    def runs(self) -> list[RunView]:
        """All runs as they are now, newest first."""
        return [RunView(self.store, summary) for summary in self.store.runs()]

    def run(self, workflow: str, *, key: str | EllipsisType | None = ...) -> RunView:
        """
        Return the newest run of a workflow as it is now.

        Args:
            workflow: Name of the workflow.
            key: The run's key; None means a run without one.  By default the newest of any key.

        Raises:
            UsageError: There is none; the message says what there is.
        """
        return RunView(self.store, self._find(workflow, key))

    def damage(
        self,
        workflow: str,
        kind: str,
        *,
        at: int | None = None,
        file: str | int | None = None,
        key: str | EllipsisType | None = ...,
    ) -> str:
        """
        Damage a file of the newest run of a workflow, as disks, crashes and careless copies do.

        Args:
            workflow: Name of the workflow.
            kind: `flip` one bit of byte `at`; `cut` the file off at byte `at`; `zero` the 512-byte sector of byte
                `at`; `remove` the file.  Of the journal alone: `drop` line `at`, `double` it, or `swap` it with the
                next; `append` half a line, as a crash in the middle of a write does, which is harmless; put back the
                `older` journal of `at` records ago, while all else stays.
            at: The place; bytes count from 0, lines from 1, negative ones from the end.  By default the middle, and
                for `older` the last record.
            file: `journal` (the default), `lock`, `state.json`, `payload` for the first value with a file of its
                own, or a number for another: 0 is the first, in the order in which the journal names them.
            key: The run's key, as for `run`.

        Returns:
            What was done, for a test's messages.

        Raises:
            UsageError: There is no such run, file, kind or place; the run is open in this process; or nothing would
                change.  Nothing was changed.
        """
        summary = self._find(workflow, key)
        folder = Path(self.store.location(summary.workflow, summary.id))
        _check_closed(folder, summary)
        path = _find_file(folder, "journal" if file is None else file)
        if kind in FOR_JOURNALS and path.name != JOURNAL:
            raise UsageError(f"damage {kind!r} is for the journal alone. Leave file={file!r} out.", value=file)
        try:
            found = damage(kind, path.read_bytes(), at)
        except FileNotFoundError:
            raise UsageError(f"cannot damage {str(path)!r}: there is no such file.", value=file) from None
        if found.data is None:
            path.unlink()
        else:
            path.write_bytes(found.data)
        return f"{found.said}: {path}"

    def _find(self, workflow: str, key: str | EllipsisType | None) -> RunSummary:
        runs = self.store.runs()
        for run in runs:
            # Of a run that lost its first record nobody knows the key.
            if run.workflow == workflow and (key is ... or run.key == key or run.status == "lost"):
                return run
        wanted = "" if key is ... else " without a key" if key is None else f" with key {key!r}"
        there = sorted({run.workflow + (f" (key {run.key!r})" if run.key is not None else "") for run in runs})
        raise UsageError(
            f"There is no run of workflow {workflow!r}{wanted} in {str(self.home)!r}. "
            f"Runs there: {', '.join(there) or 'none'}.",
            slug="no-such-run",
            value=workflow,
        )


def _check_closed(folder: Path, summary: RunSummary) -> None:
    for session in open_sessions:
        if session.closed is None and os.path.realpath(session.journal.location) == os.path.realpath(folder):
            raise UsageError(
                f"Run {session.short_id} of workflow {summary.workflow!r} is open in this process. "
                "Leave its block before its files are damaged.",
                value=summary.id,
            )


def _find_file(folder: Path, file: str | int) -> Path:
    if isinstance(file, str) and file in _FILES:
        return folder / _FILES[file]
    number = 0 if file == "payload" else file
    if type(number) is not int:
        raise UsageError(
            f"file={file!r} is no file of a run. Give {', '.join(_FILES)}, payload or a number.", value=file
        )
    payloads = _payloads(folder)
    if not 0 <= number < len(payloads):
        raise UsageError(
            f"There is no payload {number}: this run has {len(payloads)}. Only values above 32 KiB have a file of "
            "their own; give a number from 0.",
            value=file,
        )
    return payloads[number]


def _payloads(folder: Path) -> list[Path]:
    """Return the payload files: those that the journal names in its order, then those that other payloads name."""
    journal = folder / JOURNAL
    named = [found.decode("ascii") for found in _DIGEST.findall(journal.read_bytes() if journal.exists() else b"")]
    order = {name: number for number, name in reversed(list(enumerate(named)))}
    paths = (path for path in (folder / "payloads").glob("??/*") if len(path.name) == 64)
    return sorted(paths, key=lambda path: (order.get(path.name, len(order)), path.name))
