"""
From `workflow(state=…)` to the object that is `run.state`.
"""

from __future__ import annotations

from typing import Any

from checkpoint._core.progress import SavedState


class StateMaker:
    """
    Makes the state of a session.

    Args:
        given: None, a class, or an instance.

    Raises:
        UsageError: It is of a kind that cannot be a state.
    """

    def __init__(self, given: Any) -> None:
        # Imported here: a program that only imports the package needs none of it.
        from checkpoint._core.state_tree import StateCodec

        self._instance = None if given is None or isinstance(given, type) else given
        hint = dict if given is None else given if isinstance(given, type) else type(given)
        self._codec: Any = StateCodec(hint)

    def __call__(self, saved: SavedState | None, notes: list[str]) -> tuple[Any, Any]:
        """Return the state, equal to what was saved, and its codec; add what the user should know to `notes`."""
        if self._instance is None:
            return self._codec.make(None if saved is None else saved.tree, notes), self._codec
        if saved is not None:
            self._codec.restore(self._instance, saved.tree, notes)
        return self._instance, self._codec
