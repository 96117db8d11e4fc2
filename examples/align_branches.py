#!/usr/bin/env python3
"""
Align the branches of a git repository with their targets, and survive whatever interrupts it.

For every branch: back it up, rebase (or merge) it on its primary target, look for errors, run a check, move
the branch, describe the result.  Works on bare and other repositories, without touching working tree or
index.  Press Ctrl-C, kill it, or pull the plug: the same command continues where it stopped.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from dataclasses import dataclass, field
from typing import TypedDict

from _checks import Verdict, run_check
from _checks import find_errors as find_errors_in
from _replay import replay
from _report import Outcome, make_table, printable, write_summary
from _survey import USUAL_TARGETS, Plan, check_targets, make_plan
from git_plumbing import GitError, Repository, UserError, find_repository

from checkpoint import checkpointed, workflow


@dataclass
class Inputs:
    """What the user chose when the run began; it holds until the run is finished."""

    targets: list[str]
    select: str
    strategy: str


class Aligned(TypedDict):
    """What aligning a branch came to: its new tip, or the commit and the files in conflict."""

    tip: str
    moved: int
    dropped: int
    conflict: str
    files: list[str]


@dataclass
class OrchestratorState:
    """
    Where the work stands: saved with every step, and there again when the same command is run again.

    Attributes:
        user_inputs: What the user chose; None as long as nothing is planned.
        targets: The commit each target stood at when the run was planned.
        primary_target: The target of each branch that is to be aligned.
        pending: The branches still to be aligned, in order; the first is the one being worked on.
        processed: What became of the others.
        conflicted: Files in conflict, by branch.
        failed: What is wrong with the aligned branch, by branch.
        current_branch: The branch being worked on.
        current_step: What is being done to it.
    """

    user_inputs: Inputs | None = None
    targets: dict[str, str] = field(default_factory=dict)
    primary_target: dict[str, str] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    processed: dict[str, Outcome] = field(default_factory=dict)
    conflicted: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    current_branch: str = ""
    current_step: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What the flow needs at every turn: the state, the repository, where backups go, how to align, the options."""

    state: OrchestratorState
    repository: str
    backups: str
    strategy: str
    options: argparse.Namespace


class Paused(Exception):
    """A human is needed; the message says for what, and how to go on."""


# The steps.  Their arguments are what identifies them: a branch that has moved is another piece of work.


@checkpointed
def choose_targets(candidates: list[str]) -> list[str]:
    """
    Ask which of `candidates` are targets; the answer is saved, and never asked for again.

    Without a terminal, or with only one candidate, there is nothing to ask: all of them are.
    """
    if len(candidates) == 1 or not sys.stdin.isatty():
        return candidates
    listed = ", ".join(candidates)
    while True:
        try:
            answer = input(f"Which branches are targets? [{listed}] ")
        except EOFError:
            raise UserError("there was no answer: name the targets with --targets") from None
        chosen = [name.strip() for name in answer.split(",") if name.strip()] or candidates
        if set(chosen) <= set(candidates):
            return chosen
        print(f"Please choose from {listed}, separated by commas.")


@checkpointed
def survey(repository: str, targets: list[str], select: str) -> Plan:
    """Find the branches and the target each belongs to, and put them in order."""
    return make_plan(Repository(repository), targets, select)


@checkpointed
def read_tip(repository: str, branch: str) -> str:
    """Return the commit the branch stands at when its turn comes, or nothing if it is gone."""
    found = Repository(repository).find_branch(branch)
    return found.tip if found else ""


@checkpointed
def back_up(repository: str, reference: str, tip: str) -> str:
    """Keep the branch's commits under a name of their own."""
    Repository(repository).set_reference(reference, tip)
    return reference


@checkpointed
def align(repository: str, branch: str, tip: str, onto: str, strategy: str) -> Aligned:
    """Compute what the branch becomes on its target; nothing is moved yet."""
    done = replay(Repository(repository), tip, onto, strategy)
    return Aligned(tip=done.tip, moved=done.moved, dropped=done.dropped, conflict=done.conflict, files=done.files)


@checkpointed
def settle_conflict(repository: str, branch: str, tip: str, aligned: Aligned, on_conflict: str) -> str:
    """
    Return where the branch stands after a human has resolved the conflict, or `tip` to skip it.

    As long as it has not been moved, the run pauses: this step fails, and is tried again in the next session.
    """
    found = Repository(repository).find_branch(branch)
    now = found.tip if found else ""
    if now == tip and on_conflict == "pause":
        raise Paused(
            f"paused at the branch {printable(branch)!r}: commit {printable(aligned['conflict'])} conflicts in "
            f"{printable(', '.join(aligned['files']))}. Rebase or merge the branch yourself and run the same "
            "command again, or add --on-conflict skip to leave it."
        )
    return now


@checkpointed
def find_errors(repository: str, branch: str, tip: str, onto: str, aligned: str) -> list[str]:
    """Look for conflict markers that were left in, and for Python files that no longer compile."""
    return find_errors_in(Repository(repository), tip, onto, aligned)


@checkpointed
def validate(repository: str, branch: str, aligned: str, command: str) -> Verdict:
    """Run the user's check in a copy of the aligned files."""
    return run_check(Repository(repository), aligned, command)


@checkpointed(critical=True)
def move(repository: str, branch: str, old: str, new: str) -> str:
    """
    Move the branch, and return why it was not moved, or nothing.

    The only step that changes what the user sees.  It is not cut short by Ctrl-C, and is safe to repeat.
    """
    here = Repository(repository)
    found = here.find_branch(branch)
    if found is not None and found.tip != new and found.checked_out:
        return "skipped: checked out"
    return "" if here.move_branch(branch, old, new) == new else "moved by somebody else"


@checkpointed
def describe(repository: str, branch: str, onto: str, new: str) -> str:
    """Say how much the aligned branch changes on its target."""
    files, added, removed = Repository(repository).count_changes(onto, new)
    return f"{files} files changed, {added} lines added, {removed} removed"


# The flow.  What it changes in `state` between two steps is saved with the step that follows.


def plan(state: OrchestratorState, repository: str, options: argparse.Namespace) -> Inputs:
    """Settle, once in a run, what the user wants, where the targets stand, and which branches come in which order."""
    if state.user_inputs is None:
        targets = options.targets or choose_targets(usual_targets(repository))
        inputs = Inputs(targets, options.select or "*", options.strategy or "rebase")
        found = survey(repository, inputs.targets, inputs.select)
        state.targets = found["targets"]
        state.pending = [one["branch"] for one in found["branches"]]
        state.primary_target = {one["branch"]: one["target"] for one in found["branches"]}
        for branch, one in found["settled"].items():
            state.processed[branch] = tell(one["target"], one["reason"], one["tip"])
        # Last, because it is what says in the next session that all the rest is there.  Had the survey refused the
        # choice, the next session would be free to make another.
        state.user_inputs = inputs
    for name, kept in vars(state.user_inputs).items():
        given = getattr(options, name)
        if given is not None and given != kept:
            warn(f"this run was begun with --{name} {kept!r} and keeps it: finish it, then give {given!r} again")
    return state.user_inputs


def mark(state: OrchestratorState, branch: str, step: str) -> None:
    """Note what is going to be done; it is saved with the start of the step."""
    state.current_branch, state.current_step = branch, step


def align_with_help(job: Job, branch: str, tip: str, target: str) -> tuple[str, Aligned]:
    """Back the branch up and align it, as often as a human resolves a conflict; return its tip and what came of it."""
    state, repository = job.state, job.repository
    while True:
        mark(state, branch, "back up")
        back_up(repository, job.backups + branch, tip)
        mark(state, branch, "align")
        aligned = align(repository, branch, tip, state.targets[target], job.strategy)
        if not aligned["conflict"]:
            return tip, aligned
        mark(state, branch, "settle conflict")
        state.conflicted[branch] = aligned["files"]
        resolved = settle_conflict(repository, branch, tip, aligned, job.options.on_conflict)
        if resolved == tip:
            return tip, aligned
        state.conflicted.pop(branch)
        if not resolved:
            return "", aligned
        tip = resolved


def align_branch(job: Job, branch: str) -> Outcome:
    """Do all that is to be done for one branch, and return what became of it."""
    state, repository = job.state, job.repository
    target = state.primary_target[branch]
    onto = state.targets[target]
    mark(state, branch, "read")
    found = read_tip(repository, branch)
    tip, aligned = align_with_help(job, branch, found, target) if found else ("", None)
    if aligned is None or not tip:
        return tell(target, "skipped: deleted meanwhile", found)
    if aligned["conflict"]:
        return tell(target, "conflict", tip, details=aligned["files"])
    new = aligned["tip"]
    if new == tip:
        return tell(target, "already aligned", tip)
    mark(state, branch, "check")
    wrong = find_errors(repository, branch, tip, onto, new)
    if job.options.check and not wrong:
        mark(state, branch, "validate")
        wrong = blame(branch, validate(repository, branch, new, job.options.check), job.options.check)
    if wrong:
        state.failed[branch] = wrong
        return tell(target, "invalid", tip, details=wrong)
    mark(state, branch, "move")
    hindrance = move(repository, branch, tip, new)
    if hindrance:
        return tell(target, hindrance, tip)
    mark(state, branch, "describe")
    return tell(target, "aligned", tip, new, changes=describe(repository, branch, onto, new))


def align_all(job: Job) -> None:
    """Work through the pending branches; the summary is up to date after each."""
    state = job.state
    summarise(job)
    while state.pending:
        branch = state.pending[0]
        state.processed[branch] = align_branch(job, branch)
        # A branch leaves the list only when nothing is left to do for it: were it taken out first, a crash would
        # lose it.  Its outcome is noted before, so that a Ctrl-C between the two lines loses nothing either.
        state.pending.remove(branch)
        summarise(job)
    mark(state, "", "")


def orchestrate(options: argparse.Namespace) -> int:
    """Run the whole program and return its exit status: 0 if every branch is aligned or was skipped."""
    repository = find_repository(options.repo)
    check_targets(options.targets or [], [branch.name for branch in Repository(repository).branches()])
    options.summary = options.summary or os.path.join(repository, "checkpoint-align-summary.json")
    with workflow("align", state=OrchestratorState, key=repository) as run:
        inputs = plan(run.state, repository, options)
        job = Job(run.state, repository, f"refs/backup/{run.id}/", inputs.strategy, options)
        align_all(job)
        # Inside the block: a run is finished only when its result was shown.
        print(make_table(run.state.processed))
        print(f"Backups are in {job.backups}, the summary is in {printable(options.summary)}")
    unwell = ("invalid", "moved by somebody else")
    return int(any(outcome["outcome"] in unwell for outcome in run.state.processed.values()))


def usual_targets(repository: str) -> list[str]:
    """Return those of the usual targets that exist; raises UserError if none does."""
    known = {branch.name for branch in Repository(repository).branches()}
    found = [name for name in USUAL_TARGETS if name in known]
    if not found:
        raise UserError("there is no branch with the usual name of a target (main, ...): name them with --targets")
    return found


def tell(
    target: str, outcome: str, old: str, new: str = "", *, details: list[str] | None = None, changes: str = ""
) -> Outcome:
    """Put what became of a branch into words; without `new` it was not moved."""
    return Outcome(target=target, outcome=outcome, old=old, new=new or old, details=details or [], changes=changes)


def blame(branch: str, verdict: Verdict, command: str) -> list[str]:
    """Return what a check found wrong, in a sentence that is the same each time; show what the check said."""
    if verdict["status"] == 0:
        return []
    said = verdict["output"].strip() or "nothing"
    warn(f"of {printable(branch)}, the check {command!r} said:\n{said}")
    return [f"the check {command!r} ended with status {verdict['status']}"]


def summarise(job: Job) -> None:
    """Write the summary of what the state knows by now."""
    state = job.state
    inputs = vars(state.user_inputs) if state.user_inputs else {}
    write_summary(
        job.options.summary,
        inputs=inputs,
        targets=state.targets,
        outcomes=state.processed,
        pending=state.pending,
    )


def warn(sentence: str) -> None:
    """Say something to the user that is not a result."""
    print(f"align_branches: {sentence}", file=sys.stderr)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; what was not given stays None."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--repo", default=".", help="the repository, or a directory inside it (default: here)")
    parser.add_argument(
        "--targets", type=split_names, help="branches to align on, such as main,release; likeliest first"
    )
    parser.add_argument("--select", metavar="GLOB", help="take only branches whose name fits, such as 'feature/*'")
    parser.add_argument("--strategy", choices=("rebase", "merge"), help="how to align (default: rebase)")
    parser.add_argument("--on-conflict", choices=("pause", "skip"), default="pause", help="default: pause for a human")
    parser.add_argument("--check", metavar="CMD", help="command that must succeed in a copy of the aligned files")
    parser.add_argument("--summary", metavar="PATH", help="default: checkpoint-align-summary.json in the git directory")
    return parser.parse_args(arguments)


def split_names(text: str) -> list[str]:
    """Take a list of names with commas apart."""
    return [name.strip() for name in text.split(",") if name.strip()]


def main(arguments: list[str] | None = None) -> int:
    """Run the program; what the user can do something about is told in one sentence, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return orchestrate(parse_arguments(arguments))
    except Paused as pause:
        warn(str(pause))
        return 1
    except (UserError, GitError) as error:
        warn(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
