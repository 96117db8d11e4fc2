"""Tests of `examples/_survey.py`: which target a branch belongs to, and which branch comes first."""

from __future__ import annotations

from typing import Any

import pytest
from _survey import make_plan
from git_plumbing import Repository, UserError

pytestmark = pytest.mark.git


def plan(work: Any, targets: str = "main scientific", select: str = "*") -> Any:
    return make_plan(Repository(work.directory), targets.split(), select)


def targets_of(planned: Any) -> dict[str, str]:
    return {one["branch"]: one["target"] for one in planned["branches"]}


@pytest.fixture
def forked(work: Any) -> Any:
    """Return a repository in which `scientific` left `main` after its second commit; both have moved on."""
    work.commit("Second", {"a": "2"}, 60)
    work.branch("scientific", "main")
    work.commit("Science", {"s": "1"}, 120)
    work.commit("More science", {"s": "2"}, 180)
    work.switch("main")
    work.commit("Third", {"a": "3"}, 240)
    return work


def test_a_branch_belongs_where_it_shares_the_newest_history(forked: Any) -> None:
    """Both targets share old history with both branches; the newest common commit decides."""
    forked.branch("of-science", "scientific~1")
    forked.commit("Of science", {"x": "1"}, 300)
    forked.branch("of-main", "main")
    forked.commit("Of main", {"x": "2"}, 360)
    forked.switch("main")
    forked.commit("Fourth", {"a": "4"}, 420)
    assert {"of-science": "scientific", "of-main": "main"} == targets_of(plan(forked))


def test_a_branch_that_merged_a_target_belongs_to_it(forked: Any) -> None:
    """A merge shares history too."""
    forked.branch("side", "scientific~1")
    forked.commit("Side", {"x": "1"}, 300)
    forked.git("merge", "--quiet", "--no-edit", "main")
    forked.switch("main")
    forked.commit("Fourth", {"a": "4"}, 420)
    assert {"side": "main"} == targets_of(plan(forked))


@pytest.mark.parametrize("targets", ["main scientific", "scientific main"])
def test_where_both_are_as_near_the_first_target_is_taken(forked: Any, targets: str) -> None:
    """The order in which the targets are given says which is the primary one."""
    forked.branch("old", "main~2")
    forked.commit("Old", {"x": "1"}, 300)
    forked.switch("main")
    assert {"old": targets.split()[0]} == targets_of(plan(forked, targets))


def test_fewest_commits_come_first_then_names(forked: Any) -> None:
    """Short branches are the likeliest to go well."""
    for name, commits in (("long", 3), ("b", 1), ("a", 1), ("middle", 2)):
        forked.branch(name, "main~1")
        for number in range(commits):
            forked.commit(f"{name} {number}", {name: str(number)}, 300 + number)
    forked.switch("main")
    assert [("a", 1), ("b", 1), ("middle", 2), ("long", 3)] == [
        (one["branch"], one["commits"]) for one in plan(forked)["branches"]
    ]


def test_targets_are_remembered_as_commits(forked: Any) -> None:
    """What a run aligns on must not change while it is interrupted."""
    forked.branch("side", "main~1")
    forked.commit("Side", {"x": "1"}, 300)
    assert {"main": forked.tip("main"), "scientific": forked.tip("scientific")} == plan(forked)["targets"]


def test_branches_that_need_nothing_are_settled_with_the_reason(forked: Any) -> None:
    """They are told, and not worked on."""
    forked.git("branch", "merged", "main~1")
    forked.branch("ahead", "main")
    forked.commit("Ahead", {"x": "1"}, 300)
    forked.git("checkout", "--quiet", "--orphan", "island")
    forked.commit("Island", {}, 300)
    forked.branch("here", "main~1")
    forked.commit("Here", {"y": "1"}, 300)
    found = plan(forked)
    assert [] == found["branches"]
    assert {
        "merged": "skipped: no commits of its own",
        "ahead": "already aligned",
        "island": "skipped: no history in common with a target",
        "here": "skipped: checked out",
    } == {name: one["reason"] for name, one in found["settled"].items()}


def test_a_branch_at_the_tip_of_a_target_has_nothing_of_its_own(forked: Any) -> None:
    """It is the target by another name."""
    forked.git("branch", "same", "main")
    assert "skipped: no commits of its own" == plan(forked)["settled"]["same"]["reason"]


def test_only_selected_branches_are_taken(forked: Any) -> None:
    """The pattern is the shell's, and sees the whole name."""
    for name in ("feature/a", "feature/deep/b", "fix/c"):
        forked.branch(name, "main~1")
        forked.commit(name, {"x": name}, 300)
    forked.switch("main")
    assert ["feature/a", "feature/deep/b"] == sorted(targets_of(plan(forked, select="feature/*")))


def test_an_unknown_target_is_refused(forked: Any) -> None:
    """The message names what there is."""
    with pytest.raises(UserError, match=r"the target 'trunk' is not a branch: give --targets from main, scientific$"):
        plan(forked, "main trunk")


def test_no_branch_at_all_is_refused(forked: Any) -> None:
    """Targets alone are nothing to align."""
    with pytest.raises(UserError, match=r"no branch fits '\*' beside the targets main, scientific: change --select"):
        plan(forked)
