"""
Three steps, of which the second waits for the file `go`; prints `waiting` when it does.

With the argument `critical` that step is critical.  With `fifo` the program waits at the FIFO `gate` before it begins.
"""

import os
import sys
import time

from checkpoint import checkpointed, workflow


def effect(text):
    """Leave a trace that outlives the process."""
    with open("effects.txt", "a") as effects:
        effects.write(text + "\n")


@checkpointed(name="wait", critical="critical" in sys.argv)
def wait(number):
    """Return at once, but for the second call."""
    effect(f"begin {number}")
    if number == 1:
        print("waiting", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
    effect(f"end {number}")
    return number


if "fifo" in sys.argv:
    print("ready", flush=True)
    with open("gate"):
        pass
with workflow("waiting") as run:
    run.state.setdefault("done", [])
    for number in range(3):
        run.state["done"].append(wait(number))
print(run.state["done"], flush=True)
