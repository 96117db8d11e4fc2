"""Tests of `examples/align_branches.py` as a program, in one piece; `test_survives.py` interrupts it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_repository import plan_branches

pytestmark = [pytest.mark.git, pytest.mark.process]

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "align_branches.py"
EXPECTED = {"plain": "aligned", "conflict": "conflict", "break": "invalid", "aligned": "already aligned"}


@pytest.fixture
def align(scripts: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the program on a repository to its end."""

    def run(work: Any, *options: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = scripts.run(PROGRAM, "--repo", work.path, *options)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def summary_of(work: Any) -> Any:
    return json.loads(Path(work.directory, "checkpoint-align-summary.json").read_text())


def outcomes_of(work: Any) -> dict[str, str]:
    return {branch: one["outcome"] for branch, one in summary_of(work)["branches"].items()}


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def make_side(work: Any, name: str = "side", file: str = "shared.txt") -> None:
    """Make a branch with one commit that collides with the target in `shared.txt`, or in no file."""
    work.branch(name, "main")
    work.commit("Side", {file: "one\nSIDE\nthree\n"})
    work.switch("main")
    work.commit("Move on", {"shared.txt": "one\nMAIN\nthree\n"}, 60)


@pytest.mark.parametrize("bare", [False, True])
def test_every_branch_comes_out_as_planned(copy_of: Any, align: Any, bare: bool) -> None:
    """Outcome, target, and the very files that conflict or no longer compile."""
    work = copy_of(40, bare=bare)
    assert 1 == align(work, "--on-conflict", "skip").returncode
    found = summary_of(work)["branches"]
    for planned in plan_branches(40, 0):
        one = found[planned.name]
        assert (EXPECTED[planned.kind], planned.target) == (one["outcome"], one["target"])
        assert list(planned.files) == [detail.partition(":")[0] for detail in one["details"]]
    assert 40 == len(found)


def test_aligned_branches_stand_on_their_targets_and_others_where_they_stood(copy_of: Any, align: Any) -> None:
    """The references say the same as the summary, and every commit of a branch is still there."""
    work = copy_of(40)
    before = work.references("refs/heads")
    align(work, "--on-conflict", "skip")
    after = work.references("refs/heads")
    planned = {f"refs/heads/{one.name}": one for one in plan_branches(40, 0)}
    for name, one in planned.items():
        if one.kind == "plain":
            assert one.commits == int(work.git("rev-list", "--count", f"{one.target}..{after[name]}"))
            assert "0" == work.git("rev-list", "--count", f"{after[name]}..{one.target}")
        else:
            assert before[name] == after[name]
    assert before.keys() - planned.keys() == {name for name in before if before[name] == after[name]} - planned.keys()


def test_bare_and_other_repositories_come_out_the_same(copy_of: Any, align: Any) -> None:
    """The commits are made from commits only, not from where they are made."""
    works = [copy_of(40), copy_of(40, bare=True, name="bare")]
    for work in works:
        align(work, "--on-conflict", "skip")
    assert works[0].references("refs/heads") == works[1].references("refs/heads")


def test_working_tree_and_index_are_not_touched(copy_of: Any, align: Any) -> None:
    """Not even if the user is in the middle of something."""
    work = copy_of(40)
    (work.path / "README.md").write_text("being edited\n")
    (work.path / "new.txt").write_text("staged\n")
    work.git("add", "new.txt")
    # Asking for the status refreshes the index: it comes first.
    status = work.git("status", "--porcelain")
    index = (work.path / ".git" / "index").read_bytes()
    align(work, "--on-conflict", "skip", "--check", "test -e README.md")
    assert index == (work.path / ".git" / "index").read_bytes()
    assert (status, "being edited\n") == (work.git("status", "--porcelain"), (work.path / "README.md").read_text())


def test_every_branch_that_was_moved_has_a_backup(copy_of: Any, align: Any) -> None:
    """The old tip is found under the run's name."""
    work = copy_of(40)
    align(work, "--on-conflict", "skip")
    backups = {name.split("/", 3)[3]: tip for name, tip in work.references("refs/backup").items()}
    for branch, one in summary_of(work)["branches"].items():
        if one["outcome"] == "aligned":
            assert one["old"] == backups[branch]


def test_the_table_is_shown_at_the_end(work: Any, align: Any) -> None:
    """Branch, target, outcome, and where it went."""
    make_side(work, file="side.txt")
    old = work.tip("side")
    lines = align(work).stdout.splitlines()
    assert [
        "branch  target  outcome  old -> new",
        f"side    main    aligned  {old[:10]} -> {work.tip('side')[:10]}",
    ] == lines[:2]
    assert "1 branches: 1 aligned" == lines[3]


def test_a_second_run_finds_everything_aligned(work: Any, align: Any) -> None:
    """A finished run is not in the way of the next."""
    make_side(work, file="side.txt")
    assert 0 == align(work).returncode
    tip = work.tip("side")
    assert 0 == align(work).returncode
    assert ({"side": "already aligned"}, tip) == (outcomes_of(work), work.tip("side"))


def test_merging_is_possible(work: Any, align: Any) -> None:
    """The branch keeps its commits and gets one more."""
    make_side(work, file="side.txt")
    old = work.tip("side")
    assert 0 == align(work, "--strategy", "merge").returncode
    assert [old, work.tip("main")] == work.git("log", "-1", "--format=%P", "side").split()


def test_a_conflict_pauses_and_says_how_to_go_on(work: Any, align: Any) -> None:
    """Status 1, and one sentence with the branch and the files; nothing was moved."""
    make_side(work)
    old = work.tip("side")
    done = align(work)
    assert (1, old) == (done.returncode, work.tip("side"))
    assert f"paused at the branch 'side': commit {old[:10]} 'Side' conflicts in shared.txt." in last_line(done)


def test_a_resolved_conflict_is_taken_up_again(work: Any, align: Any) -> None:
    """The user commits on the branch, runs the same command, and the run goes to its end."""
    make_side(work)
    work.branch("other", "main~1")
    work.commit("Other", {"other.txt": "x\n"})
    work.commit("Another", {"another.txt": "x\n"})
    work.switch("main")
    align(work)
    work.switch("side")
    work.git("reset", "--quiet", "--hard", "main~1")
    resolved = work.commit("Side, differently", {"side.txt": "x\n"})
    work.switch("main")
    done = align(work)
    assert (0, {"side": "aligned", "other": "aligned"}) == (done.returncode, outcomes_of(work))
    assert resolved == summary_of(work)["branches"]["side"]["old"]
    assert "one\nMAIN\nthree" == work.git("show", "side:shared.txt")


def test_an_unresolved_conflict_pauses_again(work: Any, align: Any) -> None:
    """Running it again without having done anything changes nothing."""
    make_side(work)
    first, second = align(work), align(work)
    assert (1, last_line(first)) == (second.returncode, last_line(second))


def test_a_conflict_can_be_skipped_after_a_pause(work: Any, align: Any) -> None:
    """The user changes his mind."""
    make_side(work)
    align(work)
    assert 0 == align(work, "--on-conflict", "skip").returncode
    assert {"side": "conflict"} == outcomes_of(work)


def test_a_branch_deleted_during_a_pause_is_skipped(work: Any, align: Any) -> None:
    """That is a way to resolve a conflict, too."""
    make_side(work)
    align(work)
    work.git("branch", "--quiet", "-D", "side")
    assert 0 == align(work).returncode
    assert {"side": "skipped: deleted meanwhile"} == outcomes_of(work)


def test_a_branch_moved_by_somebody_else_is_reported(work: Any, align: Any, tmp_path: Path) -> None:
    """It is moved while its check runs; the other's commit stays."""
    make_side(work, file="side.txt")
    theirs = work.tip("main")
    done = align(work, "--check", f"git -C {work.path} update-ref refs/heads/side {theirs}")
    assert (1, theirs) == (done.returncode, work.tip("side"))
    assert {"side": "moved by somebody else"} == outcomes_of(work)


def test_a_checked_out_branch_is_not_moved(work: Any, align: Any) -> None:
    """Its files would no longer be those of its commit."""
    make_side(work, file="side.txt")
    work.switch("side")
    old = work.tip("side")
    assert 0 == align(work).returncode
    assert ({"side": "skipped: checked out"}, old) == (outcomes_of(work), work.tip("side"))


def test_a_branch_checked_out_meanwhile_is_not_moved(work: Any, align: Any) -> None:
    """It is looked at again just before it is moved."""
    make_side(work, file="side.txt")
    old = work.tip("side")
    assert 0 == align(work, "--check", f"git -C {work.path} checkout --quiet side").returncode
    assert ({"side": "skipped: checked out"}, old) == (outcomes_of(work), work.tip("side"))


def test_a_check_that_fails_makes_a_branch_invalid(work: Any, align: Any) -> None:
    """The user sees what it said, and the branch is not moved."""
    make_side(work, file="side.txt")
    old = work.tip("side")
    done = align(work, "--check", "sh -c 'echo no good; exit 3'")
    assert (1, old) == (done.returncode, work.tip("side"))
    details = summary_of(work)["branches"]["side"]["details"]
    assert ["the check \"sh -c 'echo no good; exit 3'\" ended with status 3"] == details
    assert "no good" in done.stderr


def test_a_check_that_cannot_be_started_can_be_corrected(work: Any, align: Any) -> None:
    """The run goes on with another one."""
    make_side(work, file="side.txt")
    done = align(work, "--check", "no-such-program-here")
    assert 2 == done.returncode
    assert "the check 'no-such-program-here' cannot be started" in last_line(done)
    assert 0 == align(work, "--check", "true").returncode


@pytest.mark.parametrize("name", ["-rf", "--all", "a;touch${IFS}x", "$(touch${IFS}x)", "äöü/日本", "it's", "a|b&c"])
def test_odd_names_are_aligned_like_others(work: Any, align: Any, name: str) -> None:
    """Nothing of a name is run, and nothing of it is taken for an option."""
    make_side(work, file="side.txt")
    work.git("update-ref", f"refs/heads/{name}", "side")
    work.git("branch", "--quiet", "-D", "side")
    assert 0 == align(work, "--check", "test -e side.txt").returncode
    assert {name: "aligned"} == outcomes_of(work)
    assert "0" == work.git("rev-list", "--count", f"refs/heads/{name}..main")
    assert not (work.path / "x").exists()


def test_a_name_that_is_no_text_is_aligned_like_others(work: Any, align: Any) -> None:
    """Git knows bytes, and so does the program."""
    make_side(work, file="side.txt")
    path = Path(os.fsdecode(os.fsencode(work.directory) + b"/refs/heads/caf\xe9"))
    path.write_text(work.tip("side") + "\n")
    work.git("branch", "--quiet", "-D", "side")
    done = align(work)
    assert (0, {"caf\udce9": "aligned"}) == (done.returncode, outcomes_of(work))
    assert "caf\\udce9" in done.stdout


def test_targets_that_are_not_named_are_found(copy_of: Any, align: Any) -> None:
    """Without a terminal all usual ones that exist are taken."""
    work = copy_of(40)
    align(work, "--on-conflict", "skip", "--select", "idea/*")
    assert ["main", "release", "scientific"] == sorted(summary_of(work)["targets"])


def test_choices_hold_until_the_run_is_finished(work: Any, align: Any) -> None:
    """Another selection in a rerun is not mixed into the run; the user is told."""
    make_side(work)
    align(work)
    done = align(work, "--select", "feature/*", "--on-conflict", "skip")
    assert {"side": "conflict"} == outcomes_of(work)
    assert "this run was begun with --select '*' and keeps it: finish it, then give 'feature/*' again" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--targets", "main,nope"], "the target 'nope' is not a branch: give --targets from main"),
        (["--select", "nope"], "no branch fits 'nope' beside the targets main: change --select"),
        (["--summary", "/nowhere/x"], "the summary '/nowhere/x' cannot be written"),
    ],
)
def test_a_wrong_option_is_said_in_a_sentence_and_can_be_corrected(
    work: Any, align: Any, options: list[str], sentence: str
) -> None:
    """Status 2, no traceback; the corrected command does the work."""
    make_side(work, file="side.txt")
    done = align(work, *options)
    assert 2 == done.returncode
    assert sentence in last_line(done)
    assert 0 == align(work).returncode
    assert {"side": "aligned"} == outcomes_of(work)


def test_a_repository_without_a_usual_target_is_said(work: Any, align: Any) -> None:
    """The user has to name one."""
    work.git("branch", "--quiet", "-m", "main", "stable")
    done = align(work)
    assert 2 == done.returncode
    assert "no branch with the usual name of a target (main, ...): name them with --targets" in last_line(done)


def test_what_is_not_a_repository_is_said(align: Any, tmp_path: Path) -> None:
    """Nothing else happens."""

    class Nowhere:
        path = tmp_path

    done = align(Nowhere)
    assert 2 == done.returncode
    assert "cannot be used as a git repository" in last_line(done)


def test_a_question_is_asked_on_a_terminal_and_not_asked_again(copy_of: Any, scripts: Any, tmp_path: Path) -> None:
    """The answer is used, and kept over a pause."""
    import pty
    import sys

    work = copy_of(40)
    command = [sys.executable, str(PROGRAM), "--repo", str(work.path)]
    shown: list[str] = []
    for _ in range(2):
        manager, terminal = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
        child = subprocess.Popen(
            command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        os.close(terminal)
        os.write(manager, b"nonsense\nrelease, main\n")
        shown.append(child.communicate(timeout=60)[0].decode())
        os.close(manager)
    assert [2, 0] == [text.count("Which branches are targets? [main, scientific, release]") for text in shown]
    assert ["main", "release"] == sorted(summary_of(work)["targets"])
