"""
The keeper with a real codec: what a record holds of the state, and what is taken back when.
"""

from __future__ import annotations

import json
from typing import Any

from checkpoint._core.progress import SavedState
from checkpoint._core.state_tree import StateCodec
from checkpoint._core.stretches import Contained, after
from checkpoint._runtime.keeper import Keeper


class Past:
    """A history in which each of some stretches was ended by one call and changed one field."""

    def __init__(self, contained: tuple[str, ...], field: str) -> None:
        self._contained = contained
        self._field = field

    def contained(self) -> Contained:
        return Contained(dict.fromkeys(self._contained, "next.0"), frozenset())

    def changed_fields(self, names: tuple[str, ...]) -> frozenset[str]:
        return frozenset({self._field})


def make(state: dict[str, Any], saved: SavedState | None = None, *contained: str, field: str = "n") -> Keeper:
    return Keeper(state, StateCodec(dict), saved, Past(contained, field))


def loaded(tree: Any, base: Any = None, *partial: str) -> SavedState:
    return SavedState(tree, tree if base is None else base, frozenset(partial))


def members(text: str) -> Any:
    return json.loads("{" + text.removesuffix(",") + "}")


def save(keeper: Keeper, key: str) -> Any:
    """Save as the beginning of a call does; returns what the record holds."""
    keeper.end_stretch(key)
    text, tree = keeper.fields()
    keeper.saved(tree, key)
    return members(text)


def test_first_save_is_whole() -> None:
    """A new run's first record has the whole state."""
    assert {"stretches": ["entered run"], "state": {"whole": {"n": 1}}} == save(make({"n": 1}), "a.0")


def test_unchanged_state_is_not_written() -> None:
    """A record whose state is as saved says nothing of it."""
    state: dict[str, Any] = {"n": 1}
    keeper = make(state)
    save(keeper, "a.0")
    keeper.enter_body("a.0")
    assert {"stretches": ["entered a.0"]} == save(keeper, "b.0")


def test_changes_only() -> None:
    """Of a large state a record has what changed."""
    state: dict[str, Any] = {"entries": ["x" * 100] * 100}
    keeper = make(state)
    save(keeper, "a.0")
    keeper.enter_body("a.0")
    state["entries"].append("last")
    text = json.dumps(save(keeper, "b.0"))
    assert "changes" in text and "last" in text
    assert len(text) < 200


def test_whole_copy_comes_again() -> None:
    """When the changes since the last whole copy have become as long as it, the next one is due."""
    state: dict[str, Any] = {"text": ""}
    keeper = make(state)
    save(keeper, "a.0")
    kinds = []
    for number in range(20):
        keeper.enter_body(f"{number}.0")
        state["text"] = str(number) * 500
        kinds += save(keeper, "b.0")["state"].keys()
    assert {"changes", "whole"} == set(kinds)
    assert "changes" == kinds[0]


def test_replay_is_taken_back_in_place() -> None:
    """What a contained stretch changes again is dropped when the next call begins."""
    state: dict[str, Any] = {"log": ["a"]}
    log = state["log"]
    keeper = make(state, loaded({"log": ["a"]}), after("a.0"))
    keeper.begin_kept("a.0")
    log.append("again")
    keeper.end_stretch("next.0")
    assert {"log": ["a"]} == state
    assert log is state["log"]


def test_new_stretch_stays() -> None:
    """What a stretch changes that the saved state does not contain stays."""
    state: dict[str, Any] = {"log": []}
    keeper = make(state, loaded({"log": []}))
    keeper.begin_kept("a.0")
    state["log"].append("new")
    assert {"log": ["new"]} == state
    assert [after("a.0")] == save(keeper, "next.0")["stretches"]


def test_partial_stretch_goes_back() -> None:
    """When a rerun comes to the stretch that was caught in the middle, the state is what it was at its beginning."""
    state: dict[str, Any] = {"n": 2}
    keeper = make(state, loaded({"n": 2}, {"n": 1}, after("a.0")))
    keeper.begin_kept("a.0")
    assert {"n": 1} == state


def test_failure_takes_back() -> None:
    """A body that raised leaves the state as it was when it began."""
    state: dict[str, Any] = {"n": 1}
    keeper = make(state)
    save(keeper, "a.0")
    keeper.enter_body("a.0")
    state["n"] = 2
    keeper.begin_after_failure("a.0", 1)
    assert {"n": 1} == state
    assert "" == keeper.failure_fields()[0]


def test_failure_takes_back_what_was_saved_in_the_body() -> None:
    """What was saved in the middle of the body is taken back too, and the record of the failure says so."""
    state: dict[str, Any] = {"n": 1}
    keeper = make(state)
    save(keeper, "a.0")
    keeper.enter_body("a.0")
    state["n"] = 2
    text, tree = keeper.partial_fields()
    keeper.saved_partly(tree)
    assert ["entered a.0"] == members(text)["partial"]
    keeper.begin_after_failure("a.0", 1)
    assert {"n": 1} == state
    assert "state" in members(keeper.failure_fields()[0])


def test_partial_fields_of_a_replay() -> None:
    """In the middle of a replay there is nothing to save: the saved state has these changes."""
    state: dict[str, Any] = {"n": 1}
    keeper = make(state, loaded({"n": 1}), after("a.0"))
    keeper.begin_kept("a.0")
    state["n"] = 2
    assert "" == keeper.partial_fields()[0]


def test_take_back_replay() -> None:
    """A session that ends in the middle of a replay ends with the saved state."""
    state: dict[str, Any] = {"n": 1}
    keeper = make(state, loaded({"n": 1}), after("a.0"))
    keeper.begin_kept("a.0")
    state["n"] = 2
    keeper.take_back_replay()
    assert {"n": 1} == state


def test_end_of_the_run_keeps_what_follows_a_loop() -> None:
    """A stretch that a step ended before and the run ends now is taken back, but for fields it did not change then."""
    keeper = make({"n": 1}, loaded({"n": 1}), after("a.0"))
    keeper.begin_kept("a.0")
    keeper.state.update(n=2, report="written")  # type: ignore[attr-defined]  # the state is the dict of above
    keeper.end_body("run")
    assert {"n": 1, "report": "written"} == keeper.state


def test_end_of_the_run_takes_back_new_fields() -> None:
    """A field that the stretch had made, and that the saved state lost since, is not made again."""
    keeper = make({}, loaded({}), after("a.0"))
    keeper.begin_kept("a.0")
    keeper.state["n"] = 1  # type: ignore[index]  # as above
    keeper.end_body("run")
    assert {} == keeper.state
