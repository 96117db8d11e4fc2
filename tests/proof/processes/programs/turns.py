"""
Six steps that must never be in two processes at once; the process says when it enters one and when it leaves it.
"""

import json
import os

from traces import leave, say

from checkpoint import checkpointed, workflow


@checkpointed
def work(number):
    """Give others every opportunity to come in between."""
    leave("begin", number)
    for _ in range(20):
        os.sched_yield()
    leave("end", number)
    return number * number


def main():
    """Work alone."""
    with workflow("turns", once=True) as run:
        leave("entered", "turns")
        run.state.setdefault("done", [])
        for number in range(6):
            value = work(number)
            leave("acknowledged", number)
            run.state["done"].append(value)
        leave("left", "turns")
    say(json.dumps(run.state["done"]))


main()
