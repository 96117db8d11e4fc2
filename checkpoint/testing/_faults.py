"""
What can go wrong at which points: the words of crash tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from checkpoint.errors import UsageError
from checkpoint.testing._disk import Remains

HowName: TypeAlias = Literal[
    "crash", "SIGKILL", "SIGINT", "SIGTERM", "torn", "unsynced", "unsynced-half", "unsynced-zeros", "full", "io"
]
How: TypeAlias = HowName | BaseException | type[BaseException]

HOWS: tuple[str, ...] = get_args(HowName)

_REMAINS: dict[str, Remains] = {"unsynced": "nothing", "unsynced-half": "half", "unsynced-zeros": "zeros"}

# Operations after which something else is on the disk, or would be after a power cut.
CHANGING = frozenset(
    {
        *("create", "write", "write_at", "truncate", "flush", "flush_directory", "replace", "make_directory", "remove"),
        *("remove_directory", "append", "sync", "put", "publish"),
    }
)
WRITING = frozenset({"create", "write", "write_at", "make_directory", "append", "put"})
FLUSHING = frozenset({"flush", "sync"})


class Crash(BaseException):
    """
    The simulated end of a process.

    Not an Exception, so that `except Exception` cannot swallow it.  Until the block that simulates it is left, the
    store is dead: whatever is done with it raises this again.
    """


@dataclass(frozen=True, slots=True)
class Point:
    """
    A place in a life at which it can end.

    Attributes:
        number: Counts the life's points, from 1.
        kind: A boundary of a call, or the name of a store's operation that is about to be performed.
        what: The same for people.
    """

    number: int
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.number}, {self.what}"


def check_how(how: object) -> None:
    """Raise UsageError unless `how` says how a life can end."""
    if isinstance(how, BaseException) or (isinstance(how, str) and how in HOWS):
        return
    if isinstance(how, type) and issubclass(how, BaseException):
        try:
            how("simulated")
        except Exception as error:
            raise UsageError(
                f"how={how.__name__} cannot be raised: {error}. Give an exception that is made already, such as "
                f"how={how.__name__}(…).",
                slug="unknown-fault",
                value=how,
            ) from error
        return
    raise UsageError(
        f"how={how!r} is no way to fail. Give one of {', '.join(HOWS)}, or an exception.",
        slug="unknown-fault",
        value=how,
    )


def remains_of(how: How) -> Remains | None:
    """Return what a power cut leaves of data that was not flushed, or None if the power stays on."""
    return _REMAINS.get(how) if isinstance(how, str) else None


def applies(how: How, kind: str) -> bool:
    """Whether this fault at a point of this kind is another one than at the point before."""
    if how == "torn":
        return kind in ("write", "append")
    if how == "full":
        return kind in WRITING
    if how == "io":
        return kind in FLUSHING
    return kind == "inside" if not isinstance(how, str) else True


def is_of_testing(error: BaseException) -> bool:
    """Whether `error` is how pytest and its plugins end or judge a test, which is no business of the workflow's."""
    outcomes = sys.modules.get("_pytest.outcomes")
    return outcomes is not None and isinstance(error, outcomes.OutcomeException | outcomes.Exit)


def is_aftermath(error: BaseException | None) -> bool:
    """Whether `error` is a simulated crash, or was raised on the way out of one."""
    if isinstance(error, BaseExceptionGroup) and any(is_aftermath(one) for one in error.exceptions):
        return True
    return error is not None and (
        isinstance(error, Crash) or is_aftermath(error.__cause__) or is_aftermath(error.__context__)
    )


def comes_from(error: BaseException | None, cause: Callable[[BaseException], bool]) -> bool:
    """Whether `error`, what it was raised from, or one of the errors of a group is such a `cause`."""
    if error is None:
        return False
    if isinstance(error, BaseExceptionGroup) and any(comes_from(one, cause) for one in error.exceptions):
        return True
    return cause(error) or comes_from(error.__cause__, cause)
