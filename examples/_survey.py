"""
Find out which target each branch belongs to, and in which order to take the branches.

Only reads; the answer depends on the branches of the repository and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypedDict

from git_plumbing import Branch, Repository, UserError, to_bytes, to_text

# What is taken for a target if none is named, the likeliest first.
USUAL_TARGETS = ("main", "master", "trunk", "develop", "scientific", "release", "staging", "production")


class Planned(TypedDict):
    """A branch to align: its name, its primary target, and how many commits it has that the target has not."""

    branch: str
    target: str
    commits: int


class Plan(TypedDict):
    """
    What there is to do.

    Attributes:
        targets: The commit each target stood at; everything of the run is aligned on these.
        branches: The branches to align, in order.
        settled: The branches that need nothing, with their target, tip and the reason.
    """

    targets: dict[str, str]
    branches: list[Planned]
    settled: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Relation:
    """
    How a branch and a target are related.

    Attributes:
        shared_time: Commit time of the newest commit that both have, or None if they have none in common.
        commits: How many commits the branch has that the target has not.
        contains: Whether the branch has everything of the target.
    """

    shared_time: int | None
    commits: int
    contains: bool


def relate(repository: Repository, target: Branch, branches: Iterable[Branch]) -> dict[str, Relation]:
    """Return how each branch is related to `target`, by name, from one walk through the history."""
    branches = list(branches)
    asked = "".join(f"{branch.tip}\n" for branch in branches) + f"^{target.tip}\n"
    options = ("--timestamp", "--parents", "--boundary", "--stdin")
    _, output = repository.run("rev-list", *options, feed=to_bytes(asked))
    parents: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    for line in to_text(output).splitlines():
        time, commit, *before = line.split(" ")
        times[commit.removeprefix("-")] = int(time)
        # A dash marks a commit of the target where a branch leaves it.
        if not commit.startswith("-"):
            parents[commit] = before
    return {branch.name: _follow(branch, target, parents, times) for branch in branches}


def _follow(branch: Branch, target: Branch, parents: dict[str, list[str]], times: dict[str, int]) -> Relation:
    if branch.tip not in parents:
        return Relation(branch.time, 0, branch.tip == target.tip)
    own: set[str] = set()
    shared: set[str] = set()
    waiting = [branch.tip]
    while waiting:
        commit = waiting.pop()
        if commit not in parents:
            shared.add(commit)
        elif commit not in own:
            own.add(commit)
            waiting.extend(parents[commit])
    newest = max((times[commit] for commit in shared), default=None)
    return Relation(newest, len(own), target.tip in shared)


def choose_target(relations: dict[str, Relation]) -> str | None:
    """
    Return the target with which a branch shares the newest history, or None if it shares none with any.

    Where several are as new, the one to which fewer commits have to be moved; then the one named first.
    """
    related = [name for name, relation in relations.items() if relation.shared_time is not None]
    return min(related, key=lambda name: (-(relations[name].shared_time or 0), relations[name].commits), default=None)


def make_plan(repository: Repository, targets: list[str], select: str) -> Plan:
    """
    Plan the work on every branch whose name fits the pattern `select` and is not a target.

    The order is: fewest commits to move first, because these are the likeliest to go well; then by name.

    Raises:
        UserError: A target does not exist, or no branch fits.
    """
    by_name = {branch.name: branch for branch in repository.branches()}
    check_targets(targets, by_name)
    tips = {name: by_name[name].tip for name in targets}
    features = [one for one in by_name.values() if one.name not in tips and fnmatchcase(one.name, select)]
    if not features:
        raise UserError(f"no branch fits {select!r} beside the targets {', '.join(targets)}: change --select")
    relations = {name: relate(repository, by_name[name], features) for name in targets}
    planned: list[Planned] = []
    settled: dict[str, dict[str, str]] = {}
    for branch in features:
        to_targets = {name: relations[name][branch.name] for name in targets}
        target = choose_target(to_targets)
        reason = _why_nothing_to_do(branch, to_targets.get(target or ""))
        if target is not None and not reason:
            planned.append({"branch": branch.name, "target": target, "commits": to_targets[target].commits})
        else:
            settled[branch.name] = {"target": target or "", "tip": branch.tip, "reason": reason}
    planned.sort(key=lambda one: (one["commits"], one["branch"]))
    return {"targets": tips, "branches": planned, "settled": settled}


def check_targets(targets: list[str], known: Iterable[str]) -> None:
    """Raise UserError if one of `targets` is not among the branches `known`."""
    known = sorted(known)
    for name in targets:
        if name not in known:
            some = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise UserError(f"the target {name!r} is not a branch: give --targets from {some or 'an empty repository'}")


def _why_nothing_to_do(branch: Branch, relation: Relation | None) -> str:
    if relation is None:
        return "skipped: no history in common with a target"
    if relation.commits == 0:
        return "skipped: no commits of its own"
    if relation.contains:
        return "already aligned"
    return "skipped: checked out" if branch.checked_out else ""
