"""
What every test gets: runs and keys in a directory of its own, silence on stderr, and children that die with it.

The guard is autouse: a test that forgets about it could write into the developer's real runs.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Longer than any child of a test needs, much shorter than the time limit of a test.
CHILD_TIMEOUT_S = 60.0

_homes = itertools.count()


def _guarded(base: Path) -> dict[str, str]:
    return {
        "CHECKPOINT_HOME": str(base / "home"),
        "CHECKPOINT_KEY_FILE": str(base / "config" / "key"),
        "XDG_CONFIG_HOME": str(base / "config"),
        "XDG_STATE_HOME": str(base / "state"),
        "CHECKPOINT_OUTPUT": "off",
    }


@pytest.fixture(scope="session")
def guarded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory beneath which every test keeps its runs; only this user can enter it."""
    root = tmp_path_factory.mktemp("guarded")
    root.chmod(0o700)
    return root


@pytest.fixture(scope="session", autouse=True)
def guard_session(guarded_root: Path) -> Iterator[None]:
    """Keep fixtures that outlive a test away from real runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CHECKPOINT_")]:
            patch.delenv(name)
        for name, path in _guarded(guarded_root / "session").items():
            patch.setenv(name, path)
        yield


@pytest.fixture(autouse=True)
def guard(guarded_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home and a key of its own; nothing of it exists until the library makes it."""
    base = guarded_root / str(next(_homes))
    base.mkdir(mode=0o700)
    for name, path in _guarded(base).items():
        monkeypatch.setenv(name, path)
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
