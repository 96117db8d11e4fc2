"""
`checkpoint demo`: starts a run in a child process, interrupts it, kills it, continues it, and compares.

Everything is real: the script below is written to a temporary directory and run as a user would run it, the
signals are sent from outside, and the runs are kept in that directory, not among the user's own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCRIPT = """\
import pathlib
import time

from checkpoint import checkpointed, workflow

BRANCHES = ["login", "search", "billing", "export", "invoice", "profile"]


@checkpointed
def align(branch):
    time.sleep(0.3)  # something slow...
    with pathlib.Path("effects.txt").open("a") as effects:
        effects.write(branch + "\\n")  # ...with an effect on the world
    return f"{branch} aligned"


with workflow("align") as run:
    run.state.setdefault("processed", [])
    for branch in BRANCHES:
        run.state["current"] = branch
        run.state["processed"].append(align(branch))
    print(run.state["processed"])
"""

# A child that makes no progress for so long is stuck; its own work takes two seconds.
_PATIENCE_S = 60.0


def main() -> int:
    """Run the demonstration; returns 0 only if the interrupted run ended like an uninterrupted one."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only must not end it
    with tempfile.TemporaryDirectory(prefix="checkpoint-demo-") as place:
        broken, whole = Path(place, "interrupted"), Path(place, "uninterrupted")
        for directory in (broken, whole):
            directory.mkdir()
            Path(directory, "align.py").write_text(SCRIPT, encoding="utf-8")
        _say("A script with six slow steps. Ctrl-C while it works on the third:")
        first = _run(broken, stop_after=2, stop_with=signal.SIGINT)
        _say("The same command again, and this time kill -9 while it works on the fifth:")
        second = _run(broken, stop_after=4, stop_with=getattr(signal, "SIGKILL", signal.SIGTERM))
        _say("And the same command once more:")
        third = _run(broken)
        _show_journal(broken)
        _say("For comparison, the same script without an interruption:")
        fourth = _run(whole)
        return _compare(broken, whole, (first, second, third, fourth))


def _run(directory: Path, stop_after: int = 0, stop_with: signal.Signals | None = None) -> int:
    print("$ python align.py", flush=True)
    with _child(directory) as child:
        if stop_with is not None:
            _wait_for(directory, stop_after, child)
            print(f"[{stop_with.name} is sent]", flush=True)
            child.send_signal(stop_with)
    print(flush=True)
    return child.returncode


@contextmanager
def _child(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "CHECKPOINT_HOME": str(directory / "home"),
        "CHECKPOINT_OUTPUT": "steps",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }
    sys.stdout.flush()
    child = subprocess.Popen(
        [sys.executable, "align.py"],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        preexec_fn=_listen_to_ctrl_c if os.name == "posix" else None,
    )
    try:
        yield child
        child.wait(_PATIENCE_S)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _listen_to_ctrl_c() -> None:
    # A shell starts background jobs with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _journal(directory: Path) -> Path | None:
    return next(iter(Path(directory, "home").glob("runs/*/*/journal.jsonl")), None)


def _records(directory: Path) -> list[dict[str, Any]]:
    journal = _journal(directory)
    lines = journal.read_text(encoding="ascii").splitlines(keepends=True) if journal is not None else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _wait_for(directory: Path, steps: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while child.poll() is None and time.monotonic() < deadline:
        records = _records(directory)
        saved = sum(record["kind"] == "completed" for record in records)
        if saved >= steps and records[-1]["kind"] == "started":
            return
        time.sleep(0.01)


def _show_journal(directory: Path) -> None:
    journal = _journal(directory)
    if journal is None:
        return
    _say("What it has kept: the path, and the first lines, of a plain file.")
    print(journal)
    for line in journal.read_text(encoding="ascii").splitlines()[:4]:
        print(line if len(line) <= 150 else line[:149] + "…")
    print(flush=True)


def _compare(broken: Path, whole: Path, statuses: tuple[int, ...]) -> int:
    expected = (-signal.SIGINT, -getattr(signal, "SIGKILL", signal.SIGTERM), 0, 0)
    checks = {
        "the first ended by SIGINT, the second by SIGKILL, the others normally": statuses == expected,
        "the effects are the same, and none happened twice": _effects(broken) == _effects(whole),
        "the results are the same": _results(broken) == _results(whole),
        "the state is the same": _state(broken) == _state(whole) and bool(_state(whole)),
    }
    for check, holds in checks.items():
        print(f"{'yes' if holds else 'NO '}  {check}")
    return 0 if all(checks.values()) else 1


def _effects(directory: Path) -> list[str]:
    return Path(directory, "effects.txt").read_text(encoding="utf-8").splitlines()


def _results(directory: Path) -> list[object]:
    return [record["value"] for record in _records(directory) if record["kind"] == "completed"]


def _state(directory: Path) -> object:
    summary = next(iter(Path(directory, "home").glob("runs/*/*/state.json")))
    return json.loads(summary.read_text(encoding="utf-8"))["state"]


def _say(text: str) -> None:
    print(f"— {text}\n", flush=True)
