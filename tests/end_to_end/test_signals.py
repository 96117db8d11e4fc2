"""
Where a signal may find a program: before the first step, inside one, between two, after the last; and what runs then.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

SIGNALS = {"SIGINT": -signal.SIGINT, "SIGTERM": 143}
WHOLE = {"done": ["a", "b", "c", "d"]}


@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("place", ["before a", "inside c", "recorded b", "recorded d"])
@pytest.mark.parametrize("name", list(SIGNALS))
def test_stopped_run_is_continued(programs: Any, name: str, place: str, durability: str) -> None:
    """Wherever the signal comes, the program ends without a traceback, and the rerun does only what is left."""
    environ = {"CHECKPOINT_DURABILITY": durability}
    _, stderr = programs.items(status=SIGNALS[name], STRIKE=f"{place} {name}", **environ)
    assert "Traceback" not in stderr
    printed, _ = programs.items(**environ)
    assert printed["state"] == WHOLE
    twice = {"c"} if place == "inside c" else set()
    assert {item: 2 if item in twice else 1 for item in "abcd"} == {
        item: programs.effects()[f"begin {item}"] for item in "abcd"
    }


@pytest.mark.parametrize("place", ["inside c", "recorded b"])
@pytest.mark.parametrize("name", list(SIGNALS))
def test_finally_and_atexit_run(programs: Any, name: str, place: str) -> None:
    """A signal leaves the program as an exception: `finally` blocks and `atexit` functions run."""
    programs.items(status=SIGNALS[name], STRIKE=f"{place} {name}")
    assert (1, 1) == (programs.effects()["finally"], programs.effects()["atexit"])


@pytest.mark.parametrize("place", ["before c", "inside c", "recorded c"])
def test_killed_with_process_durability(programs: Any, place: str) -> None:
    """Without a sync for each step, what was completed survives SIGKILL all the same."""
    programs.items(status=-9, STRIKE=f"{place} SIGKILL", CHECKPOINT_DURABILITY="process")
    printed, _ = programs.items(CHECKPOINT_DURABILITY="process")
    assert printed["state"] == WHOLE
    assert (1, 1) == (programs.effects()["begin a"], programs.effects()["end c"])


BETWEEN = """
import json, time
from checkpoint import checkpointed, workflow

@checkpointed
def work(number):
    print("ran", number, flush=True)
    return number

with workflow("between") as run:
    run.state.setdefault("done", [])
    for number in range(3):
        run.state["done"].append(work(number))
        if number == 1 and not run.resumed:
            print("sleeping", flush=True)
            for _ in range(6000):
                time.sleep(0.01)
print(json.dumps(run.state))
"""


@pytest.mark.parametrize("name", list(SIGNALS))
def test_signal_while_sleeping_between_steps(programs: Any, name: str) -> None:
    """A signal that comes between two steps saves the state as it stands; the rerun doubles nothing."""
    programs.scripts.write(BETWEEN)
    child = programs.scripts.start("script.py")
    programs.scripts.wait_for(child, "sleeping")
    child.send_signal(getattr(signal, name))
    _, stderr = child.communicate(timeout=60)
    assert SIGNALS[name] == child.returncode, stderr
    assert "2 steps are saved." in stderr and "Traceback" not in stderr
    saved = json.loads((programs.run_directory() / "state.json").read_text())["state"]
    assert {"done": [0, 1]} == saved
    again = programs.scripts.run("script.py")
    assert ["ran 2", '{"done": [0, 1, 2]}'] == again.stdout.splitlines(), again.stderr


HANDLERS = """
import os, signal, sys
from checkpoint import checkpointed, workflow

number = getattr(signal, sys.argv[1])

def mine(received, frame):
    print("mine", received == number, frame is not None)

@checkpointed
def work(item):
    if item == 1:
        os.kill(os.getpid(), number)
    return item

before = signal.SIG_IGN if sys.argv[2] == "ignored" else mine
signal.signal(number, before)
with workflow("handlers"):
    print([work(item) for item in range(3)])
print(signal.getsignal(number) is before)
"""


@pytest.mark.parametrize("name", list(SIGNALS))
def test_handler_of_the_program_is_called_and_put_back(programs: Any, name: str) -> None:
    """A program's own handler gets the signal, decides what it means, and is in place again after the block."""
    programs.scripts.write(HANDLERS)
    done = programs.scripts.run("script.py", name, "mine")
    assert (0, ["mine True True", "[0, 1, 2]", "True"]) == (done.returncode, done.stdout.splitlines()), done.stderr


@pytest.mark.parametrize("name", list(SIGNALS))
def test_ignored_signal_stays_ignored(programs: Any, name: str) -> None:
    """A signal that the program, or `nohup` around it, ignores does not stop the run."""
    programs.scripts.write(HANDLERS)
    done = programs.scripts.run("script.py", name, "ignored")
    assert (0, ["[0, 1, 2]", "True"]) == (done.returncode, done.stdout.splitlines()), done.stderr


THREAD = """
import os, signal, threading, time
from checkpoint import checkpointed, workflow

@checkpointed
def work(number):
    print("ran", number, flush=True)
    while number == 1 and not os.path.exists("go"):
        time.sleep(0.01)
    return number

def main():
    with workflow("thread"):
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, [work(number) for number in range(3)])

thread = threading.Thread(target=main)
thread.start()
thread.join()
"""


def test_workflow_off_the_main_thread(programs: Any, say_go: Any) -> None:
    """There no handler can be installed: SIGTERM kills as ever, and the rerun continues."""
    programs.scripts.write(THREAD)
    child = programs.scripts.start("script.py")
    programs.scripts.wait_for(child, "ran 1")
    child.send_signal(signal.SIGTERM)
    assert -signal.SIGTERM == child.wait(60)
    say_go()
    again = programs.scripts.run("script.py")
    assert (0, ["ran 1", "ran 2", "True [0, 1, 2]"]) == (again.returncode, again.stdout.splitlines()), again.stderr


LATE = """
import os, signal, sys
from checkpoint import workflow

class Striking:
    # Sends the signal while the library says that the run is done, just before the block is left.
    def write(self, text):
        sys.__stderr__.write(text)
        if "done in" in text:
            os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))

    def flush(self):
        sys.__stderr__.flush()

sys.stderr = Striking()
with workflow("late"):
    pass
print("not reached")
"""


@pytest.mark.parametrize("name", list(SIGNALS))
def test_signal_while_the_run_is_finished(programs: Any, name: str) -> None:
    """A signal that comes while the end is recorded stops the program after it, without a traceback into our code."""
    programs.scripts.write(LATE)
    done = programs.scripts.run("script.py", env={"SIGNAL": name})
    assert (SIGNALS[name], "") == (done.returncode, done.stdout), done.stderr
    assert "done in" in done.stderr and "Traceback" not in done.stderr
    assert "finished" == programs.records()[-1]["kind"]
