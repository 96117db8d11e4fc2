"""
The beginning of a session: owns the run, reads what it has, and says what is continued.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from checkpoint._core import lines
from checkpoint._core.codec import Codec
from checkpoint._core.progress import Progress, SavedState
from checkpoint._core.records import FORMAT, RUN_KEY
from checkpoint._runtime import checks, clock
from checkpoint._runtime.flow import Flow
from checkpoint._runtime.keeper import Keeper
from checkpoint._runtime.reporter import Reporter
from checkpoint._runtime.scope import disown, open_here, open_sessions
from checkpoint._runtime.secret import load_secret
from checkpoint._runtime.session import Session
from checkpoint.errors import DamagedRunError, UsageError
from checkpoint.stores import Journal, MemoryStore, Store

# Arguments of a notebook's kernel: a new connection file every time, so that comparing says nothing.
_KERNELS = ("ipykernel_launcher.py", "colab_kernel_launcher.py")


@dataclass(frozen=True, slots=True)
class Request:
    """
    Which run to work on, and how.

    Attributes:
        workflow: Name of the workflow.
        key: What tells the workflow's runs apart, or None.
        once: Whether a finished run is opened again, for its results.
        fresh: Whether to leave an unfinished run alone and begin a new one.
        store: Where runs live.
        reporter: Whom to tell.
        make_state: Given the saved state or None, and a list for notes, returns the state and its codec.
        make_run: Given the session and its state, returns what the user holds of the run.
    """

    workflow: str
    key: str | None
    once: bool
    fresh: bool
    store: Store
    reporter: Reporter
    make_state: Callable[[SavedState | None, list[str]], tuple[object, Any]]
    make_run: Callable[[Session, Any], object]


def open_session(request: Request) -> Session:
    """
    Own a run and begin a session on it; durable when this returns, so that a store that cannot be written is found now.

    Raises:
        RunInUseError: Another process works on it.
        DamagedRunError: Its files cannot be relied on.
        StateError: The saved state does not fit the state's class.
    """
    _follow_forks()
    for session in open_sessions:
        if session.closed is None and (session.workflow, session.key) == (request.workflow, request.key):
            raise UsageError(
                f"Run {session.short_id} of workflow {request.workflow!r} is open already in this process: it cannot "
                "be opened inside itself. Use current_run() where the run is needed, or another name or key=.",
                slug="nested-workflow",
                value=request.workflow,
            )
    run, journal = request.store.open(request.workflow, key=request.key, fresh=request.fresh, once=request.once)
    try:
        session, past = _read(request, run, journal)
        _announce(request, session, past)
    except BaseException:
        journal.close()
        raise
    open_here(session)
    return session


@functools.cache
def _process_secret() -> bytes:
    # What is kept in memory is never read by another process, and needs no file on the disk.
    return os.urandom(32)


@functools.cache
def _follow_forks() -> None:
    # Once in a process, with its first run: a hook cannot be taken away again.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=disown)


@dataclass(frozen=True, slots=True)
class _Past:
    created: dict[str, Any]  # the first record
    end: dict[str, Any]  # the last record that speaks of the run itself
    at: str  # when the last record was written
    notes: list[str]  # what opening found and mended


def _read(request: Request, run: str, journal: Journal) -> tuple[Session, _Past]:
    data = journal.records()
    found = lines.split(data)
    progress = Progress(found)
    created = json.loads(found[0]) if found else {}
    if found and (created.get("workflow"), created.get("key_of_run")) != (request.workflow, request.key):
        raise DamagedRunError(
            f"The journal in {journal.location} belongs to workflow {created.get('workflow')!r} with key "
            f"{created.get('key_of_run')!r}, not to {request.workflow!r} with key {request.key!r}; nothing was "
            "changed. Was the directory copied or renamed? Move it back, or begin a new run with fresh=True.",
            slug="foreign-journal",
            path=journal.location,
            line=1,
            byte=0,
            reason="it belongs to another workflow",
        )
    session = Session(request.workflow, run, request.key, journal, lines.Chain.resume(data), progress, request.reporter)
    session.codec = Codec(
        _process_secret if isinstance(request.store, MemoryStore) else load_secret, request.store.pickle
    )
    notes = list(journal.notes)
    saved = _saved_state(progress, journal) if found else None
    state, codec = request.make_state(saved, notes)
    session.flow = Flow(Keeper(state, codec, saved, progress))
    session.run = request.make_run(session, state)
    last = json.loads(progress.run_records[-1]) if found else {}
    session.is_over = session.flow.keeper.is_over = last.get("kind") == "finished"
    return session, _Past(created, last, json.loads(found[-1]).get("at", "") if found else "", notes)


def _saved_state(progress: Progress, journal: Journal) -> SavedState:
    try:
        return progress.state()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DamagedRunError(
            f"The state in {journal.location} cannot be put together again: {error}. Nothing was changed. "
            "Restore the run's directory from a copy, or begin a new run with fresh=True.",
            path=journal.location,
            line=None,
            byte=None,
            reason=str(error),
        ) from error


def _announce(request: Request, session: Session, past: _Past) -> None:
    if session.is_over:
        session.voice.tell("idle", ago=clock.age_s(past.at))
    elif session.resumed:
        _record_opening(session)
        why = past.end.get("why", "an error") if past.end.get("kind") in ("stopped", "failed") else "crashed"
        session.voice.tell("continuing", ago=clock.age_s(past.at), why=why)
        was, now = past.created.get("arguments", []), sys.argv[1:]
        if was != now and not sys.argv[0].endswith(_KERNELS):
            session.voice.note(checks.other_command(was, now))
    else:
        _record_creation(session)
        session.voice.tell("new", **_find_previous(request, session.id))
    for note in past.notes:
        session.voice.note(note)


def _record_creation(session: Session) -> None:
    from checkpoint import __version__

    fields, tree = session.flow.keeper.fields()
    members = (
        f'{fields}"at":"{clock.now()}","format":{FORMAT},"library":{quote(__version__)},'
        f'"workflow":{quote(session.workflow)},"key_of_run":{json.dumps(session.key)},"run":{quote(session.id)},'
        f'"nonce":"{os.urandom(16).hex()}","command":{_words(sys.orig_argv)},"arguments":{_words(sys.argv[1:])},'
        f'"directory":{quote(_directory())}'
    )
    session.append(RUN_KEY, "created", members)
    session.flow.keeper.saved_partly(tree)
    _record_opening(session)
    session.journal.publish(session.summary("running"))


def _record_opening(session: Session) -> None:
    version = ".".join(str(part) for part in sys.version_info[:3])
    command = " ".join(sys.orig_argv)
    line = session.append(
        RUN_KEY,
        "opened",
        f'"at":"{clock.now()}","pid":{os.getpid()},"host":{quote(_host())},"command":{quote(command)},'
        f'"python":"{version}"',
    )
    session.journal.sync(line.number)


def _find_previous(request: Request, run: str) -> dict[str, Any]:
    for other in request.store.runs(request.workflow):
        if other.id != run and other.key == request.key and other.status == "finished":
            return {"previous": other.id.rpartition("-")[2], "ago": clock.age_s(other.at or "")}
    return {}


def _words(arguments: list[str]) -> str:
    return "[" + ",".join([quote(argument) for argument in arguments]) + "]"


def _host() -> str:
    # os.uname, because importing socket costs more than opening a run.
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # the directory was removed under us, and it is only for people to read
