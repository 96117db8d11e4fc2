"""
What the tests of the examples share: repositories that are made once and copied, git to look at them with.

The examples are scripts that import each other; they are made importable here as they are for each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

# The user's own git configuration has no business in a test, and a test none in it.
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


@pytest.fixture(autouse=True)
def only_with_git() -> None:
    """Skip tests of programs that work on git repositories where there is no git."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every git of the test, also of its children, see the same user and no configuration."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True)
class Work:
    """A repository with a working tree, used as a person would."""

    path: Path

    def git(self, *arguments: str, feed: str | None = None) -> str:
        """Run git in the repository and return what it printed."""
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, input=feed, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.removesuffix("\n")

    def commit(self, message: str, files: dict[str, str | bytes | None] | None = None, when: int = 0) -> str:
        """Write (or with None: delete) files, commit everything, and return the commit's id."""
        for name, content in (files or {}).items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        date = f"{1_700_000_000 + when} +0000"
        environment = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        command = ["git", "-C", str(self.path), "commit", "--quiet", "--allow-empty", "-m", message]
        subprocess.run(command, check=True, env=environment)
        return self.tip()

    def tip(self, name: str = "HEAD") -> str:
        """Return the id of a commit."""
        return self.git("rev-parse", "--verify", "--end-of-options", name)

    def branch(self, name: str, start: str) -> None:
        """Begin a branch and check it out; what `git branch` refuses as a name is not possible here."""
        self.git("checkout", "--quiet", "-b", name, start)

    def switch(self, name: str) -> None:
        """Check a branch out."""
        self.git("checkout", "--quiet", name)

    def references(self, *below: str) -> dict[str, str]:
        """Return all references, or those below a prefix, with what they name."""
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname)", *below).splitlines()
        return {name: identity for identity, _, name in (line.partition(" ") for line in lines)}

    @property
    def directory(self) -> str:
        """Return the git directory."""
        return os.path.realpath(self.git("rev-parse", "--path-format=absolute", "--git-common-dir"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Return a repository with one commit on `main`."""
    path = tmp_path / "work"
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", "--template=", str(path)], check=True)
    made = Work(path)
    made.commit("Begin", {"shared.txt": "one\ntwo\nthree\n", "own.py": "NUMBER = 1\n"})
    return made


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, bool], Path]:
    """Return a function that makes a repository of that many branches, bare or not, once for all tests."""
    made: dict[tuple[int, bool], Path] = {}

    def model(branches: int, bare: bool) -> Path:
        if (branches, bare) not in made:
            from make_repository import make_repository

            path = tmp_path_factory.mktemp("model") / "repository"
            make_repository(str(path), branches, bare=bare)
            made[branches, bare] = path
        return made[branches, bare]

    return model


@pytest.fixture
def copy_of(models: Callable[[int, bool], Path], tmp_path: Path) -> Callable[..., Work]:
    """Return a function that copies such a repository into the test's directory."""

    def copy(branches: int, *, bare: bool = False, name: str = "repository") -> Work:
        path = tmp_path / name
        shutil.copytree(models(branches, bare), path, symlinks=True)
        return Work(path)

    return copy
