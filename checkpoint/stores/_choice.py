"""
Choose the run that a session works on, and own it; called while the workflow's lock is held.

It must never take a run that it cannot read for one that is not there: a run is passed over only if it is known
to belong to another key, or never to have begun.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from checkpoint._core.lines import Verdict
from checkpoint.stores._ends import Ends, last_owner, read_ends, read_header, read_whole
from checkpoint.stores._failures import damaged, in_use, reading
from checkpoint.stores._files import Files
from checkpoint.stores._layout import DELETED, JOURNAL, LOCK, Layout, discard, traces
from checkpoint.stores._names import new_run_id, random_digits
from checkpoint.stores._ownership import Ownership, claim, read_lock, take

# A run that is owned and has no record yet was claimed a moment ago; its claim gives way to its first record.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What `Store.open` was asked for.

    Attributes:
        workflow: Name of the workflow.
        key: What tells its runs apart, or None.
        fresh: Whether a new run is wanted in any case.
        once: Whether a finished run is wanted too.
    """

    workflow: str
    key: str | None
    fresh: bool
    once: bool


def choose(layout: Layout, folder: str, wanted: Wanted) -> tuple[str, Ownership, bool]:
    """
    Return the id of the run to work on, its ownership, and whether it is new.

    Raises:
        RunInUseError: The newest run of this key has an owner.
        DamagedRunError: It is not known what a run is, or what it holds.
    """
    runs = layout.run_ids(folder)
    if not wanted.fresh:
        for run in runs:
            path = os.path.join(folder, run)
            ends = _look(layout.files, path, run, wanted)
            if ends is None:
                continue
            if ends.status == "finished" and not wanted.once:
                break
            ownership = take(layout.files, os.path.join(path, LOCK))
            if ownership is None:
                raise in_use(wanted.workflow, run, owner_of(layout.files, path))
            return run, ownership, False
    run = new_run_id([*runs, *_deleted(layout, folder)], layout.files.now(), random_digits)
    path = os.path.join(folder, run)
    layout.files.make_directory(path)
    ownership = take(layout.files, os.path.join(path, LOCK))
    if ownership is None:
        raise in_use(wanted.workflow, run, {})
    ownership.write(claim(wanted.key))
    return run, ownership, True


def owner_of(files: Files, folder: str) -> dict[str, object]:
    """Return what the owner of a run said of itself, as far as it can be read."""
    try:
        return last_owner(read_whole(files, os.path.join(folder, JOURNAL)))
    except OSError:
        return {}


def _look(files: Files, path: str, run: str, wanted: Wanted) -> Ends | None:
    """Return the ends of a run that is one of the wanted key, or None if it is none."""
    journal = os.path.join(path, JOURNAL)
    ends: Ends | None = None
    with reading(journal):
        # Without the end, which is most of the reading: with a new key, every run there is comes by here.
        header = read_header(files, journal)
        if header is not None and header.workflow == wanted.workflow and header.key != wanted.key:
            return None
        for _ in range(_LOOKS):
            ends = read_ends(files, journal)
            if ends is not None and ends.header is not None:
                if ends.header.workflow != wanted.workflow:
                    raise damaged(journal, run, f"it is of workflow {ends.header.workflow!r}")
                return ends if ends.header.key == wanted.key else None
            if ends is not None and ends.begun:
                break
            if traces(files, path).any:
                # Its owner may have saved the first record since we looked.
                continue
            if _is_dead(files, path):
                return None
            said = read_lock(files, os.path.join(path, LOCK))
            if said == claim(wanted.key):
                raise in_use(wanted.workflow, run, {})
            if said.startswith(b"claim "):
                return None
        left = traces(files, path)
        if ends is None and not left.any:
            raise in_use(wanted.workflow, run, {})
        if not left.is_of(wanted.key):
            return None
    _refuse(journal, run, ends)


def _refuse(journal: str, run: str, ends: Ends | None) -> NoReturn:
    if ends is None:
        raise damaged(journal, run, "it is missing, but records had been saved in it", slug="lost-run")
    if not ends.begun:
        raise damaged(journal, run, "it is empty, but records had been saved in it", slug="lost-run")
    reason = "its first record is damaged, so that it is not known for which key it is"
    raise damaged(journal, run, reason, Verdict("damaged", 0, 0, line=1, reason=reason))


def _is_dead(files: Files, path: str) -> bool:
    """Return whether a run without a record has no owner; it was then never begun, and what is there is removed."""
    ownership = take(files, os.path.join(path, LOCK))
    if ownership is None:
        return False
    # Windows removes no open file; and nobody takes the run, since whoever chooses one holds the workflow's lock.
    ownership.release()
    discard(files, path)
    return True


def _deleted(layout: Layout, folder: str) -> Sequence[str]:
    """Return the ids of runs whose deletion was cut short, and finish it."""
    found = [name for name in layout.files.names(folder) if name.startswith(DELETED)]
    for name in found:
        discard(layout.files, os.path.join(folder, name))
    return [name.removeprefix(DELETED) for name in found]
