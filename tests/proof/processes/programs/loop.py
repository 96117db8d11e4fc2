"""
A plain loop over pending work, with short steps; says when the run is open.
"""

import json
import time

from traces import leave, say

from checkpoint import checkpointed, workflow


@checkpointed
def work(number):
    """Take a moment."""
    leave("begin", number)
    time.sleep(0.001)
    leave("end", number)
    return number * number


def main():
    """Take items off a list that the state holds."""
    with workflow("loop", once=True) as run:
        leave("entered", "loop")
        if not run.state:
            run.state.update(pending=list(range(12)), done=[])
        while run.state["pending"]:
            number = run.state["pending"][0]
            value = work(number)
            leave("acknowledged", number)
            run.state["pending"].pop(0)
            run.state["done"].append(value)
    say(json.dumps(run.state["done"]))


main()
