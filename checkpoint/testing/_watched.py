"""
A life of which is asked, around every body, what has happened so far: to learn which call does what.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from checkpoint._runtime.attempt import Attempt
from checkpoint.testing._life import CallId, Life, call_id

if TYPE_CHECKING:
    from checkpoint.testing._seams import Boundary


class Watched(Life):
    """
    Notes what each call's own body does, without the calls it makes, in all its attempts together.

    Bodies that overlap in time share the blame: each of them may have done what happened meanwhile.

    Attributes:
        own: By call, what its body has done.
    """

    def __init__(self, ask: Callable[[], Counter[Any]]) -> None:
        super().__init__()
        self.own: dict[CallId, Counter[Any]] = {}
        self._ask = ask
        self._asking = threading.Lock()
        self._begun_with: dict[Attempt, Counter[Any]] = {}
        self._inner: dict[Attempt, Counter[Any]] = {}

    def boundary(self, place: Boundary, attempt: Attempt) -> None:
        super().boundary(place, attempt)
        if place == "inside":
            with self._asking:
                self._begun_with[attempt] = self._ask()

    def left(self, attempt: Attempt) -> None:
        with self._asking:
            done = self._ask() - self._begun_with.pop(attempt)
            own = done - self._inner.pop(attempt, Counter())
            self.own[call_id(attempt)] = self.own.get(call_id(attempt), Counter()) + own
            if isinstance(attempt.parent, Attempt) and not attempt.overlapped:
                self._inner.setdefault(attempt.parent, Counter()).update(done)
