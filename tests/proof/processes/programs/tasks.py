"""
Async steps: some gathered, some in a task group, one after them; says when the run is open.
"""

import asyncio
import json

from traces import leave, say

from checkpoint import checkpointed, workflow


@checkpointed
async def work(number):
    """Take two turns of the loop."""
    leave("begin", number)
    await asyncio.sleep(0.001)
    leave("end", number)
    return number * number


@checkpointed
async def total(numbers):
    """Follow all others."""
    leave("begin", "total")
    return sum(numbers)


async def call(number):
    """Call the step, and say that it has handed back its result."""
    value = await work(number)
    leave("acknowledged", number)
    return value


async def main():
    """Overlap steps in both ways that asyncio has."""
    async with workflow("tasks", once=True) as run:
        leave("entered", "tasks")
        done = list(await asyncio.gather(*map(call, range(6))))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(number)) for number in range(6, 12)]
        done += [task.result() for task in tasks]
        run.state["done"] = [*done, await total(done)]
        leave("acknowledged", "total")
    return run.state["done"]


say(json.dumps(asyncio.run(main())))
