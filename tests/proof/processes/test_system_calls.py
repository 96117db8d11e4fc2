"""
Every system call of a run that changes something: killed at it, or told that it failed; then the run again.

The calls of the library alone are counted: strace is attached when the program is about to begin, and the program's own
traces go through `writev`.  Each call is struck in turn until there is none left to strike.
"""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

# What changes files, names, sizes, modes and locks.
CHANGING = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "mkdir", "openat", "unlink")
CHANGING += ("fchmod", "flock", "close")
# What only looks can fail too.
LOOKING = ("pread64", "readv", "newfstatat", "getdents64")
# No system call reports these for a close or a lock but EIO; and nothing is killed by looking.
CASES = [
    *((call, fault) for call in CHANGING for fault in ("SIGKILL", "EIO")),
    *((call, "ENOSPC") for call in CHANGING if call not in ("flock", "close", "fchmod", "unlink")),
    *((call, "EIO") for call in LOOKING),
]
RESULT = {"seen": [41, 40000, 6], "nothing": None}
STEPS = {"outer", "inner", "large", "careful", "last"}

# What must not fail in silence: these files are the run.
TRUTH = ("journal.jsonl", "/payloads/")
MUST_BE_TOLD = ("write", "fdatasync", "rename")


def strace(pid: int, log: Path, calls: str, *inject: str) -> subprocess.Popen[str]:
    """Attach strace to a process, to note these calls in `log` and to strike as `inject` says."""
    command = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={calls}"]
    command += [part for deed in inject for part in ("-e", f"inject={deed}")]
    tracer = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if " attached" not in line:
        tracer.wait()
        raise PermissionError(line)
    return tracer


@pytest.fixture(scope="session")
def tracing() -> None:
    """Skip where processes cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("needs the program strace")
    probe = subprocess.run(["strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.decode().strip()}")


def traced(warm: Any, place: Any, calls: str, *inject: str) -> tuple[Any, list[str]]:
    """Run the program under strace; returns how it ended, and its calls."""
    log = place.directory / "strace.txt"
    pid = warm.start(place, "small.py", gate=True)
    try:
        tracer = strace(pid, log, calls, *inject)
    except PermissionError as error:
        warm.kill(signal.SIGKILL)
        warm.wait()
        pytest.skip(f"strace may not trace here: {error}")
    warm.go()
    done = warm.wait()
    tracer.communicate(timeout=60)
    return done, log.read_text().splitlines()


def struck(warm: Any, place: Any, call: str, fault: str, number: int) -> tuple[Any, str]:
    """Run the program with one call struck; returns how it ended, and the call, empty if there are not so many."""
    deed = f"signal={fault}" if fault == "SIGKILL" else f"error={fault}"
    done, lines = traced(warm, place, call, f"{call}:{deed}:when={number}")
    if fault == "SIGKILL":
        return done, lines[-2] if done.status == -signal.SIGKILL else ""
    return done, next((line for line in lines if "(INJECTED)" in line), "")


def check(warm: Any, place: Any, done: Any, call: str, where: str) -> str:
    """Check what the user was told and that the same command completes the run; returns how it came out."""
    before = place.traces()
    if done.status == 0:
        outcome = "harmless"
        assert RESULT == done.result, where
        assert not (any(name in call for name in TRUTH) and call.split("(")[0].split()[-1] in MUST_BE_TOLD), where
    elif done.status == -signal.SIGKILL:
        outcome = "died"
    else:
        outcome = "told"
        assert "Error" in done.err.splitlines()[-1], f"{where}: {done.err}"
    again = warm.run(place, "small.py")
    assert (0, RESULT) == (again.status, again.result if again.out else again.err), where
    assert [] == place.repeated(), where
    assert outcome != "harmless" or "begin" not in {trace[0] for trace in place.traces()[len(before) :]}, where
    # Cut once, at most the step in flight and the one around it run twice.
    assert STEPS == set(place.begun()) and sum(place.begun().values()) <= len(STEPS) + 2, where
    return outcome


def half_done(warm: Any, place: Any) -> None:
    """Leave a run in which a program was killed in the middle of writing a record."""
    assert -signal.SIGKILL == warm.run(place, "small.py", STRIKE="large").status
    (journal,) = place.home.glob("runs/*/*/journal.jsonl")
    with journal.open("ab") as file:
        file.write(b'{"key":"')
    (journal.parent / ("tmp-" + "0" * 16)).write_bytes(b"unfinished")


@pytest.mark.parametrize("begin", ["new", "continued"])
def test_every_call_is_struck(tracing: None, farm: Any, faults: Any, begin: str) -> None:
    """Whichever call dies or fails, it is told or harmless, and the same command completes the run."""
    (warm,) = taken = farm.take(1)
    start = farm.trial("start")
    if begin == "continued":
        half_done(warm, start)
    farm.give(taken)

    def sweep(warm: Any, case: tuple[str, str]) -> list[str]:
        call, fault = case
        outcomes = []
        for number in itertools.count(1):
            place = farm.trial(f"{call}-{fault}-{number}")
            shutil.copytree(start.directory, place.directory, dirs_exist_ok=True)
            done, line = struck(warm, place, call, fault, number)
            if not line:
                assert (0, RESULT) == (done.status, done.result), done.err
                return outcomes
            outcomes.append(check(warm, place, done, line, f"{begin}, {fault} at {call} {number}: {line}"))
            shutil.rmtree(place.directory)

    found = dict(zip(CASES, farm.each(sweep, CASES), strict=True))
    for fault in ("SIGKILL", "EIO", "ENOSPC"):
        outcomes = [outcome for case, came in found.items() if case[1] == fault for outcome in came]
        assert len(outcomes) > 20
        counts = {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}
        faults.count(f"{fault} at a system call of a {begin} run", len(outcomes), **counts)


def test_no_result_is_handed_back_before_it_is_flushed(tracing: None, farm: Any) -> None:
    """As the system sees it: whenever a step hands back its result, the journal was flushed after its last write."""
    (warm,) = taken = farm.take(1)
    done, lines = traced(warm, farm.trial("flushed"), "write,fdatasync,writev")
    farm.give(taken)
    assert RESULT == done.result
    last = ""
    acknowledged = 0
    for line in lines:
        if "journal.jsonl>" in line:
            last = line.split("(")[0].split()[-1]
        elif '"acknowledged ' in line:
            acknowledged += 1
            assert "fdatasync" == last, line
    assert 4 == acknowledged
