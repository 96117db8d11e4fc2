"""
What can go wrong, one class per thing a caller can do about it.

Every error is a `CheckpointError`.  Its message says what could not be done, with which value, and what
to do next; the facts are attributes.  `slug` names the paragraph of `docs/messages.md` that explains it.
This module must never import anything of the package.
"""

from __future__ import annotations

from typing import Any


class CheckpointError(Exception):
    """
    Base class of every error this library raises.

    Attributes:
        slug: Name of the message's paragraph in `docs/messages.md`.
        facts: What the message speaks of, by name; each is an attribute too.
    """

    slug: str = "checkpoint-error"

    def __init__(self, message: str, /, *, slug: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts
        for name, fact in facts.items():
            setattr(self, name, fact)
        if slug is not None:
            self.slug = slug

    def __reduce__(self) -> tuple[Any, ...]:
        # A process pool sends errors through pickle: arguments that are keyword-only would be lost, and the
        # user's own object may be the very thing that cannot be pickled.
        facts = {name: fact for name, fact in self.facts.items() if name not in ("value", "culprit")}
        return _rebuild, (type(self), self.args[0], self.slug, facts)


def _rebuild(cls: type[CheckpointError], message: str, slug: str, facts: dict[str, Any]) -> CheckpointError:
    return cls(message, slug=slug, **facts)


class UsageError(CheckpointError):
    """
    The library was called in a way that cannot work: change the program.

    Attributes:
        value: What was given.
    """

    slug = "usage"
    value: object


class FingerprintError(CheckpointError):
    """
    An argument has no lasting value, so that a rerun could not recognise the call.

    Attributes:
        step: Name of the step.
        argument: Name of the parameter.
        path: Where inside the argument the culprit sits, as in `client.session.lock`.
        culprit: The object that has no lasting value.
    """

    slug = "no-lasting-value"
    step: str
    argument: str
    path: str
    culprit: object


class UnsavableError(CheckpointError):
    """
    A step returned a value that cannot be saved; the step has run, and is not recorded as completed.

    Attributes:
        call: The call as a person would write it.
        path: Where inside the value the culprit sits, as in `result['conn']`.
        value: The value the step returned, so that the work is not lost.
    """

    slug = "unsavable-result"
    call: str
    path: str
    value: object


class UnloadableError(CheckpointError):
    """
    A saved value cannot be loaded by this program: a class was renamed or moved, or Python differs.

    Attributes:
        call: The call as a person would write it.
        reason: Why it cannot be loaded.
    """

    slug = "unloadable-result"
    call: str
    reason: str


class UntrustedError(CheckpointError):
    """
    A saved value would run code when loaded, and nothing proves that this user wrote it.

    Attributes:
        path: The file or directory that is not trusted.
        reason: Why not.
    """

    slug = "untrusted"
    path: str
    reason: str


class StateError(CheckpointError):
    """
    The state cannot be saved, or what was saved does not fit the state's class.

    Attributes:
        path: Where in the state, as in `state.items[3].price`.
        reason: What is wrong there.
    """

    slug = "state"
    path: str
    reason: str


class RunInUseError(CheckpointError):
    """
    Another live process works on the run; a program that is left by this error exits with status 75.

    Attributes:
        workflow: Name of the workflow.
        run: Id of the run.
        owner: What the owner said of itself: `pid`, `host`, `command`, `since`.
    """

    slug = "run-in-use"
    workflow: str
    run: str
    owner: dict[str, Any]


class RunClosedError(CheckpointError):
    """
    A step or the run's object was used after its `with` block was left, or in a forked child.

    Attributes:
        run: Id of the run.
    """

    slug = "run-closed"
    run: str


class StoreError(CheckpointError):
    """
    The place where runs are kept cannot be used: it cannot be written, read or trusted.

    Attributes:
        path: The file or directory.
    """

    slug = "store"
    path: str


class SaveError(StoreError):
    """
    A record or a value could not be made durable; what was saved before is safe.

    Attributes:
        path: The file.
        errno: The operating system's error number, or None.
    """

    slug = "not-saved"
    errno: int | None


class DamagedRunError(StoreError):
    """
    The saved files of a run are damaged, incomplete or foreign; nothing was changed and nothing was run.

    Attributes:
        path: The file.
        line: Number of the first bad line, from 1, or None.
        byte: Offset of its first byte, or None.
        reason: What is wrong with it.
    """

    slug = "damaged-run"
    line: int | None
    byte: int | None
    reason: str


class NewerFormatError(StoreError):
    """
    The run was written by a newer version of this library: upgrade to continue it.

    Attributes:
        path: The file.
        format: Version of the format found in it.
    """

    slug = "newer-format"
    format: object
