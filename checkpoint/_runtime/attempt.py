"""
One try at a call: what it is, where it is made, and what its records say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote
from typing import TYPE_CHECKING, Any

from checkpoint._core import fingerprint
from checkpoint._runtime import clock
from checkpoint._runtime.scope import Scope

if TYPE_CHECKING:
    from checkpoint._core.binding import Binder, Fingerprint

# Our own frames say nothing of the user's error.
_PACKAGE = __file__.rpartition("_runtime")[0]

# What a journal keeps of an error's message: enough to recognise it, not a dump of somebody's data.
_MESSAGE_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Definition:
    """
    What the runtime knows of a step.

    Attributes:
        name: Module and qualified name, or the user's own; part of every call's key.
        version: Canonical text of `version=`, or "".
        key: The user's own function of the arguments that replaces their fingerprint, or None.
        critical: Whether the first signal waits for the step's end.
        binder: Binds and fingerprints arguments.
        code: Digest of the code, to notice edits.
        function: The user's function.
    """

    name: str
    version: str
    key: Callable[..., object] | None
    critical: bool
    binder: Binder
    code: str
    function: Callable[..., Any]


class Attempt(Scope):
    """
    One try at one call; the scope of the calls that its body makes.

    Attributes:
        definition: The step.
        parent: Where the call is made.
        values: The bound arguments.
        fingerprint: What identifies the call by its arguments, or None if `key=` does.
        identity: Canonical text of what identifies the call.
        identity_s: How long it took to find it.
        digest: Digest of scope, step name, version and identity.
        occurrence: Counts equal calls of the scope.
        number: Which try at this call it is in the whole run, from 1.
        nth: Which try it is in this session, from 1.
        overlapped: Whether another call ran at the same time.
        holds_signals: Whether a signal waits for its end.
        inner: Keys of the calls that its body has completed in this session.
        began_s: When the body began, by the monotonic clock.
        value: The saved result of a kept call.
    """

    __slots__ = (
        "began_s",
        "definition",
        "digest",
        "fingerprint",
        "holds_signals",
        "identity",
        "identity_s",
        "inner",
        "nth",
        "number",
        "occurrence",
        "overlapped",
        "parent",
        "shown",
        "value",
        "values",
    )

    def __init__(self, parent: Scope, definition: Definition, values: tuple[object, ...]) -> None:
        self.definition = definition
        self.parent = parent
        self.values = values
        binder = definition.binder
        began_s = clock.seconds()
        self.fingerprint: Fingerprint | None = None
        if definition.key is None:
            self.fingerprint = binder.fingerprint(values)
            self.identity = self.fingerprint.text
        else:
            self.identity = binder.chosen_identity(values, definition.key)
        self.identity_s = clock.seconds() - began_s
        self.digest = fingerprint.digest(f"{parent.key}\n{definition.name}\n{definition.version}\n{self.identity}")
        self.occurrence = parent.claim(self.digest)
        super().__init__(parent.session, f"{self.digest}.{self.occurrence}", parent.depth + 1)
        self.number = self.nth = 0
        self.overlapped = self.holds_signals = False
        self.began_s = 0.0
        self.inner: list[str] = []
        self.shown = ""
        self.value: object = None

    def show(self) -> str:
        """Return the call as a person would write it."""
        if not self.shown:
            self.shown = self.definition.binder.show(self.values)
        return self.shown

    def is_within(self, other: Scope) -> bool:
        """Whether this call is made, directly or not, by the body of `other`."""
        scope: Scope | None = self.parent
        while isinstance(scope, Attempt):
            if scope is other:
                return True
            scope = scope.parent
        return False

    def started_members(self) -> str:
        """JSON text of what a `started` record says beside its time."""
        definition = self.definition
        scope = "" if self.depth == 1 else f',"scope":"{self.parent.key}"'
        digests = {} if self.fingerprint is None else self.fingerprint.digests
        arguments = ",".join([f'{quote(name)}:"{digest}"' for name, digest in digests.items()])
        return (
            f'"step":{quote(definition.name)},"call":{quote(self.show())}{scope},"attempt":{self.number},'
            f'"arguments":{{{arguments}}},"code":"{definition.code}"'
        )

    def ended_members(self, seconds: float) -> str:
        """JSON text of what every record of the call's end says beside its time."""
        return f'"call":{quote(self.show())},"seconds":{seconds:.6f},"code":"{self.definition.code}"'


def error_members(error: BaseException) -> str:
    """JSON text of what a record says of an error: type, message, frames, but no local variables."""
    import traceback

    kind = type(error)
    try:
        message = str(error)[:_MESSAGE_LIMIT]
    except Exception as broken:  # the user's own __str__ may do anything
        message = f"<no message: str() raised {type(broken).__name__}>"
    frames = [
        quote(f"{frame.filename}:{frame.lineno} in {frame.name}")
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_PACKAGE)
    ]
    name = quote(f"{kind.__module__}.{kind.__qualname__}")
    return f'"error":{{"type":{name},"message":{quote(message)},"traceback":[{",".join(frames)}]}}'
