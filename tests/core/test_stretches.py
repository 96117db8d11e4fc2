"""
The stretch rule by itself: what is a replay, what is partial, what the next save lists.
"""

from __future__ import annotations

from checkpoint._core.records import RUN_KEY
from checkpoint._core.stretches import Contained, Stretches, after, after_failure, entered


def make(
    *names: str, partial: tuple[str, ...] = (), ender: str = "next.0", repeated: tuple[str, ...] = ()
) -> Stretches:
    contained = Contained(dict.fromkeys(names, ender), frozenset(repeated))
    return Stretches(lambda: contained, partial)


def test_names() -> None:
    """Stretches are named by what they follow."""
    assert ("entered k.0", "after k.0", "after k.0!2") == (entered("k.0"), after("k.0"), after_failure("k.0", 2))


def test_begins_with_the_run() -> None:
    """The first stretch is the run's own."""
    assert (entered(RUN_KEY),) == make().current


def test_contained_stretch_is_a_replay() -> None:
    """A stretch that the saved state contains is a replay when it runs again, another is not."""
    stretches = make(after("a.0"))
    stretches.begin(after("a.0"))
    assert stretches.is_replay("next.0")
    stretches.begin(after("b.0"))
    assert not stretches.is_replay("next.0")


def test_replay_whatever_ends_it() -> None:
    """After a call without equals, a contained stretch is a replay whatever call ends it."""
    stretches = make(after("a.0"))
    stretches.begin(after("a.0"))
    assert stretches.is_replay("other.0")


def test_after_equal_calls_the_ender_decides() -> None:
    """After one of equal calls, only a stretch that a known call ends is a replay."""
    stretches = make(after("a.0"), after("a.1"), repeated=("a",))
    stretches.begin(after("a.0"))
    assert (True, False) == (stretches.is_replay("next.0"), stretches.is_replay("other.0"))


def test_nothing_is_a_replay_while_calls_overlap() -> None:
    """Without a current stretch there is nothing to drop."""
    stretches = make(entered(RUN_KEY))
    stretches.end()
    assert not stretches.is_replay()
    assert () == stretches.current


def test_ended_stretches_are_listed_once() -> None:
    """A save lists what ended since the save before, and from then on it is contained."""
    stretches = make()
    stretches.end()
    stretches.begin(after("a.0"))
    stretches.end()
    assert (entered(RUN_KEY), after("a.0")) == stretches.ended
    stretches.saved("b.0")
    assert () == stretches.ended
    stretches.begin(after("a.0"))
    assert stretches.is_replay("b.0")


def test_discarded_stretch_is_not_listed() -> None:
    """A stretch whose changes were taken back leaves no trace."""
    stretches = make()
    stretches.discard()
    assert ((), ()) == (stretches.ended, stretches.current)


def test_joined_names() -> None:
    """The stretch after overlapping calls bears all their names, and is a replay only if all are contained."""
    stretches = make(after("a.0"))
    stretches.join(after("a.0"))
    stretches.join(after("b.0"))
    stretches.begin_joined()
    assert (after("a.0"), after("b.0")) == stretches.current
    assert not stretches.is_replay("next.0")


def test_joined_names_are_used_once() -> None:
    """The next group of overlapping calls begins without the names of the last."""
    stretches = make()
    stretches.join(after("a.0"))
    stretches.begin_joined()
    stretches.join(after("b.0"))
    stretches.begin_joined()
    assert (after("b.0"),) == stretches.current


def test_partial() -> None:
    """A stretch that was caught in the middle is partial until the state went back."""
    stretches = make(partial=(after("a.0"),))
    assert (True, False) == (stretches.is_partial(after("a.0")), stretches.is_partial(after("b.0")))
    stretches.take_partial()
    assert not stretches.is_partial(after("a.0"))


def test_contained_is_loaded_when_asked() -> None:
    """A session that replays nothing never reads what the journal contains."""
    asked = []

    def load() -> Contained:
        asked.append(1)
        return Contained({}, frozenset())

    stretches = Stretches(load)
    stretches.end()
    stretches.begin(after("a.0"))
    assert [] == asked
    stretches.is_replay()
    stretches.is_replay()
    assert [1] == asked
