"""
From `workflow(state=…)` to the object that is `run.state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checkpoint._core.progress import SavedState


class StateMaker:
    """
    Makes the state of a session.

    Args:
        given: None, a class, an annotation such as `dict[str, int]`, or an instance.
        names: Resolves the annotations of a class that was made inside a function: what that function knows.

    Raises:
        UsageError: It is of a kind that cannot be a state.
    """

    def __init__(self, given: Any, names: Mapping[str, object] | None = None) -> None:
        # Imported here: a program that only imports the package needs none of it.
        from checkpoint._core.state_tree import StateCodec

        is_hint = given is None or isinstance(given, type) or hasattr(given, "__origin__")
        self._instance = None if is_hint else given
        self._codec: Any = StateCodec(dict if given is None else given, names=names)

    def __call__(self, saved: SavedState | None, notes: list[str]) -> tuple[Any, Any]:
        """Return the state, equal to what was saved, and its codec; add what the user should know to `notes`."""
        if self._instance is None:
            return self._codec.make(None if saved is None else saved.tree, notes), self._codec
        if saved is not None:
            self._codec.restore(self._instance, saved.tree, notes)
        return self._instance, self._codec
