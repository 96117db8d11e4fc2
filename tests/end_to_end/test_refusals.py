"""
Values that cannot be kept: arguments without a lasting value, and results that cannot be saved.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

ARGUMENTS = """
import json, sys, threading
from checkpoint import checkpointed, workflow
from checkpoint.errors import FingerprintError

class Client:
    def __init__(self):
        self.session = {"locks": [threading.Lock()]}

CULPRITS = {
    "lock": lambda: threading.Lock(),
    "nested": lambda: Client(),
    "generator": lambda: (number for number in range(3)),
    "function": lambda: lambda number: number,
    "file": lambda: [open(__file__)],
    "object": lambda: (1, object()),
}

@checkpointed
def work(number, client=None):
    print("ran", number)

with workflow("arguments") as run:
    work(1)
    before = open(run.location + "/journal.jsonl", "rb").read()
    try:
        work(2, client=CULPRITS[sys.argv[1]]())
    except FingerprintError as error:
        same = before == open(run.location + "/journal.jsonl", "rb").read()
        print(json.dumps([same, error.step, error.argument, error.path, str(error)]))
"""


@pytest.mark.parametrize(
    ("culprit", "path"),
    [
        ("lock", "client"),
        ("nested", "client.session['locks'][0]"),
        ("generator", "client"),
        ("function", "client"),
        ("file", "client[0]"),
        ("object", "client[1]"),
    ],
)
def test_argument_without_a_lasting_value_is_refused(programs: Any, culprit: str, path: str) -> None:
    """The error names step, argument and the path to the culprit; nothing ran, and nothing was written."""
    programs.scripts.write(ARGUMENTS)
    done = programs.scripts.run("script.py", culprit)
    assert 0 == done.returncode, done.stderr
    ran, printed = done.stdout.splitlines()
    same, step, argument, found, message = json.loads(printed)
    assert ("ran 1", True, "script:work", "client", path) == (ran, same, step, argument, found)
    assert all(part in message for part in ("work", path))


RESULTS = """
import os, threading
from checkpoint import checkpointed, workflow
from checkpoint.errors import UnsavableError

@checkpointed
def work(number):
    print("ran", number, flush=True)
    if number == 1 and "BROKEN" in os.environ:
        return {"number": number, "conn": [threading.Lock()]}
    return number

with workflow("results") as run:
    run.state.setdefault("done", [])
    for number in range(3):
        try:
            work(number)
        except UnsavableError as error:
            print(error.path, error.call, error.value["number"], type(error.value["conn"][0]).__name__)
            raise
        run.state["done"].append(number)
    print(run.state["done"])
"""


@pytest.fixture
def broken(programs: Any) -> Any:
    """Return what a program did whose second step returns what cannot be saved."""
    programs.scripts.write(RESULTS)
    return programs.scripts.run("script.py", env={"BROKEN": "1"})


def test_result_that_cannot_be_saved_is_an_error_with_the_value(broken: Any) -> None:
    """The error names the path inside the result and the call, and carries the value, so that no work is lost."""
    assert ["ran 0", "ran 1", "result['conn'][0] work(1) 1 lock"] == broken.stdout.splitlines()
    assert 1 == broken.returncode
    assert "UnsavableError" in broken.stderr


def test_result_that_cannot_be_saved_is_not_recorded_as_completed(programs: Any, broken: Any) -> None:
    """The journal has the failure of the call and no completion of it."""
    kinds = [record["kind"] for record in programs.records() if record.get("call") == "work(1)"]
    assert ["started", "failed"] == kinds


def test_step_whose_result_could_not_be_saved_runs_again(programs: Any, broken: Any) -> None:
    """As long as the step is broken, every session runs it again, and only it."""
    again = programs.scripts.run("script.py", env={"BROKEN": "1"})
    assert (1, ["ran 1", "result['conn'][0] work(1) 1 lock"]) == (again.returncode, again.stdout.splitlines())


def test_run_continues_after_the_step_was_mended(programs: Any, broken: Any) -> None:
    """Once the step returns what can be saved, the run goes on to its end, and its state is right."""
    mended = programs.scripts.run("script.py")
    assert 0 == mended.returncode, mended.stderr
    assert ["ran 1", "ran 2", "[0, 1, 2]"] == mended.stdout.splitlines()
