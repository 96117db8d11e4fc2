"""
Steps `work(0)`, `work(1)`, …: as many as the first argument says.  The one that the second argument names waits for
the file `go`.  With `workers` as the third, the program starts a child that prints its number and sleeps.
"""

import os
import subprocess
import sys
import time

from checkpoint import checkpointed, workflow

COUNT, GATE = int(sys.argv[1]), int(sys.argv[2])


@checkpointed
def work(number):
    """Return at once, but for the call that waits."""
    if number == GATE:
        print("at the gate", flush=True)
        # Short sleeps: Python notices a signal that arrives just before a long one only at its end.
        while not os.path.exists("go"):
            time.sleep(0.005)
    return number


if "workers" in sys.argv:
    worker = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.01)"])
    print("worker", worker.pid, "end", flush=True)

with workflow("gated") as run:
    run.state.setdefault("done", [])
    for number in range(COUNT):
        run.state["done"].append(work(number))
print(run.state["done"])
