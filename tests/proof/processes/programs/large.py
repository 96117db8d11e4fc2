"""
Eight steps with results of 300 KB, each of which can be told from every other; the rerun checks every byte.
"""

import hashlib
import json
import random

from traces import leave, say

from checkpoint import checkpointed, workflow


@checkpointed
def produce(number):
    """Return 300 KB that only this number gives."""
    leave("begin", number)
    return random.Random(number).randbytes(300_000)


def main():
    """Keep the digests in the state, and print them with those of the results."""
    found = []
    with workflow("large", once=True) as run:
        run.state.setdefault("digests", [])
        for number in range(8):
            value = produce(number)
            leave("acknowledged", number)
            found.append(hashlib.sha256(value).hexdigest())
            run.state["digests"].append(found[-1])
    say(json.dumps([found, run.state["digests"]]))


main()
