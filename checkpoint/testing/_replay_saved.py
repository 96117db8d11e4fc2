"""
Which saved call a call of today's program may once have been, and what sets the two apart.

Pure: works on the records of a run and on calls as they are made.  It must never take a call for kept; that is the
library's own decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from checkpoint._core.fingerprint import digest
from checkpoint._core.progress import Progress
from checkpoint._core.records import RUN_KEY
from checkpoint._runtime.attempt import Attempt


@dataclass(frozen=True, slots=True)
class SavedCall:
    """
    A completed call of the run.

    Attributes:
        key: What identifies it.
        step: Name of its step.
        call: The call as a person would write it.
        scope: Key of the call that enclosed it, or `run`.
        arguments: Digests of its arguments, by name; none if the step had a `key=`.
        code: Digest of the step's code.
    """

    key: str
    step: str
    call: str
    scope: str
    arguments: dict[str, str]
    code: str


class AskedCall:
    """
    A call of today's program, as far as it is compared with saved ones.

    Attributes:
        call: The call as a person would write it.
        step: Name of its step.
        key: What identifies it.
        arguments: Digests of its arguments, by name.
        texts: What the digests are of, for arguments that are not at their default.
        has_key: Whether the step has a `key=`.
    """

    __slots__ = ("arguments", "call", "has_key", "key", "step", "texts")

    def __init__(self, attempt: Attempt) -> None:
        found = attempt.fingerprint
        self.call = attempt.show()
        self.step = attempt.definition.name
        self.key = attempt.key
        self.has_key = found is None
        self.arguments: dict[str, str] = {} if found is None else found.digests
        self.texts: dict[str, str] = {} if found is None else found.texts

    def differences(self, saved: SavedCall) -> list[str]:
        """Return how the arguments of the two differ, one clause each; parameters at their default are not new."""
        if self.has_key:
            return ["key= was given to the step"] if saved.arguments else ["what key= returns differs"]
        if self.texts and not saved.arguments:
            return ["the step had a key= or no arguments then"]
        now, then = self.arguments, saved.arguments
        found = [f"argument {name!r} differs" for name in now if name in then and now[name] != then[name]]
        new = [name for name in now if name not in then and name in self.texts]
        for name in then:
            if name in now:
                continue
            renamed = next((other for other in new if self._digest_as(other, name) == then[name]), None)
            if renamed is None:
                found.append(f"parameter {name!r} is gone")
            else:
                new.remove(renamed)
                found.append(f"parameter {name!r} is called {renamed!r} now")
        return found + [f"parameter {name!r} is new, and not at its default" for name in new]

    def _digest_as(self, name: str, other: str) -> str:
        """Return the digest that an argument would have if its parameter had another name."""
        return digest(f"{other}={self.texts[name].partition('=')[2]}")[:8]


class SavedCalls:
    """
    The completed calls of a run.

    Attributes:
        calls: By key, in the order in which they were first begun.
    """

    def __init__(self, progress: Progress) -> None:
        records = progress.started(progress.completed.keys() | progress.tries.keys())
        self._scopes: dict[str, str] = {record["key"]: record.get("scope", RUN_KEY) for record in records}
        self.calls: dict[str, SavedCall] = {
            record["key"]: SavedCall(
                key=record["key"],
                step=record["step"],
                call=record["call"],
                scope=self._scopes[record["key"]],
                arguments=record.get("arguments", {}),
                code=record.get("code", ""),
            )
            for record in records
            if record["key"].encode() in progress.completed
        }

    def find(self, asked: AskedCall, taken: set[str], steps: Iterable[str]) -> SavedCall | None:
        """
        Return the saved call that `asked`, which is not kept, most probably was.

        That is the one of the same step whose arguments differ least, the earlier of two; or one of a step that may
        have been renamed since.

        Args:
            asked: A call of a step that the run encloses directly.
            taken: Keys of calls that are not to be returned.
            steps: Names of the steps that today's program has called.
        """
        free = [saved for saved in self.calls.values() if saved.key not in taken and not self._is_within(saved, taken)]
        same = [saved for saved in free if saved.step == asked.step]
        if same:
            return min(same, key=lambda saved: (saved.scope != RUN_KEY, len(asked.differences(saved))))
        known = set(steps)
        others = [saved for saved in free if saved.scope == RUN_KEY]
        for position, saved in enumerate(others):
            if saved.step in known or saved.arguments.keys() != asked.arguments.keys():
                continue
            # Without arguments there is nothing to recognise it by but its place, or what was left of its name.
            is_like = bool(saved.arguments) or not position or _tail(saved.step) == _tail(asked.step)
            if is_like and saved.arguments == asked.arguments:
                return saved
        return None

    def reason(self, asked: AskedCall, saved: SavedCall) -> str:
        """Say why `saved` is not found by `asked`."""
        parts = asked.differences(saved)
        if saved.step != asked.step:
            name = f"@checkpointed(name={saved.step!r})"
            parts.insert(0, f"step {saved.step!r} is called no more; if it was renamed, keep its name: {name}")
        if saved.scope != RUN_KEY:
            outer = self.calls.get(saved.scope)
            parts.append(f"it was called inside {outer.call if outer else 'another step'} then")
        if not parts and saved.key.partition(".")[0] == asked.key.partition(".")[0]:
            parts.append("it is another one of equal calls")
        return "; ".join(parts) or "version= differs, or an argument is at its default in only one of the two"

    def unused(self, taken: set[str]) -> list[SavedCall]:
        """Return the outermost calls that are not in `taken`, nor made by one that is."""
        return [
            saved
            for saved in self.calls.values()
            if saved.key not in taken and not self._is_within(saved, taken | self.calls.keys())
        ]

    def _is_within(self, saved: SavedCall, keys: set[str]) -> bool:
        scope = saved.scope
        while scope != RUN_KEY:
            if scope in keys:
                return True
            scope = self._scopes.get(scope, RUN_KEY)
        return False


def _tail(step: str) -> str:
    return step.rpartition(":")[2]
