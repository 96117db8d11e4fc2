"""
The watch over signals: what is delivered, what waits, and that everything is put back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from checkpoint import checkpointed, workflow
from checkpoint._runtime import signals
from checkpoint._runtime.signals import watch
from checkpoint.stores import MemoryStore
from checkpoint.testing import Crashes
from tests.conftest import Scripts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def put_back(default_signals: None) -> Iterator[None]:
    """Fail the test that leaves a handler or a held signal behind."""
    before = {number: signal.getsignal(number) for number in WATCHED}
    yield
    assert before == {number: signal.getsignal(number) for number in WATCHED}
    assert [] == watch._held


def block(store: Any = None, **options: Any) -> Any:
    return workflow("w", store=store or MemoryStore(), output="off", **options)


@checkpointed
def work(number: int) -> int:
    return number


@checkpointed
def struck(number: int) -> None:
    os.kill(os.getpid(), number)
    raise AssertionError("the signal was not delivered")


@pytest.mark.parametrize(
    ("number", "expected", "status"),
    [
        (signal.SIGINT, KeyboardInterrupt, None),
        (signal.SIGTERM, SystemExit, 143),
        (signal.SIGUSR1, SystemExit, 128 + signal.SIGUSR1),
    ],
)
def test_delivered_in_user_code(number: int, expected: type[BaseException], status: int | None) -> None:
    """A signal leaves the block by the exception it stands for; the run is stopped and its steps are kept."""
    store = MemoryStore()
    with pytest.raises(expected) as caught, block(store, signals=WATCHED):
        work(1)
        struck(number)
    if isinstance(caught.value, SystemExit):
        assert status == caught.value.code
    assert "stopped" == store.runs("w")[0].status
    assert b'"completed"' in store.read("w", store.runs("w")[0].id)


def test_only_the_given_signals() -> None:
    """Signals that were not asked for keep their handlers."""
    before = signal.getsignal(signal.SIGTERM)
    with block(signals=(signal.SIGINT,)):
        assert watch._handle == signal.getsignal(signal.SIGINT)
        assert before is signal.getsignal(signal.SIGTERM)


def test_ignored_signal_stays_ignored() -> None:
    """A program that ignores a signal goes on ignoring it in the block."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with block():
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.SIG_IGN is signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_own_handler_of_the_program_is_called() -> None:
    """A handler that the program had installed is called; if it returns, the block goes on."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with block():
            os.kill(os.getpid(), signal.SIGTERM)
            assert 1 == work(1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [signal.SIGTERM] == seen


def test_handler_installed_in_the_block_stays() -> None:
    """A handler that the program installs inside the block is not replaced when the block is left."""

    def mine(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.getsignal(signal.SIGTERM)
    try:
        with block():
            signal.signal(signal.SIGTERM, mine)
        assert mine is signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nested_blocks_share_the_handlers() -> None:
    """The inner block neither replaces nor puts back what the outer one installed."""
    with block():
        with workflow("inner", store=MemoryStore(), output="off"):
            pass
        assert watch._handle == signal.getsignal(signal.SIGINT)


def test_off_the_main_thread() -> None:
    """A workflow in another thread installs no handler."""
    seen: list[Any] = []

    def run() -> None:
        with block():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [before] == seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_critical_step_is_finished_first(number: int) -> None:
    """The first signal waits for the end of a critical step, which is recorded; then the run stops."""
    store = MemoryStore()
    ended = []

    @checkpointed(critical=True)
    def push() -> str:
        os.kill(os.getpid(), number)
        ended.append(True)
        return "pushed"

    with pytest.raises((KeyboardInterrupt, SystemExit)), block(store):
        push()
        raise AssertionError("the run did not stop")
    assert [True] == ended
    with block(store):
        assert "pushed" == push()
    assert [True] == ended


def test_second_signal_cuts_a_critical_step() -> None:
    """The second signal does not wait."""
    store = MemoryStore()

    @checkpointed(critical=True)
    def push() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not cut")

    with pytest.raises(KeyboardInterrupt), block(store):
        push()
    assert b'"interrupted"' in store.read("w", store.runs("w")[0].id)


def test_critical_step_that_fails_after_a_signal() -> None:
    """The signal that waited is delivered also if the critical step raises."""

    @checkpointed(critical=True)
    def push() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError

    with pytest.raises((KeyboardInterrupt, ValueError)) as caught, block():
        try:
            push()
        except ValueError:
            work(1)
            raise AssertionError("the signal was lost") from None
    assert isinstance(caught.value, KeyboardInterrupt)


def test_critical_step_whose_end_cannot_be_recorded() -> None:
    """Whatever goes wrong at the end of a critical step, later signals do not wait for it."""
    with Crashes().inside("push"), block():
        checkpointed(critical=True, name="push")(work.__wrapped__)(1)

    with pytest.raises(KeyboardInterrupt), block():
        struck(signal.SIGINT)


def frames() -> Any:
    return sys._getframe()


def test_own_code_is_told_from_the_user_s() -> None:
    """Frames of the package are ours, unless they run beneath the functions that call the user's code."""
    assert not signals.is_own_code(None)
    assert not signals.is_own_code(frames())
    seen: list[bool] = []

    @checkpointed(key=lambda: seen.append(signals.is_own_code(sys._getframe())) or 1)
    def step() -> None:
        seen.append(signals.is_own_code(sys._getframe()))

    with block():
        step()
    # The key function is called in the middle of our own work, the step is not.
    assert [True, False] == seen


SCRIPT = """\
import os, sys, time
from checkpoint import checkpointed, workflow

@checkpointed
def work(name):
    if name == "strike" and sys.argv[1:]:
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(200):
            time.sleep(0.05)
    return name

try:
    with workflow("script"):
        work("first")
        work("strike")
finally:
    print("finally")
"""


@pytest.mark.process
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_exit_status(scripts: Scripts, number: int, status: int) -> None:
    """The program ends of SIGINT itself, or with 143; `finally` runs, there is no traceback, and a rerun continues."""
    path = scripts.write(SCRIPT)
    struck = scripts.run(path, str(int(number)))
    assert (status, "finally\n") == (struck.returncode, struck.stdout)
    assert "Traceback" not in struck.stderr
    assert "stopped" in struck.stderr and "1 step is saved" in struck.stderr
    again = scripts.run(path)
    assert 0 == again.returncode
    assert "1 step kept" in again.stderr


@pytest.mark.process
def test_busy_exit_status(scripts: Scripts) -> None:
    """A second process on the same run ends with 75 and one line that names the first."""
    path = scripts.write(
        "from checkpoint import workflow\n"
        "with workflow('busy'):\n    print('open', flush=True)\n    import time\n"
        "    for _ in range(600): time.sleep(0.05)\n"
    )
    first = scripts.start(path)
    scripts.wait_for(first, "open")
    second = scripts.run(path)
    assert 75 == second.returncode
    assert str(first.pid) in second.stderr
    assert "Traceback" not in second.stderr
