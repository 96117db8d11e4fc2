"""
Ctrl-C at every opcode of the library's own frames, in process, by tracing.

The trace function calls the installed SIGINT handler with the traced frame, which is what the interpreter
does when the signal arrives at that opcode.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import checkpoint
from checkpoint import checkpointed, workflow
from checkpoint._runtime import scope, signals
from checkpoint.stores import MemoryStore

PACKAGE = str(Path(checkpoint.__file__).parent)


class Tracer:
    """Counts opcodes of the package's frames, and strikes at one of them."""

    def __init__(self, strike_at: int | None) -> None:
        self.strike_at = strike_at
        self.count = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.count += 1
            if self.count == self.strike_at:
                sys.settrace(None)
                handler = signal.getsignal(signal.SIGINT)
                assert callable(handler)
                handler(signal.SIGINT, frame)
        return self

    def __enter__(self) -> None:
        sys.settrace(self)

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)


finished: list[int] = []


@checkpointed
def work(number: int) -> int:
    """A step whose end is known."""
    result = number * 2
    finished.append(number)
    return result


def session(store: MemoryStore, tracer: Tracer) -> list[int]:
    results = []
    with workflow("opcodes", store=store, output="off") as run:
        results.append(work(1))
        run.state["seen"] = results[0]
        with tracer:
            results.append(work(2))
        results.append(work(3))
    return results


def whole_session(store: MemoryStore, tracer: Tracer) -> list[int]:
    with tracer, workflow("opcodes", store=store, output="off"):
        return [work(1)]


def check_intact() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert scope.open_sessions == []
    assert scope.current.get() is None
    assert signals.watch._held == []
    assert signals.watch._previous == {}


def strike_everywhere(run: Any, expected: list[int], faults: Any, stride: int = 1) -> int:
    counter = Tracer(None)
    run(MemoryStore(), counter)
    interrupted = 0
    for strike_at in range(1, counter.count + 1, stride):
        finished.clear()
        store = MemoryStore()
        try:
            run(store, Tracer(strike_at))
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(None)
        check_intact()
        if scope.open_sessions == []:
            results = run(store, Tracer(None)) if interrupted_run(store) else expected
            assert expected == results, strike_at
        assert len(finished) == len(set(finished)), f"opcode {strike_at}: a body that finished ran again"
    assert interrupted > counter.count / stride / 2
    struck = len(range(1, counter.count + 1, stride))
    faults.count("Ctrl-C at an opcode of our own", struck, interrupted=interrupted, came_too_late=struck - interrupted)
    return counter.count


def interrupted_run(store: MemoryStore) -> bool:
    runs = store.runs("opcodes")
    return not runs or runs[0].status != "finished"


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
def test_a_step_is_never_half_recorded(faults: Any) -> None:
    """Struck at any opcode of a call, a finished body is recorded, nothing stays behind, and the rerun is right."""
    assert strike_everywhere(session, [2, 4, 6], faults) > 200


def test_a_run_is_never_half_open(faults: Any) -> None:
    """Struck while entering, calling and leaving, nothing stays behind and the rerun is right."""
    # Every seventh opcode: there are some ten thousand, and a prime number meets every part of every loop.
    assert strike_everywhere(whole_session, [2], faults, stride=7) > 500
