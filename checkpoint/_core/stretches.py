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
  to it before anything has run, the state goes back to what it was when the stretch began.
* Calls that overlap in time have no order: they end no stretch.  When the last of them is over, one
  stretch begins that bears all their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def _family(name: str) -> str:
    return name.partition(".")[0]


class Stretches:
    """
    The stretch that runs now, and those the saved state contains.

    Args:
        load_contained: Yields the names contained in what earlier sessions saved, each with the key of the
            call that ended the stretch; called at most once, and only when somebody asks.
        partial: Names that the last save caught in the middle.
    """

    def __init__(self, load_contained: Callable[[], Iterable[tuple[str, str]]], partial: Iterable[str] = ()) -> None:
        self._load_contained = load_contained
        self._contained: set[str] | None = None
        # By what follows a call but its number: the names of stretches, and the keys of the calls that ended them.
        self._families: dict[str, tuple[set[str], set[str]]] = {}
        self._partial = set(partial)
        self._current: tuple[str, ...] = (entered(RUN_KEY),)
        self._ended: list[str] = []
        self._joined: list[str] = []

    def is_replay(self, ender: str | None = None) -> bool:
        """Whether the saved state contains the stretch that runs now; `ender` is the key of the call that ends it."""
        if not self._current:
            return False
        contained = self._load()
        for name in self._current:
            if name not in contained:
                return False
            names, enders = self._families[_family(name)]
            if ender is not None and len(names) > 1 and ender not in enders:
                return False
        return True

    def _load(self) -> set[str]:
        if self._contained is None:
            self._contained = set()
            for name, ender in self._load_contained():
                self._add(name, ender)
        return self._contained

    def _add(self, name: str, ender: str) -> None:
        self._load().add(name)
        names, enders = self._families.setdefault(_family(name), (set(), set()))
        names.add(name)
        enders.add(ender)

    def is_partial(self, name: str) -> bool:
        """Whether the saved state holds only a part of stretch `name`, and nothing has run since it was saved."""
        return name in self._partial

    def forget_partial(self) -> None:
        """Note that the state went back to where the stretch caught in the middle began."""
        self._partial.clear()

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
        self._ended.extend(self._current)
        self._current = ()

    def discard(self) -> None:
        """End the stretch that runs now without a trace: its changes were taken back."""
        self._current = ()

    def begin(self, *names: str) -> None:
        """Begin a stretch."""
        self._current = names

    def join(self, name: str) -> None:
        """Remember the name of one of several overlapping calls, for the stretch that follows them all."""
        self._joined.append(name)

    def begin_joined(self) -> None:
        """Begin the stretch that follows overlapping calls, after the last of them."""
        self._current = tuple(self._joined)
        self._joined.clear()

    def saved(self, ender: str) -> None:
        """Note that the ended stretches are in the journal, in a record of call `ender`, and that something has run."""
        for name in self._ended:
            self._add(name, ender)
        self._ended.clear()
        self._partial.clear()
