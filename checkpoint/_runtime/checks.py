"""
What a session checks of the user's program, and the sentences it then says.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from checkpoint._runtime.attempt import Definition
from checkpoint.errors import UsageError

# Errors that say that somebody wants the program to stop, not that the step's work failed.
_INTERRUPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit)

# Functions of the same code that hold different values of these types are different functions.
_PLAIN = (str, int, float, bool, bytes, tuple, type(None))


def is_interruption(error: BaseException) -> bool:
    """Whether `error` is how a program or a task is asked to stop; asyncio is not imported for the question."""
    kind = type(error)
    cancelled = kind.__name__ in ("CancelledError", "Cancelled")
    return isinstance(error, _INTERRUPTIONS) or (cancelled and kind.__module__.partition(".")[0] in ("asyncio", "trio"))


def signal_name(number: int) -> str:
    """Return what people call a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def check_same_function(known: Definition, new: Definition) -> None:
    """
    Refuse a second function under the name of a first.

    A function that is defined anew under its own name, as in a notebook or inside a function that is called
    twice, is the same function, unless the two close over different values or have different defaults.  Lambdas
    have no name of their own.

    Raises:
        UsageError: The result of one would be taken for the other's.
    """
    ours, theirs = new.function, known.function
    here = (ours.__module__, ours.__qualname__)
    same_place = here == (theirs.__module__, theirs.__qualname__)
    if same_place and known.code != new.code and ours.__name__ != "<lambda>":
        return
    if same_place and known.code == new.code and _captured(ours) == _captured(theirs):
        return
    if same_place:
        what = f"{'.'.join(here)} was made twice, with different code, defaults or values that it closes over"
        cure = "Pass these values as arguments, or give each a name of its own: @checkpointed(name='…')."
    else:
        what = f"{theirs.__module__}.{theirs.__qualname__} and {'.'.join(here)} share it"
        cure = "Give one of them a name of its own: @checkpointed(name='…')."
    raise UsageError(
        f"Two different functions are called {new.name!r} in one run: {what}; the result of one would be taken for the "
        f"other's. {cure}",
        slug="two-steps-one-name",
        value=new.name,
    )


def _captured(function: Callable[..., Any]) -> list[object]:
    """Return what tells functions of the same code apart, as far as it can be compared."""
    found: list[object] = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            found.append(_comparable(cell.cell_contents))
        except ValueError:
            found.append(None)  # not filled yet: a function that refers to itself
    defaults = getattr(function, "__defaults__", None) or ()
    named = getattr(function, "__kwdefaults__", None) or {}
    return [*found, *map(_comparable, defaults), *((name, _comparable(named[name])) for name in sorted(named))]


def _comparable(value: object) -> object:
    if type(value) in _PLAIN:
        return type(value), repr(value)
    if callable(value):
        return getattr(value, "__module__", None), getattr(value, "__qualname__", type(value).__qualname__)
    # Two clients or two lists may well serve the same purpose; that they are equal says nothing of what they will hold.
    return type(value)


def edited_step(name: str) -> str:
    """Say that the code of a kept step is not what it was."""
    return (
        f"{name}() was edited after some of its steps were saved; keeping them. "
        f"To do them again, give it another version: @checkpointed(version=2)."
    )


def changed_argument(name: str, argument: str) -> str:
    """Say that a step changed one of its arguments in place."""
    return (
        f"step {name!r}: argument {argument!r} was changed by the step. A rerun skips the step, so this change will be "
        f"missing then. Return the data instead, or leave it out with @checkpointed(ignore=[{argument!r}])."
    )


def other_command(was: list[str], now: list[str]) -> str:
    """Say that a run is continued with other command-line arguments than it was begun with."""
    return (
        f"this run was begun with the arguments {' '.join(was) or '(none)'}, not {' '.join(now) or '(none)'}; "
        "continuing it. If this is another job, tell them apart with workflow(key=…), or begin anew with "
        "workflow(fresh=True)."
    )


def never_called_again(calls: list[str]) -> str:
    """Say that calls which an earlier session had begun were not made again in the session that finished the run."""
    shown = ", ".join(calls[:3]) + (f" and {len(calls) - 3} more" if len(calls) > 3 else "")
    return (
        f"{shown} had been cut short and was not called again before the run finished. Take an item off its list after "
        "its steps, not before them, and give steps their item as an argument."
    )


def finished_run(workflow: str, run: str, call: str) -> UsageError:
    """Say that a finished run has no such call, and nothing may run in it."""
    return UsageError(
        f"{call} is not among the steps of run {run} of {workflow!r}, which has finished and was opened with "
        "once=True, so that nothing runs. Give the new work another key=, or begin again with fresh=True.",
        slug="finished-run",
        value=call,
    )


def run_over(workflow: str, run: str) -> str:
    """Say that the block of a run was left."""
    return (
        f"Run {run} of workflow {workflow!r} is over: its block was left. Call its steps inside the block, and join "
        "threads before leaving it."
    )
