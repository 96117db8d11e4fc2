"""
One crash at a place that the test names: what `checkpoint_crash` offers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from checkpoint._step import BoundStep, Step
from checkpoint.errors import StoreError, UsageError
from checkpoint.testing._child import run_in_child
from checkpoint.testing._faults import How, Point, check_how, comes_from, is_aftermath, is_of_testing
from checkpoint.testing._life import Life
from checkpoint.testing._seams import Boundary

if TYPE_CHECKING:
    from checkpoint._runtime.attempt import Attempt

# All arguments of a call in order, or some of them by name.
Arguments: TypeAlias = "tuple[object, ...] | Mapping[str, object]"

# How many calls a message lists.
_LISTED = 8


class Crashes:
    """
    Crashes at places you name; what the fixture `checkpoint_crash` gives.

    Each method takes the step, by its name or as the function itself; `nth`, which of its calls in the block, from 1,
    counting only those that are not kept; or `args`, the arguments of the call that is meant: a tuple of all of them,
    or a dict of some by name.  It returns a block to run the workflow in, once:

        with crashes.after("align", 3):
            align_all(repository)

    What the crash raises is swallowed at the end of the block; that it never came is an AssertionError.

    `how` says what happens there:
        "crash": the process is gone, as after `kill -9`: a BaseException leaves your code, and the store is dead.
        "SIGINT", "SIGTERM": this process is sent the signal, and the run is stopped in order.
        "SIGKILL": a real one, in a forked child: use `.run(function, …)` instead of `with`.
        "torn": the process dies in the middle of its next write.
        "unsynced": the power goes off: what was not flushed to the disk is lost.  "unsynced-half" and
            "unsynced-zeros": half of it is there, or zeros in its place.
        "full": from here on the disk is full.  "io": the next flush to the disk fails.
        an exception: it is raised there, as by the step itself.
    """

    def before(self, step: object, nth: int = 1, *, args: Arguments | None = None, how: How = "crash") -> CrashBlock:
        """Crash when the call is made; nothing of it is recorded."""
        return CrashBlock("before", step, nth, args, how)

    def inside(self, step: object, nth: int = 1, *, args: Arguments | None = None, how: How = "crash") -> CrashBlock:
        """Crash at the beginning of the step's body: it is recorded as started."""
        return CrashBlock("inside", step, nth, args, how)

    def saving(self, step: object, nth: int = 1, *, args: Arguments | None = None, how: How = "crash") -> CrashBlock:
        """Crash when the body has returned and its result is not saved yet: what it did is done, and nobody knows."""
        return CrashBlock("saving", step, nth, args, how)

    def after(self, step: object, nth: int = 1, *, args: Arguments | None = None, how: How = "crash") -> CrashBlock:
        """Crash when the result is saved durably, just before it is handed back."""
        return CrashBlock("after", step, nth, args, how)


class CrashBlock:
    """
    A block in which one crash happens; use it once.

    Attributes:
        fired: Where it happened, or None.
        error: What left the block, or None if the program dealt with it or was killed.
    """

    def __init__(self, place: Boundary, step: object, nth: int, args: Arguments | None, how: How) -> None:
        check_how(how)
        _check_call(step, nth, args)
        self.fired: Point | None = None
        self.error: BaseException | None = None
        self._place = place
        self._step = step
        self._nth = nth
        self._args = args
        self._how = how
        self._seen: list[str] = []
        self._others: dict[str, None] = {}
        self._fitting = 0
        self._misfit: UsageError | None = None
        self._stack = ExitStack()
        self._life: Life | None = None

    def __repr__(self) -> str:
        happened = f"happened at point {self.fired}" if self.fired else "did not happen yet"
        return f"<crash {self._place} {_name(self._step)}, {self._how!r}, {happened}>"

    def __enter__(self) -> CrashBlock:
        if self._how == "SIGKILL":
            raise UsageError(
                "how='SIGKILL' kills a process, and a `with` block cannot run in another one. Write "
                f"crash.{self._place}(…, how='SIGKILL').run(function, *arguments).",
                slug="crash-needs-run",
                value=self._how,
            )
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        assert self._life is not None
        self._stack.close()
        self.fired, self.error = self._life.fired, error
        if self.fired is None:
            if error is not None:
                return False
            raise self._misfit or AssertionError(self._never_came())
        return error is not None and self._belongs(error, self._life)

    def run(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> CrashBlock:
        """
        Call the function in the block; a coroutine is run with asyncio.

        With `how="SIGKILL"` it is called in a forked child, which shares files with this process and no memory.
        """
        __tracebackhide__ = True
        call = functools.partial(finish, function, *arguments, **keywords)
        if self._how != "SIGKILL":
            with self:
                call()
            return self

        def live(send: Callable[[object], object]) -> None:
            self._begin(lambda: send((self._life and self._life.fired, self._seen)))
            call()
            send((None, self._seen))

        ended = run_in_child(live)
        self.fired, self._seen = ended.said or (None, [])
        if ended.failure:
            raise AssertionError(f"the function failed before it could be killed:\n{ended.failure}")
        if self.fired is None and ended.status:
            raise AssertionError(f"the process ended with status {ended.status} before it could be killed")
        if self.fired is None:
            raise AssertionError(self._never_came())
        return self

    def _begin(self, last_words: Callable[[], object] | None = None) -> None:
        if self._life is not None:
            raise UsageError(
                "this crash was used already. Make a new one for each block.", slug="crash-used", value=self
            )
        self._life = Life(self._is_here, self._how, last_words=last_words)
        self._stack.enter_context(self._life.lived())

    def _is_here(self, point: Point, attempt: Attempt | None) -> bool:
        if attempt is None or point.kind != self._place:
            return False
        if not is_step(attempt, self._step):
            self._others[attempt.definition.name] = None
            return False
        self._seen.append(attempt.show())
        if self._args is None:
            return len(self._seen) == self._nth
        try:
            fits = has_arguments(attempt, self._args)
        except Exception as error:
            # Raised at the end of the block: here, the program could take it for its own.
            self._misfit = error if isinstance(error, UsageError) else _misfit(self._args, f"comparing raised {error}")
            return False
        self._fitting += fits
        return fits and self._fitting == self._nth

    def _belongs(self, error: BaseException, life: Life) -> bool:
        """Whether `error` came of the fault, so that the program as such is not to blame."""
        if life.is_dead:
            # What a dead process raises on its way out was never raised; what the test raises was.
            is_the_tests = isinstance(error, KeyboardInterrupt | AssertionError) or is_of_testing(error)
            return is_aftermath(error) and not is_the_tests
        if life.raised is not None:
            return comes_from(error, lambda one: one is life.raised)
        kinds: dict[object, tuple[type[BaseException], ...]] = {
            "SIGINT": (KeyboardInterrupt,),
            "SIGTERM": (SystemExit,),
        }
        return comes_from(error, lambda one: isinstance(one, kinds.get(self._how, (StoreError, OSError))))

    def _never_came(self) -> str:
        wanted = f"call {self._nth}" + (f" with arguments {self._args!r}" if self._args is not None else "")
        came = f"the calls of it were {_listed(self._seen)}." if self._seen else "no call of it came there in the block"
        if not self._seen:
            came += f"; those of {_listed(list(self._others))} did." if self._others else ", nor of any other step."
        return f"the crash {self._place} {wanted} of step {_name(self._step)} never came: {came}"


def finish(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call a function, and run what it returns with asyncio if it is a coroutine."""
    result = function(*arguments, **keywords)
    if inspect.iscoroutine(result):
        import asyncio

        return asyncio.run(result)
    return result


def is_step(attempt: Attempt, step: object) -> bool:
    """Whether the call is one of `step`: the function, its whole name or the end of it."""
    if isinstance(step, Step | BoundStep):
        function = getattr(step, "__wrapped__", None)
        return attempt.definition.function in (function, inspect.unwrap(getattr(function, "__func__", function)))  # type: ignore[arg-type]
    name = attempt.definition.name
    return name == step or name.endswith((f":{step}", f".{step}"))


def has_arguments(attempt: Attempt, args: Arguments) -> bool:
    """
    Whether the call has all of these arguments, or with a dict, these among others.

    Raises:
        UsageError: They cannot be the arguments of this step.
    """
    binder, name = attempt.definition.binder, attempt.definition.name
    if isinstance(args, Mapping):
        bound = dict(zip(binder.parameters, attempt.values, strict=True))
        if unknown := [one for one in args if one not in bound]:
            raise _misfit(args, f"step {name!r} has no parameter {unknown[0]!r}")
        return all(bool(bound[one] == value) for one, value in args.items())
    try:
        wanted = binder.bind(*args)
    except TypeError as error:
        raise _misfit(args, str(error)) from None
    return bool(wanted == attempt.values)


def _misfit(args: Arguments, problem: str) -> UsageError:
    return UsageError(
        f"args={args!r} cannot be the arguments of the call: {problem}. Give a tuple of all of them, beginning with "
        "self if it is a method, or a dict of some by name.",
        slug="crash-place",
        value=args,
    )


def _check_call(step: object, nth: object, args: object) -> None:
    if not isinstance(step, str | Step | BoundStep):
        problem, value = f"{step!r} is no step: give the decorated function, or its name", step
    elif not isinstance(nth, int) or nth < 1:
        problem, value = f"nth={nth!r} is no number from 1 on; arguments are given as args=(…)", nth
    elif args is not None and not isinstance(args, tuple | Mapping):
        problem, value = f"args={args!r} is neither a tuple of all arguments nor a dict of some by name", args
    else:
        return
    raise UsageError(f"{problem}.", slug="crash-place", value=value)


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:_LISTED]) + (", …" if len(texts) > _LISTED else "")


def _name(step: object) -> str:
    return repr(step) if isinstance(step, str) else getattr(step, "__qualname__", repr(step))
