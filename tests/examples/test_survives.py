"""
The aligner survives: stopped by Ctrl-C, SIGTERM and `kill -9` wherever, it ends as if nothing had happened.

What is compared with an uninterrupted run: all references, the summary, the saved state.  What is counted:
that no step which was completed was begun again, and that no branch was moved twice.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.git, pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("default_signals")]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "examples" / "align_branches.py"
BRANCHES = 40
# So many places at which each signal stops the program.
PLACES = 12
# No step of the aligner takes as long.
STUCK_S = 30.0
# A terminal sends Ctrl-C to every process of the group; `kill` and a scheduler send SIGTERM to the program; a machine
# that goes away takes all.
WHOLE_GROUP = {signal.SIGINT: True, signal.SIGTERM: False, signal.SIGKILL: True}
# How a process ends that was stopped by the signal: after Ctrl-C a shell loop must stop too, which 130 would not do.
ENDINGS = {signal.SIGINT: {-2}, signal.SIGTERM: {-15, 143}, signal.SIGKILL: {-9}}


class Trial:
    """One copy of the repository, with a home for its runs, and the program working on it."""

    def __init__(self, directory: Path, model: Path, *options: str) -> None:
        self._options = ["--on-conflict", "skip", *options]
        directory.mkdir(exist_ok=True)
        self.repository = directory / "repository"
        self.home = directory / "home"
        shutil.copytree(model, self.repository, symlinks=True)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHECKPOINT_")},
            "CHECKPOINT_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_STATE_HOME": str(directory / "state"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": str(ROOT),
        }
        self._errors = directory / "stderr"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the program in a session of its own; nobody reads its output while it runs."""
        command = [sys.executable, str(PROGRAM), "--repo", str(self.repository), *self._options]
        with self._errors.open("ab") as errors:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=self._environment,
                start_new_session=True,
            )

    def finish(self) -> None:
        """Run the program to its end; two branches are planned to break, so that its status is 1."""
        assert 1 == self.start().wait(timeout=STUCK_S), self.errors()

    def stop(self, number: signal.Signals, after: int) -> None:
        """Run the program, and stop it with a signal as soon as `after` steps are recorded as completed."""
        child = self.start()
        deadline = time.monotonic() + STUCK_S
        watch = Watch(self)
        while watch.completed() < after and child.poll() is None and time.monotonic() < deadline:
            # Looking all the time would take the processor from the program that is watched.
            time.sleep(0.002)
        (os.killpg if WHOLE_GROUP[number] else os.kill)(child.pid, number)
        assert child.wait(timeout=STUCK_S) in ENDINGS[number], self.errors()

    def errors(self) -> str:
        """Return what all sessions wrote to stderr."""
        return self._errors.read_text(errors="replace")

    @property
    def journal(self) -> Path | None:
        """Return the journal of the only run, or None as long as there is none."""
        found = list(self.home.glob("runs/*/*/journal.jsonl"))
        assert len(found) <= 1, found
        return found[0] if found else None

    def completed(self) -> int:
        """Return how many steps are recorded as completed."""
        return Watch(self).completed()

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the journal, in order."""
        assert self.journal is not None
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def state(self) -> Any:
        """Return the state as it was when the run was finished."""
        assert self.journal is not None
        published = json.loads((self.journal.parent / "state.json").read_text())
        assert "finished" == published["status"]
        return published["state"]

    def summary(self) -> str:
        """Return the summary the program wrote."""
        return (self.repository / ".git" / "checkpoint-align-summary.json").read_text()

    def references(self) -> dict[str, str]:
        """Return every reference and what it names; the run's id is taken out of the backups' names."""
        command = ["git", "-C", str(self.repository), "for-each-ref", "--format=%(objectname) %(refname)"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found: dict[str, str] = {}
        for line in listing.splitlines():
            tip, _, name = line.partition(" ")
            parts = name.split("/", 3)
            found["/".join([*parts[:2], "RUN", *parts[3:]]) if parts[1] == "backup" else name] = tip
        return found

    def moves(self) -> dict[str, int]:
        """Return how often the program moved each branch, as git logged it."""
        logs = self.repository / ".git" / "logs" / "refs" / "heads"
        return {
            str(path.relative_to(logs)): path.read_text().count("align_branches: aligned")
            for path in logs.rglob("*")
            if path.is_file()
        }

    def begun_again(self) -> list[str]:
        """Return the keys of the calls that were begun again after they had been completed."""
        done: set[str] = set()
        again: list[str] = []
        for record in self.records():
            if record["kind"] == "completed":
                again += [record["key"]] * (record["key"] in done)
                done.add(record["key"])
            elif record["kind"] == "started" and record["key"] in done:
                again.append(record["key"])
        return again

    def assert_same_as(self, expected: Trial) -> None:
        """Compare everything that is left of the run with what an uninterrupted one left."""
        assert [] == self.begun_again()
        assert expected.references() == self.references()
        assert expected.moves() == self.moves()
        assert expected.summary() == self.summary()
        assert expected.state() == self.state()
        assert expected.completed() == self.completed()
        assert "Traceback" not in self.errors()


class Watch:
    """Counts the steps recorded as completed while the journal grows; reads every byte once."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._journal: Path | None = None
        self._read = 0
        self._rest = b""
        self._completed = 0

    def completed(self) -> int:
        """Return how many steps are recorded as completed by now."""
        self._journal = self._journal or self._trial.journal
        if self._journal is None:
            return 0
        with self._journal.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        lines, _, self._rest = (self._rest + new).rpartition(b"\n")
        self._completed += lines.count(b'"kind":"completed"')
        return self._completed


@pytest.fixture(scope="module")
def uninterrupted(models: Callable[[int, bool], Path], tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Return what the program leaves if nothing happens to it."""
    trial = Trial(tmp_path_factory.mktemp("uninterrupted"), models(BRANCHES, False))
    trial.finish()
    return trial


def side_by_side(trial: Callable[[Any], None], subjects: list[Any]) -> None:
    """Run the trials at the same time, which halves the wait; the first that failed fails the test."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(trial, subject) for subject in subjects]:
            done.result()


def choose_places(steps: int, name: str) -> list[int]:
    """Return after how many steps to stop: evenly spread, at places that differ from signal to signal."""
    chance = random.Random(name)
    width = (steps - 10) // PLACES
    return [1 + number * width + chance.randrange(width) for number in range(PLACES)]


def test_an_uninterrupted_run_does_what_was_planned(uninterrupted: Trial) -> None:
    """What the others are compared with is right: every kind of outcome is there, and nothing is left."""
    summary = json.loads(uninterrupted.summary())
    assert {"aligned": 30, "already aligned": 4, "conflict": 4, "invalid": 2} == summary["counts"]
    assert ([], "") == (uninterrupted.state()["pending"], uninterrupted.state()["current_branch"])
    assert 30 == sum(uninterrupted.moves().values())


@pytest.mark.parametrize("place", range(PLACES))
def test_stopped_once_it_ends_as_if_nothing_had_happened(
    uninterrupted: Trial, models: Callable[[int, bool], Path], tmp_path: Path, place: int
) -> None:
    """After Ctrl-C, SIGTERM or a kill, the same command does the rest and nothing else."""

    def stop_once(number: signal.Signals) -> None:
        trial = Trial(tmp_path / number.name, models(BRANCHES, False))
        after = choose_places(uninterrupted.completed(), number.name)[place]
        trial.stop(number, after)
        assert after <= trial.completed() < uninterrupted.completed()
        trial.finish()
        trial.assert_same_as(uninterrupted)

    side_by_side(stop_once, list(WHOLE_GROUP))


def test_stopped_again_and_again_it_still_gets_there(
    uninterrupted: Trial, models: Callable[[int, bool], Path], tmp_path: Path
) -> None:
    """A dozen sessions, each ended by some signal after a few more steps, leave what one session leaves."""

    def stop_often(seed: int) -> None:
        trial = Trial(tmp_path / str(seed), models(BRANCHES, False))
        chance = random.Random(seed)
        for after in choose_places(uninterrupted.completed(), f"seed {seed}"):
            number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
            trial.stop(number, max(after, trial.completed() + 1))
        trial.finish()
        trial.assert_same_as(uninterrupted)

    side_by_side(stop_often, [0, 1])


def test_stopped_while_checks_run_it_still_gets_there(
    models: Callable[[int, bool], Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A check is another program that the signal may meet; it is run again as a whole."""
    check = ("--check", "sh -c 'sleep 0.05; test -e README.md'", "--select", "f*")
    expected = Trial(tmp_path_factory.mktemp("expected"), models(BRANCHES, False), *check)
    expected.finish()
    trial = Trial(tmp_path, models(BRANCHES, False), *check)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        trial.stop(number, trial.completed() + 20)
    trial.finish()
    trial.assert_same_as(expected)
