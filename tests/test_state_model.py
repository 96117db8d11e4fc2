"""
The state's rule against a model: interrupted anywhere, twice, a program's state ends as if it had not been.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from checkpoint.stores import MemoryStore
from tests import model_programs as model

PROGRAMS = 64
SECOND_POINTS = 2
# Of the points at which the first session can die; every program has other ones.
FIRST_POINTS = 25


def describe(seed: int, points: list[int]) -> str:
    return f"seed {seed}, crashes at {points}, program {model.make_program(seed)}"


def check_all_crashes(seed: int, faults: Any) -> int:
    program = model.make_program(seed)
    expected, whole = model.session(program, MemoryStore())
    rng = random.Random(seed)
    trials = 0
    points = range(1, whole.points + 1)
    for first in rng.sample(points, min(FIRST_POINTS, whole.points)):
        seconds = [None, *rng.sample(points, min(SECOND_POINTS, whole.points))]
        for second in seconds:
            store = MemoryStore()
            assert model.session(program, store, first)[0] is None
            crashes = 1
            state, world = model.session(program, store, second)
            if world.dead:
                crashes = 2
                state, world = model.session(program, store)
            assert expected == state, describe(seed, [first, second])
            faults.count("a crash of a random program, and perhaps a second one", crashes)
            trials += 1
    return trials


@pytest.mark.parametrize("chunk", range(8))
def test_state_equals_the_uninterrupted_one(chunk: int, faults: Any) -> None:
    """Whatever the program and wherever two sessions die, the third ends with the state of an uninterrupted run."""
    trials = sum(check_all_crashes(seed, faults) for seed in range(chunk, PROGRAMS, 8))
    assert trials > 500


@pytest.mark.parametrize("seed", range(40))
def test_ctrl_c_between_any_two_statements(seed: int, faults: Any) -> None:
    """Stopped anywhere after its first step has begun, a loop over a list ends with the state it should have."""
    rng = random.Random(seed)
    program = (*model.changes(rng), *model.call(rng, "prologue"), *model.for_loop(rng), *model.changes(rng))
    expected, whole = model.session(program, MemoryStore(), error=KeyboardInterrupt)
    assert whole.first_body is not None
    for first in range(whole.first_body + 1, whole.points + 1):
        store = MemoryStore()
        assert model.session(program, store, first, KeyboardInterrupt)[0] is None
        state, _ = model.session(program, store, error=KeyboardInterrupt)
        assert expected == state, f"seed {seed}, stopped at {first}, program {program}"
        faults.count("Ctrl-C between two statements of a random program")
