"""
Steps in the threads of a pool, and one after them; says when the run is open.
"""

import contextvars
import json
import time
from concurrent.futures import ThreadPoolExecutor

from traces import leave, say

from checkpoint import checkpointed, workflow


@checkpointed
def work(number):
    """Take a moment."""
    leave("begin", number)
    time.sleep(0.001)
    leave("end", number)
    return number * number


@checkpointed
def total(numbers):
    """Follow all others."""
    leave("begin", "total")
    return sum(numbers)


def call(number):
    """Call the step, and say that it has handed back its result."""
    value = work(number)
    leave("acknowledged", number)
    return value


def main():
    """Hand out the work, and take what is not begun back when something goes wrong."""
    with workflow("threads", once=True) as run:
        leave("entered", "threads")
        with ThreadPoolExecutor(4) as pool:
            try:
                tasks = [pool.submit(contextvars.copy_context().run, call, number) for number in range(12)]
                done = [task.result() for task in tasks]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        run.state["done"] = [*done, total(done)]
        leave("acknowledged", "total")
    say(json.dumps(run.state["done"]))


main()
