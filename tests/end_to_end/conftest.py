"""
What the end-to-end tests share: programs of `tests/programs`, what they left behind, and shells around them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent.parent
TIMEOUT_S = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory: all of them start processes."""
    for item in items:
        if item.path.is_relative_to(TESTS / "end_to_end"):
            item.add_marker(pytest.mark.process)


class Programs:
    """Programs of `tests/programs`, copied into the test's directory and run there as a user would."""

    def __init__(self, scripts: Any, home: Path) -> None:
        self.scripts = scripts
        self.directory: Path = scripts.directory
        self.home = home

    def copy(self, name: str, to: str | None = None) -> Path:
        """Copy a program into the test's directory, under another name if `to` says so."""
        return Path(shutil.copy(TESTS / "programs" / name, self.directory / (to or name)))

    def items(self, *, status: int = 0, **environ: str) -> tuple[dict[str, Any], str]:
        """Run `items.py`; return what it printed as JSON, if anything, and its stderr."""
        if not (self.directory / "items.py").exists():
            self.copy("items.py")
        done = self.scripts.run("items.py", env=environ)
        assert status == done.returncode, done.stderr
        return json.loads(done.stdout or "{}"), done.stderr

    def effects(self) -> Counter[str]:
        """Return how often the programs did what."""
        path = self.directory / "effects.txt"
        return Counter(path.read_text().splitlines() if path.exists() else [])

    def run_directory(self) -> Path:
        """Return the directory of the only run."""
        (journal,) = self.home.glob("runs/*/*/journal.jsonl")
        return journal.parent

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the only run."""
        text = (self.run_directory() / "journal.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def snapshot(self) -> dict[str, tuple[int, str]]:
        """Return mode and digest of everything the library keeps."""
        return {
            str(path.relative_to(self.home)): (
                stat.S_IMODE(path.lstat().st_mode),
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in sorted(self.home.rglob("*"))
        }


@pytest.fixture
def programs(scripts: Any, checkpoint_home: Path) -> Programs:
    """Run programs of `tests/programs` in the test's directory."""
    return Programs(scripts, checkpoint_home)


@pytest.fixture
def start_shell(tmp_path: Path, default_signals: None) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a session of its own, like a terminal does, with `$PYTHON` to call; it dies with the test."""
    children: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        child = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={
                **environ,
                "PYTHON": sys.executable,
                "PYTHONPATH": str(TESTS.parent),
                "CHECKPOINT_OUTPUT": "lines",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def say_go(tmp_path: Path) -> Callable[[], None]:
    """Return a function that lets `waiting.py` go on."""
    return (tmp_path / "go").touch


@pytest.fixture
def wait_for_stderr() -> Callable[[subprocess.Popen[str], str], str]:
    """Return a function that reads a child's stderr until a line contains a text, and returns all of it."""

    def wait(child: subprocess.Popen[str], text: str) -> str:
        assert child.stderr is not None
        seen = ""
        for line in child.stderr:
            seen += line
            if text in line:
                return seen
        raise AssertionError(f"the child ended without {text!r} on stderr: {seen}")

    return wait
