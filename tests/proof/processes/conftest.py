"""
What the tests with real processes share: warm interpreters, directories for trials, and what programs left there.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
REPOSITORY = HERE.parent.parent.parent

# Longer than any program takes, much shorter than the time limit of a test.
TIMEOUT_S = 40.0

# Trials at the same time; they wait for the disk half of their time.
WORKERS = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory: all of them start processes, and most take a while."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.process)
            item.add_marker(pytest.mark.slow)
            if not hasattr(os, "fork"):
                item.add_marker(pytest.mark.skip(reason="the warm interpreters need os.fork"))


@dataclass(frozen=True)
class Done:
    """How a program ended: exit status, negative for a signal, and what it said."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


class Hang(AssertionError):
    """A program does not end; the message is what it said, with the stacks of its threads."""


class Trial:
    """A directory of its own: where a program runs, keeps its runs and leaves its traces."""

    def __init__(self, directory: Path, home: Path | None = None) -> None:
        self.directory = directory
        self.home = home or directory / "home"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment of a user's own program."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHECKPOINT_", "PYTEST_"))}
        own = {"CHECKPOINT_HOME": str(self.home), "CHECKPOINT_KEY_FILE": str(self.directory / "key")}
        return {**kept, **own, "CHECKPOINT_OUTPUT": "lines", **more}

    def traces(self) -> list[list[str]]:
        """Return what the programs did, in order: what, with which name, in which process."""
        path = self.directory / "traces.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def begun(self) -> Counter[str]:
        """Return how often each step's body began."""
        return Counter(name for what, name, _ in self.traces() if what == "begin")

    def repeated(self) -> list[str]:
        """Return the steps that ran although their result had been handed back before."""
        acknowledged: set[str] = set()
        found = []
        for what, name, _ in self.traces():
            if what == "acknowledged":
                acknowledged.add(name)
            elif what == "begin" and name in acknowledged:
                found.append(name)
        return found


class Warm:
    """
    A warm interpreter, which runs one program at a time; see `programs/server.py`.

    Args:
        prefix: A command to start it with, such as one that gives it mounts of its own.
    """

    def __init__(self, *prefix: str) -> None:
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        environ.pop("PYTEST_CURRENT_TEST", None)
        self.pid = 0
        self.is_closed = False
        self._served = False
        self._trial: Trial
        self._server = subprocess.Popen(
            [*prefix, sys.executable, str(PROGRAMS / "server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            start_new_session=True,
        )

    def start(self, trial: Trial, program: str, *arguments: str, gate: bool = False, **environ: str) -> int:
        """Return the process id of a program that is about to begin; with `gate` it waits for `go`."""
        self._trial = trial
        for name in ("out.txt", "err.txt"):
            (trial.directory / name).write_bytes(b"")  # the program may be killed before it makes them
        request = {
            "directory": str(trial.directory),
            "program": str(PROGRAMS / program),
            "arguments": arguments,
            "environ": trial.environ(**environ),
            "gate": gate,
        }
        self._ask(request)
        answers = {self._answer(), self._answer()} - {"ready"}  # either may come first
        self.pid = int(answers.pop())
        return self.pid

    def go(self) -> None:
        """Let a program begin that waits at the gate."""
        self._send(b"go\n")

    def kill(self, number: int) -> None:
        """Send a signal to the program, which may have ended."""
        os.kill(self.pid, number)

    def kill_after(self, seconds: float, number: int) -> None:
        """Strike at another point of the program for other `seconds`: not a way to wait for something."""
        time.sleep(seconds)
        self.kill(number)

    def wait(self, is_known_hang: Callable[[str], bool] = lambda error: False) -> Done:
        """Wait for the program's end; a hang that is known by what it says is ended by SIGKILL."""
        try:
            status = int(self._answer())
        except Hang as error:
            if not is_known_hang(str(error)):
                raise
            self.kill(signal.SIGKILL)
            status = int(self._answer())
        self._served = True
        directory = self._trial.directory
        return Done(status, (directory / "out.txt").read_text(), (directory / "err.txt").read_text())

    def run(self, trial: Trial, program: str, *arguments: str, **environ: str) -> Done:
        """Run a program to its end."""
        self.start(trial, program, *arguments, **environ)
        return self.wait()

    def command(self, *command: str) -> None:
        """Run another command where this interpreter runs."""
        self._ask({"command": command})
        assert "0" == self._answer(), command

    def close(self) -> None:
        """End the interpreter and what it runs."""
        self.is_closed = True
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _ask(self, request: dict[str, Any]) -> None:
        if self._served:
            self._send(b"next\n")
            self._served = False
        self._send(json.dumps(request).encode() + b"\n")

    def _send(self, data: bytes) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(data)
        self._server.stdin.flush()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._server.stdout], [], [], TIMEOUT_S)[0]:
                raise Hang((self._trial.directory / "err.txt").read_text())
            byte = os.read(self._server.stdout.fileno(), 1)
            assert byte, "the warm interpreter ended"
            line += byte
        return line.decode().strip()


class Farm:
    """Warm interpreters, handed out to trials that run at the same time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._idle: queue.SimpleQueue[Warm] = queue.SimpleQueue()
        self._all: list[Warm] = []

    def take(self, count: int) -> list[Warm]:
        """Return interpreters for one trial, which `give` brings back."""
        while len(self._all) < max(count, WORKERS):
            self._all.append(Warm())
            self._idle.put(self._all[-1])
        return [self._idle.get() for _ in range(count)]

    def give(self, taken: Iterable[Warm]) -> None:
        """Bring interpreters back; one that had to be ended is replaced."""
        for warm in taken:
            if warm.is_closed:
                self._all.remove(warm)
                warm = Warm()
                self._all.append(warm)
            self._idle.put(warm)

    def trial(self, name: str) -> Trial:
        """Return a directory for one trial."""
        return Trial(self.directory / name)

    def seconds(self, program: str) -> float:
        """Return how long a program takes that nothing disturbs."""
        (warm,) = taken = self.take(1)
        found = []
        for number in range(4):
            warm.start(self.trial(f"undisturbed-{program}-{number}"), program)
            began_s = time.perf_counter()
            assert 0 == warm.wait().status
            found.append(time.perf_counter() - began_s)
        self.give(taken)
        return min(found)

    def each(self, trial: Callable[..., Any], cases: Iterable[Any]) -> list[Any]:
        """Return what `trial(warm, case)` returns for each case; several run at a time."""

        def one(case: Any) -> Any:
            (warm,) = taken = self.take(1)
            try:
                return trial(warm, case)
            except Hang:
                warm.close()
                raise
            finally:
                self.give(taken)

        self.give(self.take(1))
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(one, cases))

    def close(self) -> None:
        """End all."""
        for warm in self._all:
            warm.close()


@pytest.fixture(scope="session")
def interpreters() -> Iterator[Farm]:
    """Keep warm interpreters for all tests."""
    made = Farm(Path())
    yield made
    made.close()


@pytest.fixture
def farm(interpreters: Farm, tmp_path: Path) -> Farm:
    """Return the warm interpreters, with this test's directory for its trials."""
    interpreters.directory = tmp_path
    return interpreters


@pytest.fixture
def make_warm() -> Iterator[Callable[..., Warm]]:
    """Return what starts a warm interpreter by a command of its own; it ends with the test."""
    made: list[Warm] = []

    def make(*prefix: str) -> Warm:
        made.append(Warm(*prefix))
        return made[-1]

    yield make
    for warm in made:
        warm.close()
