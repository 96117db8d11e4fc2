"""
One step for each item; what is to happen comes from the environment, so that the command line stays the same.

ITEMS: the items, `a b c d` by default.  STRIKE: `<place> <item> <signal>`, sent to itself at that place: `before` the
item's step, `inside` it, or `recorded`, after it.  REPEAT: how often a result repeats its item, to make it large.
"""

import atexit
import json
import os
import signal

from checkpoint import checkpointed, workflow

ITEMS = os.environ.get("ITEMS", "a b c d").split()
STRIKE = os.environ.get("STRIKE", "nowhere nothing SIGKILL").split()
REPEAT = int(os.environ.get("REPEAT", "1"))


def effect(text):
    """Leave a trace that outlives the process."""
    with open("effects.txt", "a") as effects:
        effects.write(text + "\n")


def strike(place, item):
    """Send the signal to this process if this is the place."""
    if STRIKE[:2] == [place, item]:
        os.kill(os.getpid(), getattr(signal, STRIKE[2]))


@checkpointed
def work(item):
    """Do what has to be done once."""
    effect(f"begin {item}")
    strike("inside", item)
    effect(f"end {item}")
    return f"<{item}>" * REPEAT


def main():
    """Work through the items."""
    results = []
    with workflow("items") as run:
        try:
            run.state.setdefault("done", [])
            for item in ITEMS:
                strike("before", item)
                results.append(work(item))
                run.state["done"].append(item)
                strike("recorded", item)
        finally:
            effect("finally")
    print(json.dumps({"results": [result[: len(result) // REPEAT] for result in results], "state": run.state}))


if __name__ == "__main__":
    atexit.register(effect, "atexit")
    main()
