"""
The block that `workflow(...)` names: opens and closes sessions; decides nothing about steps.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from checkpoint._run import Run
from checkpoint._runtime import closing, opening
from checkpoint._runtime import scope as scopes
from checkpoint._runtime.checks import is_interruption
from checkpoint._runtime.reporter import make_reporter
from checkpoint._runtime.signals import Entered, calls_user_code, mark_reported, watch
from checkpoint._state import StateMaker
from checkpoint._workflow import Which
from checkpoint.errors import RunInUseError, UsageError
from checkpoint.stores import Store, open_store

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])

# EX_TEMPFAIL of sysexits.h: try again later.
_BUSY = 75


def make_workflow(
    which: Which,
    state: Any,
    names: Mapping[str, object] | None,
    store: Store | str | os.PathLike[str] | None,
    signals: tuple[int, ...],
    output: str,
) -> Workflow[Any]:
    """Make the block; `names` resolves the annotations of a state's class, the rest is as `workflow` has it."""
    maker = StateMaker(state, names)
    make_reporter(output)

    def request() -> opening.Request:
        # The store and the terminal are looked up when the block is entered: a decorated function may be
        # defined long before the program knows where it runs.
        return opening.Request(*which, open_store(store), make_reporter(output), maker, Run)

    return Workflow(request, signals)


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
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            # Its body runs when the values are taken, and by then the run would be over.
            raise UsageError(
                f"{function.__qualname__} is a generator function, which a workflow cannot decorate: its body runs "
                "when the run is over. Use `with workflow(…):` inside it.",
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
            by_ctrl_c = isinstance(error, KeyboardInterrupt) or watch.stopped_by == signal.SIGINT
            if error is not None and by_ctrl_c and is_interruption(error):
                mark_reported(error)
        finally:
            try:
                scopes.current.reset(entry.token)
            except ValueError:
                scopes.current.set(None)  # left in another context than it was entered in
            scope = scopes.current.get()
            if scope is not None and scope.session.closed is not None:
                scopes.current.set(None)  # the workflow around this one was left before it
            try:
                watch.leave(entry.installed)
            except KeyboardInterrupt as late:
                # Held back while the end was recorded: its traceback would show nothing but our own lines.
                if error is None:
                    mark_reported(late)
                raise


class _Entry:
    def __init__(self, session: Any, token: Any, installed: Entered | None, cancel: _Cancel | None) -> None:
        self.session = session
        self.token = token
        self.installed = installed
        self.cancel = cancel


class _Cancel:
    """Leaves an `async with` block on a signal: the task is cancelled, because a loop cannot be raised through."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._is_cancelled = self._is_over = False
        asyncio = sys.modules.get("asyncio")
        self._task = asyncio.current_task() if asyncio is not None and _loop_runs() else None
        self._loop = self._task.get_loop() if self._task is not None else None

    def __call__(self, number: int, cancelled: set[object]) -> bool:
        """Cancel the task, in place of raising, unless it is among `cancelled`; returns whether there is one."""
        if self._task is None or self._loop is None or self._task.done():
            return False
        self._number = number
        if self._task not in cancelled:
            cancelled.add(self._task)
            self._loop.call_soon_threadsafe(self._cancel)
        return True

    def _cancel(self) -> None:
        if not self._is_over and self._task is not None:
            self._is_cancelled = self._task.cancel()

    def raise_stop(self, error: BaseException | None) -> None:
        """Turn the cancellation back into what a signal does to a program."""
        self._is_over = True
        if self._number is None or not (error is None or isinstance(error, sys.modules["asyncio"].CancelledError)):
            return
        if self._task is not None and self._is_cancelled:
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
