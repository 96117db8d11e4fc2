"""
A small run that does what a journal can hold: an inner step, a critical one, a large result, a state, an empty result.

STRIKE: after which step the program kills itself.
"""

import json
import os
import signal

from traces import leave, say

from checkpoint import checkpointed, workflow

STRIKE = os.environ.get("STRIKE", "")


@checkpointed
def inner(number):
    """Be called inside another step."""
    leave("begin", "inner")
    return number * 10


@checkpointed
def outer(number):
    """Call another step."""
    leave("begin", "outer")
    return inner(number) + 1


@checkpointed(critical=True)
def careful():
    """Return nothing."""
    leave("begin", "careful")


@checkpointed
def large(letter):
    """Return more than fits into a record."""
    leave("begin", "large")
    return letter * 40_000


@checkpointed
def last(numbers):
    """Return what the state has by now."""
    leave("begin", "last")
    return sum(numbers)


def took(name, value):
    """Say that the step has handed back its result."""
    leave("acknowledged", name)
    if STRIKE == name:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def main():
    """Do each step once; a finished run hands out its results again."""
    with workflow("small", once=True) as run:
        run.state.setdefault("seen", [])
        run.state["seen"].append(took("outer", outer(4)))
        run.state["seen"].append(len(took("large", large("x"))))
        run.state["nothing"] = took("careful", careful())
        run.state["seen"].append(took("last", last([1, 2, 3])))
    say(json.dumps(run.state))


main()
