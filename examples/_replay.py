"""
Compute what a branch becomes on top of another commit: rebased commit by commit, or merged.

Only writes objects that nothing names yet; never moves a branch.  The result depends on nothing but the
commits given: authors and dates are taken over, so that doing it again yields the same ids.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace

from git_plumbing import Repository, to_bytes, to_text

# These vouch for the exact contents of a commit, and would be lies about the rewritten one.
SIGNATURES = (b"gpgsig", b"gpgsig-sha256", b"mergetag")
# Commits that are only written to tell git which common ancestor to use; they are never part of a branch.
NOBODY = b"align_branches <align_branches> 0 +0000"


@dataclass(frozen=True, slots=True)
class Replayed:
    """
    What became of a branch.

    Attributes:
        tip: The new tip; the old one if nothing was to be done, or if there is a conflict.
        moved: Commits that were rewritten, or 1 for a merge.
        dropped: Commits whose changes were on the target already.
        conflict: The commit that cannot be applied, with its subject; empty if there is none.
        files: The files in conflict.
    """

    tip: str
    moved: int = 0
    dropped: int = 0
    conflict: str = ""
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit object: its tree, its parents, its other header lines, and its message with the empty line before."""

    id: str
    tree: str
    parents: tuple[str, ...]
    headers: bytes
    message: bytes

    def describe(self) -> str:
        """Return how a person would call it: the short id and the subject."""
        subject = to_text(self.message.strip().split(b"\n")[0])
        return f"{self.id[:10]} {subject!r}"

    def rewrite(self, tree: str, parents: list[str]) -> bytes:
        """Return the text of this commit with another tree and other parents."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        return to_bytes("\n".join(lines)) + b"\n" + self.headers + self.message


def parse_commit(identity: str, text: bytes) -> Commit:
    """Take a commit object apart; signatures are left out."""
    head, separator, message = text.partition(b"\n\n")
    tree, parents, kept, keeping = "", [], [], True
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name == b"tree":
            tree = to_text(value)
        elif name == b"parent":
            parents.append(to_text(value))
        elif name:
            keeping = name not in SIGNATURES
        # A line that begins with a space continues the header above it.
        if keeping and name not in (b"tree", b"parent"):
            kept.append(line + b"\n")
    return Commit(identity, tree, tuple(parents), b"".join(kept), separator[1:] + message)


def _stand_in(tree: str, parents: list[str]) -> bytes:
    return Commit("", "", (), b"author " + NOBODY + b"\ncommitter " + NOBODY + b"\n", b"\n").rewrite(tree, parents)


def list_own_commits(repository: Repository, tip: str, onto: str) -> dict[str, tuple[str, ...]]:
    """Return the commits of `tip` that `onto` has not, oldest first, each with its parents."""
    _, output = repository.run("rev-list", "--reverse", "--topo-order", "--parents", tip, f"^{onto}")
    rows = (line.split(" ") for line in to_text(output).splitlines())
    return {row[0]: tuple(row[1:]) for row in rows}


def read_commits(repository: Repository, ids: set[str]) -> dict[str, Commit]:
    """Read commit objects by their ids."""
    found: dict[str, Commit] = {}
    with repository.objects() as read:
        for identity in sorted(ids):
            found[identity] = parse_commit(identity, read(identity) or b"")
    return found


def replay(repository: Repository, tip: str, onto: str, strategy: str) -> Replayed:
    """
    Return what the branch at `tip` becomes on top of `onto`; `strategy` is `rebase` or `merge`.

    A branch that has everything of `onto`, or nothing of its own, is left as it is.
    """
    own = list_own_commits(repository, tip, onto)
    borders = {parent for parents in own.values() for parent in parents} - own.keys()
    if not own or onto in borders:
        return Replayed(tip)
    # Merges are left out, as `git rebase` does: what they brought in is on the target, or is replayed itself.
    chosen = [commit for commit, parents in own.items() if len(parents) <= 1] if strategy == "rebase" else [tip]
    parents = {parent for commit in chosen for parent in own[commit]}
    commits = read_commits(repository, {onto, *chosen, *parents})
    if strategy == "merge":
        return _merge(repository, commits[tip], commits[onto])
    with tempfile.TemporaryDirectory(prefix="align_branches-") as scratch:
        rebased = _rebase(repository, [commits[one] for one in chosen], commits, onto, borders, scratch)
    return replace(rebased, tip=tip) if rebased.conflict else rebased


def _rebase(
    repository: Repository,
    chosen: list[Commit],
    commits: dict[str, Commit],
    onto: str,
    borders: set[str],
    scratch: str,
) -> Replayed:
    tip, tree, moved, dropped, ours = onto, commits[onto].tree, 0, 0, ""
    if chosen and borders == set(chosen[0].parents):
        ours = onto
    for index, commit in enumerate(chosen):
        # Merging `ours` with the commit applies exactly the commit's own change if its parent is their common
        # ancestor.  Git before 2.40 cannot be told so: a stand-in with the tree so far is given that parent.
        ours = ours or repository.write_commits([_stand_in(tree, list(commit.parents))], scratch)[0]
        merged, files = repository.merge(ours, commit.id)
        if files is not None:
            return Replayed(tip, conflict=commit.describe(), files=files)
        ours = ""
        before = commits[commit.parents[0]].tree if commit.parents else ""
        if merged == tree and commit.tree != before:
            dropped += 1
            continue
        texts = [commit.rewrite(merged, [tip])]
        # The next stand-in is written by the same process: starting one is what takes the time.
        texts += [_stand_in(merged, list(following.parents)) for following in chosen[index + 1 : index + 2]]
        tip, *stand_in = repository.write_commits(texts, scratch)
        ours, tree, moved = (stand_in or [""])[0], merged, moved + 1
    return Replayed(tip, moved, dropped)


def _merge(repository: Repository, branch: Commit, target: Commit) -> Replayed:
    tree, files = repository.merge(branch.id, target.id)
    if files is not None:
        return Replayed(branch.id, conflict=target.describe(), files=files)
    # The branch's own committer and the newer of the two dates: the clock would make every try another commit.
    times = [
        int(commit.headers.rpartition(b"committer ")[2].split(b"\n")[0].split()[-2]) for commit in (branch, target)
    ]
    who = branch.headers.rpartition(b"committer ")[2].split(b"> ")[0] + b"> %d +0000" % max(times)
    message = f"\nMerge {target.id[:10]} to align the branch with its target\n"
    merge = Commit("", "", (), b"author " + who + b"\ncommitter " + who + b"\n", to_bytes(message))
    with tempfile.TemporaryDirectory(prefix="align_branches-") as scratch:
        return Replayed(repository.write_commits([merge.rewrite(tree, [branch.id, target.id])], scratch)[0], 1)
