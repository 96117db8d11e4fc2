"""
`Step`: a function whose calls are journaled while a workflow is open.  Knows nothing of files or states.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import wrapt

from checkpoint._core import code, fingerprint
from checkpoint._core.binding import Binder
from checkpoint._runtime import scope as scopes
from checkpoint._runtime.attempt import Attempt, Definition
from checkpoint._runtime.signals import calls_user_code
from checkpoint.errors import FingerprintError, UsageError


class BoundStep(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # only its stubs are generic
    """A step taken from an instance or a class: `task.align`."""

    @property  # type: ignore[misc]  # a proxy's class is read through a property, as in wrapt itself
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]  # see Step
        return BoundStep

    def __reduce_ex__(self, protocol: Any) -> Any:
        function = self.__wrapped__
        owner = self._self_instance
        if owner is None:  # taken from the class: a class method knows it, others have it in their name
            owner = getattr(function, "__self__", None)
        if owner is None:
            owner = _look_up(function.__module__, function.__qualname__.rpartition(".")[0])
        if owner is None:
            return self._self_parent.__reduce_ex__(protocol)
        return getattr, (owner, function.__name__)


class Step(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # as above
    """
    A function made a step by `@checkpointed`; called like the function.

    Pickled by reference, so that it can be handed to a process pool: in the worker, where no workflow is
    open, it just runs.
    """

    __bound_function_wrapper__ = BoundStep

    def __init__(self, wrapped: Any, definition: Definition, options: dict[str, Any]) -> None:
        drive = _drive_async if inspect.iscoroutinefunction(definition.function) else _drive

        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            scope = scopes.find_scope()
            if scope is None:
                return wrapped(*args, **kwargs)
            bound = args if instance is None else (instance, *args)
            return drive(scope, definition, bound, kwargs, wrapped, args)

        calls_user_code(wrapper)
        super().__init__(wrapped, wrapper)
        self._self_options = options
        self._self_definition = definition

    @property  # type: ignore[misc]  # a proxy's class is read through a property, as in wrapt itself
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Step

    def __reduce_ex__(self, protocol: Any) -> Any:
        function = self._self_definition.function
        module, name = function.__module__, function.__qualname__
        if "<locals>" not in name and module not in ("__main__", "__mp_main__") and _look_up(module, name) is self:
            return name
        import cloudpickle

        return _restore, (module, name, cloudpickle.dumps(self.__wrapped__), self._self_options)

    def __copy__(self) -> Step:
        return self

    def __deepcopy__(self, memo: object) -> Step:
        return self


def _look_up(module: str, name: str) -> object:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part, None)
    return found.__func__ if isinstance(found, staticmethod) else found


def _restore(module: str, name: str, pickled: bytes, options: dict[str, Any]) -> Any:
    # A spawned worker has the script as `__mp_main__` and must get its own step; a worker of a cluster has
    # nothing by that name, and gets the function that was sent along.
    for candidate in (module, "__main__", "__mp_main__"):
        found = _look_up(candidate, name)
        if isinstance(found, Step):
            return found
    import cloudpickle

    return make_step(cloudpickle.loads(pickled), **options)


def make_step(
    wrapped: Any,
    *,
    name: str | None,
    version: object,
    key: Callable[..., object] | None,
    ignore: Collection[str],
    critical: bool,
) -> Step:
    """Make `wrapped` a step; see `checkpointed` for the options."""
    if isinstance(wrapped, Step):
        raise UsageError(
            f"{wrapped.__qualname__} is a step already: @checkpointed was applied twice. Remove one of the two.",
            slug="not-a-step",
            value=wrapped,
        )
    function = inspect.unwrap(getattr(wrapped, "__func__", wrapped))
    _check_function(wrapped, function)
    step_name = _check_name(name) if name is not None else fingerprint.lasting_name(function)
    _check_key(key, step_name)
    ignored = _check_ignore(ignore, step_name)
    definition = Definition(
        name=step_name,
        version=_version_text(version, step_name),
        key=key,
        critical=critical,
        binder=Binder(function, step=step_name, ignore=ignored),
        code=code.digest(function),
        function=function,
    )
    options = {"name": name, "version": version, "key": key, "ignore": ignored, "critical": critical}
    return Step(wrapped, definition, options)


def _check_name(name: object) -> str:
    if isinstance(name, str) and name.strip():
        return name
    raise UsageError(
        f"@checkpointed(name={name!r}): a step's name is a text that is not empty. Leave name= out for its own.",
        slug="step-name",
        value=name,
    )


def _check_key(key: object, step: str) -> None:
    if key is not None and not callable(key):
        raise UsageError(
            f"@checkpointed(key={key!r}) of step {step!r} is no function. Give a function of the step's arguments, "
            "such as key=lambda order: order.id.",
            slug="step-key",
            value=key,
        )


def _check_ignore(ignore: object, step: str) -> tuple[str, ...]:
    if isinstance(ignore, str):
        return (ignore,)
    if not isinstance(ignore, Collection):
        raise UsageError(
            f"@checkpointed(ignore={ignore!r}) of step {step!r} is no collection of parameters' names. "
            "Give their names, such as ignore=('client',).",
            slug="unknown-ignore",
            value=ignore,
        )
    return tuple(ignore)


def _check_function(wrapped: object, function: object) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        what, cure = (
            "a generator function",
            "its values come one by one and cannot be saved as one result. Return a list",
        )
    elif inspect.isclass(wrapped):
        what, cure = "a class", "an instance is not a result that is computed. Decorate the method that does the work"
    elif isinstance(wrapped, property):
        what, cure = "a property", "it takes no call. Decorate the method that does the work"
    elif not inspect.isfunction(function):
        what, cure = f"a {type(wrapped).__name__}", "only a function written in Python can be one. Wrap it in a def"
    else:
        return
    name = getattr(function, "__qualname__", repr(function))
    raise UsageError(f"{name} is {what}, which cannot be a step: {cure}.", slug="not-a-step", value=wrapped)


def _version_text(version: object, step: str) -> str:
    if version is None:
        return ""
    try:
        return fingerprint.canonical(version)
    except fingerprint.NoLastingValue as problem:
        raise FingerprintError(
            f"@checkpointed(version=…) of step {step!r} has no lasting value: {problem}. Give a number or a text.",
            step=step,
            argument="version",
            path="version",
            culprit=version,
        ) from problem


def _drive(
    scope: scopes.Scope, definition: Definition, bound: tuple[Any, ...], kwargs: dict[str, Any], wrapped: Any, args: Any
) -> Any:
    attempt = Attempt(scope, definition, definition.binder.bind(*bound, **kwargs))
    session = attempt.session
    if session.begin(attempt):
        return attempt.value
    token = scopes.current.set(attempt)
    try:
        value = _run(wrapped, args, kwargs)
        session.complete(attempt, value)
    except BaseException as error:
        session.fail(attempt, error)
        raise
    finally:
        scopes.current.reset(token)
    return value


def _drive_async(
    scope: scopes.Scope, definition: Definition, bound: tuple[Any, ...], kwargs: dict[str, Any], wrapped: Any, args: Any
) -> Awaitable[Any]:
    # Bound now, so that wrong arguments are refused where they are given; claimed when it begins, because a task
    # that is cancelled before that never made the call.
    return _await(scope, definition, definition.binder.bind(*bound, **kwargs), wrapped, args, kwargs)


async def _await(
    scope: scopes.Scope,
    definition: Definition,
    values: tuple[Any, ...],
    wrapped: Any,
    args: Any,
    kwargs: dict[str, Any],
) -> Any:
    attempt = Attempt(scope, definition, values)
    session = attempt.session
    if session.begin(attempt):
        return attempt.value
    token = scopes.current.set(attempt)
    try:
        value = await _run_async(wrapped, args, kwargs)
        session.complete(attempt, value)
    except BaseException as error:
        session.fail(attempt, error)
        raise
    finally:
        scopes.current.reset(token)
    return value


def _run(wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(*args, **kwargs)


async def _run_async(wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return await wrapped(*args, **kwargs)


calls_user_code(_run)
calls_user_code(_run_async)
