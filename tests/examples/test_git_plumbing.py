"""Tests of `examples/git_plumbing.py` on real repositories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from git_plumbing import (
    LARGEST_READ_BYTES,
    Branch,
    GitError,
    Repository,
    UserError,
    find_repository,
)

pytestmark = pytest.mark.git

# Every one of them is a legal name of a branch, and each has broken some script.
ODD_NAMES = [
    "-rf",
    "--force",
    "a;rm",
    "$(touch${IFS}x)",
    "äöü/日本",
    "a\u00a0b",
    "it's",
    'say"so"',
    "#1",
    "@x",
    "a|b&c",
]


def put_git(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    program = directory / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


def test_a_repository_is_found_from_a_directory_inside(work: Any) -> None:
    """The git directory is the same, wherever inside the repository one stands."""
    (work.path / "deep" / "er").mkdir(parents=True)
    assert work.directory == find_repository(str(work.path / "deep" / "er"))


def test_a_linked_working_tree_belongs_to_the_same_repository(work: Any, tmp_path: Path) -> None:
    """Two working trees of one repository are one repository."""
    work.git("worktree", "add", "--quiet", str(tmp_path / "second"), "-b", "other")
    assert work.directory == find_repository(str(tmp_path / "second"))


def test_a_bare_repository_is_found(work: Any, tmp_path: Path) -> None:
    """A bare repository is its own git directory."""
    work.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    assert os.path.realpath(tmp_path / "bare.git") == find_repository(str(tmp_path / "bare.git"))


def test_what_is_not_a_repository_is_refused(tmp_path: Path) -> None:
    """One sentence names the path and the reason."""
    with pytest.raises(UserError, match=r"cannot be used as a git repository \(fatal: not a git repository"):
        find_repository(str(tmp_path))


def test_what_is_not_a_directory_is_refused(tmp_path: Path) -> None:
    """A path that does not exist is told apart from one that is no repository."""
    with pytest.raises(UserError, match="is not a directory"):
        find_repository(str(tmp_path / "nowhere"))


def test_missing_git_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git there is a sentence, not a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git was not found"):
        find_repository(str(tmp_path))


def test_old_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that cannot merge without a working tree is refused before anything is done."""
    put_git(tmp_path / "bin", "echo git version 2.37.9", monkeypatch)
    with pytest.raises(UserError, match=r"'git version 2\.37\.9' is too old .* install git 2\.38 or newer"):
        find_repository(str(tmp_path))


def test_newer_major_git_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are compared as numbers: 3.0 is newer than 2.38."""
    put_git(tmp_path / "bin", f"test $1 = version && echo git version 3.0.0 || echo {tmp_path}", monkeypatch)
    assert os.path.realpath(tmp_path) == find_repository(str(tmp_path))


def test_variables_of_an_enclosing_git_do_not_mislead(
    work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from a hook of another repository, the program works on the one that was named."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    found = find_repository(str(work.path))
    assert ["main"] == [branch.name for branch in Repository(found).branches()]


def test_branches_are_listed_with_tip_and_time(work: Any) -> None:
    """The checked-out branch is marked."""
    tip = work.commit("More", when=60)
    assert [Branch("main", tip, 1_700_000_060, True)] == Repository(work.directory).branches()


def test_branches_of_a_bare_repository_are_not_checked_out(work: Any, tmp_path: Path) -> None:
    """A bare repository's HEAD is not a checkout, so that its branches may all be moved."""
    work.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    (branch,) = Repository(find_repository(str(tmp_path / "bare.git"))).branches()
    assert not branch.checked_out


def test_a_branch_checked_out_in_a_linked_working_tree_is_marked(work: Any, tmp_path: Path) -> None:
    """All working trees count."""
    work.git("worktree", "add", "--quiet", str(tmp_path / "second"), "-b", "other")
    branch = Repository(work.directory).find_branch("other")
    assert branch is not None and branch.checked_out


def test_symbolic_branches_are_left_out(work: Any) -> None:
    """Another name of a branch is not another branch: moving it would move the branch twice."""
    work.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    assert ["main"] == [branch.name for branch in Repository(work.directory).branches()]


def test_a_directory_of_branches_is_not_a_branch(work: Any) -> None:
    """`feature` is not found only because `feature/one` exists."""
    work.git("branch", "feature/one")
    assert Repository(work.directory).find_branch("feature") is None


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_only_names(work: Any, name: str) -> None:
    """No name is taken for an option or a command."""
    new = work.commit("More")
    old = work.tip("HEAD~1")
    work.git("update-ref", f"refs/heads/{name}", old)
    repository = Repository(work.directory)
    assert (name, old) == ((found := repository.find_branch(name)) and (found.name, found.tip))
    assert new == repository.move_branch(name, old, new)
    assert new == work.tip(f"refs/heads/{name}")


def test_names_that_are_not_utf8_survive(work: Any) -> None:
    """Git knows bytes; those that are no text go there and back."""
    head = work.tip().encode()
    Path(os.fsdecode(os.fsencode(work.directory) + b"/refs/heads/caf\xe9")).write_bytes(head + b"\n")
    repository = Repository(work.directory)
    assert "caf\udce9" == repository.branches()[0].name
    assert repository.find_branch("caf\udce9") is not None


def test_moving_again_changes_nothing(work: Any) -> None:
    """A move that is repeated after a crash succeeds."""
    old, new = work.tip(), work.commit("More")
    repository = Repository(work.directory)
    assert new == repository.move_branch("main", old, new)


def test_a_branch_moved_by_somebody_else_is_left_alone(work: Any) -> None:
    """The other's commit is returned and nothing is overwritten."""
    old, new, theirs = work.tip(), work.commit("Ours"), work.commit("Theirs")
    assert theirs == Repository(work.directory).move_branch("main", old, new)
    assert theirs == work.tip("main")


def test_a_deleted_branch_is_not_made_again(work: Any) -> None:
    """Somebody deleted it: it stays deleted."""
    old, new = work.tip(), work.commit("More")
    assert "" == Repository(work.directory).move_branch("gone", old, new)
    assert ["refs/heads/main"] == list(work.references())


def test_a_move_that_git_refuses_is_an_error(work: Any) -> None:
    """A commit that does not exist is not somebody else's move."""
    with pytest.raises(GitError, match="update-ref"):
        Repository(work.directory).move_branch("main", work.tip(), "1" * 40)


def test_a_backup_that_is_replaced_stays_in_the_reflog(work: Any) -> None:
    """A second backup under the same name does not lose the first."""
    first, second = work.tip(), work.commit("More")
    repository = Repository(work.directory)
    repository.set_reference("refs/backup/x/main", first)
    repository.set_reference("refs/backup/x/main", second)
    assert [second, first] == work.git("log", "-g", "--format=%H", "refs/backup/x/main").split()


def test_objects_are_read_one_after_the_other(work: Any) -> None:
    """A missing and an over-large object do not disturb those that follow."""
    work.commit("Large", {"large": "x" * (LARGEST_READ_BYTES + 1), "empty": "", "small": "y"})
    with Repository(work.directory).objects() as read:
        answers = [read(work.tip(f"HEAD:{name}")) for name in ("small", "large", "empty")]
        answers += [read("1" * 40), read(work.tip("HEAD:small"))]
    assert [b"y", None, b"", None, b"y"] == answers


def test_changes_tell_regular_files_only(work: Any) -> None:
    """Deleted files and symbolic links have no contents to look at."""
    before = work.tip()
    os.symlink("own.py", work.path / "link")
    after = work.commit("Change", {"shared.txt": None, "own.py": "NUMBER = 2\n", "new\nline.txt": "x"})
    found = Repository(work.directory).changes(before, after)
    assert ["new\nline.txt", "own.py"] == sorted(change.path for change in found)


def test_changes_are_counted(work: Any) -> None:
    """Binary files count as files without lines."""
    before = work.tip()
    after = work.commit("Change", {"shared.txt": "one\nTWO\nthree\nfour\n", "binary": b"\0\1\2"})
    assert (2, 2, 1) == Repository(work.directory).count_changes(before, after)


def test_a_merge_names_exactly_the_files_in_conflict(work: Any) -> None:
    """A file that merges cleanly beside it is not named."""
    work.branch("side", "main")
    side = work.commit("Side", {"shared.txt": "one\nSIDE\nthree\n", "own.py": "NUMBER = 1\nSIDE = 2\n"})
    work.switch("main")
    main = work.commit("Main", {"shared.txt": "one\nMAIN\nthree\n"})
    _, files = Repository(work.directory).merge(main, side)
    assert ["shared.txt"] == files


@pytest.mark.parametrize("bare", [False, True])
def test_a_check_out_touches_nothing_of_the_users(work: Any, tmp_path: Path, bare: bool) -> None:
    """The files of the commit are there, and the user's working tree and index are as they were."""
    old = work.tip()
    work.commit("More", {"own.py": "NUMBER = 2\n"})
    (work.path / "shared.txt").write_text("being edited\n")
    (work.path / "untracked").write_text("x")
    index = (work.path / ".git" / "index").read_bytes()
    where = work.directory
    if bare:
        work.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
        where = str(tmp_path / "bare.git")
    (tmp_path / "out").mkdir()
    Repository(where).check_out(old, str(tmp_path / "out"))
    assert {"own.py": "NUMBER = 1\n", "shared.txt": "one\ntwo\nthree\n"} == {
        path.name: path.read_text() for path in (tmp_path / "out").iterdir()
    }
    assert index == (work.path / ".git" / "index").read_bytes()
    assert "being edited\n" == (work.path / "shared.txt").read_text()


def test_a_check_out_runs_no_hooks(work: Any, tmp_path: Path) -> None:
    """The user's hooks are not meant for copies."""
    hooks = work.path / ".git" / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "out").mkdir()
    Repository(work.directory).check_out(work.tip(), str(tmp_path / "out"))
    assert not (tmp_path / "ran").exists()
