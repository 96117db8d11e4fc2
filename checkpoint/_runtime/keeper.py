"""
Keeps the user's state and the journal in step: what to save of it, when to take changes back.

Not locked: the session calls it under its own lock.  `_core.stretches` holds the rule this carries out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Protocol

from checkpoint._core import changes, stretches
from checkpoint._core.progress import SavedState
from checkpoint._core.records import Tree

# Below this many bytes a whole copy is never due: it would cost more than reading the changes.
_WHOLE_COPY_FLOOR = 4096


class Codec(Protocol):
    """What turns the state into a tree and back; see `_core.state_tree.StateCodec`."""

    def encode(self, state: object) -> Tree:
        """Return a fresh tree that shares nothing mutable with `state`."""

    def restore(self, state: object, tree: Tree, notes: list[str]) -> None:
        """Make `state` equal to `tree`, in place."""


class Keeper:
    """
    The state of one run, in one session.

    Args:
        state: The user's object, already equal to `saved.tree`.
        codec: Reads and restores it.
        saved: What the journal has, or None for a run without records.
        contained: Yields the stretches that the journal's state contains.
    """

    def __init__(
        self, state: object, codec: Codec, saved: SavedState | None, contained: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        self.state = state
        self._codec = codec
        self._stretches = stretches.Stretches(contained, saved.partial if saved else ())
        self._baseline = codec.encode(state)
        self._saved: Tree = saved.tree if saved else None
        self._base: Tree = saved.base if saved else None
        self._has_whole = saved is not None
        self._whole_size = len(_dump(self._saved)) if saved else 0
        self._changes_size = 0

    @property
    def saved_tree(self) -> Tree:
        """The state as the journal has it; not to be changed."""
        return self._saved

    def end_stretch(self, ender: str | None) -> None:
        """
        End the stretch that runs now.

        Args:
            ender: Key of the call that begins: what the stretch changed is taken back if the saved state has it
                already.  None at the end of a body or of the run: nothing is taken back.
        """
        if not self._stretches.current:
            return
        if ender is not None and self._stretches.is_replay(ender):
            self._restore(self._baseline)
            self._stretches.discard()
            return
        tree = self._codec.encode(self.state)
        self._baseline = tree
        self._stretches.end()

    def begin_kept(self, key: str) -> None:
        """Begin the stretch after a call whose saved result is handed out."""
        name = stretches.after(key)
        if self._stretches.is_partial(name):
            self._go_back()
        self._stretches.begin(name)

    def begin_body(self, key: str, nth: int) -> None:
        """Prepare for the body of a call, before its `started` record; `nth` counts its tries in this session."""
        cut = stretches.after_failure(key, nth)
        if self._stretches.is_partial(stretches.entered(key)) or self._stretches.is_partial(cut):
            self._go_back()

    def enter_body(self, key: str) -> None:
        """Begin the stretch that begins with the body of a call."""
        self._stretches.begin(stretches.entered(key))

    def begin_after(self, key: str) -> None:
        """Begin the stretch after a call that completed."""
        self._stretches.begin(stretches.after(key))

    def begin_after_failure(self, key: str, nth: int) -> None:
        """Take back what the body changed since the last save, and begin the stretch after the failure."""
        self._restore(self._saved)
        self._baseline = self._saved
        self._stretches.discard()
        self._stretches.begin(stretches.after_failure(key, nth))

    def join(self, key: str, nth: int | None = None) -> None:
        """Note the end of an overlapping call; `nth` says that it raised."""
        self._stretches.join(stretches.after(key) if nth is None else stretches.after_failure(key, nth))

    def begin_joined(self) -> None:
        """Begin the stretch that follows overlapping calls."""
        self._stretches.begin_joined()

    def suspend(self) -> None:
        """End the stretch that runs now because calls overlap from here: nothing is dropped until they are over."""
        if self._stretches.current:
            self.end_stretch(None)

    def fields(self, *, overlapping: bool = False) -> tuple[str, Tree]:
        """
        Say what a record must hold to save the state as it was when the last stretch ended.

        Returns:
            JSON text of the members, each followed by a comma, and the tree to hand to `saved` once written.
        """
        if overlapping:
            self._baseline = self._codec.encode(self.state)
        names = self._stretches.ended
        text = f'"stretches":{_dump(list(names))},' if names else ""
        return text + self._state_field(self._baseline, may_be_whole=True), self._baseline

    def partial_fields(self) -> tuple[str, Tree]:
        """Say what a record must hold to save the state in the middle of the stretch that runs now."""
        if self._stretches.is_replay():
            # The changes so far are in the saved state already: saving them would apply them twice.
            return "", self._saved
        tree = self._codec.encode(self.state)
        field = self._state_field(tree, may_be_whole=False)
        ended = self._stretches.ended
        if not field and not ended:
            return "", self._saved
        # Stretches that ended without a save since are as unfinished as the one that runs: all are gone
        # back on together.
        names = [*ended, *self._stretches.current]
        return (f'"partial":{_dump(names)},' if names else "") + field, tree

    def saved(self, tree: Tree, key: str) -> None:
        """Note that a record of call `key` with `fields()` is in the journal."""
        self._saved = tree
        self._stretches.saved(key)

    def saved_partly(self, tree: Tree) -> None:
        """Note that a record with `partial_fields()` is in the journal."""
        self._saved = tree

    def take_back_replay(self) -> None:
        """Take back what a replayed stretch changed, before the session ends in the middle of it."""
        if self._stretches.is_replay():
            self._restore(self._baseline)
            self._stretches.discard()

    def _go_back(self) -> None:
        self._restore(self._base)
        self._baseline = self._base
        self._stretches.forget_partial()

    def _restore(self, tree: Tree) -> None:
        if changes.diff(self._codec.encode(self.state), tree) is not None:
            self._codec.restore(self.state, tree, [])

    def _state_field(self, tree: Tree, *, may_be_whole: bool) -> str:
        if self._has_whole:
            if tree is self._saved:
                return ""
            found = changes.diff(self._saved, tree)
            if found is None:
                return ""
            text = _dump(found)
            self._changes_size += len(text)
            if not may_be_whole or self._changes_size < max(self._whole_size, _WHOLE_COPY_FLOOR):
                return f'"state":{{"changes":{text}}},'
        text = _dump(tree)
        self._has_whole, self._whole_size, self._changes_size = True, len(text), 0
        return f'"state":{{"whole":{text}}},'


_dump = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False).encode
