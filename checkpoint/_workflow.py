"""
`workflow(...)`: the block of code whose steps are kept.  Opens and closes sessions; decides nothing about steps.
"""

from __future__ import annotations

import functools
import inspect
import signal
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, cast, overload

from checkpoint._run import Run
from checkpoint._runtime import closing, opening
from checkpoint._runtime import scope as scopes
from checkpoint._runtime.reporter import make_reporter
from checkpoint._runtime.signals import calls_user_code, mark_reported, watch
from checkpoint._state import StateMaker
from checkpoint.errors import RunInUseError, UsageError
from checkpoint.stores import Store, open_store

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])
Output = Literal["auto", "lines", "steps", "off"]

# EX_TEMPFAIL of sysexits.h: try again later.
_BUSY = 75


class Workflow(Generic[S]):
    """What `workflow(...)` returns: enter it with `with` or `async with`, or decorate a function with it."""

    def __init__(self, request: Callable[[], opening.Request], signals: tuple[int, ...]) -> None:
        self._request = request
        self._signals = signals
        self._entered: list[_Entry] = []

    def __enter__(self) -> Run[S]:
        return self._enter(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)

    async def __aenter__(self) -> Run[S]:
        return self._enter(_Cancel())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancel = self._entered[-1].cancel
        self._leave(error)
        if cancel is not None:
            cancel.raise_stop(error)

    def __call__(self, function: F) -> F:
        """Make every call of `function` a run of this workflow, or the continuation of one."""
        if not inspect.isfunction(function):
            raise UsageError(
                f"workflow(…) was called with {function!r}, which is no function: it can decorate a function or be "
                "entered with `with`.",
                slug="workflow-use",
                value=function,
            )
        inner: Callable[..., Any] = function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(inner)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                async with self:
                    return await inner(*args, **kwargs)

            calls_user_code(run_async)
            return cast(F, run_async)

        @functools.wraps(inner)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return inner(*args, **kwargs)

        calls_user_code(run)
        return cast(F, run)

    def _enter(self, cancel: _Cancel | None) -> Run[S]:
        # First of all: from here on no Ctrl-C can raise in the middle of what follows.
        installed = watch.enter(self._signals, cancel)
        try:
            session = opening.open_session(self._request())
        except BaseException as error:
            watch.leave(installed)
            if isinstance(error, RunInUseError):
                mark_reported(error, status=_BUSY)
            raise
        token = scopes.current.set(session.root)
        self._entered.append(_Entry(session, token, installed, cancel))
        return cast("Run[S]", session.run)

    def _leave(self, error: BaseException | None) -> None:
        entry = self._entered.pop()
        try:
            closing.close_session(entry.session, error)
            if isinstance(error, KeyboardInterrupt) or (error is not None and watch.stopped_by == signal.SIGINT):
                mark_reported(error)
        finally:
            try:
                scopes.current.reset(entry.token)
            except ValueError:
                scopes.current.set(None)  # left in another context than it was entered in
            watch.leave(entry.installed)


class _Entry:
    def __init__(self, session: Any, token: Any, installed: list[int] | None, cancel: _Cancel | None) -> None:
        self.session = session
        self.token = token
        self.installed = installed
        self.cancel = cancel


class _Cancel:
    """Leaves an `async with` block on a signal: the task is cancelled, because a loop cannot be raised through."""

    def __init__(self) -> None:
        self._number: int | None = None
        asyncio = sys.modules.get("asyncio")
        self._task = asyncio.current_task() if asyncio is not None and _loop_runs() else None
        self._loop = self._task.get_loop() if self._task is not None else None

    def __call__(self, number: int) -> bool:
        """Cancel the task, in place of raising; returns whether there is one."""
        if self._task is None or self._loop is None or self._task.done():
            return False
        self._number = number
        self._loop.call_soon_threadsafe(self._task.cancel)
        return True

    def raise_stop(self, error: BaseException | None) -> None:
        """Turn the cancellation back into what a signal does to a program."""
        if self._number is None or not isinstance(error, sys.modules["asyncio"].CancelledError):
            return
        if self._task is not None:
            self._task.uncancel()
        stop = KeyboardInterrupt() if self._number == signal.SIGINT else SystemExit(128 + self._number)
        mark_reported(stop)
        raise stop from error


def _loop_runs() -> bool:
    try:
        sys.modules["asyncio"].get_running_loop()
    except RuntimeError:
        return False
    return True


@overload
def workflow(
    name: str,
    *,
    state: None = None,
    key: str | None = None,
    once: bool = False,
    fresh: bool = False,
    store: Store | str | None = None,
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
    store: Store | str | None = None,
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
    store: Store | str | None = None,
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
    store: Store | str | None = None,
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
    maker = StateMaker(state)

    def request() -> opening.Request:
        return opening.Request(name, key, fresh, once, open_store(store), make_reporter(output), maker, Run)

    make_reporter(output)
    return Workflow(request, numbers)


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
    found: list[int] = []
    for number in signals:
        try:
            found.append(signal.Signals(number))
        except ValueError:
            raise UsageError(
                f"workflow(signals=…) has {number!r}, which is no signal of this system. Give members of "
                "signal.Signals, such as (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1).",
                slug="workflow-signals",
                value=number,
            ) from None
    return tuple(found)
