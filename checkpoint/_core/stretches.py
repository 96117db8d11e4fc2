"""
Which stretches of the user's code the saved state already contains.  Never looks at the state itself.

A stretch is the code between two step calls.  A rerun walks over kept steps, so that the code between them
runs a second time; this module says whether the changes it makes then are new or already saved.  The rule:

* A stretch is named by what it follows: `entered K` begins with the body of call K (or with the run, K =
  `run`), `after K` begins when K returned, `after K!2` when the second try at K in this session raised.
* It ends when the next call begins, or with the body or the run it belongs to.
* A save lists the stretches that ended since the save before.  From then on they are *contained*.
* A contained stretch that runs again is a *replay*: what it changes is dropped when the next call begins.
  Equal calls are told apart by nothing but their number, and a loop over pending work, which goes on where it
  was instead of walking over its past, counts them anew.  So after a call that has equals, the stretch is a
  replay only if the call that ends it once followed such an equal.
* A save in the middle of a stretch (a signal, an error, `run.save()`) lists it as *partial*.  If a rerun comes
  to it before anything else has changed the state, the state goes back to what it was when the stretch began.
  If something else has, the fields that it had changed by then are *half* done: what the stretch does to them
  when it runs again is dropped.
* Calls that overlap in time have no order: they end no stretch.  When the last of them is over, one
  stretch begins that bears all their names, and those of kept calls that were walked over meanwhile.
* Neither have calls that several threads or tasks make by turns: a rerun may walk over them in another order, so that
  what followed the last of them follows another one.  While nothing changes between such kept calls, a stretch
  after one of them is a replay only if all of theirs are contained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from checkpoint._core.records import RUN_KEY


def entered(key: str) -> str:
    """Name the stretch that begins with the body of call `key`."""
    return f"entered {key}"


def after(key: str) -> str:
    """Name the stretch that begins when call `key` has returned."""
    return f"after {key}"


def after_failure(key: str, nth: int) -> str:
    """Name the stretch that begins when the `nth` try at call `key` in this session has raised."""
    return f"after {key}!{nth}"


@dataclass(frozen=True, slots=True)
class Contained:
    """
    The stretches that a journal's state contains.

    Attributes:
        enders: By name, the key of the call (or of the run) that ended it.
        repeated: Digests of the calls that have equals.
    """

    enders: dict[str, str]
    repeated: frozenset[str]


# How the names of stretches begin that follow a call.
_AFTER = "after "

# What follows a call's digest in the name of a stretch after the first of equal calls, or its first failure.
_FIRST = ("0", "0!1")


class Stretches:
    """
    The stretch that runs now, and those the saved state contains.

    Args:
        load_contained: Returns what the state saved by earlier sessions contains; called at most once, and
            only when somebody asks.
        partial: Names that the last save caught in the middle.
    """

    def __init__(self, load_contained: Callable[[], Contained], partial: Iterable[str] = ()) -> None:
        self._load_contained = load_contained
        self._enders: dict[str, str] | None = None
        # After calls that have equals: the keys of the calls that ended them, by the name without the number.
        self._families: dict[str, set[str]] = {}
        self._partial = set(partial)
        self._current: tuple[str, ...] = (entered(RUN_KEY),)
        # Whether this stretch may be the one that followed another call before, whose stretch is not contained.
        self._in_place_of_new = False
        self._last: tuple[str, ...] = ()
        self._ended: list[str] = []
        self._joined: list[str] = []

    def is_replay(self, ender: str | None = None) -> bool:
        """Whether the saved state contains the stretch that runs now; `ender` is the key of the call that ends it."""
        if not self._current or self._in_place_of_new:
            return False
        enders = self._load()
        for name in self._current:
            if name not in enders:
                return False
            if ender is not None and self._families:
                family = self._families.get(name.partition(".")[0])
                if family is not None and ender not in family:
                    return False
        return True

    def is_new(self) -> bool:
        """Whether what followed a call when it ran, here or before kept calls just now, is not in the saved state."""
        if self._in_place_of_new:
            return True
        enders = self._load() if self._current else {}
        return any(name not in enders and name.startswith(_AFTER) for name in self._current)

    def _load(self) -> dict[str, str]:
        if self._enders is None:
            loaded = self._load_contained()
            self._enders = loaded.enders
            for name, ender in loaded.enders.items() if loaded.repeated else ():
                if name.partition(" ")[2].partition(".")[0] in loaded.repeated:
                    self._families.setdefault(name.partition(".")[0], set()).add(ender)
        return self._enders

    def _add(self, name: str, ender: str) -> None:
        enders = self._load()
        enders[name] = ender
        family, _, number = name.partition(".")
        if number and (number not in _FIRST or family in self._families):
            first = enders.get(f"{family}.0", ender)
            self._families.setdefault(family, {first}).add(ender)

    def is_partial(self, name: str) -> bool:
        """Whether the saved state holds only a part of stretch `name`, and nothing has changed the state since."""
        return name in self._partial

    def take_partial(self) -> set[str]:
        """Return the names of the stretches caught in the middle, and forget that they were."""
        taken, self._partial = self._partial, set()
        return taken

    @property
    def current(self) -> tuple[str, ...]:
        """Names of the stretch that runs now; none while calls overlap."""
        return self._current

    @property
    def ended(self) -> tuple[str, ...]:
        """Names that the next save must list."""
        return tuple(self._ended)

    def end(self) -> None:
        """End the stretch that runs now, by the beginning of a call or the end of a body."""
        known = self._load() if self._in_place_of_new else {}
        self._ended.extend(name for name in self._current if name not in known)
        self._last, self._current = self._current, ()

    def discard(self) -> None:
        """End the stretch that runs now without a trace: its changes were taken back."""
        self._last, self._current = self._current, ()

    def reopen(self) -> None:
        """Go on with the stretch that ended last: the call that was to end it did not come about."""
        if not self._current:
            self._current, self._last = self._last, ()
            self._ended = [name for name in self._ended if name not in self._current]

    def forget_ended(self) -> None:
        """End the stretch that runs now, and those that ended since the last save, without a trace."""
        self._current = ()
        self._ended.clear()
        # Nor does what was joined to a call that raised belong to the next one that completes.
        self._joined.clear()

    def begin(self, *names: str, in_place_of_new: bool = False) -> None:
        """Begin a stretch; `in_place_of_new`: the one that ended was new (see `is_new`), and has changed nothing."""
        self._current = names
        self._in_place_of_new = in_place_of_new

    def join(self, name: str) -> None:
        """Remember the name of a call, for the stretch that follows it and those that overlap with it."""
        self._joined.append(name)

    def begin_joined(self) -> None:
        """Begin the stretch that follows a call or overlapping ones, after the last of them."""
        self.begin(*self._joined)
        self._joined.clear()

    def has_partial(self) -> bool:
        """Whether the saved state holds only a part of some stretch."""
        return bool(self._partial)

    def saved(self, ender: str) -> None:
        """Note that the ended stretches are in the journal, in a record of call `ender`."""
        for name in self._ended:
            self._add(name, ender)
        self._partial.difference_update(self._ended)
        self._ended.clear()
