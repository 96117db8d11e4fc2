"""
Prove that the aligner survives: crash it at every point, resume it, and compare.

What somebody who uses `align_branches.py` would keep beside it.  Run it from the repository:

    python -m pytest examples/test_align_branches.py
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from align_branches import main
from git_plumbing import UserError, find_git
from make_repository import make_repository

from checkpoint.testing import Crashes, Sandbox, ScriptProcess, SweepReport

PROGRAM = Path(__file__).with_name("align_branches.py")

# Of this repository's five branches these are four: one conflicts, one is aligned already, two have to be moved.
BRANCHES, SEED, SELECT = 5, 3, "feature/*"
FIRST_MOVED, SECOND_MOVED = "feature/login-0003", "feature/api-0001"

# Who runs the tests, when, and how their git is configured has no business in the result.
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_NAME": "Ken",
    "GIT_COMMITTER_EMAIL": "ken@example.org",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}

pytestmark = pytest.mark.git


def options(repository: Path) -> list[str]:
    """Return the command line; nobody is there to settle a conflict."""
    return ["--repo", str(repository), "--select", SELECT, "--on-conflict", "skip"]


def align(repository: Path) -> int:
    """Run the aligner in this process, as its command would, and return its exit status."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return main(options(repository))


def outcome(repository: Path) -> tuple[list[str], str]:
    """Return what must be the same whatever happened on the way: all references, with the backups, and the summary."""
    command = ["git", "-C", str(repository), "for-each-ref", "--format=%(objectname) %(refname)"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # A backup's name has the id of its run, which is another one for every run.
    references = re.sub("refs/backup/[^/]+/", "refs/backup/RUN/", listing).splitlines()
    summary = repository / ".git" / "checkpoint-align-summary.json"
    return references, summary.read_text() if summary.exists() else ""


def moves(repository: Path) -> list[str]:
    """Return each branch as often as the aligner has moved it, as git logged it."""
    logs = repository / ".git" / "logs" / "refs" / "heads"
    return [
        log.relative_to(logs).as_posix()
        for log in logs.rglob("*")
        if log.is_file()
        for line in log.read_text().splitlines()
        if line.endswith("align_branches: aligned")
    ]


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every git of the test see the same user and no configuration; skip the test where there is none."""
    try:
        find_git()
    except UserError as error:
        pytest.skip(str(error))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository that is made once, and copied for every crash."""
    path = tmp_path_factory.mktemp("model") / "repository"
    make_repository(str(path), BRANCHES, seed=SEED)
    return path


@pytest.fixture
def copy_into(model: Path) -> Callable[[Path], Path]:
    """Return a function that makes the world: a copy of the repository in a directory."""

    def copy(directory: Path) -> Path:
        return Path(shutil.copytree(model, directory / "repository", symlinks=True))

    return copy


@pytest.fixture
def repository(copy_into: Callable[[Path], Path], tmp_path: Path) -> Path:
    """Return a copy of the repository for this test."""
    return copy_into(tmp_path)


@pytest.fixture
def expected(copy_into: Callable[[Path], Path], tmp_path: Path) -> tuple[list[str], str]:
    """Return what an uninterrupted run leaves in another copy."""
    other = tmp_path / "uninterrupted"
    with Sandbox(other / "runs"):
        untouched = copy_into(other)
        assert align(untouched) == 0
    return outcome(untouched)


@pytest.mark.slow
def test_it_survives_a_crash_everywhere(
    checkpoint_sweep: Callable[..., SweepReport], copy_into: Callable[[Path], Path]
) -> None:
    """Killed at any point and started again, it leaves what one run leaves, and moves no branch twice."""
    report = checkpoint_sweep(align, world=copy_into, same=outcome, effects=moves)

    assert report.missed == 0


def test_it_survives_a_crash_in_the_step_that_moves(
    checkpoint_crash: Crashes, repository: Path, expected: tuple[list[str], str]
) -> None:
    """Killed when a branch was moved and nobody knew of it yet, it finds the branch moved, and goes on."""
    with checkpoint_crash.saving("move", 1):
        align(repository)
    assert moves(repository) == [FIRST_MOVED]

    assert align(repository) == 0
    assert outcome(repository) == expected
    assert sorted(moves(repository)) == sorted([FIRST_MOVED, SECOND_MOVED])


def test_the_state_says_where_it_was_killed(
    checkpoint_crash: Crashes, checkpoint_store: Sandbox, repository: Path
) -> None:
    """What the orchestrator was about to do was on the disk before it did it."""
    with checkpoint_crash.inside("move", 1):
        align(repository)
    killed = checkpoint_store.run("align")

    assert killed.status == "crashed"
    assert (killed.state["current_branch"], killed.state["current_step"]) == (FIRST_MOVED, "move")
    assert FIRST_MOVED in killed.state["pending"]
    assert FIRST_MOVED not in killed.state["processed"]


def test_ctrl_c_does_not_cut_the_step_that_moves(
    checkpoint_crash: Crashes, checkpoint_store: Sandbox, repository: Path, expected: tuple[list[str], str]
) -> None:
    """Ctrl-C in the critical step waits until the branch is moved and recorded; the rerun does the rest."""
    with checkpoint_crash.inside("move", 1, how="SIGINT") as crash:
        align(repository)
    stopped = checkpoint_store.run("align")

    assert isinstance(crash.error, KeyboardInterrupt)
    assert (stopped.steps[-1].name, stopped.steps[-1].status) == ("align_branches:move", "completed")
    assert align(repository) == 0
    assert outcome(repository) == expected
    assert {step.attempts for step in checkpoint_store.run("align").steps} == {1}


@pytest.mark.process
def test_it_survives_a_real_kill(
    checkpoint_process: Callable[..., ScriptProcess], repository: Path, tmp_path: Path, expected: tuple[list[str], str]
) -> None:
    """Killed with SIGKILL while a check of the user's runs, the same command keeps every step that was saved."""
    go = tmp_path / "go"
    # The check waits to be let through, so that the kill always meets it; it ends when the aligner is gone.
    check = f"sh -c 'until test -e {go} || ! kill -0 $PPID; do sleep 0.01; done'"
    first = checkpoint_process(PROGRAM, *options(repository), "--check", check).until(saved=6)
    killed = first.send("SIGKILL")
    go.touch()
    again = first.rerun().wait()

    assert (killed.status, again.status) == (-9, 0)
    assert (killed.saved, again.kept) == (6, 6)
    assert outcome(repository) == expected
