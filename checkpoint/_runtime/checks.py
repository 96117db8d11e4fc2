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

# Closures that hold different values of these types make different functions of the same code.
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
    twice, is the same function, unless it closes over other plain values.

    Raises:
        UsageError: The result of one would be taken for the other's.
    """
    ours, theirs = new.function, known.function
    here = (ours.__module__, ours.__qualname__)
    same_place = here == (theirs.__module__, theirs.__qualname__)
    if same_place and not (known.code == new.code and _plain_cells(ours) != _plain_cells(theirs)):
        return
    if same_place:
        what = f"{'.'.join(here)} was made twice, closing over different values"
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


def _plain_cells(function: Callable[..., Any]) -> list[object]:
    found: list[object] = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            value = cell.cell_contents
        except ValueError:
            continue  # not filled yet: a function that refers to itself
        found.append((type(value), value) if type(value) in _PLAIN else None)
    return found


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
