"""
Exported runs: copies of a run's journal and payloads, to be kept in a repository and opened again somewhere else.

It must never change the run it copies from, nor take a copy for good that is not whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from checkpoint._core import lines
from checkpoint._core.records import RUN_KEY
from checkpoint.errors import UsageError
from checkpoint.stores._choice import owner_of
from checkpoint.stores._failures import damaged, in_use, reading
from checkpoint.stores._files import Files
from checkpoint.stores._layout import JOURNAL, LOCK, boot_id
from checkpoint.stores._names import directory_name, is_run_id
from checkpoint.stores._ownership import read_mark, take

_PAYLOADS = "payloads"

# `,"sum":"`, 16 digits, `"}`: what ends a line.
_SUM_BYTES = 26


@dataclass(frozen=True, slots=True)
class Export:
    """
    An exported run, verified.

    Attributes:
        path: Where it lies.
        workflow: Name of the workflow.
        run: The run's id.
        key: What tells the workflow's runs apart, or None.
        data: The lines of its journal.
        payloads: The directory of its payloads, which may be missing.
    """

    path: str
    workflow: str
    run: str
    key: str | None
    data: bytes
    payloads: str


def read_export(path: str | os.PathLike[str]) -> Export:
    """
    Read and verify an exported run; an unfinished write at its end, as a crash leaves it, is left out.

    Args:
        path: A run's directory, or its `journal.jsonl`.

    Raises:
        DamagedRunError: It cannot be relied on.
        NewerFormatError: A newer version wrote it.
        UsageError: There is no run.
    """
    given = os.path.abspath(os.fspath(path))
    journal = os.path.join(given, JOURNAL) if os.path.isdir(given) else given
    if not os.path.isfile(journal):
        raise _not_a_run(given)
    folder = os.path.dirname(journal)
    with reading(journal):
        with open(journal, "rb") as file:
            data = file.read()
        files = Files()
        mark = read_mark(files, os.path.join(folder, LOCK), boot_id(files))
    verdict = lines.inspect(data, mark)
    first = json.loads(data[: data.index(b"\n")]) if verdict.count else {}
    run = str(first.get("run"))
    if verdict.kind not in ("whole", "torn"):
        raise damaged(journal, run if is_run_id(run) else os.path.basename(folder), verdict.reason, verdict)
    if not is_run_id(run) or not isinstance(first.get("workflow"), str):
        raise damaged(journal, os.path.basename(folder), "it does not begin with the record of a run")
    return Export(
        path=given,
        workflow=first["workflow"],
        run=run,
        key=first.get("key_of_run"),
        data=data[: verdict.size],
        payloads=os.path.join(folder, _PAYLOADS),
    )


def export_run(location: str | os.PathLike[str], target: str | os.PathLike[str]) -> str:
    """
    Copy a run's journal and payloads into the new directory `target`, and return its path.

    Everything the steps returned is in it, and everything the state held: look before you publish it.

    Args:
        location: The run's directory, which `checkpoint path RUN` prints, and `Run.location` says.
        target: A directory that does not exist yet; it is there whole, or not at all.

    Raises:
        RunInUseError: A process works on the run.
        DamagedRunError: The run cannot be relied on.
        UsageError: There is no such run, or `target` exists.
    """
    source, copy = os.path.abspath(os.fspath(location)), os.path.abspath(os.fspath(target))
    if not os.path.isfile(os.path.join(source, JOURNAL)):
        raise _not_a_run(source)
    if os.path.lexists(copy):
        raise UsageError(
            f"cannot export a run to {copy!r}: it exists, and nothing is overwritten. Remove it first, or give "
            "another name.",
            slug="exported-run",
            value=copy,
        )
    unfinished = f"{copy}.tmp-{os.urandom(8).hex()}"
    try:
        with _owned(source):
            _write(read_export(source), unfinished)
        os.rename(unfinished, copy)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return copy


def put_unfinished(export: Export, home: str, key: str | None) -> None:
    """
    Put the run into the store at `home`, which is new, to be opened under `key` whether it has finished or not.

    Without the record that it finished, the state is what it was after the last step: the code that follows runs
    again, as it does when a program dies there.
    """
    data = _without_end(export.data)
    folder = home
    for name in ("runs", directory_name(export.workflow), export.run):
        folder = os.path.join(folder, name)
        os.mkdir(folder, 0o700)
    _write_journal(folder, data if key == export.key else _sealed_anew(data, key))
    _copy_payloads(export.payloads, os.path.join(folder, _PAYLOADS))


def _not_a_run(path: str) -> UsageError:
    return UsageError(
        f"there is no run at {path!r}. Give a run's directory, which holds {JOURNAL}, or that file; "
        "`checkpoint path RUN` prints where a run lies.",
        slug="exported-run",
        value=path,
    )


@contextmanager
def _owned(folder: str) -> Iterator[None]:
    """Keep others from working on the run; without a lock file nobody does, and none is made."""
    lock = os.path.join(folder, LOCK)
    ownership = None
    if os.path.exists(lock):
        ownership = take(Files(), lock)
        if ownership is None:
            workflow = os.path.basename(os.path.dirname(folder))
            raise in_use(workflow, os.path.basename(folder), owner_of(Files(), folder))
    try:
        yield
    finally:
        if ownership is not None:
            ownership.release()


def _write(export: Export, folder: str) -> None:
    os.mkdir(folder, 0o700)
    _write_journal(folder, export.data)
    _copy_payloads(export.payloads, os.path.join(folder, _PAYLOADS))


def _write_journal(folder: str, data: bytes) -> None:
    _write_private(os.path.join(folder, JOURNAL), data)


def _write_private(path: str, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _copy_payloads(source: str, target: str) -> None:
    """Copy the payloads, and nothing else that lies there; each is verified when it is read."""
    for folder, _, names in os.walk(source):
        for name in names:
            if len(name) == 64 and name[:2] == os.path.basename(folder):
                above = os.path.join(target, name[:2])
                for directory in (target, above):
                    if not os.path.isdir(directory):
                        os.mkdir(directory, 0o700)
                with open(os.path.join(folder, name), "rb") as file:
                    _write_private(os.path.join(above, name), file.read())


def _without_end(data: bytes) -> bytes:
    """Return the lines before the record that the run finished."""
    start = data.rfind(b"\n", 0, len(data) - 1) + 1
    is_end = lines.key_and_kind(data[start:-1]) == (RUN_KEY, "finished")
    return data[:start] if is_end else data


def _sealed_anew(data: bytes, key: str | None) -> bytes:
    """Return the same records as those of a run with another key."""
    chain = lines.Chain()
    sealed: list[bytes] = []
    for line in lines.split(data):
        call, kind = lines.key_and_kind(line)
        members = line.decode("ascii")[len(f'{{"key":"{call}","kind":"{kind}","n":{chain.count}') + 1 : -_SUM_BYTES]
        if not sealed:
            first = {**json.loads(f"{{{members}}}"), "key_of_run": key}
            members = json.dumps(first, separators=(",", ":"))[1:-1]
        accepted = chain.seal(call, kind, members)
        chain.accept(accepted)
        sealed.append(accepted.data)
    return b"".join(sealed)
