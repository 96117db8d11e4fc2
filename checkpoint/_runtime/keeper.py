"""
Keeps the user's state and the journal in step: what to save of it, when to take changes back.

Not locked: the session calls it under its own lock.  `_core.stretches` holds the rule this carries out.
"""

from __future__ import annotations

import json
from typing import Protocol

from checkpoint._core import changes, stretches
from checkpoint._core.progress import SavedState, differing_fields
from checkpoint._core.records import RUN_KEY, Tree
from checkpoint._core.state_memory import Slot
from checkpoint.errors import StateError

# Below this many bytes a whole copy is never due: it would cost more than reading the changes.
_WHOLE_COPY_FLOOR = 4096


# On entry the state is as last saved, also if that was in the middle of the run's first stretch.
_ENTERED_RUN = stretches.entered(RUN_KEY)


class Codec(Protocol):
    """What turns the state into a tree and back; see `_core.state_tree.StateCodec`."""

    def encode(self, state: object, slot: Slot) -> Tree:
        """Return a tree that shares nothing mutable with `state`; unchanged parts are the same as the last time."""

    def restore(
        self, state: object, tree: Tree, notes: list[str], *, was: Tree = None, slot: Slot | None = None
    ) -> None:
        """Make `state` equal to `tree`, in place; `was` is its tree as of now, so that only what differs is touched."""


class History(Protocol):
    """What knows the journal; see `_core.progress.Progress`."""

    def contained(self) -> stretches.Contained:
        """Return the stretches that the saved state contains."""
        ...

    def changed_fields(self, names: tuple[str, ...]) -> frozenset[str] | None:
        """Return the fields of the state that were changed in these stretches, or None if that is not known."""
        ...


class Keeper:
    """
    The state of one run, in one session.

    Args:
        state: The user's object, already equal to `saved.tree`.
        codec: Reads and restores it.
        saved: What the journal has, or None for a run without records.
        history: Knows the stretches that the journal's state contains.

    Attributes:
        is_over: Whether the run has finished, so that whatever a stretch changes is in the saved state already: also
            after a step that had failed, and is refused now.
    """

    def __init__(self, state: object, codec: Codec, saved: SavedState | None, history: History) -> None:
        self.state = state
        self.is_over = False
        self._codec = codec
        self._stretches = stretches.Stretches(history.contained, saved.partial if saved else ())
        self._history = history
        self._memory = Slot()
        self._baseline = codec.encode(state, self._memory)
        self._saved: Tree = saved.tree if saved else None
        # What the state was when the stretch began that was caught in the middle, when a step last began or ended, and
        # when the stretch was caught.
        self._base: Tree = saved.base if saved else None
        self._settled: Tree = self._saved
        self._caught: Tree = self._saved
        self._half = dict(saved.half) if saved else {}
        self._changed = False
        self._has_whole = saved is not None
        self._whole_size = len(_dump(self._saved)) if saved else 0
        self._changes_size = 0

    @property
    def saved_tree(self) -> Tree:
        """The state as the journal has it; not to be changed."""
        return self._saved

    def end_stretch(self, ender: str) -> None:
        """End the stretch that runs now, by call `ender`; drop its changes if the saved state has them already."""
        if not self._stretches.current:
            return
        if self.is_over or self._stretches.is_replay(ender):
            self._restore(self._baseline)
            self._stretches.discard()
            return
        self._end()

    def end_body(self, key: str) -> None:
        """
        End the stretch that runs now, by the end of the body of call `key`, or of the run.

        The same stretch may have been ended by a call before, if the list that the program loops over has become
        shorter: then what follows the loop runs in it too, and only fields that it changed before are taken back.
        """
        current = self._stretches.current
        if current and self._stretches.is_replay(key):
            tree = self._codec.encode(self.state, self._memory)
            self._restore(_with_fields_of(self._baseline, tree, self._history.changed_fields(current)))
        if current:
            self._end()

    def _end(self) -> None:
        tree = self._codec.encode(self.state, self._memory)
        rest = self._without_half(tree)
        if rest is not tree:
            self._restore(rest)
        elif self._stretches.has_partial() and not changes.equal(self._baseline, tree):
            self._give_up_going_back()
        self._baseline = rest
        self._stretches.end()

    def reopen(self) -> None:
        """Go on with the stretch that ended last: the call that was to end it did not come about."""
        self._stretches.reopen()

    def _without_half(self, tree: Tree) -> Tree:
        for name in self._stretches.current if self._half else ():
            if name in self._half:
                tree = _with_fields_of(self._baseline, tree, self._half[name])
        return tree

    def _give_up_going_back(self) -> None:
        # What has changed since would be lost.
        fields = differing_fields(self._base, self._caught)
        self._half.update({name: fields for name in self._stretches.take_partial() if name != _ENTERED_RUN})

    def pass_kept(self, key: str, *, is_aside: bool) -> None:
        """
        End the stretch that runs now, by a call whose saved result is handed out; begin the stretch after it.

        `is_aside` says that another thread or task makes the call than the one whose calls have an order.
        """
        is_new, before = is_aside and self._stretches.is_new(), self._baseline
        self.end_stretch(key)
        self.begin_kept(key, in_place_of_new=is_new and changes.equal(before, self._baseline))

    def begin_kept(self, key: str, *, in_place_of_new: bool = False) -> None:
        """Begin the stretch after a call whose saved result is handed out; see `Stretches.begin`."""
        name = stretches.after(key)
        if self._stretches.is_partial(name):
            self._go_back()
        self._stretches.begin(name, in_place_of_new=in_place_of_new)

    def begin_body(self, key: str, nth: int) -> None:
        """Prepare for the body of a call, before its `started` record; `nth` counts its tries in this session."""
        cut = stretches.after_failure(key, nth)
        if self._stretches.is_partial(stretches.entered(key)) or self._stretches.is_partial(cut):
            self._go_back()

    def enter_body(self, key: str) -> None:
        """Begin the stretch that begins with the body of a call."""
        self._stretches.begin(stretches.entered(key))

    def begin_after_failure(self, key: str, nth: int) -> None:
        """Take back what the body changed since a step last began or ended; begin the stretch after the failure."""
        self._restore(self._settled)
        self._baseline = self._settled
        self._stretches.forget_ended()
        self._stretches.begin(stretches.after_failure(key, nth))

    def join(self, key: str, nth: int | None = None) -> None:
        """Note the end of a call for the name of the stretch that follows; `nth` says that it raised."""
        self._stretches.join(stretches.after(key) if nth is None else stretches.after_failure(key, nth))

    def begin_joined(self) -> None:
        """Begin the stretch that follows a call that completed, or several that overlapped."""
        self._stretches.begin_joined()

    def suspend(self) -> None:
        """End the stretch that runs now because calls overlap from here: nothing is dropped until they are over."""
        if self._stretches.current:
            self._end()

    def fields(self, *, overlapping: bool = False) -> tuple[str, Tree]:
        """
        Say what a record must hold to save the state as it was when the last stretch ended.

        Returns:
            JSON text of the members, each followed by a comma, and the tree to hand to `saved` once written.
        """
        if overlapping:
            self._baseline = self._codec.encode(self.state, self._memory)
        names = self._stretches.ended
        text = f'"stretches":{_dump(list(names))},' if names else ""
        return text + self._state_field(self._baseline, may_be_whole=True), self._baseline

    def failure_fields(self) -> tuple[str, Tree]:
        """Say what a record must hold to take back what `run.save()` has saved of a body that raised."""
        return self._state_field(self._baseline, may_be_whole=True), self._baseline

    def partial_fields(self) -> tuple[str, Tree]:
        """Say what a record must hold to save the state in the middle of the stretch that runs now."""
        if self._stretches.is_replay():
            # The changes so far are in the saved state already: saving them would apply them twice.
            return "", self._saved
        tree = self._without_half(self._codec.encode(self.state, self._memory))
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
        if self._changed and self._stretches.has_partial():
            self._give_up_going_back()
        for name in self._stretches.ended if self._half else ():
            self._half.pop(name, None)
        self._stretches.saved(key)
        self._saved = self._settled = tree
        if not self._stretches.has_partial():
            self._base = tree

    def saved_partly(self, tree: Tree) -> None:
        """Note that a record with `partial_fields()` is in the journal."""
        self._saved = tree

    def take_back_replay(self) -> None:
        """Take back what a replayed stretch changed, before the session ends in the middle of it."""
        if self.is_over or self._stretches.is_replay():
            self._restore(self._baseline)
            self._stretches.discard()

    def _go_back(self) -> None:
        self._restore(self._base)
        self._baseline = self._base
        self._stretches.take_partial()

    def _restore(self, tree: Tree) -> None:
        try:
            was = self._codec.encode(self.state, self._memory)
        except StateError:
            self._codec.restore(self.state, tree, [])  # what cannot be saved is taken back like every other change
            return
        if was is not tree:
            self._codec.restore(self.state, tree, [], was=was, slot=self._memory)

    def _state_field(self, tree: Tree, *, may_be_whole: bool) -> str:
        text = self._state_text(tree, may_be_whole=may_be_whole)
        self._changed = bool(text)
        return text

    def _state_text(self, tree: Tree, *, may_be_whole: bool) -> str:
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


def _with_fields_of(old: Tree, new: Tree, names: frozenset[str] | None) -> Tree:
    """Return `new` with these fields as they were in `old`; all of them, for None."""
    if names is None or not isinstance(old, dict) or not isinstance(new, dict):
        return old
    kept = {
        name: old[name] if name in names else tree for name, tree in new.items() if name in old or name not in names
    }
    return {**kept, **{name: old[name] for name in old if name in names and name not in kept}}


_dump = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False).encode
