"""
`workflow(...)`: names the block of code whose steps are kept.  Light to import; the block itself is made by `_block`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, overload

from checkpoint.errors import UsageError

if TYPE_CHECKING:
    from checkpoint._block import Workflow
    from checkpoint.stores import Store

S = TypeVar("S")
Output = Literal["auto", "lines", "steps", "off"]

# The system gives these to no handler; a run survives SIGKILL without one.
_UNSTOPPABLE = ("SIGKILL", "SIGSTOP")


@overload
def workflow(
    name: str,
    *,
    state: None = None,
    key: str | None = None,
    once: bool = False,
    fresh: bool = False,
    store: Store | str | os.PathLike[str] | None = None,
    signals: Iterable[int] = ...,
    output: Output = "auto",
) -> Workflow[dict[str, Any]]: ...


@overload
def workflow(
    name: str,
    *,
    state: type[S],
    key: str | None = None,
    once: bool = False,
    fresh: bool = False,
    store: Store | str | os.PathLike[str] | None = None,
    signals: Iterable[int] = ...,
    output: Output = "auto",
) -> Workflow[S]: ...


@overload
def workflow(
    name: str,
    *,
    state: S,
    key: str | None = None,
    once: bool = False,
    fresh: bool = False,
    store: Store | str | os.PathLike[str] | None = None,
    signals: Iterable[int] = ...,
    output: Output = "auto",
) -> Workflow[S]: ...


def workflow(
    name: str,
    *,
    state: Any = None,
    key: str | None = None,
    once: bool = False,
    fresh: bool = False,
    store: Store | str | os.PathLike[str] | None = None,
    signals: Iterable[int] = (signal.SIGINT, signal.SIGTERM),
    output: Output = "auto",
) -> Workflow[Any]:
    """
    Name a block of code whose steps are kept: run the same program again, and it continues where it was.

    Enter it with `with` or `async with`, which give the `Run`, or decorate a function with it.  An unfinished
    run of this name and `key` is continued, otherwise a new one begins.  A run is finished when its block is
    left normally; after an error, a signal or a crash the next session continues it.

    Args:
        name: Name of the workflow, shown to people and part of the path; any text that is not empty.
        state: A class (dataclass, attrs, pydantic, msgspec or TypedDict) or an instance of one; by default a
            dict.  An instance is filled with the saved state, in place; a class is made from it, or empty.
        key: What tells runs of one workflow apart: the repository, the day, the customer.
        once: Open a finished run again, for its results: all its steps are kept, and nothing runs.
        fresh: Leave an unfinished run alone and begin a new one.
        store: A directory, `memory:`, or a store of `checkpoint.stores`; by default files in the user's state
            directory, or where `CHECKPOINT_HOME` says.
        signals: Signals that save and stop the run.  Ignored ones, and others off the main thread, are left alone.
        output: What is said on stderr: `lines` the beginning and the end, `steps` also each step, `off`
            nothing.  `auto` decides by the terminal and is silent if the program has configured logging.

    Raises:
        UsageError: An argument cannot be used.  Nothing was opened.
        CheckpointError: On entering; see `checkpoint.errors`.  Nothing was run.
    """
    _check_text("name", name)
    if key is not None:
        _check_text("key", key)
    numbers = _check_signals(signals)
    from checkpoint._block import make_workflow

    # The caller knows the names in the annotations of a class that it made itself.
    names = sys._getframe(1).f_locals if _is_local(state) else None
    return make_workflow(Which(name, key, once, fresh), state, names, store, numbers, output)


class Which(NamedTuple):
    """Which run to work on: the arguments of `workflow` by the same names."""

    name: str
    key: str | None
    once: bool
    fresh: bool


def _is_local(state: object) -> bool:
    kind = state if isinstance(state, type) else type(state)
    return "<locals>" in kind.__qualname__


def _check_text(argument: str, value: object) -> None:
    if not isinstance(value, str):
        problem = f"it is a {type(value).__name__}, not a text; give {argument}={str(value)[:80]!r} if that is meant"
    elif not value.strip():
        problem = "it is empty; give a short name, such as 'align'"
    elif not value.isprintable():
        problem = "it has characters that cannot be printed; use letters, digits, spaces and punctuation"
    else:
        return
    raise UsageError(
        f"workflow({argument}={value!r}) cannot be used: {problem}.", slug=f"workflow-{argument}", value=value
    )


def _check_signals(signals: Iterable[int]) -> tuple[int, ...]:
    try:
        given = tuple(signals)
    except TypeError:
        raise _wrong_signal(f"is {signals!r}, which is no collection of signals", signals) from None
    found: list[int] = []
    for number in given:
        try:
            known = signal.Signals(number)
        except ValueError:
            raise _wrong_signal(f"has {number!r}, which is no signal of this system", number) from None
        if known.name in _UNSTOPPABLE:
            raise _wrong_signal(f"has {known.name}, which no program can handle", number)
        found.append(known)
    return tuple(found)


def _wrong_signal(what: str, value: object) -> UsageError:
    cure = "Give members of signal.Signals, such as (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)."
    return UsageError(f"workflow(signals=…) {what}. {cure}", slug="workflow-signals", value=value)
