"""
What a store is: a place where the journals of runs live.  Frozen: new behaviour is a wrapper or another store.

A store knows nothing of steps, values or states.  It keeps sealed lines in order, and payloads by the
SHA-256 of their contents; it says who owns a run; and it never hands back a byte that was damaged.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from checkpoint._core.records import Line, RunSummary

PicklePolicy: TypeAlias = Literal["authenticated", "never"]


class Journal(Protocol):
    """
    One run, owned by this process until `close`.

    `append`, `sync`, `put` and `get` may be called from any thread; the caller sees to it that lines come
    in the order of their numbers.
    """

    @property
    def location(self) -> str:
        """Where the run is kept, for people: a directory, or a name in memory."""
        ...

    @property
    def private(self) -> bool:
        """Whether nobody but this user can have written what is read here; else nothing is unpickled."""
        ...

    @property
    def notes(self) -> list[str]:
        """What opening found and mended, one sentence each, such as an unfinished last record."""
        ...

    def records(self) -> bytes:
        """
        Return every line, in order, each with its newline; verified, and durable before this returns.

        The last owner may have died between its write and its sync: whoever acknowledges what it reads
        here must not lose it to a power cut.
        """
        ...

    def append(self, line: Line) -> None:
        """
        Add `line` at the end; another process would see it, a power cut could still lose it.

        The first line names the `workflow` and, as `key_of_run`, the key: by them the run is found again.

        Raises:
            SaveError: Nothing of the line remains in the journal.  A full disk can be tried again; with the slugs
                `journal-changed` and `saving-stopped` nothing more is written.
            ValueError: The first line does not name this workflow and key.
        """
        ...

    def sync(self, number: int) -> None:
        """
        Return once line `number` and all before it survive a power cut (or a crash, with `durability="process"`).

        Concurrent callers share one flush.

        Raises:
            ValueError: The line was not appended.
            SaveError: It is not known what is on the disk, so that lines that were not acknowledged were
                cut off and every later call raises too.
        """
        ...

    def put(self, digest: str, data: memoryview) -> None:
        """
        Keep `data` under its SHA-256, durably before this returns; putting the same again is harmless.

        Raises:
            SaveError: It could not be written; with the slug `payload-changed`, because `data` changed meanwhile.
        """
        ...

    def get(self, digest: str, size: int) -> bytearray:
        """
        Return the payload, verified.

        Raises:
            DamagedRunError: It is missing, or not of this size, or not what was put.
        """
        ...

    def publish(self, summary: dict[str, Any]) -> None:
        """
        Replace the run's `state.json`, which is for people and listings; failing to is not an error.

        It is derived, never read back for recovery; that it is there proves that the journal once was.
        """
        ...

    def close(self) -> None:
        """Give the run up: release ownership.  Idempotent."""
        ...


class Store(Protocol):
    """A place where runs are kept.  May be shared by threads and processes."""

    @property
    def pickle(self) -> PicklePolicy:
        """Whether values that are no plain data may be pickled, with proof of who wrote them, or never."""
        ...

    def location(self, workflow: str | None = None, run: str | None = None) -> str:
        """
        Return where the store, a workflow's runs or a run is kept, for people.

        Nothing is looked at or made: for what is missing, it is where that would be.
        """
        ...

    def runs(self, workflow: str | None = None) -> list[RunSummary]:
        """
        Return the runs of one workflow, or of all, newest first; reads little and verifies nothing.

        There are none of an unknown workflow; a run that cannot be read is listed as `lost`.
        """
        ...

    def open(self, workflow: str, *, key: str | None, fresh: bool, once: bool) -> tuple[str, Journal]:
        """
        Own the newest run of `workflow` and `key` if it is to be worked on, or a new and empty one.

        It is unless it finished; with `once` also then; with `fresh` never.  Older runs are left alone: whoever
        began a fresh run has given them up.
        Two processes that ask at the same time never both get a run of their own.

        Returns:
            The run's id, and its journal; the journal is empty if the run is new.

        Raises:
            RunInUseError: Another process owns it.  Nothing was changed.
            DamagedRunError: Its files cannot be relied on.  Nothing was changed.
        """
        ...

    def read(self, workflow: str, run: str) -> bytes:
        """
        Return every line that is whole, without owning the run: for looking at it, also while it is worked on.

        Raises:
            StoreError: There is no such run, or it cannot be read.
        """
        ...

    def delete(self, workflow: str, run: str) -> None:
        """Remove a run and its payloads; raises RunInUseError if it is owned, StoreError if there is none."""
        ...
