"""
Speak to one git repository through plumbing commands.

Never touches the working tree, the index or the configuration of the repository, never goes through a
shell, and names every branch in full (`refs/heads/...`), so that no branch name can be taken for an option.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# `git merge-tree --write-tree`, which merges without a working tree, came with this version.
OLDEST_GIT = (2, 38)
# What an enclosing git command (a hook, an alias) may have set, and what would point us at its repository.
FOREIGN_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_QUARANTINE_PATH",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
BRANCHES = "refs/heads/"
# A file that is larger is not source code: it is passed over instead of being held in memory.
LARGEST_READ_BYTES = 4 * 1024 * 1024


class UserError(Exception):
    """The program cannot do what was asked; the message says what to do about it."""


class GitError(Exception):
    """A git command failed that should not have: the message holds the command and what git said."""


@dataclass(frozen=True, slots=True)
class Branch:
    """
    A local branch.

    Attributes:
        name: Without `refs/heads/`.
        tip: Id of its newest commit.
        time: When that was committed, in seconds since 1970.
        checked_out: Whether a working tree stands on it.
    """

    name: str
    tip: str
    time: int
    checked_out: bool


@dataclass(frozen=True, slots=True)
class Change:
    """
    One file that differs between two commits and is a regular file in the newer one.

    Attributes:
        path: Its path in the repository.
        old: Id of its contents in the older commit, all zeros if it was not there.
        new: Id of its contents in the newer commit.
    """

    path: str
    old: str
    new: str


class ReadObject(Protocol):
    """Return the contents of the object with this id, or None if it is missing or too large."""

    def __call__(self, identity: str, /) -> bytes | None: ...


def to_text(data: bytes) -> str:
    """Return what git wrote as text; bytes that are not UTF-8 survive the way there and back."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """Return text as git wants it: the reverse of `to_text`, whatever the locale."""
    return text.encode("utf-8", "surrogateescape")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would point a child at another repository."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def find_git() -> str:
    """Return the path of the git program; raises UserError if there is none, or if it is too old."""
    git = shutil.which("git")
    if git is None:
        raise UserError("git was not found: install it, or put it on the PATH")
    said = subprocess.run([git, "version"], capture_output=True, text=True, check=False, start_new_session=True).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        raise UserError(f"{said.strip()!r} is too old to merge without a working tree: install git {oldest} or newer")
    return git


def find_repository(path: str) -> str:
    """
    Return the absolute git directory of the repository at or around `path`.

    It is the same for every working tree of a repository, so that it can serve as the repository's name.

    Raises:
        UserError: There is no repository, or git refuses to use it.
    """
    git = find_git()
    if not os.path.isdir(path):
        raise UserError(f"{path!r} is not a directory: give the path of a git repository with --repo")
    asked = [git, "-C", path, "rev-parse", "--path-format=absolute", "--git-common-dir"]
    done = subprocess.run(asked, capture_output=True, check=False, start_new_session=True, env=clean_environment())
    if done.returncode:
        reason = to_text(done.stderr).strip().splitlines()[0]
        raise UserError(f"{path!r} cannot be used as a git repository ({reason}): give another one with --repo")
    return os.path.realpath(to_text(done.stdout).removesuffix("\n"))


class Repository:
    """
    A repository, named by its git directory.

    Every git process runs in a session of its own: a terminal sends Ctrl-C to all processes of a session,
    and a git that is cut short in the middle of an answer would look like a failure.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._environment = clean_environment()

    def run(self, *arguments: str, feed: bytes = b"", accept: tuple[int, ...] = (0,)) -> tuple[int, bytes]:
        """
        Run one git command to its end and return its exit status and output.

        `--bare` keeps git from looking for attributes in whatever directory the program was started in.

        Raises:
            GitError: The exit status is not one of `accept`.
        """
        return self._finish(["--bare", *arguments], feed, accept)

    def _finish(
        self, arguments: list[str], feed: bytes, accept: tuple[int, ...], extra: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        command = ["git", f"--git-dir={self.directory}", *arguments]
        done = subprocess.run(
            [to_bytes(part) for part in command],
            input=feed,
            capture_output=True,
            check=False,
            start_new_session=True,
            cwd=self.directory,
            env=self._environment | (extra or {}),
        )
        if done.returncode not in accept:
            said = to_text(done.stderr).strip() or "it said nothing"
            raise GitError(f"{' '.join(command)!r} failed with status {done.returncode}: {said}")
        return done.returncode, done.stdout

    def branches(self, name: str = "") -> list[Branch]:
        """
        Return the local branches in the order of their names, or the one called `name`, if it exists.

        A symbolic branch is another name of a branch that is listed anyway, and is left out.
        """
        fields = "%(refname)%00%(objectname)%00%(committerdate:unix)%00%(symref)%00%(worktreepath)%00"
        asked = ["for-each-ref", f"--format={fields}", BRANCHES + name]
        _, listing = self._finish(asked, b"", (0,))
        found: list[Branch] = []
        for entry in listing.split(b"\0\n")[:-1]:
            reference, tip, time, symbolic, worktree = (to_text(field) for field in entry.split(b"\0"))
            branch = reference.removeprefix(BRANCHES)
            if symbolic or (name and branch != name):
                continue
            # A bare repository's HEAD names a branch too, but there are no files that could go stale.
            checked_out = bool(worktree) and os.path.realpath(worktree) != self.directory
            found.append(Branch(branch, tip, int(time or 0), checked_out))
        return found

    def find_branch(self, name: str) -> Branch | None:
        """Return the branch called `name`, or None if there is none (any more)."""
        return next(iter(self.branches(name)), None)

    def move_branch(self, name: str, old: str, new: str) -> str:
        """
        Move the branch from `old` to `new` in one indivisible act, and return where it stands now.

        Doing it again changes nothing.  If the answer is not `new`, somebody else has moved (or deleted,
        then the answer is empty) the branch, and it was left alone.
        """
        try:
            self.run("update-ref", "--no-deref", "-m", "align_branches: aligned", BRANCHES + name, new, old)
        except GitError:
            branch = self.find_branch(name)
            if branch is not None and branch.tip == old:
                raise
            return branch.tip if branch is not None else ""
        return new

    def set_reference(self, reference: str, target: str) -> None:
        """Let `reference` (in full) name `target`; what it named before stays in its reflog."""
        self.run("update-ref", "--no-deref", "--create-reflog", "-m", "align_branches: backup", reference, target)

    @contextmanager
    def objects(self) -> Iterator[ReadObject]:
        """Open one git process that answers any number of questions for the contents of objects."""
        command = ["git", "--bare", f"--git-dir={self.directory}", "cat-file", "--batch"]
        process = subprocess.Popen(
            [to_bytes(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=self.directory,
            env=self._environment,
        )
        assert process.stdin is not None and process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def read(identity: str, /) -> bytes | None:
            questions.write(to_bytes(identity) + b"\n")
            questions.flush()
            header = answers.readline().split()
            if len(header) != 3:
                return None
            size = int(header[2])
            if size <= LARGEST_READ_BYTES:
                return answers.read(size + 1)[:-1]
            while size >= 0 and (skipped := answers.read(min(size + 1, 1 << 20))):
                size -= len(skipped)
            return None

        with process:
            yield read
            questions.close()

    def write_commits(self, texts: list[bytes], scratch: str) -> list[str]:
        """Store commit objects with these contents in one go and return their ids; `scratch` is a directory."""
        paths = [os.path.join(scratch, str(number)) for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            Path(path).write_bytes(text)
        _, ids = self.run("hash-object", "-w", "-t", "commit", "--no-filters", "--", *paths)
        return to_text(ids).split()

    def merge(self, ours: str, theirs: str) -> tuple[str, list[str] | None]:
        """
        Merge two commits and return the id of the merged tree, and the files in conflict, or None.

        The merge happens among git's objects only; a tree with conflicts holds markers and is of no use.
        """
        options = ("--write-tree", "-z", "--name-only", "--no-messages", "--allow-unrelated-histories")
        status, output = self.run("merge-tree", *options, ours, theirs, accept=(0, 1))
        tree, *files = to_text(output).rstrip("\0").split("\0")
        return tree, sorted(set(files)) if status else None

    def changes(self, older: str, newer: str) -> list[Change]:
        """Return the regular files of commit `newer` that are new or different since `older`."""
        _, output = self.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", older, newer)
        parts = to_text(output).split("\0")[:-1]
        found: list[Change] = []
        for about, path in zip(parts[::2], parts[1::2], strict=True):
            _, mode, old, new, _ = about.split(" ")
            if mode.startswith("100"):
                found.append(Change(path, old, new))
        return found

    def count_changes(self, older: str, newer: str) -> tuple[int, int, int]:
        """Return how many files differ, and how many lines were added and removed (binary files have no lines)."""
        _, output = self.run("diff-tree", "-r", "--numstat", "--no-renames", older, newer)
        rows = [line.split("\t") for line in to_text(output).split("\n")[:-1]]
        added, removed = (sum(int(row[column]) for row in rows if row[column] != "-") for column in (0, 1))
        return len(rows), added, removed

    def check_out(self, commit: str, directory: str) -> None:
        """Write the files of `commit` into the empty `directory`, as a checkout would, with an index beside it."""
        elsewhere = {"GIT_INDEX_FILE": f"{directory}.index"}
        # The user's hooks and file watcher belong to the user's working tree.
        apart = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", f"--work-tree={directory}"]
        self._finish([*apart, "read-tree", commit], b"", (0,), elsewhere)
        self._finish([*apart, "checkout-index", "--all", "--quiet", f"--prefix={directory}/"], b"", (0,), elsewhere)
