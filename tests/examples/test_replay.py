"""Tests of `examples/_replay.py`, against what git itself does where git has a command for it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from _replay import parse_commit, replay
from git_plumbing import Repository

pytestmark = pytest.mark.git


def rebase(work: Any, tip: str, onto: str = "main") -> Any:
    return replay(Repository(work.directory), work.tip(tip), work.tip(onto), "rebase")


def make_side(work: Any, commits: int = 3) -> None:
    """Make a branch `side` of several commits, while `main` moves on."""
    work.branch("side", "main")
    for number in range(commits):
        work.commit(f"Side {number}", {f"side-{number}.txt": "x\n", "own.py": f"NUMBER = {number + 2}\n"}, 60 * number)
    work.switch("main")
    work.commit("Move on", {"shared.txt": "one\ntwo\nthree\nfour\n"}, 1000)


def test_rebasing_gives_what_git_rebase_gives(work: Any) -> None:
    """Even the commit ids agree, if git is told to keep the committers' dates."""
    make_side(work)
    done = rebase(work, "side")
    work.switch("side")
    work.git("rebase", "--quiet", "--committer-date-is-author-date", "main")
    assert (work.tip("side"), 3) == (done.tip, done.moved)


def test_rebasing_again_gives_the_same_commits(work: Any) -> None:
    """Nothing of the clock goes into a commit."""
    make_side(work)
    assert rebase(work, "side") == rebase(work, "side")


def test_a_message_in_another_encoding_is_kept_byte_for_byte(work: Any) -> None:
    """Headers and message are taken over as bytes."""
    make_side(work, 1)
    tree, parent = work.tip("side^{tree}"), work.tip("side~1")
    text = (
        f"tree {tree}\nparent {parent}\nauthor A <a@b> 5 +0730\ncommitter C <c@d> 6 -0300\n".encode()
        + b"encoding ISO-8859-1\n\ncaf\xe9\n\n\nno newline at the end"
    )
    command = ["git", "-C", str(work.path), "hash-object", "-w", "-t", "commit", "--stdin"]
    side = subprocess.run(command, input=text, capture_output=True, check=True).stdout.decode().strip()
    work.git("update-ref", "refs/heads/side", side)
    command = ["git", "-C", str(work.path), "cat-file", "commit", rebase(work, "side").tip]
    rebased = subprocess.run(command, capture_output=True, check=True).stdout
    assert text.split(b"\n", 2)[2] == rebased.split(b"\n", 2)[2]


def test_signatures_are_left_out() -> None:
    """A signature over other contents would be a lie; the header after it is kept."""
    text = b"tree t\nparent p\nauthor a\ncommitter c\ngpgsig -----\n line\n -----\nencoding E\n\nmessage\n"
    commit = parse_commit("id", text)
    assert (b"author a\ncommitter c\nencoding E\n", b"\nmessage\n") == (commit.headers, commit.message)
    assert ("t", ("p",)) == (commit.tree, commit.parents)


def test_a_change_that_the_target_has_already_is_dropped(work: Any) -> None:
    """A commit that was picked to the target does not come a second time, empty."""
    make_side(work, 2)
    work.git("cherry-pick", "side~1")
    done = rebase(work, "side")
    assert (1, 1) == (done.moved, done.dropped)
    assert "Side 1" == work.git("log", "--format=%s", f"main..{done.tip}")


def test_a_commit_that_was_empty_from_the_start_is_kept(work: Any) -> None:
    """Somebody meant it to be there."""
    make_side(work, 1)
    work.switch("side")
    work.commit("Empty on purpose")
    done = rebase(work, "side")
    assert "Empty on purpose" == work.git("log", "-1", "--format=%s", done.tip)


def test_merges_are_flattened_as_git_rebase_does(work: Any) -> None:
    """A branch into which the target was merged becomes a straight line of its own commits."""
    make_side(work, 2)
    work.switch("side")
    work.git("merge", "--quiet", "--no-edit", "main")
    work.commit("After the merge", {"late.txt": "x\n"})
    work.switch("main")
    work.commit("Move on again", {"again.txt": "x\n"})
    done = rebase(work, "side")
    assert ["After the merge", "Side 1", "Side 0"] == work.git("log", "--format=%s", f"main..{done.tip}").splitlines()
    assert "" == work.git("diff", f"{done.tip}:late.txt", "side:late.txt")


def test_a_root_commit_that_was_merged_in_is_replayed(work: Any) -> None:
    """History without a common beginning is merged against nothing."""
    make_side(work, 1)
    work.git("checkout", "--quiet", "--orphan", "island", "main")
    work.git("rm", "--quiet", "-rf", ".")
    work.commit("Island", {"island.txt": "x\n"})
    work.switch("side")
    work.git("merge", "--quiet", "--no-edit", "--allow-unrelated-histories", "island")
    done = rebase(work, "side")
    assert (2, "x") == (done.moved, work.git("show", f"{done.tip}:island.txt"))
    assert "four" in work.git("show", f"{done.tip}:shared.txt")


def test_a_conflict_is_told_with_its_commit_and_files(work: Any) -> None:
    """The commit is the one that cannot be applied, not the tip; the branch stays where it is."""
    work.branch("side", "main")
    work.commit("Harmless", {"a.txt": "x\n"})
    culprit = work.commit("Culprit", {"shared.txt": "one\nSIDE\nthree\n"})
    work.commit("Later", {"b.txt": "x\n"})
    work.switch("main")
    work.commit("Move on", {"shared.txt": "one\nMAIN\nthree\n"})
    done = rebase(work, "side")
    assert (work.tip("side"), f"{culprit[:10]} 'Culprit'", ["shared.txt"]) == (done.tip, done.conflict, done.files)


def test_a_file_deleted_on_one_side_and_changed_on_the_other_is_a_conflict(work: Any) -> None:
    """Not only lines collide."""
    work.branch("side", "main")
    work.commit("Delete", {"shared.txt": None})
    work.switch("main")
    work.commit("Move on", {"shared.txt": "one\nMAIN\nthree\n"})
    assert ["shared.txt"] == rebase(work, "side").files


def test_a_branch_that_has_all_of_its_target_is_left_as_it_is(work: Any) -> None:
    """Nothing is rewritten without need."""
    make_side(work, 2)
    work.git("branch", "ahead", "main")
    work.switch("ahead")
    tip = work.commit("Ahead", {"ahead.txt": "x\n"})
    assert (tip, 0) == ((done := rebase(work, "ahead")).tip, done.moved)


def test_a_branch_without_commits_of_its_own_is_left_as_it_is(work: Any) -> None:
    """It is not carried along with its target."""
    make_side(work, 1)
    assert work.tip("main~1") == rebase(work, "main~1").tip


def test_a_branch_whose_every_commit_is_on_the_target_ends_there(work: Any) -> None:
    """All commits are dropped."""
    make_side(work, 1)
    work.git("cherry-pick", "side")
    assert (work.tip("main"), 1) == ((done := rebase(work, "side")).tip, done.dropped)


def test_nothing_is_moved_and_nothing_is_touched(work: Any) -> None:
    """References, index and working tree are what they were."""
    make_side(work)
    before = work.references(), (work.path / ".git" / "index").read_bytes()
    rebase(work, "side")
    assert before == (work.references(), (work.path / ".git" / "index").read_bytes())
    assert "" == work.git("status", "--porcelain")


def test_merging_has_both_tips_as_parents(work: Any) -> None:
    """The branch comes first; the tree is what `git merge` makes of it."""
    make_side(work)
    done = replay(Repository(work.directory), work.tip("side"), work.tip("main"), "merge")
    assert [work.tip("side"), work.tip("main")] == work.git("log", "-1", "--format=%P", done.tip).split()
    work.switch("side")
    work.git("merge", "--quiet", "--no-edit", "main")
    assert work.tip("side^{tree}") == work.tip(f"{done.tip}^{{tree}}")


def test_merging_takes_the_committer_of_the_branch_and_the_newer_date(work: Any) -> None:
    """So that merging again gives the same commit."""
    make_side(work)
    done = replay(Repository(work.directory), work.tip("side"), work.tip("main"), "merge")
    assert "Ken <ken@example.org> 1700001000" == work.git("log", "-1", "--format=%cn <%ce> %ct", done.tip)


def test_merging_tells_conflicts(work: Any) -> None:
    """The files are told and the branch stays where it is."""
    work.branch("side", "main")
    work.commit("Side", {"shared.txt": "one\nSIDE\nthree\n"})
    work.switch("main")
    work.commit("Main", {"shared.txt": "one\nMAIN\nthree\n"})
    done = replay(Repository(work.directory), work.tip("side"), work.tip("main"), "merge")
    assert (work.tip("side"), ["shared.txt"]) == (done.tip, done.files)
