"""
The state's codec: the user's own object to a JSON tree and back, into that very object.

The state is a dict, or an instance of a dataclass, an attrs class, a pydantic model, a msgspec struct or a
`TypedDict`.  It is saved as a tree, so that the same mutable object in two places of a state comes back as two
equal ones; a state that contains itself is refused.  This module must never lose, coerce or invent a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from checkpoint._core.changes import equal
from checkpoint._core.records import Tree
from checkpoint._core.state_cycle import find_cycle, is_deep
from checkpoint._core.state_families import TypedDictPlan
from checkpoint._core.state_hints import Planner
from checkpoint._core.state_maps import MapPlan
from checkpoint._core.state_memory import Slot
from checkpoint._core.state_objects import ObjectPlan
from checkpoint._core.state_plan import Misfit, Reading, Refusal
from checkpoint._core.state_turning import DoubtError, Turning
from checkpoint._core.tags_words import BadTree, NotTree
from checkpoint.errors import StateError, UsageError

_KINDS = "a dict, a dataclass, an attrs class, a pydantic model, a msgspec Struct or a TypedDict"


class StateCodec:
    """
    Writes and restores the states of one class.

    A codec belongs to one run: it remembers how classes are written.  It may be used from any thread; the caller
    sees to it that a state is not restored while it is encoded.
    """

    def __init__(self, hint: object = dict, *, names: Mapping[str, object] | None = None) -> None:
        """
        Make the codec of a state.

        Args:
            hint: The state's class, an annotation such as `dict[str, int]` or `Box[int]`, or a state, whose
                class is taken.
            names: Resolves annotations that the class's module cannot: the names around a class that was
                made inside a function.

        Raises:
            UsageError: The state would be of no kind that can be saved, or could never change.
        """
        is_hint = isinstance(hint, type) or hasattr(hint, "__origin__")
        self._hint: Any = hint if is_hint else type(hint)
        planner = Planner(names)
        plan = planner.plan(self._hint)
        if not isinstance(plan, (ObjectPlan, TypedDictPlan, MapPlan)) or plan.kind is None:
            raise _wrong_kind(hint)
        if isinstance(plan, MapPlan) and plan.kind is not dict:
            raise _wrong_kind(hint)
        if isinstance(plan, ObjectPlan) and plan.frozen:
            raise UsageError(
                f"The state cannot be {hint!r:.80}: its fields can never change. "
                f"Use a class that is not frozen, or a dict.",
                slug="state-frozen",
                value=hint,
            )
        self._plan = plan

    def encode(self, state: object, slot: Slot | None = None) -> Tree:
        """
        Return a tree of the state, none of whose parts is the state's own.

        Args:
            state: The state, of the codec's class.
            slot: What is remembered of the last time: what did not change gets the same tree as then, which must
                not have been changed.  Without it the tree is a fresh one.

        Raises:
            StateError: Something in it cannot be saved; the message names the path to it.
        """
        if type(state) is not self._plan.kind:
            raise self._replaced(state)
        try:
            return self._plan.encode(state) if slot is None else self._plan.encode_again(state, slot)
        except NotTree as error:
            raise _unsavable(error) from error
        except RecursionError as error:
            found = find_cycle(state)
            if found is None and not is_deep(state):
                # The program itself has used up the stack.
                raise
            raise _endless(found) from error

    def make(self, tree: Tree, notes: list[str]) -> object:
        """
        Return a new state: what the tree says, or an empty one if the tree is None.

        Args:
            tree: What `encode` returned, as it came back from JSON, or None.
            notes: Gets a sentence for each field that was saved and is no longer there.

        Raises:
            StateError: The tree does not fit the class.
            UsageError: There is no tree, and the class needs arguments.
        """
        return self._empty() if tree is None else self._decode(tree, notes)

    def restore(
        self, state: object, tree: Tree, notes: list[str], *, was: Tree = None, slot: Slot | None = None
    ) -> None:
        """
        Make this very object what the tree says.

        Containers and objects inside keep their identity where they are what the tree says already, or can be
        filled in place; then `encode(state)` is the tree.  An object that does not fit is left half restored.

        Args:
            state: The state, of the codec's class.
            tree: What `encode` returned, as it came back from JSON.
            notes: Gets a sentence for each field that was saved and is no longer there.
            was: What `encode(state)` returns now, if that is known: only what differs is looked at.
            slot: The memory that `was` was written with; it makes checking quicker.

        Raises:
            StateError: The tree does not fit the class.
        """
        if type(state) is not self._plan.kind:
            raise self._replaced(state)
        if was is not None and self._turn(state, was, tree, slot):
            return
        self._refill(state, tree, notes)
        if self._is(state, tree):
            return
        # Either the class has changed since, or one object sat in two places and was filled twice: fresh ones
        # for everything inside settle both.
        expected = self.encode(self._decode(tree, []))
        if not self._is(state, expected):
            self._empty_out(state)
            self._refill(state, tree, [])

    def _turn(self, state: object, was: Tree, tree: Tree, slot: Slot | None) -> bool:
        """Edit only what differs; returns False if the state is not known to be what the tree says then."""
        reading = Reading()
        turning = Turning(reading)
        try:
            turning.turn_root(self._plan, state, was, tree)
            if turning.is_sure:
                return not reading.notes
            return not reading.notes and equal(self.encode(state, slot), tree)
        except (DoubtError, BadTree, StateError, RecursionError):
            # Restoring the whole state says what is wrong, if anything is.
            return False

    def _decode(self, tree: Tree, notes: list[str]) -> object:
        reading = Reading(notes)
        try:
            return self._plan.decode(tree, reading)
        except BadTree as error:
            raise _unfit(error) from error
        except RecursionError as error:
            raise _too_deep() from error

    def _refill(self, state: object, tree: Tree, notes: list[str]) -> None:
        try:
            if self._plan.restore(state, tree, Reading(notes)) is not state:
                raise BadTree(f"was not saved as {self._plan.name}")
        except BadTree as error:
            raise _unfit(error) from error
        except RecursionError as error:
            raise _too_deep() from error

    def _is(self, state: object, tree: Tree) -> bool:
        try:
            return equal(self._plan.encode(state), tree)
        except (NotTree, RecursionError):
            return False

    def _empty_out(self, state: object) -> None:
        """Take everything out of the state, so that nothing of it is filled in place."""
        if isinstance(self._plan, ObjectPlan):
            self._plan.empty_out(state)
        else:
            cast("dict[object, object]", state).clear()

    def _replaced(self, state: object) -> UsageError:
        return UsageError(
            f"The state cannot become {state!r:.80}: it is {self._plan.name} in this run. "
            f"Change what is in it instead of replacing it.",
            slug="state-replaced",
            value=state,
        )

    def _empty(self) -> object:
        make = self._hint
        if isinstance(self._plan, ObjectPlan):
            import inspect

            try:
                inspect.signature(make).bind()
            except TypeError:
                raise UsageError(
                    f"An empty {self._plan.name} cannot be made, because it needs arguments. "
                    f"Pass an instance with its first values: state={self._plan.name}(...).",
                    slug="state-needs-arguments",
                    value=make,
                ) from None
            except ValueError:
                # A class without a signature of its own: making one shows whether it can be made.
                pass
        return make()


def _wrong_kind(value: object) -> UsageError:
    shown = f"the class {value.__qualname__}" if isinstance(value, type) else f"{value!r:.80}"
    return UsageError(
        f"The state cannot be {shown}: it is none of those that can be saved with their fields. Use {_KINDS}.",
        slug="state-kind",
        value=value,
    )


def _unsavable(error: NotTree) -> StateError:
    slug, advice = "state-unsavable", "Give it fields, or keep it outside the state."
    if isinstance(error, Refusal):
        slug, advice = error.slug, error.advice
    path = f"state{error.path}"
    return StateError(
        f"The state cannot be saved: {path} {error.why}. {advice}", slug=slug, path=path, reason=error.why
    )


def _unfit(error: BadTree) -> StateError:
    slug = "state-damaged"
    advice = "Begin a new run with fresh=True, or restore the run's directory from a copy."
    if isinstance(error, Misfit):
        slug, advice = error.slug, error.advice
    path = f"state{error.path}"
    return StateError(
        f"The saved state cannot be restored: {path} {error.reason}. {advice}",
        slug=slug,
        path=path,
        reason=error.reason,
    )


def _endless(found: str | None) -> StateError:
    path = f"state{found or ''}"
    reason = "contains itself" if found is not None else "is nested too deeply"
    return StateError(
        f"The state cannot be saved: {path} {reason}. Keep names of parts instead of the parts themselves.",
        slug="state-cycle",
        path=path,
        reason=reason,
    )


def _too_deep() -> StateError:
    reason = "is nested too deeply for what is left of the stack"
    return StateError(
        f"The saved state cannot be restored: state {reason}. Open the workflow nearer to the start of the program.",
        slug="state-too-deep",
        path="state",
        reason=reason,
    )
