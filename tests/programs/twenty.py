"""Twenty steps, and a signal sent to itself at one place; run by tests/test_every_point.py."""

import json
import os
import signal
import sys

from checkpoint import checkpointed, workflow

PLACE, STEP, SIGNAL = [*sys.argv[1:], "", "-1", "SIGINT"][:3]


def strike(place, number):
    if (place, str(number)) == (PLACE, STEP):
        os.kill(os.getpid(), getattr(signal, SIGNAL))


class Result:
    """A result that is struck while it is being saved: after the body's return, before the record."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        strike("returned", self.number)
        return Result, (self.number,)


def effect(text):
    with open("effects.txt", "a") as effects:
        effects.write(text + "\n")


@checkpointed
def work(number):
    effect(f"begin {number}")
    strike("inside", number)
    effect(f"end {number}")
    return Result(number)


with workflow("twenty") as run:
    run.state.setdefault("done", [])
    for number in range(20):
        strike("before", number)
        result = work(number)
        assert isinstance(result, Result), result
        run.state["done"].append(result.number)
        strike("recorded", number)
print(json.dumps(run.state))
