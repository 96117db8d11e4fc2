"""
`@checkpointed`: makes a function a step.  Light to import; the step itself is made by `_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


@overload
def checkpointed(function: F, /) -> F: ...


@overload
def checkpointed(
    *,
    name: str | None = None,
    version: object = None,
    key: Callable[..., object] | None = None,
    ignore: Collection[str] = (),
    critical: bool = False,
) -> Callable[[F], F]: ...


def checkpointed(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    version: object = None,
    key: Callable[..., object] | None = None,
    ignore: Collection[str] = (),
    critical: bool = False,
) -> Any:
    """
    Make a function a step: inside a workflow its result is saved, and a rerun returns it instead of running.

    Works on functions, methods, class methods, static methods and `async def`; signature, docstring and types
    stay.  Outside every workflow the function just runs.  When a call returns, its result is on the disk; a
    call that raised, or was cut short, runs again in the next session, from its start.

    A call is recognised by what it is, never by its position: the step's name, its arguments, and for equal
    calls how many there were before.  Arguments left at their default do not count, so that a new parameter
    keeps old results.

    Args:
        function: The function; given when the decorator is used bare.
        name: Name of the step in the journal; by default the module's and the function's own.  Keep it
            when the function is renamed or moved, and its results are found again.
        version: Any value that belongs to the call's identity.  Another one makes every call a new one; editing
            the function's code alone does not.
        key: A function of the step's arguments; what it returns identifies the call in place of the arguments.
        ignore: Names of parameters that do not identify the call, such as a client or a logger; they are
            neither fingerprinted nor shown.
        critical: Whether Ctrl-C and SIGTERM wait for the step to end and be recorded; a second signal cuts it.
            The beginning of the step is on the disk before it runs.  Start child processes in it with
            `start_new_session=True`: the terminal sends Ctrl-C to them too.

    Returns:
        The step, which is called like the function.

    Raises:
        UsageError: It is not a function whose result can be saved, such as a generator function or a class.
    """

    def decorate(wrapped: Any) -> Any:
        from checkpoint._step import make_step

        return make_step(wrapped, name=name, version=version, key=key, ignore=ignore, critical=critical)

    return decorate if function is None else decorate(function)
