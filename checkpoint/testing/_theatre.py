"""
Where the lives of a sweep take place: a fresh world for each, and what is seen in it at the end.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from checkpoint.errors import UsageError
from checkpoint.testing._account import Account, Scene, live
from checkpoint.testing._disk import Disk
from checkpoint.testing._faults import How, remains_of
from checkpoint.testing._values import Left, portable, take


class Theatre:
    """Stages lives, each in a fresh world, always in the same place so that paths are alike."""

    def __init__(
        self,
        stage: Path,
        run: Callable[[Any], object],
        world: Callable[[Path], Any] | None,
        same: Callable[[Any], object] | None,
        effects: Callable[[Any], Mapping[Any, int] | Iterable[Any]] | None,
        hows: tuple[How, How],
    ) -> None:
        self.hows = hows
        self._stage = stage
        self._run, self._make, self._same, self._effects = run, world, same, effects

    def scene(self) -> Scene:
        """Set up a fresh world."""
        if self._stage.exists():
            shutil.rmtree(self._stage)
        directory = self._stage / "world"
        directory.mkdir(parents=True, mode=0o700)
        self._stage.chmod(0o700)
        world = None if self._make is None else self._make(directory)
        world = directory if world is None else world
        disk = Disk() if any(remains_of(how) for how in self.hows) else None
        return Scene(self._run, world, self._stage / "home", disk, "SIGKILL" in self.hows)

    def clean(self, *, watched: bool) -> tuple[Account, Left]:
        """Live one life without a crash; with `watched`, learn which step does what."""
        scene = self.scene()
        watch = watched and self._effects is not None
        ask = (lambda: self._count(scene)) if watch else None
        if watch:
            self._count(scene)  # what cannot be counted is found here, and not within somebody's step
        account = live(scene, ask=ask, look=(lambda: self.left(scene)) if scene.in_child else None)
        if account.failure:
            raise UsageError(
                f"the workflow cannot be swept: it failed without any crash.\n{account.failure}",
                slug="sweep-fails",
                value=None,
            )
        if not any(run.is_finished for run in account.runs):
            raise UsageError(
                "the workflow cannot be swept: the function finished no run. It must open `workflow(…)` with a store "
                "that lasts (not 'memory:', which is a new one each time) and leave its block normally.",
                slug="sweep-without-run",
                value=None,
            )
        left = self.left(scene)
        if scene.in_child and (account.is_in_memory or _differs(account.left, left)):
            what = "its store" if account.is_in_memory else "what same= or effects= returns"
            raise UsageError(
                f"the workflow cannot be swept with how='SIGKILL': {what} is in the memory of a process, which is gone "
                "when that is killed. Keep it in files, or use how='crash'.",
                slug="sweep-in-memory",
                value=None,
            )
        return account, left

    def left(self, scene: Scene) -> Left:
        """Look at what was left behind."""
        outcome = None if self._same is None else take(self._same(scene.world))
        return Left(outcome, None if self._effects is None else self._count(scene))

    def _count(self, scene: Scene) -> Counter[Any]:
        assert self._effects is not None
        found: Any = self._effects(scene.world)
        try:
            if found is None or isinstance(found, str | bytes):
                raise TypeError("it is nothing" if found is None else "a text would be taken for its letters")
            effects = Counter(found)
            if not all(type(count) is int for count in effects.values()):
                raise TypeError("each effect needs a count")
        except TypeError as error:
            raise UsageError(
                f"effects= returned {found!r:.200}, which says not what has happened: {error}. Return names, each as "
                "often as it happened, or a dict of names and counts.",
                slug="sweep-argument",
                value=found,
            ) from None
        return effects


def _differs(seen: Left | None, left: Left) -> bool:
    """Whether a child saw something else at its end than its parent sees."""
    if seen is None or seen.effects != left.effects:
        return True
    outcome = portable(left.outcome)
    return outcome is not None and (seen.outcome is None or not outcome.equals(seen.outcome, {}))
