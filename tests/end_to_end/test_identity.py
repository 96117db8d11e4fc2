"""
One program under several names: as a script, with `-m`, imported, renamed; its own classes come back as themselves.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

WAYS = {
    "script": ("items.py",),
    "module": ("-m", "items"),
    "imported": ("-c", "import items; items.main()"),
}


@pytest.mark.parametrize("second", list(WAYS))
@pytest.mark.parametrize("first", list(WAYS))
def test_ways_to_start_a_program_agree(programs: Any, first: str, second: str) -> None:
    """What one way to start the program has saved is kept by every other."""
    programs.copy("items.py")
    cut = programs.scripts.run(*WAYS[first], env={"STRIKE": "before c SIGKILL"})
    assert -signal.SIGKILL == cut.returncode
    again = programs.scripts.run(*WAYS[second])
    assert 0 == again.returncode, again.stderr
    assert [1, 1, 1, 1] == [programs.effects()[f"begin {item}"] for item in "abcd"]


@pytest.mark.parametrize(("option", "count"), [('(name="work")', 1), ("", 2)], ids=["named", "unnamed"])
def test_name_keeps_results_of_a_renamed_script(programs: Any, option: str, count: int) -> None:
    """A step with a name= of its own is found again in a renamed script; one without runs again."""
    path = programs.copy("items.py", "old.py")
    path.write_text(path.read_text().replace("@checkpointed\n", f"@checkpointed{option}\n"))
    assert -signal.SIGKILL == programs.scripts.run("old.py", env={"STRIKE": "before c SIGKILL"}).returncode
    path.rename(path.with_name("new.py"))
    again = programs.scripts.run("new.py")
    assert 0 == again.returncode, again.stderr
    assert count == programs.effects()["begin a"]


BOXES = """
import dataclasses, enum, os, signal
from checkpoint import checkpointed, workflow

class Plain:
    def __init__(self, text):
        self.text = text

@dataclasses.dataclass
class Data:
    text: str

class Colour(enum.Enum):
    RED = "red"

class Listed(list):
    pass

@checkpointed
def make():
    print("ran")
    return Plain("p"), Data("d"), Colour.RED, Listed([1])

def main():
    with workflow("boxes"):
        plain, data, colour, listed = make()
        assert type(plain) is Plain and plain.text == "p"
        assert type(data) is Data and data == Data("d")
        assert colour is Colour.RED
        assert type(listed) is Listed and listed == [1]
        print("same")
        if "STOP" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("first", ["script", "module"])
def test_classes_of_the_script_come_back_as_themselves(programs: Any, first: str, way: str) -> None:
    """A result whose class the script itself defines has that very class in a rerun, however it is started."""
    programs.scripts.write(BOXES, "items.py")
    begun = programs.scripts.run(*WAYS[first], env={"STOP": "1"})
    assert (-signal.SIGKILL, "ran\nsame\n") == (begun.returncode, begun.stdout), begun.stderr
    again = programs.scripts.run(*WAYS[way])
    assert (0, "same\n") == (again.returncode, again.stdout), again.stderr
