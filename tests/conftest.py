"""
What every test gets: runs and keys in a directory of its own, and children that die with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Longer than any child of a test needs, much shorter than the time limit of a test.
CHILD_TIMEOUT_S = 60.0


@pytest.fixture(autouse=True)
def guard(monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Keep the platform's own directories away too, for tests of where runs are kept by default.

    That no test reaches the developer's runs is what the library's own plugin sees to, here as everywhere; it gives
    each test a directory of its own, in which nothing exists until the library makes it.
    """
    base = Path(os.environ["CHECKPOINT_HOME"]).parent
    assert base.parent.name.startswith("checkpoint-tests-") and os.environ["CHECKPOINT_OUTPUT"] == "off"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(base / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    return base


@pytest.fixture
def checkpoint_home(guard: Path) -> Path:
    """Return the directory where the library keeps this test's runs."""
    return guard / "home"


class Scripts:
    """
    Runs Python scripts as a user would: output on, Ctrl-C enabled, this checkout importable.

    Each child has a session of its own, so that a test may signal its whole group without reaching pytest.
    A script that waits for a signal must do so in short sleeps: Python notices one that arrives in the instant before
    a long sleep begins only at the end of it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._children: list[subprocess.Popen[str]] = []

    def write(self, source: str, name: str = "script.py") -> Path:
        """Write `source` to a file of the test's directory and return its path."""
        path = self.directory / name
        path.write_text(source, encoding="utf-8")
        return path

    def start(self, *command: str | Path, env: Mapping[str, str | None] | None = None) -> subprocess.Popen[str]:
        """Start `python *command` with its output in pipes; a variable of `env` that is None is removed."""
        environ = {**os.environ, "CHECKPOINT_OUTPUT": "lines", "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        # Below pytest the library is silent by default; the child stands for a user's own program.
        environ.pop("PYTEST_CURRENT_TEST", None)
        for name, value in (env or {}).items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value
        child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=self.directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
        )
        self._children.append(child)
        return child

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str | None] | None = None,
        timeout_s: float = CHILD_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run `python *command` to its end."""
        child = self.start(*command, env=env)
        stdout, stderr = child.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(child.args, child.returncode, stdout, stderr)

    def wait_for(self, child: subprocess.Popen[str], text: str) -> str:
        """Read lines of the child's stdout until one contains `text`, and return that line."""
        assert child.stdout is not None
        for line in child.stdout:
            if text in line:
                return line
        _, stderr = child.communicate(timeout=CHILD_TIMEOUT_S)
        raise AssertionError(f"the script ended without printing {text!r}; stderr: {stderr}")

    def end(self) -> None:
        """Kill what still runs, and reap and close everything."""
        for child in self._children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def default_signals() -> Iterator[None]:
    """
    Let children begin with Ctrl-C enabled, even if pytest was started in the background with it ignored.

    A signal that has a Python handler when a program is started is at its default in that program.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ignored = [number for number, handler in before.items() if handler is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def scripts(tmp_path: Path, default_signals: None) -> Iterator[Scripts]:
    """Run scripts in child processes, which are gone when the test is over."""
    runner = Scripts(tmp_path)
    yield runner
    runner.end()


class Faults:
    """
    Keeps account of the faults that the tests injected, for the table at the end of the output.

    A fault is counted when the library has come through it: with the promises checked, not before.
    """

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.outcomes: dict[str, Counter[str]] = {}

    def count(self, family: str, number: int = 1, **outcomes: int) -> None:
        """Count faults of a family, such as "one bit flipped", and how they came out, such as `refused=5264`."""
        self.injected[family] += number
        self.outcomes.setdefault(family, Counter()).update(outcomes)

    def table(self) -> list[str]:
        """Return a line for each family, and one for all."""
        rows = []
        for family, number in sorted(self.injected.items()):
            said = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.outcomes[family].items())
            rows.append(f"{number:>9,}  {family}" + (f" ({said})" if said else ""))
        return [*rows, f"{self.injected.total():>9,}  in all; no acknowledged step lost or repeated, no wrong value"]


_FAULTS = pytest.StashKey[Faults]()


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("checkpoint"):
        raise pytest.UsageError("the library's own plugin is missing: pip install -e '.[test]'")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background, where a shell lets its children ignore Ctrl-C; the tests are about it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_FAULTS] = Faults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_FAULTS].injected:
        terminalreporter.section("faults that the library came through")
        for row in config.stash[_FAULTS].table():
            terminalreporter.line(row)


@pytest.fixture(scope="session")
def faults(pytestconfig: pytest.Config) -> Faults:
    """Return the account of injected faults; its table is printed at the end."""
    return pytestconfig.stash[_FAULTS]


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Return a function that runs a snippet in a fresh interpreter beside this checkout and returns its stdout."""

    def run(source: str, *options: str) -> str:
        command = [sys.executable, *options, "-c", source]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=CHILD_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
