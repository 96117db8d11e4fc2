"""
Twenty async steps; `block` enters the workflow with `async with`, `around` with a `with` around `asyncio.run`.

Prints `in <number>` when a step begins; each step takes two turns of the loop and a short sleep.
"""

import asyncio
import json
import sys

from checkpoint import checkpointed, workflow


def effect(text):
    """Leave a trace that outlives the process."""
    with open("effects.txt", "a") as effects:
        effects.write(text + "\n")


@checkpointed
async def work(number):
    """Do what has to be done once."""
    effect(f"begin {number}")
    print("in", number, flush=True)
    await asyncio.sleep(0.01)
    effect(f"end {number}")
    return number


async def everything(run):
    """Call the steps one after the other."""
    run.state.setdefault("done", [])
    try:
        for number in range(20):
            run.state["done"].append(await work(number))
            await asyncio.sleep(0)
    finally:
        effect("finally")


async def block():
    """Open the run inside the loop."""
    async with workflow("tasks") as run:
        await everything(run)
    return run.state


def around():
    """Open the run around the loop."""
    with workflow("tasks") as run:
        asyncio.run(everything(run))
    return run.state


print(json.dumps(asyncio.run(block()) if sys.argv[1] == "block" else around()))
