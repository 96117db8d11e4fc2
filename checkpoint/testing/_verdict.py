"""
Whether a workflow came through: what an uninterrupted life left behind, against what was left after crashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from checkpoint.testing._account import Account, RunEnd
from checkpoint.testing._values import Left, renamed

# How many calls or effects a sentence lists.
_LISTED = 5

# How much a message shows of a traceback, from its end.
_TRACEBACK_LINES = 16


def is_over(account: Account, clean: Account) -> bool:
    """
    Whether every run that an uninterrupted life finishes is finished, so that there is nothing to continue.

    After runs that are all `once=True` the same command may come again, and goes on with what follows their blocks.
    """
    finished = [run for run in account.runs if run.is_finished]
    is_reopened = all(run.is_reopened for run in finished)
    has_returned = account.result is not None
    return len(finished) >= sum(run.is_finished for run in clean.runs) and (has_returned or not is_reopened)


def judge(clean: Account, clean_left: Left, lives: Sequence[Account], left: Left) -> list[str]:
    """
    Return what went wrong, one sentence each; empty if the workflow came through.

    Args:
        clean: The uninterrupted life, and `clean_left`, what it left behind.
        lives: The lives that followed each other; the last one was not interrupted, or came after the end.
        left: What they left behind.
    """
    names = _names_of([clean, *lives])
    return [
        *_failures(lives),
        *_results(clean, lives, names),
        *_states(clean, lives, names),
        *_outcomes(clean_left, left, names),
        *_repetitions(lives),
        *_other_calls(clean, lives),
        *_effects(clean, clean_left, lives, left),
    ]


def compare_clean(first: Account, first_left: Left, second: Account, second_left: Left) -> list[str]:
    """Return how two uninterrupted lives differ, of which a crash is not to blame."""
    names = _names_of([first, second])
    problems = [
        *_results(first, [second], names),
        *_states(first, [second], names),
        *_outcomes(first_left, second_left, names),
    ]
    if _steps(first) != _steps(second):
        problems.append(f"steps that ran: {_shown(_steps(first))} and {_shown(_steps(second))}")
    if first_left.effects != second_left.effects:
        problems.append(f"effects: {_shown(first_left.effects)} and {_shown(second_left.effects)}")
    return problems


def _steps(account: Account) -> Counter[Any]:
    return Counter(step for step, _ in account.entered.values())


def repeated(lives: Sequence[Account]) -> int:
    """Return how many bodies ran again in a later life."""
    entered: set[object] = set()
    count = 0
    for account in lives:
        count += len(entered & set(account.entered))
        entered |= set(account.entered)
    return count


def _names_of(lives: Sequence[Account]) -> Mapping[str, str]:
    """Return a common name for the ids of runs, which may stand in results and states."""
    return {run.id: f"<run of {run.workflow}>" for account in lives for run in account.runs}


def _failures(lives: Sequence[Account]) -> Iterator[str]:
    # A life that was interrupted when everything was over may well end with what interrupted it.
    if lives[-1].failure and lives[-1].fired is None:
        yield f"the rerun failed:\n{_tail(lives[-1].failure)}"


def _tail(failure: str) -> str:
    lines = failure.rstrip().splitlines()
    return "\n".join(["      …", *lines[-_TRACEBACK_LINES:]] if len(lines) > _TRACEBACK_LINES else lines)


def _results(clean: Account, lives: Sequence[Account], names: Mapping[str, str]) -> Iterator[str]:
    result = lives[-1].result
    if result is not None and clean.result is not None and not result.equals(clean.result, names):
        yield f"the result is {result.shown} instead of {clean.result.shown}"


def _states(clean: Account, lives: Sequence[Account], names: Mapping[str, str]) -> Iterator[str]:
    wanted = _finished(clean.runs, names)
    found = _finished([run for account in lives for run in account.runs], names)
    for which, state in wanted.items():
        workflow, key = which
        run = f"the run of {workflow!r}" + (f" with key {key!r}" if key is not None else "")
        if which not in found:
            yield f"{run} is not finished"
        elif found[which] != state:
            yield f"{run} ends with the state {found[which]} instead of {state}"


def _finished(runs: Sequence[RunEnd], names: Mapping[str, str]) -> dict[tuple[str, str | None], str]:
    found = {}
    for run in runs:
        if run.is_finished:
            found[run.workflow, run.key] = renamed(run.state, names)
    return found


def _outcomes(clean: Left, left: Left, names: Mapping[str, str]) -> Iterator[str]:
    if clean.outcome is not None and left.outcome is not None and not left.outcome.equals(clean.outcome, names):
        yield f"same= gives {left.outcome.shown} instead of {clean.outcome.shown}"


def _repetitions(lives: Sequence[Account]) -> Iterator[str]:
    """Find steps that ran again although they had been saved."""
    for number, account in enumerate(lives):
        later = lives[number + 1 :]
        again = [account.entered[call][1] for call in account.acknowledged if any(call in one.entered for one in later)]
        if again:
            ended = " (its run had finished, and the rerun began a new one)" if _began_anew(account, later) else ""
            yield f"{_listed(again)} ran again although the result was saved{ended}"


def _began_anew(account: Account, later: Sequence[Account]) -> bool:
    finished = {run.workflow for run in account.runs if run.is_finished}
    return any(run.workflow in finished for one in later for run in one.runs)


def _other_calls(clean: Account, lives: Sequence[Account]) -> Iterator[str]:
    """Find steps that were called with other arguments in the rerun, so that they ran twice under two keys."""
    wanted = Counter(clean.entered[call][0] for call in set(clean.acknowledged))
    saved = {
        call: account.entered[call] for account in lives for call in account.acknowledged if call in account.entered
    }
    found = Counter(step for step, _ in saved.values())
    # What was recorded when the process died, before it was handed back, is kept by the next one.
    there, others = _kept(lives)
    missing = wanted - Counter(step for step, _ in {**saved, **there}.values())
    for step, count in missing.items() if missing.total() > others else ():
        left_out = [shown for call, (name, shown) in clean.entered.items() if name == step and call not in saved]
        yield f"{count} of the calls that belong to the run were never made: {_listed(left_out)}"
    asked = {*lives[-1].kept, *lives[-1].entered}
    for step in found - wanted:
        forgotten = [shown for call, (name, shown) in saved.items() if name == step and call not in asked]
        if forgotten and len(lives) > 1:
            yield (
                f"{_listed(forgotten)} was saved, and the rerun made another call in its place: "
                "the arguments differ from run to run"
            )


def _kept(lives: Sequence[Account]) -> tuple[dict[Any, tuple[str, str]], int]:
    """Return the kept calls, and how many others there were: another thread went on while the process was killed."""
    kept = {call for account in lives for call in account.kept}
    known = {call: account.entered[call] for account in lives for call in account.entered if call in kept}
    return known, len(kept) - len(known)


def _effects(clean: Account, clean_left: Left, lives: Sequence[Account], left: Left) -> Iterator[str]:
    if clean_left.effects is None or left.effects is None:
        return
    missing = clean_left.effects - left.effects
    if missing:
        yield f"effects are missing: {_shown(missing)}"
    extra = left.effects - clean_left.effects - _allowed(clean, lives)
    if extra:
        in_flight = _listed([account.entered[call][1] for account in lives[:-1] for call in account.repeatable])
        blame = f"in flight was only {in_flight}" if in_flight else "no step was in flight"
        yield f"effects happened again: {_shown(extra)}; {blame}"


def _allowed(clean: Account, lives: Sequence[Account]) -> Counter[Any]:
    """Return what may have happened once more: what the calls do that were begun and not acknowledged."""
    allowed: Counter[Any] = Counter()
    for account in lives[:-1]:
        for call in account.repeatable:
            allowed += clean.own[call] if call in clean.own else _any_of(account.entered[call][0], clean)
    return allowed


def _any_of(step: str, clean: Account) -> Counter[Any]:
    """
    Return what one call of a step may do, whichever it is.

    For calls that differ from life to life, because their arguments hold what another step has found out.
    """
    found: Counter[Any] = Counter()
    for call, own in clean.own.items():
        if clean.entered[call][0] == step:
            found |= own
    return found


def _shown(effects: Counter[Any] | None) -> str:
    counted = [f"{name!r} x {count}" if count > 1 else repr(name) for name, count in (effects or Counter()).items()]
    return _listed(counted)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_LISTED]) + (f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else "")
